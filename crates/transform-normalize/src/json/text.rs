//! Text inside JSON: from escaped to plain and back.

/// Appends the plain text of what stands between the quotes of a JSON text.
///
/// The input has been checked by the scanner. Half a surrogate pair becomes U+FFFD.
pub(crate) fn unescape(raw: &str, out: &mut String) {
    let mut rest = raw;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        out.push_str(&rest[..at]);
        rest = one_escape(&rest[at + 1..], out);
    }
    out.push_str(rest);
}

/// Appends the character of one escape, whose backslash is gone; returns what follows it.
fn one_escape<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let plain = match rest.as_bytes().first() {
        Some(b'u') => return unicode_escape(&rest[1..], out),
        Some(b'b') => '\u{8}',
        Some(b'f') => '\u{c}',
        Some(b'n') => '\n',
        Some(b'r') => '\r',
        Some(b't') => '\t',
        Some(&other) => char::from(other),
        None => return rest,
    };
    out.push(plain);
    &rest[1..]
}

fn unicode_escape<'a>(rest: &'a str, out: &mut String) -> &'a str {
    let unit = |text: &str| {
        text.get(..4)
            .and_then(|four| u32::from_str_radix(four, 16).ok())
    };
    let Some(high) = unit(rest) else { return rest };
    let rest = &rest[4..];
    if let Some(plain) = char::from_u32(high) {
        out.push(plain);
        return rest;
    }
    let low = rest.strip_prefix("\\u").and_then(unit);
    match low {
        Some(low) if high < 0xDC00 && (0xDC00..=0xDFFF).contains(&low) => {
            let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
            out.push(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
            &rest[6..]
        }
        _ => {
            out.push(char::REPLACEMENT_CHARACTER);
            rest
        }
    }
}

/// Writes plain text so that it may stand between quotes.
pub(crate) fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    let mut from = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        let Some(escape) = escape_of(byte) else {
            continue;
        };
        out.extend_from_slice(&bytes[from..at]);
        from = at + 1;
        match escape {
            b'u' => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(byte >> 4)]);
                out.push(HEX[usize::from(byte & 15)]);
            }
            short => out.extend_from_slice(&[b'\\', short]),
        }
    }
    out.extend_from_slice(&bytes[from..]);
}

fn escape_of(byte: u8) -> Option<u8> {
    match byte {
        b'"' | b'\\' => Some(byte),
        b'\n' => Some(b'n'),
        b'\r' => Some(b'r'),
        b'\t' => Some(b't'),
        0..=0x1f => Some(b'u'),
        _ => None,
    }
}

/// Writes escaped text of a record; `mend` if it may hold half a surrogate pair.
pub(super) fn write_text(raw: &str, mend: bool, out: &mut Vec<u8>) {
    if !mend {
        out.extend_from_slice(raw.as_bytes());
        return;
    }
    // Rare: only records that hold white space or broken text come here, and only their escaped texts.
    let mut plain = String::with_capacity(raw.len());
    unescape(raw, &mut plain);
    write_escaped(&plain, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_half_surrogates_replaced() {
        let table = [
            (r"a\nb\\c\/\u0041\t", "a\nb\\c/A\t"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83d!", "\u{FFFD}!"),
            (r"\ud83d\u0041", "\u{FFFD}A"),
            (r"\ude00", "\u{FFFD}"),
        ];
        for (raw, plain) in table {
            let mut out = String::new();
            unescape(raw, &mut out);
            assert_eq!(out, plain);
        }
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = "\u{0}\u{1f}\"\\\n\r\t/ä😀";
        let mut out = vec![b'"'];
        write_escaped(text, &mut out);
        out.push(b'"');
        assert_eq!(serde_json::from_slice::<String>(&out).expect("valid"), text);
    }
}
