//! How reading a stream is going: metrics, lag, and a log line and a word to the runtime when
//! that changes.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tapline_core::metrics::{self, ComponentMetrics, Gauge, IntCounter};
use tapline_core::{Cursor, Health as Said, SourceContext, chain};
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use crate::cursor::Position;
use crate::error::REASONS;
use crate::walk::Oddity;

/// Why this source waits, as metric labels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Wait {
    /// The server asked for it.
    Throttled,
    /// Our own ceiling of requests.
    RateLimit,
    /// After a failure.
    BackOff,
}

impl Wait {
    const fn as_str(self) -> &'static str {
        match self {
            Wait::Throttled => "throttled",
            Wait::RateLimit => "rate_limit",
            Wait::BackOff => "backoff",
        }
    }
}

/// The health of one stream, shared by its reader and the ticker that lets the lag grow.
pub(crate) struct Health {
    stream: String,
    metrics: ComponentMetrics,
    cx: SourceContext,
    lag: Gauge,
    last_success: Gauge,
    polls_ok: IntCounter,
    polls_failed: IntCounter,
    late: IntCounter,
    repeated: IntCounter,
    unchanged: IntCounter,
    state: Mutex<State>,
}

struct State {
    /// The lag, and when it was that.
    lag: (Duration, Instant),
    settled: watch::Receiver<Cursor>,
    /// Batches handed over and not yet settled.
    open: VecDeque<Open>,
    failing: Option<Failing>,
    /// What was told at warn already.
    told: Vec<&'static str>,
}

/// A batch in flight.
struct Open {
    after: Position,
    /// The age of its oldest record, and when it was that.
    oldest: (Duration, Instant),
}

struct Failing {
    reason: &'static str,
    /// What was said of it.
    text: String,
}

impl Health {
    /// A stream that was last read up to `lag` ago, and whose durable cursor `settled` tells.
    pub(crate) fn new(
        metrics: &ComponentMetrics,
        cx: &SourceContext,
        stream: &str,
        lag: Duration,
        settled: watch::Receiver<Cursor>,
    ) -> Self {
        for reason in REASONS {
            metrics.counter(&metrics::ERRORS, &["receiving", reason]);
        }
        for wait in [Wait::Throttled, Wait::RateLimit, Wait::BackOff] {
            metrics.seconds(&metrics::SOURCE_WAIT_SECONDS, &[stream, wait.as_str()]);
        }
        let health = Self {
            lag: metrics.gauge(&metrics::SOURCE_LAG_SECONDS, &[stream]),
            last_success: metrics.gauge(&metrics::SOURCE_LAST_SUCCESS, &[stream]),
            polls_ok: metrics.counter(&metrics::SOURCE_POLLS, &[stream, "ok"]),
            polls_failed: metrics.counter(&metrics::SOURCE_POLLS, &[stream, "failed"]),
            late: metrics.counter(&metrics::SOURCE_LATE_EVENTS, &[stream]),
            repeated: metrics.counter(&metrics::SOURCE_REPEATED_EVENTS, &[stream]),
            unchanged: metrics.counter(&metrics::DISCARDED_EVENTS, &["not_selected_by_emit"]),
            stream: stream.to_owned(),
            metrics: metrics.clone(),
            cx: cx.clone(),
            state: Mutex::new(State {
                lag: (lag, Instant::now()),
                settled,
                open: VecDeque::new(),
                failing: None,
                told: Vec::new(),
            }),
        };
        health.tick();
        health
    }

    /// Lets the lag grow with time; called every second or so.
    pub(crate) fn tick(&self) {
        let mut state = self.state();
        state.close_settled();
        self.lag.set(state.lag().as_secs_f64());
    }

    /// A batch is handed over, the oldest record of which is so old.
    pub(crate) fn sent(&self, after: Position, oldest: Duration) {
        let oldest = (oldest, Instant::now());
        self.state().open.push_back(Open { after, oldest });
    }

    /// Everything open is read again.
    pub(crate) fn rewound(&self) {
        self.state().open.clear();
    }

    /// A page was read, up to `lag` ago.
    pub(crate) fn read(&self, lag: Duration) {
        let failing = {
            let mut state = self.state();
            state.lag = (lag, Instant::now());
            state.failing.take()
        };
        if let Some(Failing { reason, .. }) = failing {
            info!(stream = self.stream, reason, "reading works again");
            self.cx.report(&self.stream, Said::Good);
        }
        self.tick();
        self.last_success
            .set(Timestamp::now().as_duration().as_secs_f64());
    }

    /// A window was read to its end.
    pub(crate) fn polled(&self) {
        self.polls_ok.inc();
    }

    /// A request failed; the log says so once until it works again or fails for another reason.
    pub(crate) fn failed(&self, reason: &'static str, error: &dyn std::error::Error) {
        self.count(reason);
        self.polls_failed.inc();
        let text = chain(error);
        let failing = Failing {
            reason,
            text: text.clone(),
        };
        let before = self.state().failing.replace(failing);
        if before.as_ref().map(|it| it.reason) != Some(reason) {
            warn!(
                stream = self.stream,
                reason,
                error = text,
                "reading fails, and is tried again"
            );
        }
        if before.is_none_or(|it| it.text != text) {
            self.cx.report(&self.stream, Said::Degraded(text));
        }
    }

    /// The server does not do as it should; reading goes on.
    pub(crate) fn odd(&self, oddity: Oddity) {
        match oddity {
            Oddity::OrderIgnored => self.notice(
                "order_ignored",
                "the server does not sort; reading in slices",
            ),
            Oddity::TieOverflow => self.notice(
                "tie_overflow",
                "more records share one time than the API can tell apart; some may be missing",
            ),
        }
    }

    /// Counts something that does not stop the reading, and tells of it the first time.
    pub(crate) fn notice(&self, reason: &'static str, what: &str) {
        self.count(reason);
        let told = {
            let told = &mut self.state().told;
            let before = told.contains(&reason);
            told.extend((!before).then_some(reason));
            before
        };
        if told {
            debug!(stream = self.stream, reason, what);
        } else {
            warn!(stream = self.stream, reason, what);
        }
    }

    /// Counts an error without a log line.
    pub(crate) fn count(&self, reason: &'static str) {
        let labels = ["receiving", reason];
        self.metrics.counter(&metrics::ERRORS, &labels).inc();
    }

    /// Counts a request by the class of its status.
    pub(crate) fn requested(&self, status: Option<u16>) {
        let class = match status.map(|status| status / 100) {
            Some(2) => "2xx",
            Some(3) => "3xx",
            Some(4) => "4xx",
            Some(5) => "5xx",
            Some(_) => "other",
            None => "none",
        };
        let labels = [self.stream.as_str(), class];
        self.metrics
            .counter(&metrics::SOURCE_REQUESTS, &labels)
            .inc();
    }

    pub(crate) fn waited(&self, wait: Wait, time: Duration) {
        let labels = [self.stream.as_str(), wait.as_str()];
        let seconds = self.metrics.seconds(&metrics::SOURCE_WAIT_SECONDS, &labels);
        seconds.inc_by(time.as_secs_f64());
    }

    pub(crate) fn saw(&self, repeated: u64, late: u64, unchanged: u64) {
        self.repeated.inc_by(repeated);
        self.late.inc_by(late);
        self.unchanged.inc_by(unchanged);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close_settled(&mut self) {
        // Looked at only once: a later batch may leave the cursor where it is.
        if !self.settled.has_changed().unwrap_or(false) {
            return;
        }
        let Ok(settled) = Position::decode(&self.settled.borrow_and_update()) else {
            return;
        };
        while (self.open.front()).is_some_and(|open| open.after.is_reached_by(&settled)) {
            self.open.pop_front();
        }
    }

    /// The larger of the age of what was read and that of the oldest record in flight.
    fn lag(&self) -> Duration {
        let grown = |(age, at): (Duration, Instant)| age + at.elapsed();
        let open = self.open.iter().map(|open| grown(open.oldest));
        open.fold(grown(self.lag), Duration::max)
    }
}
