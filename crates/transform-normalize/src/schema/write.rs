//! Writes one event: the fields in the order of the mapping file, straight into the output.

use super::coerce::{write_fit, write_number};
use super::observables::Observed;
use super::plan::{Captions, Fit, Object, Plan, Scalar, Value};
use crate::coverage::Placed;
use crate::engine::{Expr, Got, Predicate, Run};
use crate::json::{NodeKind, write_escaped};

/// Memory that is reused from event to event.
#[derive(Debug, Default)]
pub(crate) struct EventScratch {
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
    pub(super) scratch: &'w mut EventScratch,
    pub(super) observe: bool,
}

impl Plan {
    /// Writes the event of a record. `None`: no class that the mapping names can hold it.
    pub(crate) fn write(
        &self,
        run: &mut Run<'_>,
        observe: bool,
        scratch: &mut EventScratch,
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
            if self.is_missing(&field.value) {
                continue;
            }
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

    /// Whether a value is plainly not there: most columns of most rows say nothing.
    #[inline]
    fn is_missing(&self, value: &Value) -> bool {
        match value {
            Value::Scalar(Scalar {
                expr: Expr::Value(path),
                ..
            }) => self.run.find(*path).is_none(),
            _ => false,
        }
    }

    /// Writes a value. If it returns false, nothing is marked, and what stands behind the point
    /// where it began is to be cut off.
    pub(super) fn value(&mut self, value: &Value) -> bool {
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
    pub(super) fn fitted(&mut self, got: Got, scalar: &Scalar) -> bool {
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
