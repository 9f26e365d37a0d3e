//! The tape: every value of one record in reading order, as ranges of its bytes.

use super::scan::{ScanError, Scanner};
use super::text::{unescape, write_escaped, write_mended};

/// The place of a value on the tape. The record itself is 0.
pub(crate) type NodeId = u32;

/// Where the bytes of a text are.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Buffer {
    /// In the record.
    Body,
    /// Among the texts that were made while mapping.
    Made,
    /// In a text of the record that was read as JSON itself.
    Opened,
}

/// What sort of JSON value a node is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NodeKind {
    Null,
    False,
    True,
    Number,
    Text,
    Object,
    Array,
}

/// One value: where its bytes are, its name if it is a member, and where its subtree ends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    /// First byte; of a text the one after the quote.
    pub(crate) start: u32,
    /// One after the last byte; of a text the closing quote.
    pub(crate) end: u32,
    /// The first node that is not below this one.
    pub(crate) next: NodeId,
    /// The name's bytes between the quotes; empty for elements of arrays.
    pub(crate) key: (u32, u32),
    /// What a text holds that was read as JSON itself; 0 of all others.
    inner: NodeId,
    pub(crate) kind: NodeKind,
    flags: u8,
}

impl Node {
    const ESCAPED: u8 = 1;
    const KEY_ESCAPED: u8 = 2;
    const USED: u8 = 4;
    const DROPPED: u8 = 8;
    const MADE: u8 = 16;
    /// The value's and its name's bytes are in a text of the record that was opened.
    const OPENED: u8 = 32;

    pub(super) fn new(kind: NodeKind, key: (u32, u32), key_escaped: bool, start: u32) -> Self {
        let flags = if key_escaped { Self::KEY_ESCAPED } else { 0 };
        Self {
            start,
            end: start,
            next: 0,
            key,
            inner: 0,
            kind,
            flags,
        }
    }

    pub(super) fn set_escaped(&mut self) {
        self.flags |= Self::ESCAPED;
    }

    /// Whether the text holds a backslash.
    pub(crate) fn escaped(&self) -> bool {
        self.flags & Self::ESCAPED != 0
    }

    /// Where the value's bytes are.
    pub(crate) fn buffer(&self) -> Buffer {
        if self.flags & Self::MADE != 0 {
            Buffer::Made
        } else if self.flags & Self::OPENED != 0 {
            Buffer::Opened
        } else {
            Buffer::Body
        }
    }

    /// Moves a node that was read from a part of a buffer, which begins at `by`.
    fn shift(&mut self, by: u32) {
        self.start += by;
        self.end += by;
        self.key.0 += by;
        self.key.1 += by;
        self.flags |= Self::OPENED;
    }

    /// Whether the value went somewhere in the output.
    pub(crate) fn used(&self) -> bool {
        self.flags & Self::USED != 0
    }

    /// Whether the operator took the value out before mapping.
    pub(crate) fn dropped(&self) -> bool {
        self.flags & Self::DROPPED != 0
    }
}

/// The values of one record. Made once and reused, so that reading a record allocates nothing.
///
/// A record's own bytes are not kept: they are passed along as `body`.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    nodes: Vec<Node>,
    /// Text that was made while mapping: unescaped, joined, hashed.
    made: String,
    /// Unescaped texts of the record that were read as JSON themselves.
    opened: String,
    /// Which texts were unescaped already, and where they stand among those made.
    unescaped: Vec<(NodeId, (u32, u32))>,
    /// No white space between values, no half surrogate, nothing dropped: subtrees can be copied.
    dense: bool,
    /// Half of a surrogate pair is somewhere: escaped text must be mended.
    broken: bool,
}

impl Tape {
    /// Reads a record.
    ///
    /// # Errors
    /// [`ScanError`] at the first byte that is not JSON.
    pub(crate) fn read(&mut self, body: &str) -> Result<(), ScanError> {
        self.nodes.clear();
        self.made.clear();
        self.opened.clear();
        self.unescaped.clear();
        let mut scanner = Scanner::new(body.as_bytes(), &mut self.nodes);
        scanner.document()?;
        self.dense = scanner.dense && !scanner.broken;
        self.broken = scanner.broken;
        Ok(())
    }

    /// Reads a text that holds a JSON object or list, so that it is found as such.
    ///
    /// Returns the place of what it holds, which stays the same when asked again; `None` of all
    /// other values. What is in such a text is not opened again.
    pub(crate) fn open_text(&mut self, body: &str, id: NodeId) -> Option<NodeId> {
        let node = *self.node(id);
        if node.inner != 0 {
            return Some(node.inner);
        }
        if node.kind != NodeKind::Text || node.buffer() != Buffer::Body {
            return None;
        }
        let raw = &body[node.start as usize..node.end as usize];
        if !raw.trim_start().starts_with(['{', '[']) {
            return None;
        }
        let inner = self.read_opened(raw)?;
        self.nodes[id as usize].inner = inner;
        Some(inner)
    }

    /// Reads one more document, which is in a text; leaves nothing behind if it is not JSON.
    fn read_opened(&mut self, raw: &str) -> Option<NodeId> {
        let (start, first) = (self.opened.len(), self.nodes.len());
        unescape(raw, &mut self.opened);
        let mut scanner = Scanner::new(&self.opened.as_bytes()[start..], &mut self.nodes);
        let read = scanner.document();
        let (dense, broken) = (scanner.dense, scanner.broken);
        if read.is_err() {
            self.nodes.truncate(first);
            self.opened.truncate(start);
            return None;
        }
        for node in &mut self.nodes[first..] {
            node.shift(start as u32);
        }
        self.dense &= dense && !broken;
        self.broken |= broken;
        Some(first as NodeId)
    }

    /// What a text holds that was opened; of all others the value itself.
    pub(crate) fn inner(&self, id: NodeId) -> NodeId {
        match self.node(id).inner {
            0 => id,
            inner => inner,
        }
    }

    /// The value at a place.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize]
    }

    /// The members or elements of a value that the operator has not dropped; none of a scalar.
    pub(crate) fn children(&self, id: NodeId) -> impl Iterator<Item = NodeId> + '_ {
        let end = match self.node(id).kind {
            NodeKind::Object | NodeKind::Array => self.node(id).next,
            _ => id + 1,
        };
        let mut at = id + 1;
        std::iter::from_fn(move || {
            while at < end {
                let this = at;
                at = self.node(this).next;
                if !self.node(this).dropped() {
                    return Some(this);
                }
            }
            None
        })
    }

    /// Whether a value says nothing: null, `""`, `[]`, `{}`.
    pub(crate) fn is_empty(&self, id: NodeId) -> bool {
        let node = self.node(id);
        match node.kind {
            NodeKind::Null => true,
            NodeKind::Text => node.start == node.end,
            NodeKind::Object | NodeKind::Array => node.next == id + 1,
            _ => false,
        }
    }

    /// The bytes of a value; of a text what stands between the quotes, escapes and all.
    pub(crate) fn raw<'a>(&'a self, body: &'a str, id: NodeId) -> &'a str {
        let node = self.node(id);
        self.text(body, node.buffer(), (node.start, node.end))
    }

    /// The name of a member as it stands in the record, escapes and all.
    pub(crate) fn key<'a>(&'a self, body: &'a str, id: NodeId) -> &'a str {
        let node = self.node(id);
        &self.bytes_of_key(body, node)[node.key.0 as usize..node.key.1 as usize]
    }

    /// The buffer that a member's name stands in, with its quotes.
    fn bytes_of_key<'a>(&'a self, body: &'a str, member: &Node) -> &'a str {
        match member.flags & Node::OPENED != 0 {
            true => &self.opened,
            false => body,
        }
    }

    /// Notes that a value went somewhere. Returns whether it had not before.
    pub(crate) fn mark(&mut self, id: NodeId) -> bool {
        let node = &mut self.nodes[id as usize];
        let fresh = !node.used();
        node.flags |= Node::USED;
        fresh
    }

    /// Takes [`Tape::mark`] back.
    pub(crate) fn unmark(&mut self, id: NodeId) {
        self.nodes[id as usize].flags &= !Node::USED;
    }

    /// Whether anything below a value was used.
    pub(crate) fn touched(&self, id: NodeId) -> bool {
        let below = &self.nodes[id as usize..self.node(id).next as usize];
        below.iter().any(Node::used)
    }

    /// Makes a value invisible.
    pub(crate) fn drop_value(&mut self, id: NodeId) {
        self.nodes[id as usize].flags |= Node::DROPPED;
        self.dense = false;
    }

    /// Puts a text of ours in a value's place; its subtree is invisible from then on.
    pub(crate) fn replace(&mut self, id: NodeId, text: &str) {
        let (start, end) = self.make(|made| made.push_str(text));
        for below in id + 1..self.node(id).next {
            self.drop_value(below);
        }
        let node = &mut self.nodes[id as usize];
        node.kind = NodeKind::Text;
        node.start = start;
        node.end = end;
        node.flags = (node.flags & Node::KEY_ESCAPED) | Node::MADE;
        self.dense = false;
    }

    /// Appends a text of ours and says where it stands.
    pub(crate) fn make(&mut self, write: impl FnOnce(&mut String)) -> (u32, u32) {
        let start = self.made.len() as u32;
        write(&mut self.made);
        (start, self.made.len() as u32)
    }

    /// Makes the unescaped text of a value, once, and says where it stands.
    pub(crate) fn make_unescaped(&mut self, body: &str, id: NodeId) -> (u32, u32) {
        let known = self.unescaped.iter().find(|(known, _)| *known == id);
        if let Some((_, range)) = known {
            return *range;
        }
        let node = *self.node(id);
        let start = self.made.len() as u32;
        // Only texts of the record are escaped; those of ours never are.
        let bytes = match node.buffer() {
            Buffer::Opened => &self.opened,
            Buffer::Body | Buffer::Made => body,
        };
        unescape(
            &bytes[node.start as usize..node.end as usize],
            &mut self.made,
        );
        let range = (start, self.made.len() as u32);
        self.unescaped.push((id, range));
        range
    }

    /// Bytes of one of the buffers.
    pub(crate) fn text<'a>(&'a self, body: &'a str, of: Buffer, range: (u32, u32)) -> &'a str {
        let bytes = match of {
            Buffer::Body => body,
            Buffer::Made => &self.made,
            Buffer::Opened => &self.opened,
        };
        &bytes[range.0 as usize..range.1 as usize]
    }

    /// Appends bytes of one of the buffers to the texts of ours.
    pub(crate) fn append(&mut self, body: &str, of: Buffer, (start, end): (u32, u32)) {
        let range = start as usize..end as usize;
        match of {
            Buffer::Body => self.made.push_str(&body[range]),
            Buffer::Made => self.made.extend_from_within(range),
            Buffer::Opened => self.made.push_str(&self.opened[range]),
        }
    }

    /// How much text of ours there is.
    pub(crate) fn made_len(&self) -> u32 {
        self.made.len() as u32
    }

    /// The buffer for text that is put together from several parts.
    pub(crate) fn made_mut(&mut self) -> &mut String {
        &mut self.made
    }

    /// Writes a text value with its quotes.
    pub(crate) fn write_text(&self, body: &str, id: NodeId, out: &mut Vec<u8>) {
        let node = self.node(id);
        if node.flags & Node::MADE != 0 {
            out.push(b'"');
            write_escaped(self.raw(body, id), out);
            out.push(b'"');
        } else if node.escaped() && self.broken {
            write_mended(self.raw(body, id), out);
        } else {
            let quoted = self.text(body, node.buffer(), (node.start - 1, node.end + 1));
            out.extend_from_slice(quoted.as_bytes());
        }
    }

    /// Writes `"name":` of a member.
    pub(crate) fn write_key(&self, body: &str, id: NodeId, out: &mut Vec<u8>) {
        let node = self.node(id);
        if node.flags & Node::KEY_ESCAPED != 0 && self.broken {
            write_mended(self.key(body, id), out);
            out.push(b':');
            return;
        }
        let (start, end) = (node.key.0 as usize - 1, node.key.1 as usize + 1);
        let bytes = self.bytes_of_key(body, node).as_bytes();
        // Without white space the colon is there already.
        if bytes.get(end) == Some(&b':') {
            out.extend_from_slice(&bytes[start..=end]);
        } else {
            out.extend_from_slice(&bytes[start..end]);
            out.push(b':');
        }
    }

    /// Writes a value as it came, without white space and without what was dropped.
    pub(crate) fn write_value(&self, body: &str, id: NodeId, out: &mut Vec<u8>) {
        let node = self.node(id);
        match node.kind {
            NodeKind::Text => self.write_text(body, id, out),
            NodeKind::Object | NodeKind::Array if !self.dense => self.write_nested(body, id, out),
            _ => out.extend_from_slice(self.raw(body, id).as_bytes()),
        }
    }

    fn write_nested(&self, body: &str, id: NodeId, out: &mut Vec<u8>) {
        let object = self.node(id).kind == NodeKind::Object;
        out.push(if object { b'{' } else { b'[' });
        let mut first = true;
        for child in self.children(id) {
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            if object {
                self.write_key(body, child, out);
            }
            self.write_value(body, child, out);
        }
        out.push(if object { b'}' } else { b']' });
    }
}
