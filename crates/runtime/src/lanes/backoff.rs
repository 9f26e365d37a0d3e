//! How long to wait before the same bytes are tried again.

use std::time::Duration;

use rand::Rng;

/// Exponential waits with jitter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Backoff {
    /// Before the first repetition.
    pub(crate) first: Duration,
    /// The longest wait of our own choice.
    pub(crate) longest: Duration,
    /// The shortest wait after a refusal that a human must lift.
    pub(crate) denied: Duration,
    /// The longest wait that a destination may ask for.
    pub(crate) longest_asked: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
            denied: Duration::from_secs(10),
            longest_asked: Duration::from_secs(3600),
        }
    }
}

impl Backoff {
    /// For sources that ended by themselves: slower, since that is a bug and no outage.
    pub(crate) fn sources() -> Self {
        Self {
            first: Duration::from_secs(1),
            longest: Duration::from_secs(60),
            ..Self::default()
        }
    }

    /// The wait after the given number of failures in a row, from 1.
    ///
    /// Half of our own wait is random, so that many senders do not return at one moment. What
    /// the destination asked for is a lower bound.
    pub(crate) fn wait(
        &self,
        failures: u32,
        denied: bool,
        asked: Option<Duration>,
        rng: &mut impl Rng,
    ) -> Duration {
        let doublings = failures.saturating_sub(1).min(20);
        let floor = if denied { self.denied } else { Duration::ZERO };
        let own = self.first.saturating_mul(1 << doublings).min(self.longest);
        let jittered = own.max(floor).mul_f64(rng.random_range(0.5..=1.0));
        let asked = asked.unwrap_or_default().min(self.longest_asked);
        jittered.max(asked)
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::SmallRng;

    use super::*;

    fn check(failures: u32, denied: bool, asked: Option<u64>, from_ms: u128, to_ms: u128) {
        let asked = asked.map(Duration::from_secs);
        let mut rng = SmallRng::seed_from_u64(u64::from(failures));
        let wait = Backoff::default().wait(failures, denied, asked, &mut rng);
        assert!(
            (from_ms..=to_ms).contains(&wait.as_millis()),
            "{failures} failures: {wait:?}"
        );
    }

    #[test]
    fn waits_double_up_to_a_bound_and_honour_what_was_asked() {
        check(1, false, None, 100, 200);
        check(2, false, None, 200, 400);
        check(4, false, None, 800, 1600);
        check(u32::MAX, false, None, 15_000, 30_000);
        check(1, true, None, 5_000, 10_000);
        check(1, false, Some(7), 7_000, 7_000);
        check(1, false, Some(u64::MAX), 3_600_000, 3_600_000);
    }
}
