//! How far a partition is read and settled, for backlog and lag.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use tapline_core::metrics::{
    ComponentMetrics, Gauge, SOURCE_BACKLOG_EVENTS, SOURCE_LAG_SECONDS, SOURCE_LAST_SUCCESS,
};

/// A partition that is read is heard of every second.
const SILENT_MS: i64 = 10_000;

/// The standing of one partition, shared by its reader and by who shows it.
pub(crate) struct Standing {
    metrics: ComponentMetrics,
    partition: String,
    lag: Gauge,
    last_success: Gauge,
    state: Mutex<State>,
}

struct State {
    /// Batches handed over and not yet settled: last sequence number, and when its oldest message
    /// arrived at the service.
    open: VecDeque<(i64, i64)>,
    /// The sequence number that is settled next.
    settled: i64,
    /// Of the oldest message that the service has, as far as known.
    oldest: i64,
    /// What the service will give its next message, where that is known.
    end: Option<i64>,
    /// When the last message read had arrived at the service.
    newest_ms: Option<i64>,
    /// When the service last answered.
    good_ms: i64,
}

impl Standing {
    /// A partition that is read from a sequence number on.
    pub(crate) fn new(metrics: &ComponentMetrics, partition: &str, next: i64) -> Self {
        Self {
            metrics: metrics.clone(),
            partition: partition.to_owned(),
            lag: metrics.gauge(&SOURCE_LAG_SECONDS, &[partition]),
            last_success: metrics.gauge(&SOURCE_LAST_SUCCESS, &[partition]),
            state: Mutex::new(State {
                open: VecDeque::new(),
                settled: next,
                oldest: 0,
                end: None,
                newest_ms: None,
                good_ms: Timestamp::now().as_millisecond(),
            }),
        }
    }

    /// A batch was handed over.
    pub(crate) fn sent(&self, last: i64, oldest_ms: i64, newest_ms: i64) {
        let mut state = self.state();
        state.open.push_back((last, oldest_ms));
        state.newest_ms = Some(newest_ms);
    }

    /// Everything open is read again.
    pub(crate) fn rewound(&self) {
        self.state().open.clear();
    }

    /// Everything before a sequence number is settled.
    pub(crate) fn settled(&self, next: i64) {
        let mut state = self.state();
        state.settled = next;
        while state.open.front().is_some_and(|(last, _)| *last < next) {
            state.open.pop_front();
        }
    }

    /// The service answered; with the sequence number of its next message, if it said so.
    pub(crate) fn answered(&self, end: Option<i64>) {
        let mut state = self.state();
        state.end = end.or(state.end);
        state.good_ms = Timestamp::now().as_millisecond();
    }

    /// What the service has, while the partition is not read: that makes nothing look caught up.
    pub(crate) fn has(&self, oldest: i64, end: i64) {
        let mut state = self.state();
        state.oldest = oldest;
        state.end = Some(end);
    }

    /// Whether the service has not been heard of for a while.
    pub(crate) fn is_silent(&self) -> bool {
        Timestamp::now().as_millisecond() - self.state().good_ms > SILENT_MS
    }

    /// Shows what is known now; the backlog once the service has told where the partition ends.
    pub(crate) fn show(&self) {
        let state = self.state();
        let now = Timestamp::now().as_millisecond();
        if state.end.is_some() {
            let backlog = self
                .metrics
                .gauge(&SOURCE_BACKLOG_EVENTS, &[&self.partition]);
            backlog.set(state.backlog() as f64);
        }
        self.lag.set(state.lag_ms(now) as f64 / 1000.0);
        self.last_success.set(state.good_ms as f64 / 1000.0);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Standing {
    /// Another replica shows the partition from now on, or nobody needs to.
    fn drop(&mut self) {
        for metric in [
            SOURCE_BACKLOG_EVENTS,
            SOURCE_LAG_SECONDS,
            SOURCE_LAST_SUCCESS,
        ] {
            self.metrics.forget(&metric, &[&self.partition]);
        }
    }
}

impl State {
    fn backlog(&self) -> i64 {
        let from = self.settled.max(self.oldest);
        self.end.map_or(0, |end| (end - from).max(0))
    }

    /// Never less than the time since the service last answered.
    fn lag_ms(&self, now: i64) -> i64 {
        let unread = self.newest_ms.filter(|_| self.backlog() > 0);
        let oldest = self.open.front().map(|(_, oldest)| *oldest).or(unread);
        let since = oldest.unwrap_or(now).min(self.good_ms);
        (now - since).max(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_is_the_age_of_the_oldest_message_that_is_not_settled() {
        let mut state = State {
            open: VecDeque::new(),
            settled: 10,
            oldest: 0,
            end: None,
            newest_ms: None,
            good_ms: 9_000,
        };
        assert_eq!(
            (state.backlog(), state.lag_ms(10_000)),
            (0, 1_000),
            "empty, answered 1 s ago"
        );
        state.end = Some(15);
        state.newest_ms = Some(4_000);
        assert_eq!(
            (state.backlog(), state.lag_ms(10_000)),
            (5, 6_000),
            "nothing in flight, five unread"
        );
        state.open = VecDeque::from([(12, 2_000), (14, 3_000)]);
        assert_eq!(state.lag_ms(10_000), 8_000, "the oldest in flight");
        state.open.clear();
        state.settled = 15;
        assert_eq!(
            (state.backlog(), state.lag_ms(10_000)),
            (0, 1_000),
            "caught up"
        );
        state.end = Some(18);
        state.oldest = 18;
        assert_eq!(state.backlog(), 0, "all that is unread has expired");
    }
}
