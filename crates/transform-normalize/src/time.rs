//! Times as Defender writes them.

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

    #[test]
    fn times_are_read_with_any_precision_and_zone() {
        let check = |text, expected| assert_eq!(millis(text), expected, "{text}");
        check("2026-05-01T09:53:10.7654321Z", Some(1_777_629_190_765));
        check("2026-05-01T09:53:10Z", Some(1_777_629_190_000));
        check("2026-05-01 09:53:10.7", Some(1_777_629_190_700));
        check("2026-05-01T11:53:10.7+02:00", Some(1_777_629_190_700));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000));
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
            check(wrong, None);
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
}
