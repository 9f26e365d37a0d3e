//! The one pass over a record's bytes: checks that they are JSON and notes where each value is.
//!
//! Grammar: RFC 8259. Two things are stricter than it must be: at most [`MAX_DEPTH`] levels, and
//! at most 4 GiB; one is laxer: half a surrogate pair is let through, and replaced on writing.

use super::tape::{Node, NodeId, NodeKind};
use super::text::plain_run;

/// How deep values may nest. Defender's deepest known record has about ten levels.
pub(crate) const MAX_DEPTH: u32 = 128;

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ScanError {
    #[error("expected {expected} at byte {offset}")]
    Unexpected {
        expected: &'static str,
        offset: usize,
    },
    #[error("more than {MAX_DEPTH} levels of nesting at byte {offset}")]
    TooDeep { offset: usize },
}

type Scan<T> = Result<T, ScanError>;

/// Reads one document.
pub(super) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
    depth: u32,
    nodes: &'a mut Vec<Node>,
    /// No white space seen yet between values.
    pub(super) dense: bool,
    /// Half of a surrogate pair was seen.
    pub(super) broken: bool,
}

/// A name's bytes, and whether they hold a backslash.
type Key = ((u32, u32), bool);

impl<'a> Scanner<'a> {
    pub(super) fn new(bytes: &'a [u8], nodes: &'a mut Vec<Node>) -> Self {
        Self {
            bytes,
            at: 0,
            depth: 0,
            nodes,
            dense: true,
            broken: false,
        }
    }

    /// Reads the whole of the bytes as one value.
    pub(super) fn document(&mut self) -> Scan<()> {
        if self.bytes.len() > u32::MAX as usize {
            return Err(self.unexpected("a record below 4 GiB"));
        }
        self.space();
        self.dense = true;
        self.value(((0, 0), false))?;
        let dense = self.dense;
        self.space();
        self.dense = dense;
        if self.at < self.bytes.len() {
            return Err(self.unexpected("the end of the record"));
        }
        Ok(())
    }

    fn unexpected(&self, expected: &'static str) -> ScanError {
        let offset = self.at;
        ScanError::Unexpected { expected, offset }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
            self.dense = false;
        }
    }

    fn push(&mut self, kind: NodeKind, (key, key_escaped): Key) -> NodeId {
        let id = self.nodes.len() as NodeId;
        self.nodes
            .push(Node::new(kind, key, key_escaped, self.at as u32));
        id
    }

    fn finish(&mut self, id: NodeId, end: usize) {
        let next = self.nodes.len() as NodeId;
        let node = &mut self.nodes[id as usize];
        node.end = end as u32;
        node.next = next;
    }

    fn value(&mut self, key: Key) -> Scan<()> {
        match self.peek() {
            Some(b'"') => self.text(key),
            Some(b'{') => self.nested(NodeKind::Object, key),
            Some(b'[') => self.nested(NodeKind::Array, key),
            Some(b'-' | b'0'..=b'9') => self.number(key),
            Some(b't') => self.word("true", NodeKind::True, key),
            Some(b'f') => self.word("false", NodeKind::False, key),
            Some(b'n') => self.word("null", NodeKind::Null, key),
            _ => Err(self.unexpected("a value")),
        }
    }

    fn word(&mut self, word: &'static str, kind: NodeKind, key: Key) -> Scan<()> {
        if !self.bytes[self.at..].starts_with(word.as_bytes()) {
            return Err(self.unexpected("true, false or null"));
        }
        let id = self.push(kind, key);
        self.at += word.len();
        self.finish(id, self.at);
        Ok(())
    }

    fn text(&mut self, key: Key) -> Scan<()> {
        let id = self.push(NodeKind::Text, key);
        let ((start, end), escaped) = self.quoted()?;
        self.nodes[id as usize].start = start;
        if escaped {
            self.nodes[id as usize].set_escaped();
        }
        self.finish(id, end as usize);
        Ok(())
    }

    /// Reads a text in quotes. Returns what is between them and whether a backslash is.
    ///
    /// Inlined because most texts are short: the call costs as much as the search (measured).
    #[inline(always)]
    fn quoted(&mut self) -> Scan<Key> {
        if self.peek() != Some(b'"') {
            return Err(self.unexpected("a name in quotes"));
        }
        let bytes = self.bytes;
        let start = self.at + 1;
        let mut escaped = false;
        let mut end = start;
        loop {
            end += plain_run(&bytes[end..]);
            self.at = end;
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                    end = self.at;
                }
                Some(_) => return Err(self.unexpected("an escape instead of a control character")),
                None => return Err(self.unexpected("a closing quote")),
            }
        }
        self.at = end + 1;
        Ok(((start as u32, end as u32), escaped))
    }

    fn escape(&mut self) -> Scan<()> {
        self.at += 1;
        match self.peek() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => {
                self.at += 1;
                Ok(())
            }
            Some(b'u') => self.unicode_escape(),
            _ => Err(self.unexpected("an escape")),
        }
    }

    fn unicode_escape(&mut self) -> Scan<()> {
        let unit = self.hex()?;
        if !(0xD800..=0xDFFF).contains(&unit) {
            return Ok(());
        }
        let paired = unit < 0xDC00 && self.bytes[self.at..].starts_with(b"\\u");
        if !paired {
            self.broken = true;
            return Ok(());
        }
        let back = self.at;
        self.at += 1;
        let low = self.hex()?;
        if !(0xDC00..=0xDFFF).contains(&low) {
            self.at = back;
            self.broken = true;
        }
        Ok(())
    }

    /// Reads `u` and four hexadecimal digits.
    fn hex(&mut self) -> Scan<u16> {
        let digits = self.bytes.get(self.at + 1..self.at + 5);
        let unit = digits
            .filter(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u16::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.unexpected("four hexadecimal digits"))?;
        self.at += 5;
        Ok(unit)
    }

    fn number(&mut self, key: Key) -> Scan<()> {
        let id = self.push(NodeKind::Number, key);
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let whole = self.digits()?;
        if self.bytes[self.at - whole] == b'0' && whole > 1 {
            return Err(self.unexpected("a number without leading zero"));
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            self.digits()?;
        }
        self.finish(id, self.at);
        Ok(())
    }

    fn digits(&mut self) -> Scan<usize> {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        if self.at == start {
            return Err(self.unexpected("a digit"));
        }
        Ok(self.at - start)
    }

    fn nested(&mut self, kind: NodeKind, key: Key) -> Scan<()> {
        if self.depth == MAX_DEPTH {
            return Err(ScanError::TooDeep { offset: self.at });
        }
        self.depth += 1;
        let id = self.push(kind, key);
        self.at += 1;
        if kind == NodeKind::Object {
            self.members()?;
        } else {
            self.elements()?;
        }
        self.depth -= 1;
        self.finish(id, self.at);
        Ok(())
    }

    fn members(&mut self) -> Scan<()> {
        self.space();
        if self.closes(b'}') {
            return Ok(());
        }
        loop {
            self.space();
            let key = self.quoted()?;
            self.space();
            if self.peek() != Some(b':') {
                return Err(self.unexpected("a colon"));
            }
            self.at += 1;
            self.space();
            self.value(key)?;
            self.space();
            if self.closes(b'}') {
                return Ok(());
            }
            self.comma("a comma or }")?;
        }
    }

    fn elements(&mut self) -> Scan<()> {
        self.space();
        if self.closes(b']') {
            return Ok(());
        }
        loop {
            self.space();
            self.value(((0, 0), false))?;
            self.space();
            if self.closes(b']') {
                return Ok(());
            }
            self.comma("a comma or ]")?;
        }
    }

    fn closes(&mut self, with: u8) -> bool {
        let closes = self.peek() == Some(with);
        self.at += usize::from(closes);
        closes
    }

    fn comma(&mut self, expected: &'static str) -> Scan<()> {
        if self.peek() != Some(b',') {
            return Err(self.unexpected(expected));
        }
        self.at += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tape;
    use super::*;

    fn check(input: &str, valid: bool) {
        let read = Tape::default().read(input);
        assert_eq!(read.is_ok(), valid, "{input:?}: {read:?}");
        assert_eq!(
            serde_json::from_str::<&serde_json::value::RawValue>(input).is_ok(),
            valid,
            "{input:?}"
        );
    }

    #[test]
    fn what_is_json_is_read_and_nothing_else() {
        let valid = [
            r#"{}"#,
            "[]",
            " [ 1 , -0.5e+3 ] ",
            r#""\u00e4\n\\""#,
            r#"{"a":{"b":[null,true,false]}}"#,
            "0",
            "-0",
            r#""0123456\"89""#,
            r#"{"ä€":"a long text with more than eight bytes, ä"}"#,
            "123456789012345678901234567890",
        ];
        let invalid = [
            "",
            " ",
            "{",
            "[1,]",
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            "{a:1}",
            "01",
            "1.",
            "1e",
            "+1",
            "tru",
            "\"\n\"",
            "\"abc",
            r#""\x""#,
            r#""\u12g4""#,
            "[1 2]",
            "{} {}",
            "nul",
            "\"01234567\u{1}\"",
        ];
        valid.iter().for_each(|input| check(input, true));
        invalid.iter().for_each(|input| check(input, false));
    }

    #[test]
    fn nesting_without_end_is_refused_with_its_place() {
        let deep = "[".repeat(100_000);
        assert_eq!(
            Tape::default().read(&deep),
            Err(ScanError::TooDeep { offset: 128 })
        );
    }
}
