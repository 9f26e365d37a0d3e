//! How text is written into a CEF header and into an extension.
//!
//! Source: CEF standard, document version 27, "Character encoding". What it does not say is our
//! choice and marked so: control characters other than line ends become one space each, because
//! receivers rewrite them in their own ways.

/// What the reader of a place would take for syntax.
type Special = fn(u8) -> bool;

/// Writes a header field: trimmed, cut to `max_bytes` before escaping, `\` and `|` escaped, one
/// space for every control character (a header cannot carry a line end).
///
/// Returns whether something was cut off.
pub(crate) fn header(out: &mut Vec<u8>, text: &str, max_bytes: usize) -> bool {
    const SPECIAL: Special = |byte| matches!(byte, b'\\' | b'|' | 0x7f) || byte < b' ';
    let (kept, cut) = fitted(text, max_bytes);
    write(out, kept, SPECIAL, |byte| match byte {
        b'\\' => b"\\\\",
        b'|' => b"\\|",
        _ => b" ",
    });
    cut
}

/// Writes the value of a key: trimmed, cut to `max_bytes` before escaping, `\` and `=` escaped,
/// LF as `\n`, CR as `\r`, one space for every other control character. A pipe stays as it is.
///
/// Returns whether something was cut off.
pub(crate) fn value(out: &mut Vec<u8>, text: &str, max_bytes: usize) -> bool {
    const SPECIAL: Special = |byte| matches!(byte, b'\\' | b'=' | 0x7f) || byte < b' ';
    let (kept, cut) = fitted(text, max_bytes);
    write(out, kept, SPECIAL, |byte| match byte {
        b'\\' => b"\\\\",
        b'=' => b"\\=",
        b'\n' => b"\\n",
        b'\r' => b"\\r",
        _ => b" ",
    });
    cut
}

/// Takes off what a reader could not give back: blanks and control characters at both ends.
pub(crate) fn trimmed(text: &str) -> &str {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_ascii_control())
}

/// The trimmed text, cut at a character border so that at most `max_bytes` remain.
fn fitted(text: &str, max_bytes: usize) -> (&str, bool) {
    let text = trimmed(text);
    if text.len() <= max_bytes {
        return (text, false);
    }
    (trimmed(&text[..text.floor_char_boundary(max_bytes)]), true)
}

fn write(out: &mut Vec<u8>, text: &str, special: Special, escape: fn(u8) -> &'static [u8]) {
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| special(*byte)) {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(escape(rest[at]));
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(
        place: fn(&mut Vec<u8>, &str, usize) -> bool,
        text: &str,
        max: usize,
    ) -> (String, bool) {
        let mut out = Vec::new();
        let cut = place(&mut out, text, max);
        (String::from_utf8(out).unwrap(), cut)
    }

    #[test]
    fn a_header_field_escapes_backslash_and_pipe_only() {
        let check = |text, expected: &str| assert_eq!(written(header, text, 99).0, expected);
        check(r"a|b\c", r"a\|b\\c");
        check("a=b %#", "a=b %#");
        check("a\r\nb\tc\u{7f}d\0", "a  b c d");
        check("  padded \n", "padded");
    }

    #[test]
    fn a_value_escapes_backslash_equals_and_line_ends_but_no_pipe() {
        let check = |text, expected: &str| assert_eq!(written(value, text, 99).0, expected);
        check("a=b|c\\d\ne", r"a\=b|c\\d\ne");
        check("one\r\ntwo", r"one\r\ntwo");
        check("a\0b\u{1b}[31mc\u{7f}", "a b [31mc");
        check("x cs1=forged", r"x cs1\=forged");
        check("\n lead and trail \t\n", "lead and trail");
        check("é☃\u{80}", "é☃\u{80}");
    }

    #[test]
    fn cutting_counts_bytes_before_escaping_and_keeps_characters_whole() {
        let check = |text, max, expected: (&str, bool)| {
            assert_eq!(
                written(value, text, max),
                (expected.0.to_owned(), expected.1)
            );
        };
        check("====", 4, (r"\=\=\=\=", false));
        check("=====", 4, (r"\=\=\=\=", true));
        check("aé", 2, ("a", true));
        check("aé", 3, ("aé", false));
        check("☃☃", 5, ("☃", true));
        check("abc def", 4, ("abc", true));
    }
}
