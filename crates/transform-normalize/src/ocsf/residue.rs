//! What no rule took: written as it came, under the names it came with.

use super::write::{FieldCounts, Writer};
use crate::coverage::Placed;
use crate::engine::{Path, ROOT, ScopeId};
use crate::json::{NodeId, NodeKind};

impl FieldCounts {
    fn add(&mut self, placed: Placed) {
        match placed {
            Placed::Mapped => self.mapped += 1,
            Placed::Unmapped => self.unmapped += 1,
            Placed::Unknown => self.unknown += 1,
        }
    }
}

impl Writer<'_, '_> {
    /// Writes what is left of the object of a scope.
    pub(super) fn rest(&mut self, scope: ScopeId) -> bool {
        match self.run.find(Path { scope, slot: 0 }) {
            Some(node) => self.residue(node),
            None => false,
        }
    }

    /// Writes `,"unmapped":{..}` with what is left of the record, and counts its members.
    pub(super) fn unmapped(&mut self) -> FieldCounts {
        let mut written = FieldCounts::default();
        let start = self.out.len();
        self.out.extend_from_slice(b",\"unmapped\":{");
        let empty = self.out.len();
        if self.run.tape.node(0).kind == NodeKind::Object {
            self.unmapped_members(&mut written);
        } else if !self.run.tape.is_empty(0) {
            self.out.extend_from_slice(b"\"value\":");
            self.run.tape.write_value(self.run.body, 0, self.out);
            written.unknown += 1;
        }
        if self.out.len() == empty {
            self.out.truncate(start);
        } else {
            self.out.push(b'}');
        }
        written
    }

    fn unmapped_members(&mut self, written: &mut FieldCounts) {
        let end = self.run.tape.node(0).next;
        let mut at = 1;
        let mut first = true;
        while at < end {
            let next = self.run.tape.node(at).next;
            if !self.run.tape.node(at).dropped() && !self.run.tape.is_empty(at) {
                let left = self.member(at, true, &mut first);
                let known = left && self.run.knows(ROOT, self.run.tape.key(self.run.body, at));
                let placed = match (left, known) {
                    (false, _) => Placed::Mapped,
                    (true, true) => Placed::Unmapped,
                    (true, false) => Placed::Unknown,
                };
                written.add(placed);
                if let Some(fields) = &mut self.scratch.fields {
                    let name = self.run.tape.key(self.run.body, at).to_owned();
                    fields.push((name, placed));
                }
            }
            at = next;
        }
    }

    /// Writes what is left of an object or an array. Returns whether anything is.
    fn residue(&mut self, id: NodeId) -> bool {
        let node = *self.run.tape.node(id);
        let object = node.kind == NodeKind::Object;
        if !object && node.kind != NodeKind::Array {
            return false;
        }
        self.out.push(if object { b'{' } else { b'[' });
        let mut first = true;
        let mut at = id + 1;
        while at < node.next {
            let next = self.run.tape.node(at).next;
            self.member(at, object, &mut first);
            at = next;
        }
        self.out.push(if object { b'}' } else { b']' });
        !first
    }

    /// Writes what is left of one member or element, with its name. Returns whether anything is.
    fn member(&mut self, at: NodeId, named: bool, first: &mut bool) -> bool {
        let node = *self.run.tape.node(at);
        if node.used() || node.dropped() || self.run.tape.is_empty(at) {
            return false;
        }
        let start = self.out.len();
        if !*first {
            self.out.push(b',');
        }
        if named {
            self.run.tape.write_key(self.run.body, at, self.out);
        }
        let nested = matches!(node.kind, NodeKind::Object | NodeKind::Array);
        let left = if nested && self.run.tape.touched(at) {
            self.residue(at)
        } else {
            self.run.tape.write_value(self.run.body, at, self.out);
            self.run.mark(at);
            true
        };
        if left {
            *first = false;
        } else {
            self.out.truncate(start);
        }
        left
    }
}
