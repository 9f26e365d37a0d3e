//! Messages as they come from a link, gathered to batches.

use bytes::Bytes;
use fe2o3_amqp::Delivery;
use fe2o3_amqp::link::{Receiver, RecvError};
use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::primitives::Value;
use tapline_core::Checkpoint;
use tapline_core::metrics::{
    ComponentMetrics, IntCounter, SOURCE_MISSED_RECORDS, SOURCE_REPEATED_EVENTS,
};
use tracing::error;

use super::body::{body, number, text};
use super::faults::{Fault, of_reading};
use crate::cursor::HubCursor;
use crate::events::{Harvest, Place, Reaper};

pub(super) type Incoming = Result<Delivery<Body<Value>>, RecvError>;

/// Messages that the service may send ahead, at most. Microsoft's own clients let it send 300;
/// these are enough for two thousand messages a second over a line of 60 ms.
const MOST_CREDIT: usize = 128;
const BATCH_BYTES: usize = 256 << 10;
/// As large as a message can be, so that the first grant is the smallest one.
///
/// Source: "Event Hubs quotas", seen 2026.
const LARGEST_MESSAGE: usize = 1 << 20;

/// Makes batches of what comes from a partition.
pub(super) struct Intake {
    hub: String,
    partition: String,
    reaper: Reaper,
    missed: IntCounter,
    repeated: IntCounter,
    /// Size of the last messages: grows at once, shrinks slowly.
    message_bytes: usize,
}

/// Messages that came together.
#[derive(Default)]
pub(super) struct Gathered {
    pub(super) harvest: Harvest,
    /// The last message received, of all links; none if nothing is known.
    pub(super) position: Option<HubCursor>,
    /// Sequence number of the first one, and when the service took it in.
    pub(super) first: Option<i64>,
    pub(super) oldest_ms: Option<i64>,
    /// The newest sequence number that the service has told.
    pub(super) newest: Option<i64>,
    /// Why no more comes.
    pub(super) fault: Option<Fault>,
    bytes: usize,
}

impl Intake {
    pub(super) fn new(
        hub: &str,
        partition: &str,
        reaper: Reaper,
        metrics: &ComponentMetrics,
    ) -> Self {
        let name = format!("{hub}/{partition}");
        Self {
            hub: hub.to_owned(),
            partition: partition.to_owned(),
            reaper,
            missed: metrics.counter(&SOURCE_MISSED_RECORDS, &[&name]),
            repeated: metrics.counter(&SOURCE_REPEATED_EVENTS, &[&name]),
            message_bytes: LARGEST_MESSAGE,
        }
    }

    /// Reading begins again with a checkpoint.
    pub(super) fn rewound(&mut self, checkpoint: &Checkpoint) {
        self.reaper.rewound(checkpoint);
    }

    /// Messages that fit into the given number of bytes, as far as their size can be foreseen.
    pub(super) fn credit(&self, ahead: usize) -> u32 {
        let messages = (ahead / self.message_bytes.max(1)).clamp(1, MOST_CREDIT);
        u32::try_from(messages).expect("at most a few hundred")
    }

    /// Takes a message, and those that are there already, until there are enough for a batch.
    pub(super) async fn gather(
        &mut self,
        receiver: &mut Receiver,
        first: Incoming,
        received: Option<&HubCursor>,
    ) -> Gathered {
        let mut gathered = Gathered {
            position: received.cloned(),
            ..Gathered::default()
        };
        let mut next = Some(first);
        while let Some(incoming) = next {
            match incoming {
                Ok(delivery) => self.take(&delivery, &mut gathered),
                Err(error) => {
                    if matches!(error, RecvError::MessageDecode(_)) {
                        self.pass_over(&error, &mut gathered);
                    }
                    gathered.fault = Some(of_reading(&error));
                    break;
                }
            }
            next = if gathered.bytes < BATCH_BYTES {
                ready(receiver).await
            } else {
                None
            };
        }
        gathered
    }

    fn take(&mut self, delivery: &Delivery<Body<Value>>, gathered: &mut Gathered) {
        let message = delivery.message();
        let annotations = message.message_annotations.as_ref().map(|it| &it.0);
        let sequence = annotations.and_then(|it| number(it, "x-opt-sequence-number"));
        let offset = annotations.and_then(|it| text(it, "x-opt-offset"));
        let enqueued_ms = annotations.and_then(|it| number(it, "x-opt-enqueued-time"));
        let told = message.delivery_annotations.as_ref();
        let newest = told.and_then(|it| number(&it.0, "last_enqueued_sequence_number"));
        gathered.newest = newest.or(gathered.newest);
        let body = body(&message.body);
        gathered.bytes += body.len();
        self.message_bytes = body.len().max(self.message_bytes * 7 / 8).max(1);
        if !self.is_next(sequence, gathered.position.as_ref()) {
            return;
        }
        let place = Place {
            hub: &self.hub,
            partition: &self.partition,
            offset: &offset.as_deref().unwrap_or("unknown"),
            sequence,
            enqueued_ms,
        };
        self.reaper.reap(&body, place, &mut gathered.harvest);
        gathered.first = gathered.first.or(sequence);
        gathered.oldest_ms = gathered.oldest_ms.or(enqueued_ms);
        if let Some(sequence) = sequence {
            gathered.position = Some(HubCursor {
                sequence,
                offset,
                enqueued_ms,
            });
        }
    }

    /// Whether a message is new. One that was received before is left out; one that comes too
    /// soon is told, since the service begins with its oldest when the one asked for is gone.
    fn is_next(&self, sequence: Option<i64>, position: Option<&HubCursor>) -> bool {
        let (Some(sequence), Some(position)) = (sequence, position) else {
            return true;
        };
        let missed = sequence - position.next();
        if missed < 0 {
            self.repeated.inc();
            return false;
        }
        if missed > 0 {
            self.missed.inc_by(missed.unsigned_abs());
            error!(
                hub = self.hub,
                partition = self.partition,
                missed,
                sequence,
                "messages are gone: the hub's retention passed before they were read; going on with the oldest"
            );
        }
        true
    }

    /// A message that is no AMQP would come again for ever. Its number is not known, but that
    /// numbers grow by one is.
    fn pass_over(&mut self, error: &RecvError, gathered: &mut Gathered) {
        let Some(position) = gathered.position.as_ref() else {
            return;
        };
        let passed = position.next();
        let body = Bytes::from(format!("message {passed} cannot be decoded: {error}"));
        let place = Place {
            hub: &self.hub,
            partition: &self.partition,
            offset: &format_args!("of sequence number {passed}"),
            sequence: Some(passed),
            enqueued_ms: None,
        };
        self.reaper.reap(&body, place, &mut gathered.harvest);
        gathered.position = Some(HubCursor::before(passed + 1));
    }
}

/// A message that is there already.
async fn ready(receiver: &mut Receiver) -> Option<Incoming> {
    tokio::select! {
        biased;
        message = receiver.recv() => Some(message),
        () = std::future::ready(()) => None,
    }
}
