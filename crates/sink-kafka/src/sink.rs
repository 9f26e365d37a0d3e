//! The running sink: enqueues a call's events in order and waits for their reports.

use std::ffi::CStr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use rdkafka::ClientConfig;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::producer::{Producer, ThreadedProducer};
use rdkafka::types::RDKafkaErrorCode;
use tapline_core::{BuildContext, BuildError, Delivery, Event, Metadata, Sink, SinkLimits};
use tokio::time::timeout;
use tracing::{error, warn};

use crate::calls::{Calls, Failures};
use crate::config::{KafkaConfig, Key};
use crate::produce::{Envelope, Opened};
use crate::topic::TopicTemplate;
use crate::{faults, record, settings};

/// How long to wait for room in librdkafka's queue before looking again.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(5);

/// How long the last records may take when the sink is closed; less than the runtime waits.
const CLOSE_WAIT: Duration = Duration::from_secs(3);

/// How long librdkafka's flush may block; as long it goes on after the close was dropped.
const FLUSH_SLICE: Duration = Duration::from_millis(100);

pub(crate) type KafkaProducer = ThreadedProducer<Calls>;

/// Delivers events to one Kafka cluster.
pub(crate) struct Kafka {
    config: ClientConfig,
    producer: Mutex<Arc<KafkaProducer>>,
    /// Sends every record in a batch of its own; made when a broker first refuses a batch as too
    /// large, which says nothing about the single records in it.
    alone: Mutex<Option<Arc<KafkaProducer>>>,
    /// Held while a call is enqueued: calls enter librdkafka's queue in order, whole.
    enqueueing: tokio::sync::Mutex<Scratch>,
    topic: TopicTemplate,
    key: Key,
}

/// Texts made anew for each record, without a new allocation.
#[derive(Default)]
struct Scratch {
    /// Ends with a zero byte, for librdkafka.
    topic: String,
    key: String,
}

impl Kafka {
    pub(crate) fn new(config: &KafkaConfig, cx: &BuildContext) -> Result<Self, BuildError> {
        let topic = TopicTemplate::parse(&config.topic).map_err(|e| BuildError::new("topic", e))?;
        let client = settings::producer(&config.brokers, &config.librdkafka, cx)?;
        let producer = create(&client).map_err(|e| BuildError::new("librdkafka", e))?;
        Ok(Self {
            config: client,
            producer: Mutex::new(Arc::new(producer)),
            alone: Mutex::default(),
            enqueueing: tokio::sync::Mutex::default(),
            topic,
            key: config.key,
        })
    }

    fn producer(&self) -> Arc<KafkaProducer> {
        let producer = self.producer.lock();
        Arc::clone(&producer.unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends the events at these positions, in order, and waits for all reports.
    async fn attempt(
        &self,
        producer: &Arc<KafkaProducer>,
        events: &[Event],
        positions: impl Iterator<Item = usize> + Clone + Send,
    ) -> Failures {
        let values = positions.clone().map(|at| events[at].body().clone());
        let mut call = Opened::new(producer, values.collect());
        self.enqueue(&mut call, events, positions.clone()).await;
        let reports = call.reports().await;
        reports.unwrap_or_else(|| positions.map(|at| (at, RDKafkaErrorCode::Fatal)).collect())
    }

    /// Sends again, each in a batch of its own, what was in batches that were too large.
    ///
    /// A topic's limit is for whole batches. Nobody else holds events of these lanes meanwhile.
    async fn attempt_alone(&self, events: &[Event], positions: &[usize]) -> Failures {
        let failed = |code| positions.iter().map(|at| (*at, code)).collect();
        let producer = match self.producer_alone() {
            Ok(producer) => producer,
            Err(error) => {
                error!(%error, "cannot make a kafka producer for single records");
                return failed(RDKafkaErrorCode::Fatal);
            }
        };
        let positions = positions.iter().copied();
        let failures = self.attempt(&producer, events, positions).await;
        if producer.client().fatal_error().is_some() {
            self.lock_alone().take();
        }
        failures
    }

    fn producer_alone(&self) -> Result<Arc<KafkaProducer>, CreateError> {
        let mut alone = self.lock_alone();
        if let Some(producer) = &*alone {
            return Ok(Arc::clone(producer));
        }
        warn!(
            "a topic takes smaller batches than ours; records of such a batch go alone, which is \
             slow: set batch.size under librdkafka below the topic's max.message.bytes"
        );
        let mut config = self.config.clone();
        config.set("batch.num.messages", "1");
        Ok(Arc::clone(alone.insert(Arc::new(create(&config)?))))
    }

    fn lock_alone(&self) -> MutexGuard<'_, Option<Arc<KafkaProducer>>> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enqueues events in order; waits while librdkafka's queue is full.
    async fn enqueue(
        &self,
        call: &mut Opened,
        events: &[Event],
        positions: impl Iterator<Item = usize> + Send,
    ) {
        let mut scratch = self.enqueueing.lock().await;
        for position in positions {
            let meta = events[position].meta();
            while let Err(code) = self.send(call, position, meta, &mut scratch) {
                if code != RDKafkaErrorCode::QueueFull {
                    call.refuse(position, code);
                    break;
                }
                tokio::time::sleep(QUEUE_FULL_WAIT).await;
            }
        }
    }

    fn send(
        &self,
        call: &mut Opened,
        position: usize,
        meta: &Metadata,
        scratch: &mut Scratch,
    ) -> Result<(), RDKafkaErrorCode> {
        self.topic.render(meta, &mut scratch.topic);
        scratch.topic.push('\0');
        let topic = CStr::from_bytes_with_nul(scratch.topic.as_bytes());
        let has_key = record::key(self.key, meta, &mut scratch.key);
        let envelope = Envelope {
            topic: topic.expect("no other zero byte is legal in a topic"),
            key: has_key.then_some(&scratch.key),
            meta,
        };
        call.send(position, &envelope)
    }

    /// Replaces a producer that librdkafka declared unusable; the runtime sends its events again.
    fn renew(&self, broken: &Arc<KafkaProducer>) {
        let mut producer = self.producer.lock().unwrap_or_else(PoisonError::into_inner);
        if !Arc::ptr_eq(&producer, broken) {
            return;
        }
        match create(&self.config) {
            Ok(fresh) => *producer = Arc::new(fresh),
            Err(error) => error!(%error, "cannot renew the kafka producer"),
        }
    }
}

/// What librdkafka says of the configuration as a whole; values are left out, they may be secret.
#[derive(Debug, thiserror::Error)]
#[error("librdkafka does not accept the settings: {0}")]
struct CreateError(String);

fn create(config: &ClientConfig) -> Result<KafkaProducer, CreateError> {
    use rdkafka::error::KafkaError;
    KafkaProducer::from_config_and_context(config, Calls::default()).map_err(|error| {
        CreateError(match error {
            KafkaError::ClientConfig(_, description, key, _) => format!("{key}: {description}"),
            other => other.to_string(),
        })
    })
}

/// Completes when every record is reported. Cancel-safe.
async fn flush(producer: Arc<KafkaProducer>) {
    loop {
        let producer = Arc::clone(&producer);
        let slice = move || producer.flush(FLUSH_SLICE).is_ok();
        if let Ok(true) = tokio::task::spawn_blocking(slice).await {
            return;
        }
    }
}

/// Takes out the positions of what was refused as too large.
fn take_too_large(failures: &mut Failures) -> Vec<usize> {
    let is_it = |code| code == RDKafkaErrorCode::MessageSizeTooLarge;
    let positions = failures.iter().filter(|(_, code)| is_it(*code));
    let positions = positions.map(|(position, _)| *position).collect();
    failures.retain(|(_, code)| !is_it(*code));
    positions
}

#[async_trait]
impl Sink for Kafka {
    async fn deliver(&self, events: &[Event]) -> Delivery {
        let producer = self.producer();
        let mut failures = self.attempt(&producer, events, 0..events.len()).await;
        if producer.client().fatal_error().is_some() {
            self.renew(&producer);
        }
        failures.sort_unstable_by_key(|(position, _)| *position);
        let too_large = take_too_large(&mut failures);
        if !too_large.is_empty() {
            failures.extend(self.attempt_alone(events, &too_large).await);
            failures.sort_unstable_by_key(|(position, _)| *position);
        }
        let mut topic = String::new();
        let exceptions = failures.into_iter().map(|(position, code)| {
            self.topic.render(events[position].meta(), &mut topic);
            (position, faults::fault(code, &topic))
        });
        Delivery {
            exceptions: exceptions.collect(),
        }
    }

    fn limits(&self) -> SinkLimits {
        SinkLimits {
            max_events: 1000,
            max_bytes: 1 << 20,
            max_in_flight: 16,
        }
    }

    async fn close(&self) {
        if timeout(CLOSE_WAIT, flush(self.producer())).await.is_err() {
            error!("kafka did not confirm the last records in time; they are read again next time");
        }
    }
}
