//! How long to wait after failures in a row: twice as long each time, with jitter.

use std::time::Duration;

use rand::Rng;

use crate::limits::{BACKOFF, DENIED_BACKOFF};

/// Counts failures in a row.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    failures: u32,
}

impl Pace {
    /// As it is after so many failures.
    pub(crate) fn after(failures: u32) -> Self {
        Self { failures }
    }

    /// How many failures there were since the last success.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    pub(crate) fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    pub(crate) fn worked(&mut self) {
        self.failures = 0;
    }

    /// The wait after a failure that may pass by itself.
    pub(crate) fn backoff(&self) -> Duration {
        jittered(self.between(BACKOFF))
    }

    /// The wait after a refusal that needs a human.
    pub(crate) fn denied(&self) -> Duration {
        jittered(self.between(DENIED_BACKOFF))
    }

    fn between(&self, (first, longest): (Duration, Duration)) -> Duration {
        let doublings = self.failures.saturating_sub(1).min(16);
        first.saturating_mul(1 << doublings).min(longest)
    }
}

/// Between half of the time and all of it, so that two hundred tenants do not come back at once.
fn jittered(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(0.5..=1.0))
}

/// A little more than a server asked for, for the same reason.
pub(crate) fn a_little_more(time: Duration) -> Duration {
    time.mul_f64(rand::rng().random_range(1.0..=1.05))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_ceiling_and_start_over() {
        let mut pace = Pace::default();
        let mut check = |failures: u32, most: u64, denied: u64| {
            pace = Pace { failures };
            let within = |wait: Duration, most: u64| {
                wait <= Duration::from_secs(most) && wait * 2 >= Duration::from_secs(most)
            };
            assert!(within(pace.backoff(), most), "{failures}");
            assert!(within(pace.denied(), denied), "{failures}");
        };
        check(1, 1, 30);
        check(3, 4, 120);
        check(7, 60, 600);
        check(u32::MAX, 60, 600);
        pace.worked();
        assert_eq!(pace.failures(), 0);
    }
}
