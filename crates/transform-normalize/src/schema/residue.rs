//! What no rule took: written as it came, under the names it came with.

use super::plan::Member;
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

    /// Writes what is left of some members as an object.
    pub(super) fn rest_of(&mut self, members: &[Member]) -> bool {
        self.out.push(b'{');
        let empty = self.out.len();
        for member in members {
            let Some(value) = self.run.find(member.path) else {
                continue;
            };
            let start = self.out.len();
            if start > empty {
                self.out.push(b',');
            }
            self.out.extend_from_slice(&member.key);
            if !self.left(value) {
                self.out.truncate(start);
            }
        }
        self.out.push(b'}');
        self.out.len() > empty + 1
    }

    /// Writes what is left of the record where its schema has a place for it, and counts its members.
    pub(super) fn unmapped(&mut self) -> FieldCounts {
        let mut written = FieldCounts::default();
        let start = self.out.len();
        self.out.extend_from_slice(self.plan.residue.open);
        let empty = self.out.len();
        if self.run.tape.node(0).kind == NodeKind::Object {
            let mut first = true;
            let row = self.plan.row;
            self.unmapped_members(row, &mut first, &mut written);
            if row != ROOT && self.node_of(row) != self.node_of(ROOT) {
                self.unmapped_members(ROOT, &mut first, &mut written);
            }
        } else if !self.run.tape.is_empty(0) {
            self.out.extend_from_slice(b"\"value\":");
            self.run.tape.write_value(self.run.body, 0, self.out);
            written.unknown += 1;
        }
        if self.out.len() == empty {
            self.out.truncate(start);
        } else {
            self.out.extend_from_slice(self.plan.residue.close);
        }
        written
    }

    fn node_of(&self, scope: ScopeId) -> Option<NodeId> {
        self.run.find(Path { scope, slot: 0 })
    }

    /// Writes what is left of a member; as `envelope.name` if the row has one of that name.
    fn member_of_envelope(&mut self, at: NodeId, first: &mut bool) -> bool {
        let quote = self.out.len() + usize::from(!*first);
        let left = self.member(at, true, first);
        if left && self.is_in_row(at) {
            self.out.splice(quote + 1..quote + 1, *b"envelope.");
        }
        left
    }

    /// Whether the row has a member of the same name.
    fn is_in_row(&self, of_envelope: NodeId) -> bool {
        let (tape, body) = (&*self.run.tape, self.run.body);
        let name = tape.key(body, of_envelope);
        let row = self.node_of(self.plan.row);
        row.is_some_and(|row| {
            tape.children(row)
                .any(|member| tape.key(body, member) == name)
        })
    }

    /// Writes what is left of the members of a scope's object; a row is not a member of its envelope.
    fn unmapped_members(&mut self, scope: ScopeId, first: &mut bool, written: &mut FieldCounts) {
        let row = self.node_of(self.plan.row);
        let Some(object) = self.node_of(scope) else {
            return;
        };
        let end = self.run.tape.node(object).next;
        let mut at = object + 1;
        while at < end {
            let next = self.run.tape.node(at).next;
            let skipped = self.run.tape.node(at).dropped() || Some(at) == row;
            if !skipped && !self.run.tape.is_empty(self.run.tape.inner(at)) {
                let left = if scope == self.plan.row {
                    self.member(at, true, first)
                } else {
                    self.member_of_envelope(at, first)
                };
                let known = left && self.run.knows(scope, self.run.tape.key(self.run.body, at));
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
        let value = self.run.tape.inner(at);
        // Most members are wholly used: their names are not even written.
        if self.run.tape.node(at).dropped() || self.is_spent(value) {
            return false;
        }
        let start = self.out.len();
        if !*first {
            self.out.push(b',');
        }
        if named {
            self.run.tape.write_key(self.run.body, at, self.out);
        }
        let left = self.left(value);
        if left {
            *first = false;
        } else {
            self.out.truncate(start);
        }
        left
    }

    /// Whether a value is used, was dropped, or says nothing.
    fn is_spent(&self, value: NodeId) -> bool {
        let node = self.run.tape.node(value);
        node.used() || node.dropped() || self.run.tape.is_empty(value)
    }

    /// Writes what is left of a value. Returns whether anything is.
    fn left(&mut self, value: NodeId) -> bool {
        if self.is_spent(value) {
            return false;
        }
        let kind = self.run.tape.node(value).kind;
        let nested = matches!(kind, NodeKind::Object | NodeKind::Array);
        if nested && self.run.tape.touched(value) {
            return self.residue(value);
        }
        self.run.tape.write_value(self.run.body, value, self.out);
        self.run.mark(value);
        true
    }
}
