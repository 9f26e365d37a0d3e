//! Reads what is durable of partitions that became ours.
//!
//! What stood in the cursor topic when they became ours has to be decided first: a transaction
//! that its owner left open holds back the last stable offset until it is committed or aborted.
//!
//! A broker that has just become the leader may answer a fetch as if the topic ended earlier, until
//! it knows how far its followers are; asked for the end itself, it says that it does not know yet
//! (KIP-207). So an end that was read is believed when the leader names one that is not before it,
//! and nothing more comes from there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::Message;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tapline_core::{Durable, PartitionKey};

use super::cursors::{Tally, Unreadable};
use super::quiet::Quiet;

/// How long the broker may take for one answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// Between looks at whether all is decided.
const LOOK: Duration = Duration::from_millis(20);
/// How long nothing may come while there is more.
const SILENCE: Duration = Duration::from_secs(20);

/// Why nothing could be said of what is durable.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeoverError {
    #[error("reading the cursors: {0}")]
    Kafka(#[from] KafkaError),
    #[error("record {offset} of topic {topic} cannot be read: {why}")]
    Record {
        topic: String,
        offset: i64,
        why: Unreadable,
    },
    #[error("a transaction in topic {0} stays open")]
    Undecided(String),
    #[error("topic {0} does not come to its end")]
    Silent(String),
    #[error("given up")]
    GivenUp,
}

type QuietConsumer = BaseConsumer<Quiet>;

/// What to read.
pub(super) struct Takeover {
    pub(super) connection: ClientConfig,
    pub(super) topic: String,
    pub(super) instance: String,
    pub(super) partitions: Vec<PartitionKey>,
    /// Raised when nobody waits any more.
    pub(super) given_up: Arc<AtomicBool>,
}

impl Takeover {
    /// Reads the topic as it was when this was called, or later. Blocks.
    pub(super) fn read(self) -> Result<HashMap<PartitionKey, Durable>, TakeoverError> {
        let all = self.client("read_uncommitted")?;
        let decided = self.client("read_committed")?;
        let end = self.end(&all)?;
        self.wait_until_decided(&decided, end)?;
        let mut tally = Tally::new(self.partitions.iter().cloned(), &self.instance);
        if end > 0 {
            let next = self.scan(&decided, Offset::Beginning, &mut tally)?;
            self.wait_until_decided(&decided, end)?;
            // librdkafka may end the process over a consumer that is assigned the same partition
            // again while it stops reading it.
            let anew = self.client("read_committed")?;
            self.scan(&anew, next, &mut tally)?;
        }
        Ok(tally.finish())
    }

    fn client(&self, isolation: &str) -> KafkaResult<QuietConsumer> {
        let mut config = self.connection.clone();
        config
            .set("isolation.level", isolation)
            // It is no member of any group, though librdkafka wants a name.
            .set("group.id", &self.topic)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "earliest")
            .set("fetch.wait.max.ms", "10")
            .set("queued.max.messages.kbytes", "4096");
        config.create_with_context(Quiet)
    }

    /// The offset after the last record that this client may see.
    fn end(&self, client: &QuietConsumer) -> KafkaResult<i64> {
        let (_, end) = client.fetch_watermarks(&self.topic, 0, PATIENCE)?;
        Ok(end)
    }

    fn wait_until_decided(&self, decided: &QuietConsumer, end: i64) -> Result<(), TakeoverError> {
        let begun = std::time::Instant::now();
        while self.end(decided)? < end {
            self.check()?;
            if begun.elapsed() > 2 * SILENCE {
                return Err(TakeoverError::Undecided(self.topic.clone()));
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    /// Reads up to the end, and says where to go on.
    fn scan(
        &self,
        client: &QuietConsumer,
        from: Offset,
        tally: &mut Tally,
    ) -> Result<Offset, TakeoverError> {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.topic, 0, from)?;
        client.assign(&list)?;
        let mut next = from;
        let mut heard = std::time::Instant::now();
        loop {
            self.check()?;
            match client.poll(LOOK) {
                None if heard.elapsed() > SILENCE => {
                    return Err(TakeoverError::Silent(self.topic.clone()));
                }
                None => continue,
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(next),
                Some(Err(error)) => return Err(error.into()),
                Some(Ok(message)) => {
                    let added = tally.add(message.key().unwrap_or_default(), message.payload());
                    added.map_err(|why| TakeoverError::Record {
                        topic: self.topic.clone(),
                        offset: message.offset(),
                        why,
                    })?;
                    next = Offset::Offset(message.offset() + 1);
                }
            }
            heard = std::time::Instant::now();
        }
    }

    fn check(&self) -> Result<(), TakeoverError> {
        match self.given_up.load(Ordering::Relaxed) {
            true => Err(TakeoverError::GivenUp),
            false => Ok(()),
        }
    }
}
