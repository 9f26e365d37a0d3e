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
    let mut rest = text.as_bytes();
    loop {
        let (plain, special) = rest.split_at(plain_run(rest));
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = special.split_first() else {
            return;
        };
        write_escape(byte, out);
        rest = behind;
    }
}

fn write_escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0..=0x1f => {
            const HEX: &[u8; 16] = b"0123456789abcdef";
            out.extend_from_slice(b"\\u00");
            out.push(HEX[usize::from(byte >> 4)]);
            out.push(HEX[usize::from(byte & 15)]);
            return;
        }
        quote_or_backslash => quote_or_backslash,
    };
    out.extend_from_slice(&[b'\\', short]);
}

/// How many bytes come before the next quote, backslash, or control character.
///
/// Eight at a time: a byte is special where the usual "has a zero byte" trick finds one.
#[inline]
pub(super) fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    let mut at = 0;
    while let Some(chunk) = bytes[at..].first_chunk() {
        let word = u64::from_le_bytes(*chunk);
        let zero = |x: u64| x.wrapping_sub(ONES) & !x;
        let special = zero(word ^ (ONES * u64::from(b'"')))
            | zero(word ^ (ONES * u64::from(b'\\')))
            | (word.wrapping_sub(ONES * 0x20) & !word);
        let special = special & HIGHS;
        if special != 0 {
            return at + (special.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let special = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    at + bytes[at..]
        .iter()
        .position(special)
        .unwrap_or(bytes.len() - at)
}

/// Writes escaped text that may hold half a surrogate pair, with quotes.
///
/// Rare: only such texts of records that hold one come here.
pub(super) fn write_mended(raw: &str, out: &mut Vec<u8>) {
    let mut plain = String::with_capacity(raw.len());
    unescape(raw, &mut plain);
    out.push(b'"');
    write_escaped(&plain, out);
    out.push(b'"');
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

    #[test]
    fn special_bytes_are_found_at_every_place_of_a_word() {
        for place in 0..20 {
            for special in [b'"', b'\\', 0, 0x1f] {
                let mut text = vec![b'a'; 24];
                text[place] = special;
                text[(place + 1) % 24] = 0xC3;
                text.truncate(22);
                assert_eq!(plain_run(&text), place);
            }
        }
    }
}
