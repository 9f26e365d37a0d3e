//! Which of librdkafka's complaints are worth a log line: it repeats them about every second.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

/// How long the same complaint is not news.
const REPEAT_AFTER: Duration = Duration::from_secs(60);

/// When each complaint was last worth a line.
#[derive(Default)]
pub(crate) struct Troubles {
    // By number: the code is no map key.
    told: Mutex<HashMap<i32, Instant>>,
}

impl Troubles {
    /// Whether a complaint is new, or was last told a minute ago.
    pub(crate) fn is_news(&self, code: RDKafkaErrorCode) -> bool {
        self.is_news_at(code, Instant::now())
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
