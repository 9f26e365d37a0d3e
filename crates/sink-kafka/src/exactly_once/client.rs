//! The producer of the transactions, and how it is replaced.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::KafkaError;
use rdkafka::producer::Producer;

use crate::calls::Calls;
use crate::sink::KafkaProducer;

/// How long librdkafka may block at a time.
const SLICE: Duration = Duration::from_secs(1);
/// A coordinator that is loading or aborting answers within this time, or all is tried anew.
const SLICES: usize = 20;

/// What a transactional producer needs beside the settings of every producer.
///
/// Half a minute is the most that a dead process holds up a reader of committed records.
const SETTINGS: &[(&str, &str)] = &[
    ("transaction.timeout.ms", "15000"),
    // librdkafka wants it within the transaction's; what is not confirmed by then is aborted and
    // sent again, in order.
    ("message.timeout.ms", "15000"),
];
/// Within the transaction's time too, unless the user has another wish.
const SOCKET_TIMEOUT: (&str, &str) = ("socket.timeout.ms", "10000");

/// A producer that has begun.
pub(super) struct Client {
    pub(super) producer: Arc<KafkaProducer>,
    /// Whether each record goes in a batch of its own.
    pub(super) is_alone: bool,
}

/// The one in use, and how to make another.
pub(super) struct Clients {
    config: ClientConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Client>>,
    /// A topic takes smaller batches than ours.
    is_alone: bool,
}

impl Clients {
    /// Makes producers of this name from now on.
    pub(super) fn new(producer: &ClientConfig, identity: &str) -> Self {
        let mut config = producer.clone();
        for (key, value) in SETTINGS {
            config.set(*key, *value);
        }
        let (key, value) = SOCKET_TIMEOUT;
        if config.get(key).is_none() {
            config.set(key, value);
        }
        config.set("transactional.id", identity);
        Self {
            config,
            state: Mutex::default(),
        }
    }

    pub(super) fn current(&self) -> Option<Arc<Client>> {
        self.state().current.clone()
    }

    /// Makes a producer and takes our name: what was open under it is aborted.
    ///
    /// # Errors
    /// A sentence for people; trying again may help.
    pub(super) async fn make(&self) -> Result<(), String> {
        let is_alone = self.state().is_alone;
        let mut config = self.config.clone();
        if is_alone {
            config.set("batch.num.messages", "1");
        }
        let made = tokio::task::spawn_blocking(move || begin(&config)).await;
        let producer = made.map_err(|error| error.to_string())??;
        self.state().current = Some(Arc::new(Client {
            producer: Arc::new(producer),
            is_alone,
        }));
        Ok(())
    }

    /// Throws away a producer that is of no more use.
    pub(super) fn discard(&self, broken: &Arc<Client>) {
        let mut state = self.state();
        if state
            .current
            .as_ref()
            .is_some_and(|it| Arc::ptr_eq(it, broken))
        {
            state.current = None;
        }
    }

    /// From now on each record goes in a batch of its own.
    pub(super) fn send_alone(&self) {
        tracing::warn!(
            "a topic takes smaller batches than ours; records go alone from now on, which is slow: \
             set batch.size under librdkafka below the topic's max.message.bytes"
        );
        let mut state = self.state();
        state.is_alone = true;
        state.current = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Blocks until the coordinator knows us.
fn begin(config: &ClientConfig) -> Result<KafkaProducer, String> {
    let producer = KafkaProducer::from_config_and_context(config, Calls::default())
        .map_err(|error| error.to_string())?;
    for attempt in 1..=SLICES {
        match producer.init_transactions(SLICE) {
            Ok(()) => return Ok(producer),
            Err(KafkaError::Transaction(error)) if error.is_retriable() && attempt < SLICES => {}
            Err(error) => return Err(format!("the cluster gives no transaction: {error}")),
        }
    }
    Err("the cluster gives no transaction".to_owned())
}
