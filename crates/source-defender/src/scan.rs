//! One pass over an answer: proves that it is JSON, and stops at the members that matter.
//!
//! Grammar: RFC 8259, as deep as it comes; half a surrogate pair is let through, since only who
//! reads such a text can say what it stands for.

use std::borrow::Cow;

use serde::de::IgnoredAny;

/// How many levels are gone over by recursion. Defender's deepest known record has about ten.
const RECURSION_LIMIT: u32 = 128;

/// Why bytes are not JSON.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("expected {expected} at byte {at}")]
pub(crate) struct ScanError {
    expected: &'static str,
    at: usize,
}

type Scan<T> = Result<T, ScanError>;

/// Reads forward over one document.
#[derive(Debug)]
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    /// The next byte that is no white space, without going past it.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        loop {
            let next = bytes.get(self.at).copied();
            if !matches!(next, Some(b' ' | b'\n' | b'\r' | b'\t')) {
                return next;
            }
            self.at += 1;
        }
    }

    /// Proves that nothing follows.
    pub(crate) fn end(&mut self) -> Scan<()> {
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(self.unexpected("the end")),
        }
    }

    /// Goes over an object. `visit` gets each name as it is written, and has to go over the value.
    pub(crate) fn object(
        &mut self,
        mut visit: impl FnMut(&'a str, &mut Self) -> Scan<()>,
    ) -> Scan<()> {
        self.open(b'{', "an object")?;
        if self.takes(b'}') {
            return self.close();
        }
        loop {
            let (name, _) = self.quoted("a name in quotes")?;
            self.take(b':', "a colon")?;
            visit(name, self)?;
            if self.takes(b'}') {
                return self.close();
            }
            self.take(b',', "a comma or }")?;
        }
    }

    /// Goes over a list. `visit` has to go over each element.
    pub(crate) fn list(&mut self, mut visit: impl FnMut(&mut Self) -> Scan<()>) -> Scan<()> {
        self.open(b'[', "a list")?;
        if self.takes(b']') {
            return self.close();
        }
        loop {
            visit(self)?;
            if self.takes(b']') {
                return self.close();
            }
            self.take(b',', "a comma or ]")?;
        }
    }

    /// Goes over any value.
    pub(crate) fn skip(&mut self) -> Scan<()> {
        match self.peek() {
            Some(b'"') => self.quoted("a text").map(drop),
            Some(b'{' | b'[') if self.depth == RECURSION_LIMIT => self.skip_deep(),
            Some(b'{') => self.object(|_, scanner| scanner.skip()),
            Some(b'[') => self.list(Self::skip),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            _ => Err(self.unexpected("a value")),
        }
    }

    /// Goes over an object or a list without recursion, however deep it is.
    ///
    /// One record nested beyond reason must not cost the others of its page.
    fn skip_deep(&mut self) -> Scan<()> {
        let rest = &self.text[self.at..];
        let mut values = serde_json::Deserializer::from_str(rest).into_iter::<IgnoredAny>();
        match values.next() {
            Some(Ok(_)) => {
                self.at += values.byte_offset();
                Ok(())
            }
            _ => Err(self.unexpected("a value that ends")),
        }
    }

    /// What `read` makes of a value, and the value as it is written.
    pub(crate) fn part<T>(
        &mut self,
        read: impl FnOnce(&mut Self) -> Scan<T>,
    ) -> Scan<(T, &'a str)> {
        self.peek();
        let start = self.at;
        let made = read(self)?;
        Ok((made, &self.text[start..self.at]))
    }

    /// Goes over any value; what it says if it is text.
    pub(crate) fn text(&mut self) -> Scan<Option<Cow<'a, str>>> {
        if self.peek() != Some(b'"') {
            self.skip()?;
            return Ok(None);
        }
        let ((text, escaped), quoted) = self.part(|scanner| scanner.quoted("a text"))?;
        if !escaped {
            return Ok(Some(Cow::Borrowed(text)));
        }
        // Half a surrogate pair is no text.
        Ok(serde_json::from_str(quoted).ok().map(Cow::Owned))
    }

    fn unexpected(&self, expected: &'static str) -> ScanError {
        let at = self.at;
        ScanError { expected, at }
    }

    #[inline]
    fn takes(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    #[inline]
    fn take(&mut self, byte: u8, expected: &'static str) -> Scan<()> {
        match self.takes(byte) {
            true => Ok(()),
            false => Err(self.unexpected(expected)),
        }
    }

    fn open(&mut self, bracket: u8, expected: &'static str) -> Scan<()> {
        self.take(bracket, expected)?;
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) -> Scan<()> {
        self.depth -= 1;
        Ok(())
    }

    /// What stands between quotes, and whether a backslash is among it.
    #[inline]
    fn quoted(&mut self, expected: &'static str) -> Scan<(&'a str, bool)> {
        self.take(b'"', expected)?;
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at += plain_run(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.escape()?;
                }
                Some(_) => return Err(self.unexpected("an escape instead of a control character")),
                None => return Err(self.unexpected("a closing quote")),
            }
        }
        let text = &self.text[start..self.at];
        self.at += 1;
        Ok((text, escaped))
    }

    fn escape(&mut self) -> Scan<()> {
        let rest = &self.text.as_bytes()[self.at + 1..];
        self.at += match rest {
            [b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'u', a, b, c, d, ..]
                if [a, b, c, d].iter().all(|digit| digit.is_ascii_hexdigit()) =>
            {
                6
            }
            _ => return Err(self.unexpected("an escape")),
        };
        Ok(())
    }

    fn word(&mut self, word: &'static str) -> Scan<()> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.unexpected(word));
        }
        self.at += word.len();
        Ok(())
    }

    fn number(&mut self) -> Scan<()> {
        self.at += usize::from(self.next_is(b"-"));
        let zero = self.next_is(b"0");
        if self.digits()? > 1 && zero {
            return Err(self.unexpected("a number without leading zero"));
        }
        if self.next_is(b".") {
            self.at += 1;
            self.digits()?;
        }
        if self.next_is(b"eE") {
            self.at += 1;
            self.at += usize::from(self.next_is(b"+-"));
            self.digits()?;
        }
        Ok(())
    }

    fn next_is(&self, any_of: &[u8]) -> bool {
        let next = self.text.as_bytes().get(self.at);
        next.is_some_and(|byte| any_of.contains(byte))
    }

    fn digits(&mut self) -> Scan<usize> {
        let rest = &self.text.as_bytes()[self.at..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if digits == 0 {
            return Err(self.unexpected("a digit"));
        }
        self.at += digits;
        Ok(digits)
    }
}

/// How many bytes come before the next quote, backslash, or control character.
///
/// Eight at a time: a byte is special where the usual "has a zero byte" trick finds one.
#[inline]
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let mut at = 0;
    for chunk in bytes.chunks_exact(8) {
        let word = u64::from_le_bytes(chunk.try_into().expect("chunks of eight"));
        let special = zero(word ^ (ONES * u64::from(b'"')))
            | zero(word ^ (ONES * u64::from(b'\\')))
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if special & HIGHS != 0 {
            return at + ((special & HIGHS).trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    let rest = bytes[at..].iter().position(special);
    rest.map_or(bytes.len(), |found| at + found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    use super::*;

    fn is_json(text: &str) -> bool {
        let mut scanner = Scanner::new(text);
        scanner.skip().and_then(|()| scanner.end()).is_ok()
    }

    fn check(text: &str, expected: bool) {
        assert_eq!(is_json(text), expected, "{text:?}");
        let other = serde_json::from_str::<&RawValue>(text).is_ok();
        assert_eq!(other, expected, "{text:?}");
    }

    #[test]
    fn what_is_json_is_read_and_nothing_else() {
        for text in [
            "{}",
            " [ ] ",
            " [ 1 , -0.5e+3 , \"ä\\u00e4\\n\\\\\" ] ",
            r#"{"a":{"b":[null,true,false]},"":""}"#,
            "-0",
            r#""0123456\"89 a long text with more than eight bytes""#,
            "123456789012345678901234567890",
            "1e400",
        ] {
            check(text, true);
        }
        for text in [
            "",
            " ",
            "{",
            "[1,]",
            r#"{"a":1,}"#,
            r#"{"a"}"#,
            r#"{"a":}"#,
            "{a:1}",
            "{1:1}",
            "01",
            "-",
            "1.",
            "1e",
            "+1",
            "tru",
            "\"\n\"",
            "\"abc",
            r#""\x""#,
            r#""\u12g4""#,
            r#""\u12"#,
            "[1 2]",
            "{} {}",
            "[}",
            "]",
            "\"01234567\u{1}\"",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn nothing_is_too_deep() {
        let deep = |inner: &str| format!("[{}{inner}{}]", "[".repeat(5000), "]".repeat(5000));
        check(&deep("1"), true);
        check(&deep(r#"{"a":"]"},2"#), true);
        check(&deep("1,"), false);
        check(&"[".repeat(5000), false);
    }

    #[test]
    fn a_text_is_read_with_its_escapes_and_anything_else_is_passed_over() {
        let text = |json: &str| {
            Scanner::new(json)
                .text()
                .expect("JSON")
                .map(Cow::into_owned)
        };
        assert_eq!(text(r#""a\u00e4\"b""#).as_deref(), Some("aä\"b"));
        assert_eq!(text(r#""\ud800""#), None);
        assert_eq!(text(r#"{"a":[1]}"#), None);
        assert!(matches!(
            Scanner::new(r#""ab""#).text(),
            Ok(Some(Cow::Borrowed("ab")))
        ));
    }

    proptest! {
        #[test]
        fn any_text_is_judged_as_others_judge_it(text in "[\\[\\]{}:,\"\\\\eE0-2a.+ tru-]{0,12}") {
            prop_assert_eq!(is_json(&text), serde_json::from_str::<&RawValue>(&text).is_ok());
        }
    }
}
