//! How reading is going as a whole: a log line, a metric, and a word for people when that changes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tapline_core::metrics::{ComponentMetrics, ERRORS};
use tapline_core::{Health, SourceContext};
use tokio::time::Instant;
use tracing::{error, info, warn};

/// Answers that come sooner after an error may be older than it.
const SETTLING: Duration = Duration::from_secs(3);

/// The health of one connection.
pub(crate) struct ConnectionHealth {
    cx: SourceContext,
    metrics: ComponentMetrics,
    /// What stands in for a partition, since no partition alone is in trouble.
    name: String,
    failing: Mutex<Option<(&'static str, Instant)>>,
}

impl ConnectionHealth {
    pub(crate) fn new(cx: &SourceContext, metrics: &ComponentMetrics, name: &str) -> Self {
        Self {
            cx: cx.clone(),
            metrics: metrics.clone(),
            name: name.to_owned(),
            failing: Mutex::default(),
        }
    }

    /// Something does not work, and is tried again.
    pub(crate) fn failed(&self, reason: &'static str, why: &str) {
        if self.note(reason, why) {
            warn!(
                connection = self.name,
                reason, why, "reading fails, and is tried again"
            );
        }
    }

    /// Something does not work before a human changes something; it is tried again all the same.
    pub(crate) fn denied(&self, reason: &'static str, why: &str) {
        if self.note(reason, why) {
            error!(
                connection = self.name,
                reason, why, "reading is denied, and is tried again; a human must act"
            );
        }
    }

    /// Whether that is news.
    fn note(&self, reason: &'static str, why: &str) -> bool {
        self.metrics.counter(&ERRORS, &["receiving", reason]).inc();
        let before = self.failing().replace((reason, Instant::now()));
        let is_news = before.is_none_or(|(before, _)| before != reason);
        if is_news {
            self.cx.report(&self.name, Health::Degraded(why.to_owned()));
        }
        is_news
    }

    /// The service answers.
    pub(crate) fn works(&self) {
        let failing = {
            let mut failing = self.failing();
            let is_over = failing.is_some_and(|(_, since)| since.elapsed() > SETTLING);
            if is_over { failing.take() } else { None }
        };
        if let Some((reason, _)) = failing {
            info!(connection = self.name, reason, "reading works again");
            self.cx.report(&self.name, Health::Good);
        }
    }

    fn failing(&self) -> MutexGuard<'_, Option<(&'static str, Instant)>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
