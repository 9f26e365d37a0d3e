//! Times of the Microsoft APIs: UTC in units of 100 nanoseconds, which is all their text can say.

use std::fmt;
use std::time::Duration;

use jiff::{Timestamp, civil::DateTime, tz::TimeZone};

/// 100-nanosecond units since 1970; the remote text has seven fraction digits, so nothing is lost.
///
/// Times before 1970 count as 1970.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct Ticks(u64);

const PER_SECOND: u64 = 10_000_000;
const NANOS_PER_TICK: i128 = 100;

impl Ticks {
    /// The smallest step.
    pub(crate) const ONE: Ticks = Ticks(1);

    /// Reads RFC 3339 text; without a zone it is UTC, as in the legacy API's own samples.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let time = text.parse::<Timestamp>().ok().or_else(|| {
            let civil = text.parse::<DateTime>().ok()?;
            TimeZone::UTC.to_timestamp(civil).ok()
        })?;
        Some(Self::from_timestamp(time))
    }

    /// Rounds down to a tick.
    pub(crate) fn from_timestamp(time: Timestamp) -> Self {
        let ticks = time.as_nanosecond() / NANOS_PER_TICK;
        Self(u64::try_from(ticks).unwrap_or(0))
    }

    /// The same for code that knows no ticks.
    pub(crate) fn to_timestamp(self) -> Timestamp {
        Timestamp::from_nanosecond(i128::from(self.0) * NANOS_PER_TICK).unwrap_or(Timestamp::MAX)
    }

    /// The big-endian form, which sorts as the times do.
    pub(crate) fn to_bytes(self) -> [u8; 8] {
        self.0.to_be_bytes()
    }

    /// Reads [`Ticks::to_bytes`].
    pub(crate) fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_be_bytes(bytes))
    }

    /// Later by a duration.
    pub(crate) fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(ticks_of(duration)))
    }

    /// Earlier by a duration, at most 1970.
    pub(crate) fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(ticks_of(duration)))
    }

    /// The next tick.
    pub(crate) fn next(self) -> Self {
        Self(self.0.saturating_add(Self::ONE.0))
    }

    /// How long after `earlier` this is; nothing if it is not.
    pub(crate) fn since(self, earlier: Ticks) -> Duration {
        let ticks = self.0.saturating_sub(earlier.0);
        let nanos = ticks % PER_SECOND * 100;
        Duration::new(ticks / PER_SECOND, u32::try_from(nanos).unwrap_or(0))
    }

    /// The tick in the middle, rounded down.
    pub(crate) fn halfway(self, later: Ticks) -> Self {
        Self(self.0 + later.0.saturating_sub(self.0) / 2)
    }
}

fn ticks_of(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(PER_SECOND);
    seconds.saturating_add(u64::from(duration.subsec_nanos()) / 100)
}

/// Writes all seven fraction digits, as the services do: `2026-01-02T03:04:05.1234567Z`.
impl fmt::Display for Ticks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.7}", self.to_timestamp())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_services_keeps_all_its_digits() {
        let check = |text: &str, expected: &str| {
            let ticks = Ticks::parse(text).expect(text);
            assert_eq!(ticks.to_string(), expected);
            assert_eq!(Ticks::from_bytes(ticks.to_bytes()), ticks);
        };
        check(
            "2026-01-02T03:04:05.1234567Z",
            "2026-01-02T03:04:05.1234567Z",
        );
        check("2021-04-26T07:45:50.116Z", "2021-04-26T07:45:50.1160000Z");
        check("2026-01-02T03:04:05Z", "2026-01-02T03:04:05.0000000Z");
        check("2016-09-12T00:00:00.000", "2016-09-12T00:00:00.0000000Z");
        check("2026-01-02T03:04:05+02:00", "2026-01-02T01:04:05.0000000Z");
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in [
            "",
            "yesterday",
            "2026-01-02T03:04:05.+0530577Z",
            "2026-13-01T00:00:00Z",
        ] {
            assert_eq!(Ticks::parse(text), None, "{text}");
        }
    }

    #[test]
    fn arithmetic_stops_at_both_ends() {
        let time = Ticks::parse("2026-01-02T03:04:05Z").expect("a time");
        let minute = Duration::from_secs(60);
        assert_eq!(time.plus(minute).since(time), minute);
        assert_eq!(time.since(time.plus(minute)), Duration::ZERO);
        assert_eq!(Ticks::default().minus(minute), Ticks::default());
        assert_eq!(time.halfway(time.plus(minute)), time.plus(minute / 2));
    }
}
