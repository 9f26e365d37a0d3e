//! Writes one event: the fields in the order of the mapping file, straight into the output.

use super::attack;
use super::coerce::{write_fit, write_number};
use super::observables::Observed;
use super::plan::{Captions, Fit, Item, Object, Plan, Scalar, Value};
use crate::coverage::Placed;
use crate::engine::{Expr, Got, Path, Predicate, Run, ScopeId};
use crate::json::{NodeId, NodeKind, write_escaped};

/// Memory that is reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct OcsfScratch {
    pub(super) observed: Vec<Observed>,
    /// The index of the element at hand, for each array that is being written.
    pub(super) indices: Vec<u32>,
    /// Where each member of the last record went, if somebody wants to know.
    pub(crate) fields: Option<Vec<(String, Placed)>>,
}

/// How many members of the record went where.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct FieldCounts {
    /// Wholly in typed places.
    pub mapped: u64,
    /// At least in part among the unmapped, as the mapping file means it.
    pub unmapped: u64,
    /// Not known to the mapping file.
    pub unknown: u64,
}

/// Writes one event.
pub(super) struct Writer<'w, 'a> {
    pub(super) run: &'w mut Run<'a>,
    pub(super) plan: &'w Plan,
    pub(super) out: &'w mut Vec<u8>,
    pub(super) scratch: &'w mut OcsfScratch,
    pub(super) observe: bool,
}

impl Plan {
    /// Writes the event of a record. `None`: no class that the mapping names can hold it.
    pub(crate) fn write(
        &self,
        run: &mut Run<'_>,
        observe: bool,
        scratch: &mut OcsfScratch,
        out: &mut Vec<u8>,
    ) -> Option<FieldCounts> {
        scratch.observed.clear();
        scratch.indices.clear();
        let mut writer = Writer {
            run,
            plan: self,
            out,
            scratch,
            observe,
        };
        let fits = |arm: &&super::plan::Arm, writer: &mut Writer<'_, '_>| {
            let when = arm.when.as_ref();
            when.is_none_or(|when| writer.run.holds(when)) && writer.open_object(&arm.event)
        };
        self.arms.iter().find(|arm| fits(arm, &mut writer))?;
        writer.observables();
        for ignored in &self.ignored {
            writer.run.mark_if(ignored);
        }
        let written = writer.unmapped();
        writer.out.push(b'}');
        Some(written)
    }
}

impl Writer<'_, '_> {
    /// Writes an object without its closing brace. If it would not be valid, nothing is written.
    fn open_object(&mut self, object: &Object) -> bool {
        let start = self.out.len();
        let used = self.run.here();
        let observed = self.scratch.observed.len();
        let present = self.fields(object);
        let valid = object.valid(present);
        if !valid {
            self.out.truncate(start);
            self.run.back_to(used);
            self.scratch.observed.truncate(observed);
        }
        valid
    }

    /// Writes the fields; returns the bits of those that are there.
    fn fields(&mut self, object: &Object) -> u128 {
        let mut present = 0;
        let mut separator = b'{';
        for (index, field) in object.fields.iter().enumerate() {
            let before = self.out.len();
            self.out.push(separator);
            self.out.extend_from_slice(&field.key);
            if self.value(&field.value) {
                present |= 1 << index;
                separator = b',';
            } else {
                self.out.truncate(before);
            }
        }
        present
    }

    /// Writes a value. If it returns false, nothing is marked, and what stands behind the point
    /// where it began is to be cut off.
    fn value(&mut self, value: &Value) -> bool {
        match value {
            Value::Fixed(bytes) => {
                self.out.extend_from_slice(bytes);
                true
            }
            Value::Scalar(scalar) => self.scalar(scalar),
            Value::Id(expr, captions) => self.id(expr, captions),
            Value::Json(expr) => self.json(expr),
            Value::Rest(scope) => self.rest(*scope),
            Value::RestOf(members) => self.rest_of(members),
            Value::Object(object) => {
                let written = self.open_object(object);
                if written {
                    self.out.push(b'}');
                }
                written
            }
            Value::Array(items) => self.array(items),
            Value::Cases(cases) => self.cases(cases),
            Value::First(all) => self.first(all),
        }
    }

    fn scalar(&mut self, scalar: &Scalar) -> bool {
        let used = self.run.here();
        let got = self.run.get(&scalar.expr);
        let fits = self.fitted(got, scalar);
        if !fits {
            self.run.back_to(used);
        }
        fits
    }

    /// Writes what was found if it fits, and notes it if it is an observable.
    fn fitted(&mut self, got: Got, scalar: &Scalar) -> bool {
        let start = self.out.len();
        let fits = self.fit(got, scalar.fit);
        if let (true, Some(observable)) = (fits && self.observe, scalar.observable) {
            self.observe(observable, start);
        }
        fits
    }

    fn fit(&mut self, got: Got, fit: Fit) -> bool {
        match (got, fit) {
            // A text has at most as many characters as bytes, escaped or not.
            (Got::Node(node), Fit::Text { max })
                if self.run.tape.node(node).kind == NodeKind::Text
                    && self.run.tape.raw(self.run.body, node).len() <= max =>
            {
                self.run.tape.write_text(self.run.body, node, self.out);
                self.run.mark(node);
                true
            }
            (Got::Int(number), Fit::Int { min, max }) => {
                write_number(number, self.out);
                (min..=max).contains(&number)
            }
            _ => match self.run.got_text(got) {
                Some(text) => write_fit(self.run.str(text), fit, self.out),
                None => false,
            },
        }
    }

    fn id(&mut self, expr: &Expr, captions: &Captions) -> bool {
        let used = self.run.here();
        match self.run.get(expr) {
            Got::Int(id) => match captions.ids.iter().find(|(known, _)| *known == id) {
                Some((_, bytes)) => {
                    self.out.extend_from_slice(bytes);
                    true
                }
                None => false,
            },
            Got::Other(text) => match &captions.other {
                Some(before) => {
                    self.out.extend_from_slice(before);
                    self.quoted(text);
                    true
                }
                None => {
                    // There is no place for the source's word: it stays among the unmapped.
                    self.run.back_to(used);
                    self.out.extend_from_slice(b"99");
                    true
                }
            },
            Got::Nothing | Got::Node(_) | Got::Text(_) | Got::Bool(_) => {
                self.run.back_to(used);
                false
            }
        }
    }

    fn quoted(&mut self, text: crate::engine::Text) {
        self.out.push(b'"');
        write_escaped(self.run.str(text), self.out);
        self.out.push(b'"');
    }

    fn json(&mut self, expr: &Expr) -> bool {
        match self.run.get(expr) {
            Got::Node(node) => {
                self.run.tape.write_value(self.run.body, node, self.out);
                self.run.mark(node);
                true
            }
            Got::Text(text) | Got::Other(text) => {
                self.quoted(text);
                true
            }
            Got::Int(number) => {
                write_number(number, self.out);
                true
            }
            Got::Nothing | Got::Bool(_) => false,
        }
    }

    fn cases(&mut self, cases: &[(Option<Predicate>, Value)]) -> bool {
        for (when, then) in cases {
            if when.as_ref().is_none_or(|when| self.run.holds(when)) {
                return self.value(then);
            }
        }
        false
    }

    fn first(&mut self, all: &[Value]) -> bool {
        let start = self.out.len();
        all.iter().any(|one| {
            self.out.truncate(start);
            self.value(one)
        })
    }

    fn array(&mut self, items: &[Item]) -> bool {
        self.out.push(b'[');
        let mut count = 0;
        for item in items {
            self.item(item, &mut count);
        }
        self.out.push(b']');
        count > 0
    }

    /// Writes the elements of one item; counts them.
    fn item(&mut self, item: &Item, count: &mut u32) {
        match item {
            Item::One(value) => self.element(count, |writer| writer.value(value)),
            Item::Each {
                list,
                scope,
                when,
                value,
            } => {
                if let Some(list) = self.run.find_list(*list) {
                    self.each(list, *scope, when.as_ref(), value, count);
                }
            }
            Item::Elements { list, scalar } => self.elements(*list, scalar, count),
            Item::Pieces {
                expr,
                on,
                into,
                scalar,
            } => self.pieces(expr, on, into.as_deref(), scalar, count),
            Item::First(items) => {
                let before = *count;
                for item in items {
                    if *count == before {
                        self.item(item, count);
                    }
                }
            }
            Item::IfEmpty(value) if *count == 0 => {
                self.element(count, |writer| writer.value(value))
            }
            Item::IfEmpty(_) => {}
            Item::Techniques { list, tactics } => self.techniques(*list, tactics, count),
        }
    }

    /// Writes one element with what separates it from the one before.
    fn element(&mut self, count: &mut u32, write: impl FnOnce(&mut Self) -> bool) {
        let start = self.out.len();
        if *count > 0 {
            self.out.push(b',');
        }
        self.scratch.indices.push(*count);
        let written = write(self);
        self.scratch.indices.pop();
        if written {
            *count += 1;
        } else {
            self.out.truncate(start);
        }
    }

    fn each(
        &mut self,
        list: NodeId,
        scope: ScopeId,
        when: Option<&Predicate>,
        value: &Value,
        count: &mut u32,
    ) {
        let end = self.run.tape.node(list).next;
        let mut at = list + 1;
        while at < end {
            if !self.run.tape.node(at).dropped() {
                let opened = self.run.enter(scope, at);
                if when.is_none_or(|when| self.run.holds(when)) {
                    self.element(count, |writer| writer.value(value));
                }
                self.run.leave(opened);
            }
            at = self.run.tape.node(at).next;
        }
    }

    fn elements(&mut self, list: Path, scalar: &Scalar, count: &mut u32) {
        let Some(found) = self.run.find(list) else {
            return;
        };
        if self.run.tape.node(found).kind != NodeKind::Array {
            self.element(count, |writer| writer.one_of_list(found, scalar));
            return;
        }
        let end = self.run.tape.node(found).next;
        let mut at = found + 1;
        while at < end {
            if !self.run.tape.is_empty(at) && !self.run.tape.node(at).dropped() {
                self.element(count, |writer| writer.one_of_list(at, scalar));
            }
            at = self.run.tape.node(at).next;
        }
    }

    fn one_of_list(&mut self, node: NodeId, scalar: &Scalar) -> bool {
        let used = self.run.here();
        let fits = self.fitted(Got::Node(node), scalar);
        if !fits {
            self.run.back_to(used);
        }
        fits
    }

    fn pieces(
        &mut self,
        expr: &Expr,
        on: &str,
        into: Option<&[u8]>,
        scalar: &Scalar,
        count: &mut u32,
    ) {
        let used = self.run.here();
        let before = *count;
        let Some(list) = self.run.get_text(expr) else {
            return;
        };
        let mut all_fit = true;
        let mut index = 0;
        while let Some(piece) = self.run.piece(list, on, index) {
            let was = *count;
            self.element(count, |writer| {
                writer.out.extend_from_slice(into.unwrap_or_default());
                let fits = writer.fitted(Got::Text(piece), scalar);
                writer
                    .out
                    .extend_from_slice(if into.is_some() { b"}" } else { b"" });
                fits
            });
            all_fit &= *count > was;
            index += 1;
        }
        // A piece that does not fit would be lost if the list counted as used.
        if !all_fit || *count == before {
            self.run.back_to(used);
        }
    }

    fn techniques(&mut self, list: Path, tactics: &[Path], count: &mut u32) {
        let tactic = tactics.iter().find_map(|path| self.tactic(*path));
        let before = *count;
        if let Some(list) = self.run.find_list(list) {
            let end = self.run.tape.node(list).next;
            let mut at = list + 1;
            while at < end {
                self.element(count, |writer| writer.technique(at, tactic));
                at = self.run.tape.node(at).next;
            }
        }
        if let (true, Some(tactic)) = (*count == before, tactic) {
            self.element(count, |writer| {
                writer.out.push(b'{');
                writer.tactic_object(tactic);
                writer.out.push(b'}');
                true
            });
        }
    }

    /// The tactic that a category, or the first of several that is one, names.
    fn tactic(&mut self, path: Path) -> Option<(&'static str, &'static str)> {
        let node = self.run.find(path)?;
        let value = *self.run.tape.node(node);
        let (mut at, end) = match value.kind {
            NodeKind::Array => (node + 1, value.next),
            _ => (node, node + 1),
        };
        while at < end {
            if let Some(text) = self.run.text_of(at)
                && let Some(tactic) = attack::tactic(self.run.str(text))
            {
                return Some(tactic);
            }
            at = self.run.tape.node(at).next.max(at + 1);
        }
        None
    }

    fn technique(&mut self, node: NodeId, tactic: Option<(&str, &str)>) -> bool {
        let Some(text) = self.run.text_of(node) else {
            return false;
        };
        let Some((uid, name)) = attack::technique(self.run.str(text)) else {
            return false;
        };
        let sub = uid.len() > 5;
        if sub {
            self.out
                .extend_from_slice(b"{\"sub_technique\":{\"uid\":\"");
            self.out.extend_from_slice(uid.as_bytes());
            name_of(name, self.out);
            self.out.extend_from_slice(b"},\"technique\":{\"uid\":\"");
            self.out.extend_from_slice(&uid.as_bytes()[..5]);
            name_of(None, self.out);
        } else {
            self.out.extend_from_slice(b"{\"technique\":{\"uid\":\"");
            self.out.extend_from_slice(uid.as_bytes());
            name_of(name, self.out);
        }
        self.out.push(b'}');
        if let Some(tactic) = tactic {
            self.out.push(b',');
            self.tactic_object(tactic);
        }
        self.out.push(b'}');
        self.run.mark(node);
        true
    }

    fn tactic_object(&mut self, (name, uid): (&str, &str)) {
        self.out.extend_from_slice(b"\"tactic\":{\"name\":\"");
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\",\"uid\":\"");
        self.out.extend_from_slice(uid.as_bytes());
        self.out.extend_from_slice(b"\"}");
    }
}

/// Ends a uid's text and writes the name behind it.
fn name_of(name: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'"');
    if let Some(name) = name {
        out.extend_from_slice(b",\"name\":\"");
        write_escaped(name, out);
        out.push(b'"');
    }
}

impl Object {
    /// Whether an object with these fields may be written.
    fn valid(&self, present: u128) -> bool {
        let holds = |constraint: &super::plan::Constraint| {
            let count = (present & constraint.fields).count_ones();
            if constraint.just_one {
                count == 1
            } else {
                count >= 1
            }
        };
        present & self.required == self.required
            && (self.from_record == 0 || present & self.from_record != 0)
            && self.constraints.iter().all(holds)
    }
}
