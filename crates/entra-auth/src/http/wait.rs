//! How long a server asks us to wait.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::header::{HeaderMap, RETRY_AFTER};

/// No wait is longer: a server that asks for more is asked again after this.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// The wait that `Retry-After` asks for: seconds, a fraction of them as Graph sends it
/// (`2.128`), or a date, which is compared to `now`; at most a day.
///
/// `now` is best the server's clock, as its `Date` header says.
pub fn retry_after(headers: &HeaderMap, now: Timestamp) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<f64>() {
        Ok(seconds) => seconds_of(seconds)?,
        Err(_) => until(text, now)?,
    };
    Some(wait.min(LONGEST))
}

fn seconds_of(seconds: f64) -> Option<Duration> {
    let finite = seconds.is_finite().then_some(seconds)?;
    Duration::try_from_secs_f64(finite.min(LONGEST.as_secs_f64())).ok()
}

fn until(date: &str, now: Timestamp) -> Option<Duration> {
    let at = jiff::fmt::rfc2822::parse(date).ok()?.timestamp();
    Some(Duration::try_from(at.duration_since(now)).unwrap_or(Duration::ZERO))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn whole_seconds_fractions_and_dates_are_understood() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        let check = |text: &str, expected: Option<f64>| {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, text.parse().expect("a header value"));
            let expected = expected.map(Duration::from_secs_f64);
            assert_eq!(retry_after(&headers, now), expected, "{text}");
        };
        check("7", Some(7.0));
        check(" 2.128 ", Some(2.128));
        check("0", Some(0.0));
        check("Fri, 02 Jan 2026 03:05:05 GMT", Some(60.0));
        check("Fri, 02 Jan 2026 03:00:00 GMT", Some(0.0));
        check("1e300", Some(86_400.0));
        check("99999999999999999999", Some(86_400.0));
        for bad in ["-1", "NaN", "inf", "soon", ""] {
            check(bad, None);
        }
        assert_eq!(retry_after(&HeaderMap::new(), now), None);
    }

    #[test]
    fn no_text_makes_anybody_wait_longer_than_a_day() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        for seed in ["2.128", "Fri, 02 Jan 2026 03:05:05 GMT", "120"] {
            for (number, bytes) in tapline_testkit::variants(seed.as_bytes(), 20_000) {
                let Ok(value) = HeaderValue::from_bytes(&bytes) else {
                    continue;
                };
                let headers = HeaderMap::from_iter([(RETRY_AFTER, value)]);
                let wait = retry_after(&headers, now);
                assert!(
                    wait.is_none_or(|wait| wait <= LONGEST),
                    "{seed}, {number}: {wait:?}"
                );
            }
        }
    }
}
