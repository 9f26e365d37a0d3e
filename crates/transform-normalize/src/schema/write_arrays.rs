//! Writes arrays: elements of lists, pieces of text lists, and what stands in for none.

use super::plan::{Item, Scalar, Value};
use super::write::Writer;
use crate::engine::{Expr, Got, Path, Predicate, ScopeId};
use crate::json::{NodeId, NodeKind};

impl Writer<'_, '_> {
    pub(super) fn array(&mut self, items: &[Item]) -> bool {
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
    pub(super) fn element(&mut self, count: &mut u32, write: impl FnOnce(&mut Self) -> bool) {
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
}
