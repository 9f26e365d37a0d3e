//! Which of librdkafka's complaints are worth a log line: it repeats them about every second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;
use tracing::warn;

/// How long the same complaint is not news.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// When each complaint was last worth a line.
#[derive(Default)]
pub(crate) struct Troubles {
    // By number: the code is no map key.
    told: Mutex<HashMap<i32, Instant>>,
}

impl Troubles {
    /// Tells a complaint that is new, or was last told a minute ago.
    pub(crate) fn tell(&self, error: &KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        let code = code.unwrap_or(RDKafkaErrorCode::Unknown);
        if self.is_news_at(code, Instant::now()) {
            // Reasons name brokers and causes; librdkafka keeps passwords out of them.
            warn!(%error, reason, "kafka is in trouble");
        }
    }

    fn is_news_at(&self, code: RDKafkaErrorCode, now: Instant) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let is_news = told
            .get(&(code as i32))
            .is_none_or(|at| now.duration_since(*at) >= REPEAT_AFTER);
        if is_news {
            told.insert(code as i32, now);
        }
        is_news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_told_once_a_minute() {
        let troubles = Troubles::default();
        let start = Instant::now();
        let later = |seconds| start + Duration::from_secs(seconds);
        assert!(troubles.is_news_at(RDKafkaErrorCode::AllBrokersDown, start));
        assert!(!troubles.is_news_at(RDKafkaErrorCode::AllBrokersDown, later(59)));
        assert!(troubles.is_news_at(RDKafkaErrorCode::Resolve, later(59)));
        assert!(troubles.is_news_at(RDKafkaErrorCode::AllBrokersDown, later(60)));
    }
}
