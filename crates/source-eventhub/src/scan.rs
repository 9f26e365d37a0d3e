//! Finding records in a message without parsing them: where values begin and end, and the members
//! of the two outer levels.
//!
//! It proves no grammar beyond what finding the end takes; whether a record is good JSON is found
//! out by whoever parses it.

use std::ops::Range;

use memchr::memchr2;

/// Nesting deeper than this is not followed; it would be an attack on whoever parses it later.
const DEEPEST: usize = 128;

/// Why a value has no end.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ScanError {
    /// The bytes end in the middle of a value.
    Truncated,
    /// A byte stands where no JSON has one; its position.
    Unexpected(usize),
    /// Nested deeper than anything of Defender's.
    TooDeep,
}

type Scanned<T> = Result<T, ScanError>;

/// Reads forward over the bytes of a message.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) const fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    pub(crate) const fn position(&self) -> usize {
        self.at
    }

    /// The next byte that is no blank, without going past it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// Goes past this byte if it is the next one.
    #[inline]
    pub(crate) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Scanned<()> {
        match self.peek() {
            None => Err(ScanError::Truncated),
            Some(_) if self.take(byte) => Ok(()),
            Some(_) => Err(ScanError::Unexpected(self.at)),
        }
    }

    /// Goes over an object; `visit` goes over each member's value, or leaves that to the scanner
    /// by not moving.
    ///
    /// # Errors
    /// [`ScanError`] if the object has no end.
    pub(crate) fn object(
        &mut self,
        mut visit: impl FnMut(&'a [u8], &mut Self) -> Scanned<()>,
    ) -> Scanned<()> {
        self.expect(b'{')?;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            let name = self.text()?;
            self.expect(b':')?;
            self.peek();
            let before = self.at;
            visit(&self.bytes[name], self)?;
            if self.at == before {
                self.value()?;
            }
            if !self.take(b',') {
                return self.expect(b'}');
            }
        }
    }

    /// Goes over any value; returns where it stands.
    pub(crate) fn value(&mut self) -> Scanned<Range<usize>> {
        let first = self.peek().ok_or(ScanError::Truncated)?;
        let start = self.at;
        match first {
            b'"' => self.text().map(|text| text.start - 1..text.end + 1),
            b'{' | b'[' => self.nested().map(|end| start..end),
            b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => Ok(start..self.word()),
            _ => Err(ScanError::Unexpected(start)),
        }
    }

    /// Goes over a text; returns what stands between the quotes, escapes and all.
    #[inline]
    fn text(&mut self) -> Scanned<Range<usize>> {
        self.expect(b'"')?;
        let start = self.at;
        self.at = end_of_text(self.bytes, start)?;
        Ok(start..self.at - 1)
    }

    fn word(&mut self) -> usize {
        let in_word =
            |byte: &&u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        self.at += self.bytes[self.at..].iter().take_while(in_word).count();
        self.at
    }

    /// Goes over an object or a list by its brackets alone.
    fn nested(&mut self) -> Scanned<usize> {
        let mut open = [0u8; DEEPEST];
        let mut depth = 0;
        let mut at = self.at;
        loop {
            at += skip_plain(&self.bytes[at..]);
            match self.bytes.get(at) {
                None => return Err(ScanError::Truncated),
                Some(b'"') => {
                    at = end_of_text(self.bytes, at + 1)?;
                    continue;
                }
                Some(bracket @ (b'{' | b'[')) => {
                    *open.get_mut(depth).ok_or(ScanError::TooDeep)? = *bracket;
                    depth += 1;
                }
                Some(bracket) => {
                    depth -= 1;
                    // In ASCII a closing bracket comes two after its opening one.
                    if open[depth] + 2 != *bracket {
                        return Err(ScanError::Unexpected(at));
                    }
                }
            }
            at += 1;
            if depth == 0 {
                self.at = at;
                return Ok(at);
            }
        }
    }
}

/// Bytes before the next quote or bracket.
#[inline]
fn skip_plain(bytes: &[u8]) -> usize {
    let special = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']');
    bytes.iter().position(special).unwrap_or(bytes.len())
}

/// The position after the closing quote of a text whose first byte stands at `at`.
#[inline]
fn end_of_text(bytes: &[u8], mut at: usize) -> Scanned<usize> {
    loop {
        let rest = bytes.get(at..).ok_or(ScanError::Truncated)?;
        at += memchr2(b'"', b'\\', rest).ok_or(ScanError::Truncated)?;
        if bytes[at] == b'"' {
            return Ok(at + 1);
        }
        at += 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(json: &str) -> Scanned<usize> {
        Scanner::new(json.as_bytes(), 0)
            .value()
            .map(|value| value.end)
    }

    #[test]
    fn a_value_ends_where_json_says() {
        for json in [
            r#"{"a":{"b":[1,"]}",{"c":"\\\""}]},"d":null}"#,
            r#"[[],{},[{}]]"#,
            r#""a\"b""#,
            "-1.5e+10",
            "true",
        ] {
            assert_eq!(end(&format!("{json},...")), Ok(json.len()), "{json}");
        }
    }

    #[test]
    fn what_has_no_end_is_told_apart_from_what_is_no_json() {
        for json in [r#"{"a":"b"#, r#"{"a":1"#, r#"["#, r#""\"#, ""] {
            assert_eq!(end(json), Err(ScanError::Truncated), "{json}");
        }
        assert_eq!(end("}"), Err(ScanError::Unexpected(0)));
        assert_eq!(end(r#"{"a":[1}"#), Err(ScanError::Unexpected(7)));
        assert_eq!(end(&"[".repeat(200)), Err(ScanError::TooDeep));
    }

    #[test]
    fn the_members_of_an_object_are_visited_in_order() {
        let json = br#" { "a" : 1 , "b":{"a":2},"c":[] } "#;
        let mut seen = Vec::new();
        let mut scanner = Scanner::new(json, 0);
        let result = scanner.object(|name, scanner| {
            let value = scanner.value()?;
            seen.push((name, &json[value]));
            Ok(())
        });
        assert_eq!(result, Ok(()));
        let expected: [(&[u8], &[u8]); 3] = [(b"a", b"1"), (b"b", br#"{"a":2}"#), (b"c", b"[]")];
        assert_eq!(seen, expected);
    }
}
