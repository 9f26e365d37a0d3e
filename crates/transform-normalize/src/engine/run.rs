//! One record on its way through a plan: its tape, the filled slots, and what was used.

use tapline_core::Metadata;

use super::expr::{Got, Text};
use super::predicate::Predicate;
use super::scope::{Level, Path, Pick, ROOT, ScopeId, Selection, Shape, Wanted};
use crate::json::{Buffer, Node, NodeId, NodeKind, Tape};

/// A slot that holds nothing, and a scope that stands nowhere.
const NONE: u32 = u32::MAX;

/// Memory that is reused from record to record.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    /// The slots of all open scopes.
    slots: Vec<NodeId>,
    /// Where the slots of a scope begin, by [`ScopeId`].
    bases: Vec<u32>,
    /// What was marked as used, in order, so that it can be taken back.
    used: Vec<NodeId>,
}

/// One record, read and bound.
pub(crate) struct Run<'a> {
    pub(crate) body: &'a str,
    pub(crate) meta: &'a Metadata,
    pub(crate) tape: &'a mut Tape,
    shapes: &'a [Shape],
    scratch: &'a mut Scratch,
}

/// A point that [`Run::back_to`] returns to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mark(usize);

impl<'a> Run<'a> {
    /// Fills the slots of the record and of the selections, in their order.
    pub(crate) fn new(
        body: &'a str,
        meta: &'a Metadata,
        tape: &'a mut Tape,
        shapes: &'a [Shape],
        selections: &[Selection],
        scratch: &'a mut Scratch,
    ) -> Self {
        scratch.slots.clear();
        scratch.used.clear();
        scratch.bases.clear();
        scratch.bases.resize(shapes.len(), NONE);
        let mut run = Self {
            body,
            meta,
            tape,
            shapes,
            scratch,
        };
        run.enter(ROOT, 0);
        for selection in selections {
            run.select(selection);
        }
        run
    }

    /// Opens a scope on a value and fills its slots. Returns what [`Run::leave`] needs.
    pub(crate) fn enter(&mut self, scope: ScopeId, node: NodeId) -> (ScopeId, u32, usize) {
        let base = self.scratch.slots.len();
        let shape = &self.shapes[usize::from(scope)];
        self.scratch
            .slots
            .resize(base + usize::from(shape.slots), NONE);
        self.scratch.slots[base] = node;
        bind(
            self.tape,
            self.body,
            node,
            &shape.names,
            &mut self.scratch.slots[base..],
        );
        let before = std::mem::replace(&mut self.scratch.bases[usize::from(scope)], base as u32);
        (scope, before, base)
    }

    /// Closes the scope that was opened last.
    pub(crate) fn leave(&mut self, (scope, before, base): (ScopeId, u32, usize)) {
        self.scratch.bases[usize::from(scope)] = before;
        self.scratch.slots.truncate(base);
    }

    /// Opens a selection's scope on what it wants, for good.
    fn select(&mut self, selection: &Selection) {
        match &selection.pick {
            Pick::Row => {
                let is_object = |node: &NodeId| self.tape.node(*node).kind == NodeKind::Object;
                let row = self.find(selection.from).filter(is_object);
                self.enter(selection.scope, row.unwrap_or(0));
            }
            Pick::Element(wanted) => self.select_element(selection, wanted),
        }
    }

    fn select_element(&mut self, selection: &Selection, wanted: &[Predicate]) {
        let Some(list) = self.find_list(selection.from) else {
            return;
        };
        for wanted in wanted {
            let end = self.tape.node(list).next;
            let mut at = list + 1;
            while at < end {
                let opened = self.enter(selection.scope, at);
                if !self.tape.node(at).dropped() && self.holds(wanted) {
                    return;
                }
                self.leave(opened);
                at = self.tape.node(at).next;
            }
        }
    }

    /// The value at a path, unless it is missing or says nothing.
    #[inline]
    pub(crate) fn find(&self, path: Path) -> Option<NodeId> {
        let base = self.scratch.bases[usize::from(path.scope)];
        if base == NONE {
            return None;
        }
        let node = self.scratch.slots[base as usize + usize::from(path.slot)];
        (node != NONE && !self.tape.is_empty(node)).then_some(node)
    }

    /// The list at a path, if it has elements.
    pub(crate) fn find_list(&self, path: Path) -> Option<NodeId> {
        self.find(path)
            .filter(|list| self.tape.node(*list).kind == NodeKind::Array)
    }

    /// Notes that a value went into the output.
    #[inline]
    pub(crate) fn mark(&mut self, node: NodeId) {
        if self.tape.mark(node) {
            self.scratch.used.push(node);
        }
    }

    /// Where to return to if what is written next turns out to be nothing.
    pub(crate) fn here(&self) -> Mark {
        Mark(self.scratch.used.len())
    }

    /// Takes back what was marked since.
    pub(crate) fn back_to(&mut self, mark: Mark) {
        for node in self.scratch.used.drain(mark.0..) {
            self.tape.unmark(node);
        }
    }

    /// The text of a scalar: texts unescaped, numbers and booleans as they stand.
    #[inline]
    pub(crate) fn text_of(&mut self, node: NodeId) -> Option<Text> {
        let value = *self.tape.node(node);
        let (buffer, (start, end)) = match value.kind {
            NodeKind::Null | NodeKind::Object | NodeKind::Array => return None,
            NodeKind::Text if value.escaped() => {
                (Buffer::Made, self.tape.make_unescaped(self.body, node))
            }
            _ => (value.buffer(), (value.start, value.end)),
        };
        Some(Text { buffer, start, end })
    }

    /// The characters of a text.
    #[inline]
    pub(crate) fn str(&self, text: Text) -> &str {
        self.tape
            .text(self.body, text.buffer, (text.start, text.end))
    }

    /// The text of whatever an expression yielded; marks the value it is of.
    pub(crate) fn got_text(&mut self, got: Got) -> Option<Text> {
        match got {
            Got::Nothing => None,
            Got::Node(node) => {
                let text = self.text_of(node)?;
                self.mark(node);
                Some(text)
            }
            Got::Text(text) | Got::Other(text) => Some(text),
            Got::Int(number) => Some(self.make(|made| made.push_str(&number.to_string()))),
            Got::Bool(truth) => {
                Some(self.make(|made| made.push_str(if truth { "true" } else { "false" })))
            }
        }
    }

    /// A piece of a text list, counted from 0; `on` holds the separators.
    pub(crate) fn piece(&self, list: Text, on: &str, index: usize) -> Option<Text> {
        let whole = self.str(list);
        let piece = super::evaluate::pieces(whole, on).nth(index)?;
        let start = list.start + (piece.as_ptr().addr() - whole.as_ptr().addr()) as u32;
        Some(Text {
            buffer: list.buffer,
            start,
            end: start + piece.len() as u32,
        })
    }

    /// Whether the mapping file names a member of a scope's object.
    pub(crate) fn knows(&self, scope: ScopeId, name: &str) -> bool {
        self.shapes[usize::from(scope)].names.wanted(name).is_some()
    }

    /// Makes a text.
    pub(crate) fn make(&mut self, write: impl FnOnce(&mut String)) -> Text {
        let (start, end) = self.tape.make(write);
        Text {
            buffer: Buffer::Made,
            start,
            end,
        }
    }

    /// Makes a text of the characters of another.
    pub(crate) fn append(&mut self, text: Text) {
        self.tape
            .append(self.body, text.buffer, (text.start, text.end));
    }
}

/// Walks the members of an object once and puts those that are asked for into their slots.
///
/// Of members with one name the last counts, as in most readers of JSON.
fn bind(tape: &mut Tape, body: &str, object: NodeId, names: &Level, slots: &mut [NodeId]) {
    let Node {
        kind, next: end, ..
    } = *tape.node(object);
    if kind != NodeKind::Object {
        return;
    }
    let mut member = object + 1;
    while member < end {
        let node = tape.node(member);
        let next = node.next;
        if !node.dropped()
            && let Some(wanted) = names.wanted(tape.key(body, member))
        {
            fill(tape, body, member, wanted, slots);
        }
        member = next;
    }
}

/// Puts one member where it is asked for.
fn fill(tape: &mut Tape, body: &str, member: NodeId, wanted: &Wanted, slots: &mut [NodeId]) {
    let opened = wanted.opens.then(|| tape.open_text(body, member));
    let value = opened.flatten().unwrap_or(member);
    if let Some(slot) = wanted.slot {
        slots[usize::from(slot)] = value;
    }
    if let Some(below) = &wanted.below {
        bind(tape, body, value, below, slots);
    }
}
