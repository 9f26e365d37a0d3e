//! Times as Microsoft writes them: UTC with at most seven fraction digits, here a count of 100 ns ticks since 1970.

use jiff::Timestamp;
use jiff::tz::Offset;
use std::time::{SystemTime, UNIX_EPOCH};

/// Ticks in a second.
pub(crate) const SECOND: i64 = 10_000_000;

/// Reads a time with `Z`, with an offset, or (as the legacy exporter allows) with neither, which means UTC.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let clock = text.get(11..)?;
    let zoned = clock.ends_with(['Z', 'z']) || clock.contains(['+', '-']);
    let parsed: Timestamp = if zoned {
        text.parse()
    } else {
        format!("{text}Z").parse()
    }
    .ok()?;
    i64::try_from(parsed.as_nanosecond().div_euclid(100)).ok()
}

/// The machine's time.
pub(crate) fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_nanos() / 100).unwrap_or(i64::MAX)
}

/// Writes a time as Graph does: without trailing zeros in the fraction.
pub(crate) fn write_trimmed(ticks: i64, out: &mut Vec<u8>) {
    write_seconds(ticks, out);
    let mut fraction = ticks.rem_euclid(SECOND);
    if fraction != 0 {
        let mut digits = 7;
        while fraction % 10 == 0 {
            fraction /= 10;
            digits -= 1;
        }
        out.push(b'.');
        write_digits(fraction, digits, out);
    }
    out.push(b'Z');
}

/// Writes a time as the legacy exporter does: always with seven fraction digits.
pub(crate) fn write_full(ticks: i64, out: &mut Vec<u8>) {
    write_seconds(ticks, out);
    out.push(b'.');
    write_digits(ticks.rem_euclid(SECOND), 7, out);
    out.push(b'Z');
}

/// A time as Graph writes it.
pub(crate) fn trimmed(ticks: i64) -> String {
    text_of(ticks, write_trimmed)
}

/// A time as the legacy exporter writes it.
pub(crate) fn full(ticks: i64) -> String {
    text_of(ticks, write_full)
}

fn text_of(ticks: i64, write: fn(i64, &mut Vec<u8>)) -> String {
    let mut out = Vec::with_capacity(28);
    write(ticks, &mut out);
    String::from_utf8(out).unwrap_or_default()
}

fn write_seconds(ticks: i64, out: &mut Vec<u8>) {
    let whole = Timestamp::from_second(ticks.div_euclid(SECOND)).unwrap_or(Timestamp::MAX);
    let at = Offset::UTC.to_datetime(whole);
    write_digits(at.year().into(), 4, out);
    for (separator, part) in [
        (b'-', at.month()),
        (b'-', at.day()),
        (b'T', at.hour()),
        (b':', at.minute()),
        (b':', at.second()),
    ] {
        out.push(separator);
        write_digits(part.into(), 2, out);
    }
}

fn write_digits(mut value: i64, digits: usize, out: &mut Vec<u8>) {
    let start = out.len();
    out.resize(start + digits, b'0');
    for place in out[start..].iter_mut().rev() {
        *place = b'0' + u8::try_from(value.rem_euclid(10)).unwrap_or(0);
        value /= 10;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_come_back_as_they_were_written() {
        for text in [
            "2026-01-02T03:04:05Z",
            "2026-01-02T03:04:05.1Z",
            "2026-12-31T23:59:59.1234567Z",
            "1999-02-28T00:00:00.0000001Z",
        ] {
            assert_eq!(trimmed(parse(text).unwrap()), text);
        }
        assert_eq!(
            full(parse("2026-01-02T03:04:05.1").unwrap()),
            "2026-01-02T03:04:05.1000000Z"
        );
    }

    #[test]
    fn an_offset_is_taken_into_account() {
        assert_eq!(
            parse("2026-01-02T05:04:05+02:00"),
            parse("2026-01-02T03:04:05Z")
        );
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for text in [
            "",
            "2026-01-02",
            "yesterday, about noon",
            "2026-13-02T03:04:05Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
