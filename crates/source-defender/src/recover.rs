//! What the reading of a partition does after a failure: waits, or asks for something else.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Action, ReadError};
use crate::health::Wait;
use crate::limits::{EXPAND_REST, LONGEST_SERVER_WAIT, REFUSALS_BEFORE_GIVING_UP, SHRINK_AFTER};
use crate::pace::{Pace, a_little_more};
use crate::reading::{Purpose, Reading};
use crate::walk::{Refused, Style};

impl Reading {
    /// Counts a failure, waits as long as it takes, and sees to it that the next request fares
    /// better.
    pub(crate) async fn recover(&mut self, purpose: Purpose, error: &ReadError) {
        let legacy = matches!(self.query.style(), Style::Whole(_));
        self.pace.failed();
        self.health().failed(error.reason(legacy), error);
        let differently = self.asks_differently(purpose, error);
        let (reason, wait) = match error.action(legacy) {
            Action::WaitFor(wait) => (Wait::Throttled, wait.min(LONGEST_SERVER_WAIT)),
            _ if differently => return,
            Action::BackOffLong => (Wait::BackOff, self.pace.denied()),
            Action::BackOff | Action::AskLess => (Wait::BackOff, self.pace.backoff()),
        };
        self.pause(reason, wait).await;
    }

    pub(crate) fn backoff_after(&self, failures: u32) -> Duration {
        Pace::after(failures).backoff()
    }

    pub(crate) async fn pause(&self, reason: Wait, wait: Duration) {
        let started = Instant::now();
        tokio::time::sleep(a_little_more(wait)).await;
        self.health().waited(reason, started.elapsed());
    }

    /// Changes what is asked next if that could help; whether there is no need to wait.
    fn asks_differently(&mut self, purpose: Purpose, error: &ReadError) -> bool {
        let differently = self.drops_link(purpose, error)
            || self.asks_for_less(purpose, error)
            || self.takes_tie_apart(purpose, error)
            || self.stops_expanding(error);
        if !differently {
            self.asks_for_less_in_time(purpose, error);
        }
        differently
    }

    /// Whether it is this request that fails, and not the service or the way to it.
    fn is_persistent(&self, error: &ReadError) -> bool {
        let failures = self.pace.failures();
        match error {
            ReadError::Server { .. } => failures >= 2,
            ReadError::Truncated(_) | ReadError::NotAPage(_) => failures >= SHRINK_AFTER,
            ReadError::BadRequest { .. } => true,
            _ => false,
        }
    }

    fn drops_link(&mut self, purpose: Purpose, error: &ReadError) -> bool {
        let at_fault = matches!(error, ReadError::NotFound { .. } | ReadError::TooLarge(_))
            || self.is_persistent(error);
        let Some(walking) = self.walking(purpose) else {
            return false;
        };
        let linked = walking.walk.ask().is_some_and(|ask| ask.link.is_some());
        if linked && at_fault {
            walking.walk.link_failed();
            self.health().count("broken_link");
        }
        linked && at_fault
    }

    fn takes_tie_apart(&mut self, purpose: Purpose, error: &ReadError) -> bool {
        let often_enough = self.pace.failures() >= REFUSALS_BEFORE_GIVING_UP;
        if !matches!(error, ReadError::BadRequest { .. }) {
            return false;
        }
        let Some(walking) = self.walking(purpose) else {
            return false;
        };
        match walking.walk.refused(often_enough) {
            Refused::AsksDifferently => true,
            Refused::AsksAgain => false,
            Refused::GivesUp(oddity) => {
                self.health().odd(oddity);
                true
            }
        }
    }

    fn stops_expanding(&mut self, error: &ReadError) -> bool {
        let of_expansion = matches!(
            error,
            ReadError::Server { .. } | ReadError::BadRequest { .. }
        );
        let stops = self.expands() && of_expansion && self.is_persistent(error);
        if stops {
            self.expand_from = Instant::now() + EXPAND_REST;
            self.health().count("expand_failed");
        }
        stops
    }

    /// A request that fails again and again may ask for too much.
    fn asks_for_less_in_time(&mut self, purpose: Purpose, error: &ReadError) {
        let again = self.pace.failures().is_multiple_of(SHRINK_AFTER);
        if !again || !self.is_persistent(error) {
            return;
        }
        self.top = (self.top / 2).max(1);
        let refused = matches!(error, ReadError::BadRequest { .. });
        if let Some(walking) = self.walking(purpose).as_mut().filter(|_| refused) {
            walking.walk.shrink();
        }
    }

    /// After an answer that is too large: smaller pages, or smaller windows where there are no
    /// pages; then a higher cap; then past the record.
    fn asks_for_less(&mut self, purpose: Purpose, error: &ReadError) -> bool {
        const STEP: usize = 8;
        let paged = matches!(self.query.style(), Style::Paged(_));
        if !matches!(error, ReadError::TooLarge(_)) {
            return false;
        }
        if paged && self.top > 1 {
            self.top = (self.top / STEP).max(1);
            return true;
        }
        let shrunk = !paged && self.shrinks(purpose);
        if shrunk || !self.last_resort {
            self.last_resort = !shrunk;
            return true;
        }
        paged && self.steps_over(purpose)
    }

    fn shrinks(&mut self, purpose: Purpose) -> bool {
        let walking = self.walking(purpose).as_mut();
        walking.is_some_and(|walking| walking.walk.shrink())
    }

    fn steps_over(&mut self, purpose: Purpose) -> bool {
        let what = "one record is larger than anything that can be held; it is left out";
        self.health().notice("too_large", what);
        if let Some(walking) = self.walking(purpose) {
            walking.walk.step_over();
        }
        true
    }
}
