//! Making a value fit a type of the schema. What does not fit is not written.

use std::net::IpAddr;

use super::plan::Fit;
use crate::json::write_escaped;
use crate::time::millis;

/// Writes a plain text as a value of a type. Returns whether it fits.
pub(super) fn write_fit(text: &str, fit: Fit, out: &mut Vec<u8>) -> bool {
    match fit {
        Fit::Text { max } => {
            (text.len() <= max || text.chars().count() <= max) && quoted(text, out)
        }
        Fit::Email => text.contains('@') && quoted(text, out),
        Fit::Ip => write_ip(text.trim(), out),
        Fit::Mac => write_mac(text.trim(), out),
        Fit::Uuid => is_uuid(text) && quoted(text, out),
        Fit::Int { min, max } => write_int(text.trim(), min, max, out),
        Fit::Float => write_float(text.trim(), out),
        Fit::Bool => write_bool(text.trim(), out),
        Fit::Time => match millis(text) {
            Some(millis) => {
                write_number(millis, out);
                true
            }
            None => false,
        },
        Fit::Date => write_date(text, out),
    }
}

/// Writes a time by RFC 3339 in UTC: with all its digits, or with milliseconds if it names a zone.
fn write_date(text: &str, out: &mut Vec<u8>) -> bool {
    let Some(millis) = millis(text) else {
        return false;
    };
    let (day, time) = (&text[..10], &text[11..]);
    let time = time.strip_suffix(['Z', 'z']).unwrap_or(time);
    if time
        .bytes()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b':' | b'.'))
    {
        return push(out, format_args!("\"{day}T{time}Z\""));
    }
    let time = jiff::Timestamp::from_millisecond(millis);
    time.is_ok_and(|time| push(out, format_args!("\"{time:.3}\"")))
}

fn quoted(text: &str, out: &mut Vec<u8>) -> bool {
    out.push(b'"');
    write_escaped(text, out);
    out.push(b'"');
    true
}

/// Writes an address; IPv4 inside IPv6 (`::ffff:a.b.c.d`) as IPv4.
fn write_ip(text: &str, out: &mut Vec<u8>) -> bool {
    let Ok(address) = text.parse::<IpAddr>() else {
        return false;
    };
    match address {
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) => push(out, format_args!("\"{v4}\"")),
            None => quoted(text, out),
        },
        IpAddr::V4(_) => quoted(text, out),
    }
}

fn push(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) -> bool {
    use std::io::Write;
    out.write_fmt(text).is_ok()
}

/// Writes six pairs of digits with `:`, from pairs with `:` or `-` or from twelve digits.
fn write_mac(text: &str, out: &mut Vec<u8>) -> bool {
    let bytes = text.as_bytes();
    let step = match bytes.len() {
        17 if bytes
            .iter()
            .skip(2)
            .step_by(3)
            .all(|byte| matches!(byte, b':' | b'-')) =>
        {
            3
        }
        12 => 2,
        _ => return false,
    };
    let pairs = || bytes.chunks(step).map(|pair| &pair[..2]);
    if !pairs().flatten().all(u8::is_ascii_hexdigit) {
        return false;
    }
    for (index, pair) in pairs().enumerate() {
        out.push(if index == 0 { b'"' } else { b':' });
        out.extend_from_slice(pair);
    }
    out.push(b'"');
    true
}

fn is_uuid(text: &str) -> bool {
    let dash = |at: usize| matches!(at, 8 | 13 | 18 | 23);
    let fits = |(at, byte): (usize, u8)| {
        if dash(at) {
            byte == b'-'
        } else {
            byte.is_ascii_hexdigit()
        }
    };
    text.len() == 36 && text.bytes().enumerate().all(fits)
}

fn write_int(text: &str, min: i64, max: i64, out: &mut Vec<u8>) -> bool {
    let Ok(number) = text.parse::<i64>() else {
        return false;
    };
    let fits = (min..=max).contains(&number);
    if fits {
        write_number(number, out);
    }
    fits
}

/// Writes a number with a decimal point, with the digits that it came with.
fn write_float(text: &str, out: &mut Vec<u8>) -> bool {
    let finite = serde_json::from_str(text).is_ok_and(f64::is_finite);
    let whole = text
        .bytes()
        .all(|byte| byte.is_ascii_digit() || byte == b'-');
    // A reader would take a longer whole number for another one.
    let exact = !whole || text.len() <= 15;
    if !(finite && exact) {
        return false;
    }
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(if whole { b".0" } else { b"" });
    true
}

fn write_bool(text: &str, out: &mut Vec<u8>) -> bool {
    let word: &[u8] = match text {
        "1" => b"true",
        "0" => b"false",
        _ if text.eq_ignore_ascii_case("true") => b"true",
        _ if text.eq_ignore_ascii_case("false") => b"false",
        _ => return false,
    };
    out.extend_from_slice(word);
    true
}

/// Writes a whole number without formatting machinery.
pub(super) fn write_number(number: i64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    let mut rest = number.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(fit: Fit, input: &str, expected: Option<&str>) {
        let mut out = Vec::new();
        let fits = write_fit(input, fit, &mut out);
        let written = fits.then(|| String::from_utf8(out).expect("text"));
        assert_eq!(written.as_deref(), expected, "{input} as {fit:?}");
    }

    #[test]
    fn values_are_coerced_or_refused() {
        check(Fit::Ip, "::ffff:10.1.2.3", Some("\"10.1.2.3\""));
        check(Fit::Ip, " fe80::1 ", Some("\"fe80::1\""));
        check(Fit::Ip, "host", None);
        check(Fit::Mac, "00155D010203", Some("\"00:15:5D:01:02:03\""));
        check(Fit::Mac, "00-15-5d-01-02-03", Some("\"00:15:5d:01:02:03\""));
        check(Fit::Mac, "00-15-5d-01-02-0é", None);
        check(
            Fit::Int {
                min: 0,
                max: 65_535,
            },
            "70000",
            None,
        );
        check(
            Fit::Int {
                min: 0,
                max: 65_535,
            },
            "0443",
            Some("443"),
        );
        check(
            Fit::Date,
            "2026-05-01T09:53:10.7654321Z",
            Some("\"2026-05-01T09:53:10.7654321Z\""),
        );
        check(
            Fit::Date,
            "2026-05-01 09:53:10",
            Some("\"2026-05-01T09:53:10Z\""),
        );
        check(
            Fit::Date,
            "2026-05-01T11:53:10.7+02:00",
            Some("\"2026-05-01T09:53:10.700Z\""),
        );
        check(Fit::Date, "0001-01-01T00:00:00Z", None);
        check(Fit::Float, "1", Some("1.0"));
        check(
            Fit::Float,
            "0.12345678901234567890",
            Some("0.12345678901234567890"),
        );
        check(Fit::Float, "9007199254740993", None);
        check(Fit::Float, ".5", None);
        check(Fit::Bool, "True", Some("true"));
        check(Fit::Bool, "yes", None);
        check(Fit::Email, "nobody", None);
        check(Fit::Text { max: 3 }, "äöü", Some("\"äöü\""));
        check(Fit::Text { max: 2 }, "äöü", None);
    }

    #[test]
    fn numbers_are_written_whole() {
        for number in [0, 7, -1, i64::MIN, i64::MAX] {
            let mut out = Vec::new();
            write_number(number, &mut out);
            assert_eq!(String::from_utf8(out).expect("text"), number.to_string());
        }
    }
}
