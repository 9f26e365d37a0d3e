//! Making a value fit a type of the schema. What does not fit is not written.

use std::net::IpAddr;

use super::plan::Fit;
use crate::json::write_escaped;

/// Writes a plain text as a value of a type. Returns whether it fits.
pub(super) fn write_fit(text: &str, fit: Fit, out: &mut Vec<u8>) -> bool {
    match fit {
        Fit::Text { max } => text.chars().count() <= max && quoted(text, out),
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

/// Milliseconds since 1970 of a time by RFC 3339, floored; none outside of the years 1990 to 2099,
/// as such times (`0001-01-01`) stand for "not known".
///
/// A blank may stand for `T`, and a time without zone is UTC, as some tables write it
/// (seen in rows of the four email tables, captures of 2026).
pub(crate) fn millis(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    let number = |from: usize, to: usize| {
        let digits = bytes.get(from..to)?;
        let add = |sum: i64, byte: &u8| {
            byte.is_ascii_digit()
                .then(|| sum * 10 + i64::from(byte - b'0'))
        };
        digits.iter().try_fold(0, add)
    };
    let is = |at: usize, known: &[u8]| bytes.get(at).is_some_and(|byte| known.contains(byte));
    let shaped = is(4, b"-") && is(7, b"-") && is(10, b"Tt ") && is(13, b":") && is(16, b":");
    let (year, month, day) = (number(0, 4)?, number(5, 7)?, number(8, 10)?);
    let (hour, minute, second) = (number(11, 13)?, number(14, 16)?, number(17, 19)?);
    let sane = (1990..2100).contains(&year)
        && (1..=12).contains(&month)
        && day >= 1
        && day <= days_in(year, month);
    if !shaped || !sane || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, rest) = fraction(&text[19..])?;
    let seconds =
        days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - zone(rest)?;
    Some(seconds * 1000 + fraction)
}

/// Milliseconds of `.1234567`, if it is there, and what follows.
fn fraction(text: &str) -> Option<(i64, &str)> {
    let Some(digits) = text.strip_prefix('.') else {
        return Some((0, text));
    };
    let end = digits
        .bytes()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    let mut millis = 0;
    for place in 0..3 {
        let digit = digits.as_bytes()[..end]
            .get(place)
            .map_or(0, |digit| i64::from(digit - b'0'));
        millis = millis * 10 + digit;
    }
    (end > 0).then_some((millis, &digits[end..]))
}

/// Seconds that a zone is ahead of UTC.
fn zone(text: &str) -> Option<i64> {
    if matches!(text, "" | "Z" | "z") {
        return Some(0);
    }
    let (sign, rest) = text.split_at_checked(1)?;
    let (hours, minutes) = rest.split_once(':')?;
    let part = |part: &str| {
        (part.len() == 2)
            .then(|| part.parse::<i64>().ok())
            .flatten()
    };
    let seconds = part(hours)? * 3600 + part(minutes)? * 60;
    match sign {
        "+" => Some(seconds),
        "-" => Some(-seconds),
        _ => None,
    }
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01, for years after it.
fn days(year: i64, month: i64, day: i64) -> i64 {
    const BEFORE: [i64; 12] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334];
    let past = year - 1;
    let leaps = past / 4 - past / 100 + past / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);
    let leap_day = i64::from(month > 2 && days_in(year, 2) == 29);
    (year - 1970) * 365 + leaps + BEFORE[(month - 1) as usize] + leap_day + day - 1
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
    fn times_are_read_with_any_precision_and_zone() {
        check(
            Fit::Time,
            "2026-05-01T09:53:10.7654321Z",
            Some("1777629190765"),
        );
        check(Fit::Time, "2026-05-01T09:53:10Z", Some("1777629190000"));
        check(Fit::Time, "2026-05-01 09:53:10.7", Some("1777629190700"));
        check(
            Fit::Time,
            "2026-05-01T11:53:10.7+02:00",
            Some("1777629190700"),
        );
        check(Fit::Time, "2024-02-29T00:00:00Z", Some("1709164800000"));
        for wrong in [
            "0001-01-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "2026-05-01T09:53:10+0530577Z",
            "",
            "soon",
            "2026-05-01",
            "2026-05-01T09:53:1é",
            "1777629190765",
        ] {
            check(Fit::Time, wrong, None);
        }
    }

    #[test]
    fn every_day_of_the_years_agrees_with_the_calendar() {
        let mut day = jiff::civil::date(1990, 1, 1);
        while day.year() < 2100 {
            let text = format!("{day}T00:00:00Z");
            let expected = day
                .to_zoned(jiff::tz::TimeZone::UTC)
                .expect("in range")
                .timestamp()
                .as_millisecond();
            assert_eq!(millis(&text), Some(expected), "{text}");
            day = day.tomorrow().expect("in range");
        }
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
