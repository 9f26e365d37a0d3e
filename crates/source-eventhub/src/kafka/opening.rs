//! Opening partitions that the group gave us.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use tapline_core::metrics::SOURCE_MISSED_RECORDS;
use tapline_core::{OpenError, Partition, SourceConfig, StreamIdentity};
use tokio::time::sleep;

use super::Shared;
use super::context::HubPartition;
use super::faults::fault;
use super::group::Group;
use super::position::{go_to, next_offset};
use super::reader::Reader;
use crate::config::EventHubConfig;
use crate::cursor::{HubCursor, Mark};
use crate::events::Reaper;
use crate::standing::Standing;
use crate::start::StartAt;

/// Between attempts of what the service refused.
const AGAIN: Duration = Duration::from_secs(1);

/// A partition that was opened, and where to begin.
pub(super) struct Opened {
    pub(super) at: HubPartition,
    pub(super) partition: Partition,
    pub(super) next: i64,
}

impl Group {
    /// A partition that was added while we read has nothing but new messages: all are wanted.
    pub(super) fn start_at(&self) -> StartAt {
        match self.shared.start_at {
            StartAt::Latest if self.shared.has_begun.load(Ordering::Relaxed) => StartAt::Earliest,
            other => other,
        }
    }

    /// Opens a partition; nothing if another process is to read it by now.
    pub(super) async fn open(
        &self,
        at: &HubPartition,
        start_at: StartAt,
    ) -> Result<Option<Opened>, OpenError> {
        let name = name(at);
        let mut partition = tokio::select! {
            opened = self.cx.open(&name, self.identity(at)) => opened?,
            () = self.taken_away(&name) => return Ok(None),
        };
        let checkpoint = Mark::decode(&partition.checkpoint().cursor)
            .map_err(|error| OpenError::ForeignCheckpoint(format!("{name}: {error}")))?;
        let next = match &checkpoint {
            Some(Mark::Wanted { wanted }) => go_to(&self.consumer, at, wanted)
                .await
                .map_err(|error| OpenError::Store(format!("{name}: {error}")))?,
            Some(Mark::Settled(cursor)) => self.start(at, Some(cursor), start_at).await,
            None => self.start(at, None, start_at).await,
        };
        // From here on nothing is lost, also if nothing can be read yet; and a rewind knows
        // where another replica had left off.
        if !matches!(checkpoint, Some(Mark::Settled(cursor)) if cursor.next() == next) {
            let durable = partition.commit(HubCursor::before(next).encode()).await;
            if durable.is_err() && partition.is_revoked() {
                return Ok(None);
            }
            durable?;
        }
        Ok(Some(Opened {
            at: at.clone(),
            partition,
            next,
        }))
    }

    /// Completes when another process is to read a partition. Cancel-safe.
    async fn taken_away(&self, name: &str) {
        while self.cx.owns(name) != Some(false) {
            sleep(AGAIN).await;
        }
    }

    fn identity(&self, at: &HubPartition) -> StreamIdentity {
        let parts = [
            (
                "namespace",
                self.shared.access.namespace.to_ascii_lowercase(),
            ),
            ("hub", at.0.clone()),
            ("group", self.shared.group.clone()),
            ("partition", at.1.to_string()),
        ];
        StreamIdentity {
            source: EventHubConfig::TYPE.to_owned(),
            parts: parts.map(|(part, value)| (part.to_owned(), value)).to_vec(),
        }
    }

    /// Asks until the service answers.
    async fn start(
        &self,
        at: &HubPartition,
        checkpoint: Option<&HubCursor>,
        start_at: StartAt,
    ) -> i64 {
        loop {
            // A checkpoint that all replicas share is newer than whatever the group was told.
            let shared = checkpoint.filter(|_| self.is_divided).map(HubCursor::next);
            let next = match shared {
                Some(next) => Ok(next),
                None => next_offset(&self.consumer, at, checkpoint, start_at).await,
            };
            match next {
                Ok(next) => return next,
                Err(error) => {
                    let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Fail);
                    let (reason, why) = fault(code, &self.shared.access, &at.0);
                    self.health.failed(reason, &why);
                    sleep(AGAIN).await;
                }
            }
        }
    }

    pub(super) fn reader(
        &self,
        at: HubPartition,
        partition: Partition,
        next: i64,
    ) -> Option<Reader> {
        let Shared {
            metrics,
            access,
            labels,
            tables,
            memory,
            ..
        } = &*self.shared;
        let name = name(&at);
        let recall = memory
            .as_ref()
            .map(|memory| memory.open(&name, partition.checkpoint(), metrics));
        // None only for a name that Kafka cannot have.
        let queue = self.consumer.split_partition_queue(&at.0, at.1)?;
        Some(Reader {
            consumer: Arc::clone(&self.consumer),
            queue,
            at,
            partition,
            next,
            is_revoked: false,
            reaper: Reaper::new(tables, Arc::clone(labels), metrics, recall),
            standing: Arc::new(Standing::new(metrics, &name, next)),
            missed: metrics.counter(&SOURCE_MISSED_RECORDS, &[&name]),
            health: Arc::clone(&self.health),
            access: Arc::clone(access),
        })
    }
}

/// The name of a partition, in checkpoints and metrics.
pub(super) fn name((hub, number): &HubPartition) -> String {
    format!("{hub}/{number}")
}
