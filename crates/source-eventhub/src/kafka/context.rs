//! What librdkafka tells us, kept for the task that asks: assignments, statistics, errors.

use std::collections::{HashMap, VecDeque};
use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext, RebalanceProtocol};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use rdkafka::{Offset, TopicPartitionList};
use serde::Deserialize;
use tapline_entra_auth::Token;
use tokio::sync::Notify;
use tracing::{debug, error};

/// A partition of a hub.
pub(super) type HubPartition = (String, i32);

/// What the group has decided.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Change {
    /// These are ours from now on.
    Assigned(Vec<HubPartition>),
    /// These are to be given away.
    Revoked(Vec<HubPartition>),
}

/// Longest time for which a token is shown as valid. Librdkafka asks again at four fifths of it,
/// and so hears of a newer one long before the old one expires.
const TOKEN_SHOWN_MS: i64 = 60_000;

/// Shared by librdkafka's callbacks and by the tasks of a session.
#[derive(Default)]
pub(super) struct Board {
    changes: Mutex<VecDeque<Change>>,
    changed: Notify,
    is_closing: AtomicBool,
    commit_failed: AtomicBool,
    statistics: Mutex<Option<Statistics>>,
    error: Mutex<Option<RDKafkaErrorCode>>,
    hub_in_trouble: Notify,
    token: Mutex<Option<Token>>,
    known: Mutex<Vec<HubPartition>>,
}

/// The part of librdkafka's statistics that we show.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Statistics {
    /// Answers received since the start.
    pub(super) rx: i64,
    #[serde(default)]
    pub(super) brokers: HashMap<String, BrokerStatistics>,
    #[serde(default)]
    pub(super) topics: HashMap<String, TopicStatistics>,
}

#[derive(Debug, Deserialize)]
pub(super) struct BrokerStatistics {
    /// Connections that ended, since the start.
    #[serde(default)]
    pub(super) disconnects: i64,
    #[serde(default)]
    pub(super) throttle: Throttle,
}

#[derive(Debug, Default, Deserialize)]
pub(super) struct Throttle {
    /// Milliseconds since the last statistics.
    #[serde(default)]
    pub(super) sum: i64,
}

#[derive(Debug, Deserialize)]
pub(super) struct TopicStatistics {
    #[serde(default)]
    pub(super) partitions: HashMap<String, PartitionStatistics>,
}

#[derive(Debug, Deserialize)]
pub(super) struct PartitionStatistics {
    /// Offset that the next message will have; negative if unknown.
    #[serde(default)]
    pub(super) hi_offset: i64,
    #[serde(default)]
    pub(super) fetch_state: String,
}

impl Board {
    /// The next decision of the group, until it is [`Board::answered`]. Cancel-safe.
    pub(super) async fn change(&self) -> Change {
        loop {
            let changed = self.changed.notified();
            if let Some(change) = lock(&self.changes).front() {
                return change.clone();
            }
            changed.await;
        }
    }

    /// The last change was answered.
    pub(super) fn answered(&self) {
        lock(&self.changes).pop_front();
    }

    /// From now on the callbacks answer the group themselves, so that a consumer can be closed.
    /// Returns what is not answered yet.
    pub(super) fn close(&self) -> Vec<Change> {
        self.is_closing.store(true, Ordering::SeqCst);
        lock(&self.changes).drain(..).collect()
    }

    /// Whether a commit failed since this was last asked.
    pub(super) fn take_commit_failed(&self) -> bool {
        self.commit_failed.swap(false, Ordering::Relaxed)
    }

    pub(super) fn take_statistics(&self) -> Option<Statistics> {
        lock(&self.statistics).take()
    }

    /// The first error since this was last asked.
    pub(super) fn take_error(&self) -> Option<RDKafkaErrorCode> {
        lock(&self.error).take()
    }

    /// Completes when some hub may not be there, or may not be read. Cancel-safe.
    pub(super) async fn hub_in_trouble(&self) {
        self.hub_in_trouble.notified().await;
    }

    /// Keeps the first error; of "all brokers down" the others tell the reason. What is wrong with
    /// one hub alone is looked at elsewhere.
    pub(super) fn note_error(&self, code: RDKafkaErrorCode) {
        if is_of_hub(code) {
            self.hub_in_trouble.notify_one();
            return;
        }
        let mut kept = lock(&self.error);
        if kept.is_none_or(|kept| kept == RDKafkaErrorCode::AllBrokersDown) {
            *kept = Some(code);
        }
    }

    /// Whether a decision of the group is not answered yet.
    pub(super) fn is_changing(&self) -> bool {
        !lock(&self.changes).is_empty()
    }

    /// Notes which partitions the hubs have.
    pub(super) fn set_known(&self, known: Vec<HubPartition>) {
        *lock(&self.known) = known;
    }

    pub(super) fn known(&self) -> Vec<HubPartition> {
        lock(&self.known).clone()
    }

    pub(super) fn set_token(&self, token: Token) {
        *lock(&self.token) = Some(token);
    }

    pub(super) fn token(&self) -> Option<Token> {
        lock(&self.token).clone()
    }

    pub(super) fn push(&self, change: Change) {
        lock(&self.changes).push_back(change);
        self.changed.notify_one();
    }
}

const fn is_of_hub(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopic
            | RDKafkaErrorCode::UnknownTopicOrPartition
            | RDKafkaErrorCode::TopicAuthorizationFailed
    )
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these is held.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Turns callbacks into entries of a board.
pub(super) struct Context(pub(super) Arc<Board>);

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;

    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters comes as an error too, and is told by us once.
        debug!(target: "librdkafka", facility, message);
    }

    fn stats_raw(&self, statistics: &[u8]) {
        match serde_json::from_slice(statistics) {
            Ok(read) => *lock(&self.0.statistics) = Some(read),
            Err(error) => debug!(%error, "statistics of librdkafka cannot be read"),
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(target: "librdkafka", %error, reason);
        if let Some(code) = error.rdkafka_error_code() {
            self.0.note_error(code);
        }
    }

    fn generate_oauth_token(&self, _config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
        let token = self.0.token().ok_or("there is no token yet")?;
        let now = Timestamp::now();
        if token.expires() <= now {
            return Err("the token has expired, and there is no newer one yet".into());
        }
        let shown_ms = now.as_millisecond() + TOKEN_SHOWN_MS;
        Ok(OAuthToken {
            token: token.expose().to_owned(),
            principal_name: "tapline".to_owned(),
            lifetime_ms: token.expires().as_millisecond().min(shown_ms),
        })
    }
}

impl ConsumerContext for Context {
    /// Opening a partition and letting it settle take time, so the group is answered later, by
    /// the task that does this.
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        event: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        let elements = partitions.elements();
        let named = elements
            .iter()
            .map(|it| (it.topic().to_owned(), it.partition()))
            .collect();
        let is_assignment = event == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS;
        if self.0.is_closing.load(Ordering::SeqCst) {
            let result = match consumer.rebalance_protocol() {
                RebalanceProtocol::Cooperative if is_assignment => {
                    consumer.incremental_assign(partitions)
                }
                RebalanceProtocol::Cooperative => consumer.incremental_unassign(partitions),
                _ => consumer.unassign(),
            };
            if let Err(error) = result {
                debug!(%error, "closing a consumer");
            }
        } else if is_assignment {
            self.0.push(Change::Assigned(named));
        } else {
            self.0.push(Change::Revoked(named));
        }
    }

    fn commit_callback(&self, result: KafkaResult<()>, _offsets: &TopicPartitionList) {
        if let Err(error) = result {
            debug!(%error, "offsets not committed");
            self.0.commit_failed.store(true, Ordering::Relaxed);
        }
    }
}

/// A list for librdkafka.
pub(super) fn list<'a>(
    partitions: impl IntoIterator<Item = (&'a HubPartition, Option<i64>)>,
) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for ((hub, partition), offset) in partitions {
        let offset = offset.map_or(Offset::Invalid, Offset::Offset);
        if let Err(error) = list.add_partition_offset(hub, *partition, offset) {
            error!(%error, hub, partition, "an offset that is none");
        }
    }
    list
}
