//! How fast partitions that end are read, and when they will have been.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tapline_core::ComponentName;
use tokio::time::Instant;

use crate::status::Progress;

/// Between two lines of the log about one partition.
const SAY_EVERY: Duration = Duration::from_secs(10);

/// The paces of the partitions of one source.
#[derive(Default)]
pub(super) struct Paces(Mutex<HashMap<String, Pace>>);

/// One partition since this process began to read it.
struct Pace {
    began: Instant,
    /// How much was done already.
    done_before: f64,
    said: Option<Instant>,
}

impl Paces {
    /// Takes a progress down, and says it from time to time.
    pub(super) fn note(&self, component: &ComponentName, partition: &str, done: f64) -> Progress {
        let mut paces = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let pace = paces.entry(partition.to_owned()).or_insert(Pace {
            began: now,
            done_before: done,
            said: None,
        });
        let progress = Progress {
            done,
            expected_end: pace.left(done, now).and_then(after),
        };
        let is_due = pace.said.is_none_or(|said| now - said >= SAY_EVERY);
        if is_due || done >= 1.0 {
            pace.said = Some(now);
            let expected_end = progress.expected_end.map(tracing::field::display);
            tracing::info!(%component, partition, percent = percent(done), expected_end, "progress");
        }
        progress
    }
}

impl Pace {
    /// How long the rest takes at this pace; none before there is one.
    fn left(&self, done: f64, now: Instant) -> Option<Duration> {
        let read = done - self.done_before;
        let spent = (now - self.began).as_secs_f64();
        let left = (1.0 - done).max(0.0) * spent / read;
        (read > 0.0).then(|| Duration::try_from_secs_f64(left).ok())?
    }
}

fn after(left: Duration) -> Option<Timestamp> {
    Timestamp::now().checked_add(left).ok()
}

fn percent(done: f64) -> f64 {
    (done * 1000.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_is_expected_to_go_as_fast_as_what_this_process_read() {
        let now = Instant::now();
        let pace = Pace {
            began: now,
            done_before: 0.4,
            said: None,
        };
        assert_eq!(pace.left(0.4, now), None, "nothing was read yet");
        let later = now + Duration::from_secs(10);
        let left = pace.left(0.5, later).expect("a pace");
        assert_eq!(left.as_secs_f64().round(), 50.0);
        assert_eq!(pace.left(1.0, later), Some(Duration::ZERO));
    }
}
