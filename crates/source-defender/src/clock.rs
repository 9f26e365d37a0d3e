//! The server's clock, as its `Date` headers tell it; the local clock may be wrong by minutes.

use jiff::Timestamp;
use reqwest::header::{DATE, HeaderMap};
use tokio::time::Instant;

use crate::limits::UNKNOWN_SKEW;
use crate::times::Ticks;

/// What the server's clock said, and when it did.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct ServerClock {
    heard: Option<(Ticks, Instant)>,
}

impl ServerClock {
    /// Takes a `Date` header in; `false` if there is none.
    pub(crate) fn hear(&mut self, headers: &HeaderMap) -> bool {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        let time = date.and_then(|date| jiff::fmt::rfc2822::parse(date).ok());
        if let Some(time) = &time {
            self.heard = Some((Ticks::from_timestamp(time.timestamp()), Instant::now()));
        }
        time.is_some()
    }

    /// Sets it to something surely not ahead of a server that never says its time.
    pub(crate) fn guess(&mut self) {
        let local = Ticks::from_timestamp(Timestamp::now());
        self.heard = Some((local.minus(UNKNOWN_SKEW), Instant::now()));
    }

    /// The server's time now; never ahead of it, but for drift between two answers.
    pub(crate) fn now(&self) -> Option<Ticks> {
        self.heard.map(|(time, at)| time.plus(at.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_clock_goes_on_from_the_last_date_header() {
        let mut clock = ServerClock::default();
        assert!(!clock.hear(&HeaderMap::new()) && clock.now().is_none());
        let mut headers = HeaderMap::new();
        headers.insert(
            DATE,
            "Fri, 02 Jan 2026 03:04:05 GMT".parse().expect("a header"),
        );
        assert!(clock.hear(&headers));
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now(), Ticks::parse("2026-01-02T03:04:12Z"));
    }
}
