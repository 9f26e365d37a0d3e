//! How text is written into a line of LEEF, which knows no escapes: what a reader would take for
//! syntax is replaced.

use crate::cef::trimmed;

/// Writes a header field: trimmed, cut to `max_bytes` at a character border, `/` for `|`, one
/// space for every control character. Returns whether something was cut off.
pub(crate) fn header(out: &mut Vec<u8>, text: &str, max_bytes: usize) -> bool {
    let text = trimmed(text);
    let kept = trimmed(&text[..text.floor_char_boundary(max_bytes)]);
    out.extend(kept.bytes().map(|byte| match byte {
        b'|' => b'/',
        byte if byte.is_ascii_control() => b' ',
        byte => byte,
    }));
    kept.len() < text.len()
}

/// Writes the value of a key: trimmed, cut to `max_bytes` at a character border, one space for
/// every control character, the delimiter among them. Returns whether something was cut off.
pub(crate) fn value(out: &mut Vec<u8>, text: &str, max_bytes: usize) -> bool {
    let text = trimmed(text);
    let kept = trimmed(&text[..text.floor_char_boundary(max_bytes)]);
    let plain = |byte: u8| if byte.is_ascii_control() { b' ' } else { byte };
    out.extend(kept.bytes().map(plain));
    kept.len() < text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_would_take_for_syntax_is_replaced() {
        let check = |write: fn(&mut Vec<u8>, &str, usize) -> bool, text, expected: (&str, bool)| {
            let mut out = Vec::new();
            let cut = write(&mut out, text, 12);
            assert_eq!(
                (std::str::from_utf8(&out), cut),
                (Ok(expected.0), expected.1)
            );
        };
        check(header, "a|b\\c=d\te\n", ("a/b\\c=d e", false));
        check(value, " a|b\\c=d\te\r\n", ("a|b\\c=d e", false));
        check(value, "a\nforged=1", ("a forged=1", false));
        check(value, "0123456789é☃", ("0123456789é", true));
    }
}
