//! What the reading of a partition does after a failure: waits, or asks for something else.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Action, ReadError};
use crate::health::Wait;
use crate::limits::{EXPAND_REST, LONGEST_SERVER_WAIT, SHRINK_AFTER};
use crate::pace::{Pace, a_little_more};
use crate::reading::{Purpose, Reading};
use crate::walk::Style;

impl Reading {
    /// Counts a failure, waits as long as it takes, and sees to it that the next request fares
    /// better.
    pub(crate) async fn recover(&mut self, purpose: Purpose, error: &ReadError) {
        let legacy = matches!(self.query.style(), Style::Whole(_));
        self.pace.failed();
        self.health().failed(error.reason(legacy), error);
        let wait = match error.action(legacy) {
            _ if self.asks_differently(purpose, error) => None,
            Action::WaitFor(wait) => Some((Wait::Throttled, wait.min(LONGEST_SERVER_WAIT))),
            Action::BackOffLong => Some((Wait::BackOff, self.pace.denied())),
            Action::BackOff | Action::AskLess => Some((Wait::BackOff, self.pace.backoff())),
        };
        if let Some((reason, wait)) = wait {
            self.pause(reason, wait).await;
        }
    }

    pub(crate) fn backoff_after(&self, failures: u32) -> Duration {
        Pace::after(failures).backoff()
    }

    pub(crate) async fn pause(&self, reason: Wait, wait: Duration) {
        let started = Instant::now();
        tokio::time::sleep(a_little_more(wait)).await;
        self.health().waited(reason, started.elapsed());
    }

    /// Whether something else is asked next, which needs no wait.
    fn asks_differently(&mut self, purpose: Purpose, error: &ReadError) -> bool {
        let failures = self.pace.failures();
        let (expands, paged) = (
            self.expands(),
            matches!(self.query.style(), Style::Paged(_)),
        );
        let persistent = error.is_server_failure() && failures >= 2 || failures >= SHRINK_AFTER;
        let refused = matches!(error, ReadError::BadRequest { .. });
        let too_large = matches!(error, ReadError::TooLarge(_));
        let (top, last_resort) = (self.top, self.last_resort);
        let Some(walking) = self.walking(purpose) else {
            return false;
        };
        let walk = &mut walking.walk;
        let linked = walk.ask().is_some_and(|ask| ask.link.is_some());
        let gone = matches!(error, ReadError::NotFound { .. });
        if linked && (refused || gone || too_large || persistent) {
            walk.link_failed();
            self.health().count("broken_link");
            return true;
        }
        if too_large {
            return self.asks_for_less(purpose, paged, top, last_resort);
        }
        if refused && walk.is_special() {
            let oddity = walk.refused();
            oddity
                .into_iter()
                .for_each(|oddity| self.health().odd(oddity));
            return true;
        }
        if expands && (refused || error.is_server_failure() && persistent) {
            self.expand_from = Instant::now() + EXPAND_REST;
            self.health().count("expand_failed");
            return true;
        }
        let transient = matches!(error, ReadError::Server { .. } | ReadError::Truncated(_));
        if refused || transient && failures.is_multiple_of(SHRINK_AFTER) {
            self.top = (top / 2).max(1);
            self.shrink_if_refused_at_length(purpose, refused);
        }
        false
    }

    fn shrink_if_refused_at_length(&mut self, purpose: Purpose, refused: bool) {
        let at_length = refused && self.pace.failures() >= SHRINK_AFTER;
        if let Some(walking) = self.walking(purpose).as_mut().filter(|_| at_length) {
            walking.walk.shrink();
        }
    }

    /// Smaller pages, then smaller windows, then a higher cap, then past the record.
    fn asks_for_less(
        &mut self,
        purpose: Purpose,
        paged: bool,
        top: usize,
        last_resort: bool,
    ) -> bool {
        const STEP: usize = 8;
        if paged && top > 1 {
            self.top = (top / STEP).max(1);
            return true;
        }
        let Some(walking) = self.walking(purpose) else {
            return false;
        };
        if !paged && walking.walk.shrink() {
            return true;
        }
        if !last_resort {
            self.last_resort = true;
            return true;
        }
        if paged {
            walking.walk.step_over();
            self.health().notice(
                "too_large",
                "one record is larger than anything that can be held; it is left out",
            );
        }
        paged
    }
}
