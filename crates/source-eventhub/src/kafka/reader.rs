//! Reads one partition that the group gave us, until it is taken away.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use rdkafka::Message;
use rdkafka::consumer::stream_consumer::StreamPartitionQueue;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode as Code;
use tapline_core::metrics::IntCounter;
use tapline_core::{Batch, Checkpoint, Control, Partition, Stopped};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{debug, error, warn};

use super::context::{Context, HubPartition, list};
use super::faults::fault;
use super::position::{bounds, go_to};
use crate::access::Access;
use crate::cursor::{HubCursor, Mark, Wanted};
use crate::events::{Harvest, Place, Reaper};
use crate::health::ConnectionHealth;
use crate::standing::Standing;

pub(super) type KafkaConsumer = StreamConsumer<Context>;

/// A batch is closed when its messages have this many bytes, or there are none left to wait for.
const BATCH_BYTES: usize = 256 << 10;
const BATCH_MESSAGES: usize = 1024;
/// Between attempts of what the service refused.
const AGAIN: Duration = Duration::from_secs(1);

pub(super) struct Reader {
    pub(super) consumer: Arc<KafkaConsumer>,
    pub(super) queue: StreamPartitionQueue<Context>,
    pub(super) at: HubPartition,
    pub(super) partition: Partition,
    /// The offset to read next.
    pub(super) next: i64,
    /// Another process reads it now.
    pub(super) is_revoked: bool,
    pub(super) reaper: Reaper,
    pub(super) standing: Arc<Standing>,
    pub(super) missed: IntCounter,
    pub(super) health: Arc<ConnectionHealth>,
    pub(super) access: Arc<Access>,
}

/// Messages of one batch.
#[derive(Default)]
struct Haul {
    harvest: Harvest,
    messages: usize,
    bytes: usize,
    after: Option<HubCursor>,
    oldest_ms: i64,
    newest_ms: i64,
}

impl Reader {
    /// Reads until told to let go; then whatever is in flight settles by itself.
    ///
    /// Returns whether another process is to read it.
    pub(super) async fn run(mut self, mut released: watch::Receiver<bool>) -> bool {
        // An error means that nobody is left to tell us, which is the same.
        let released = async { drop(released.wait_for(|released| *released).await) };
        tokio::select! {
            biased;
            () = released => {}
            Stopped = self.read() => {}
        }
        self.is_revoked || self.partition.is_revoked()
    }

    async fn read(&mut self) -> Stopped {
        loop {
            tokio::select! {
                biased;
                control = self.partition.control() => match control {
                    Control::Stop => return Stopped,
                    Control::Revoked => {
                        self.is_revoked = true;
                        return Stopped;
                    }
                    Control::Rewind(checkpoint) => {
                        if let Err(stopped) = self.rewind(&checkpoint).await {
                            return stopped;
                        }
                    }
                },
                (haul, error) = haul(&self.queue, &mut self.reaper, &self.at) => {
                    if let Err(stopped) = self.turn(haul, error).await {
                        return stopped;
                    }
                }
            }
        }
    }

    /// What came before an error is handed over first.
    async fn turn(&mut self, haul: Haul, error: Option<KafkaError>) -> Result<(), Stopped> {
        self.send(haul).await?;
        match error {
            Some(error) => self.recover(error).await,
            None => {
                self.health.works();
                Ok(())
            }
        }
    }

    async fn send(&mut self, haul: Haul) -> Result<(), Stopped> {
        let Some(after) = haul.after else {
            return Ok(());
        };
        self.standing
            .sent(after.sequence, haul.oldest_ms, haul.newest_ms);
        self.next = after.next();
        let batch = haul.harvest.batch(after.encode());
        self.partition.send(batch).await
    }

    async fn rewind(&mut self, checkpoint: &Checkpoint) -> Result<(), Stopped> {
        match Mark::decode(&checkpoint.cursor) {
            // The start was made durable before anything was read.
            Ok(None) => {}
            Ok(Some(Mark::Settled(cursor))) => self.next = cursor.next(),
            Ok(Some(Mark::Wanted { wanted })) => self.go_to(&wanted).await?,
            Err(error) => {
                let partition = self.partition.name();
                error!(partition, %error, "the checkpoint of a rewind cannot be read; opening the partition anew");
                return Err(Stopped);
            }
        }
        self.reaper.rewound(checkpoint);
        self.standing.rewound();
        self.go_to_next().await;
        Ok(())
    }

    /// To where somebody moved the partition by hand. If that cannot be done, whoever opens the
    /// partition next tries it again.
    async fn go_to(&mut self, wanted: &Wanted) -> Result<(), Stopped> {
        match go_to(&self.consumer, &self.at, wanted).await {
            Ok(next) => self.next = next,
            Err(error) => {
                let partition = self.partition.name();
                error!(partition, %error, "cannot go to the wanted place; opening the partition anew");
                return Err(Stopped);
            }
        }
        Ok(())
    }

    /// Fetches from `next` on; what was fetched before is void by librdkafka's own count.
    async fn go_to_next(&self) {
        while let Err(error) = self.reassign() {
            warn!(partition = self.partition.name(), %error, "cannot go to an offset, trying again");
            sleep(AGAIN).await;
        }
    }

    /// Works in every state of the partition; a seek does not where fetching has ended.
    fn reassign(&self) -> KafkaResult<()> {
        let leaving = list([(&self.at, None)]);
        if let Err(error) = self.consumer.incremental_unassign(&leaving) {
            debug!(partition = self.partition.name(), %error, "was not assigned");
        }
        let coming = list([(&self.at, Some(self.next))]);
        self.consumer.incremental_assign(&coming)
    }

    async fn recover(&mut self, error: KafkaError) -> Result<(), Stopped> {
        match error.rdkafka_error_code() {
            Some(Code::AutoOffsetReset | Code::OffsetOutOfRange) => self.skip_gap().await,
            Some(code) => {
                let (reason, why) = fault(code, &self.access, &self.at.0);
                self.health.failed(reason, &why);
                sleep(AGAIN).await;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The service no longer has what comes next: says so, counts it, and goes on with the oldest
    /// that there is.
    async fn skip_gap(&mut self) -> Result<(), Stopped> {
        let (oldest, end) = match bounds(&self.consumer, &self.at).await {
            Ok(bounds) => bounds,
            Err(error) => {
                warn!(partition = self.partition.name(), %error, "cannot ask for the oldest offset");
                sleep(AGAIN).await;
                self.go_to_next().await;
                return Ok(());
            }
        };
        let wanted = self.next;
        if (oldest..=end).contains(&wanted) {
            self.go_to_next().await;
            return Ok(());
        }
        self.say_gap(wanted, oldest, end);
        self.next = oldest;
        self.standing.rewound();
        self.partition
            .send(Batch::new(HubCursor::before(oldest).encode(), Vec::new()))
            .await?;
        self.go_to_next().await;
        Ok(())
    }

    fn say_gap(&self, wanted: i64, oldest: i64, end: i64) {
        let partition = self.partition.name();
        if wanted < oldest {
            let missed = oldest - wanted;
            self.missed.inc_by(missed.unsigned_abs());
            error!(
                partition,
                missed,
                wanted,
                oldest,
                "messages are gone: the hub's retention passed before they were read; going on with the oldest"
            );
        } else {
            error!(
                partition,
                wanted,
                end,
                "the hub ends before what was read already: it was made anew; reading it from its beginning"
            );
        }
    }
}

/// Waits for a message, and takes with it what is there already, up to an error.
async fn haul(
    queue: &StreamPartitionQueue<Context>,
    reaper: &mut Reaper,
    at: &HubPartition,
) -> (Haul, Option<KafkaError>) {
    let mut haul = Haul::default();
    let number = at.1.to_string();
    let mut next = Some(queue.recv().await);
    while let Some(message) = next {
        match message {
            Ok(message) => haul.add(&message, reaper, &at.0, &number),
            Err(error) => return (haul, Some(error)),
        }
        let is_full = haul.bytes >= BATCH_BYTES || haul.messages >= BATCH_MESSAGES;
        next = if is_full { None } else { ready(queue).await };
    }
    (haul, None)
}

/// A message that is there already.
async fn ready(queue: &StreamPartitionQueue<Context>) -> Option<KafkaResult<BorrowedMessage<'_>>> {
    tokio::select! {
        biased;
        message = queue.recv() => Some(message),
        () = std::future::ready(()) => None,
    }
}

impl Haul {
    fn add(
        &mut self,
        message: &BorrowedMessage<'_>,
        reaper: &mut Reaper,
        hub: &str,
        partition: &str,
    ) {
        let body = Bytes::copy_from_slice(message.payload().unwrap_or_default());
        let offset = message.offset();
        let enqueued_ms = message.timestamp().to_millis();
        reaper.reap(
            &body,
            Place {
                hub,
                partition,
                offset: &offset,
                sequence: Some(offset),
                enqueued_ms,
            },
            &mut self.harvest,
        );
        let enqueued = enqueued_ms.unwrap_or_default();
        if self.messages == 0 {
            self.oldest_ms = enqueued;
        }
        self.newest_ms = enqueued;
        self.messages += 1;
        self.bytes += body.len();
        self.after = Some(HubCursor {
            sequence: offset,
            offset: None,
            enqueued_ms,
        });
    }
}
