//! A ceiling on requests that all sources of one app and tenant keep together.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);

/// How many may go at once is the ceiling divided by this.
const BURST_SHARE: u32 = 10;

/// Lets at most so many requests start within any minute, evenly but for a small burst.
#[derive(Debug)]
pub struct RateLimit {
    state: Mutex<State>,
}

/// A generic cell rate algorithm: `next` is when the bucket would be full again.
#[derive(Debug)]
struct State {
    per_minute: u32,
    next: Instant,
}

impl RateLimit {
    pub(crate) fn new(per_minute: u32) -> Self {
        Self {
            state: Mutex::new(State {
                per_minute: per_minute.max(1),
                next: Instant::now(),
            }),
        }
    }

    /// Lowers the ceiling; a higher one than now changes nothing.
    pub(crate) fn lower_to(&self, per_minute: u32) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.per_minute = state.per_minute.min(per_minute.max(1));
    }

    /// Waits for the turn of one request and says how long it waited.
    ///
    /// # Cancel safety
    /// A turn is taken at the first poll; dropping the future wastes it and harms nothing else.
    pub async fn ready(&self) -> Duration {
        let wait = self.take_turn(Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        wait
    }

    fn take_turn(&self, now: Instant) -> Duration {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.take_turn(now)
    }
}

impl State {
    fn take_turn(&mut self, now: Instant) -> Duration {
        let burst = (self.per_minute / BURST_SHARE).max(1);
        // With a full burst at its start, a minute holds `burst + MINUTE / interval` turns.
        let interval = MINUTE / (self.per_minute - burst + 1);
        let due = self.next.max(now);
        self.next = due + interval;
        let tolerance = interval * (burst - 1);
        due.saturating_duration_since(now).saturating_sub(tolerance)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn starts(limit: &RateLimit, count: usize) -> Vec<Duration> {
        let begin = Instant::now();
        let mut starts = Vec::new();
        for _ in 0..count {
            limit.ready().await;
            starts.push(begin.elapsed());
        }
        starts
    }

    async fn check(per_minute: u32) {
        let starts = starts(&RateLimit::new(per_minute), per_minute as usize * 3).await;
        for (index, start) in starts.iter().enumerate() {
            let within = starts[index..].iter().filter(|at| **at - *start < MINUTE);
            let count = within.count();
            assert!(count <= per_minute as usize, "{count} from {start:?} on");
        }
        let last = starts.last().expect("some");
        assert!(*last < MINUTE * 4, "{last:?} is too slow for {per_minute}");
    }

    #[tokio::test(start_paused = true)]
    async fn no_minute_holds_more_requests_than_the_ceiling() {
        for per_minute in [1, 2, 9, 10, 150, 6000] {
            check(per_minute).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_lowest_ceiling_asked_for_wins() {
        let limit = RateLimit::new(600);
        limit.lower_to(1);
        limit.lower_to(100);
        assert_eq!(limit.ready().await, Duration::ZERO);
        assert_eq!(limit.ready().await, MINUTE);
    }
}
