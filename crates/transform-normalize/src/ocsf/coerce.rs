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
    }
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

/// Writes a number with a decimal point.
fn write_float(text: &str, out: &mut Vec<u8>) -> bool {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => push(out, format_args!("{number:?}")),
        _ => false,
    }
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
        check(Fit::Float, "1", Some("1.0"));
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
