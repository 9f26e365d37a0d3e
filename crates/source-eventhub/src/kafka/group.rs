//! Our share of the group's partitions.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use tapline_core::metrics::{SOURCE_PARTITIONS, SOURCE_RECONNECTS, SOURCE_WAIT_SECONDS};
use tapline_core::{OpenError, SourceContext};
use tokio::time::Instant;
use tracing::{info, warn};

use super::Shared;
use super::context::{Board, Change, HubPartition, Statistics, list};
use super::faults::{ASSIGNMENT_LOST, DISCONNECTED};
use super::opening::Opened;
use super::owned::Owned;
use super::reader::KafkaConsumer;
use crate::health::ConnectionHealth;

/// How long a partition that is taken away may settle, so that its next reader repeats nothing;
/// and the same when we stop.
const SETTLING: Duration = Duration::from_secs(10);
/// The partitions that this process reads. Dropping it leaves the group.
pub(super) struct Group {
    pub(super) consumer: Arc<KafkaConsumer>,
    pub(super) board: Arc<Board>,
    pub(super) shared: Arc<Shared>,
    pub(super) health: Arc<ConnectionHealth>,
    pub(super) cx: SourceContext,
    pub(super) owned: HashMap<HubPartition, Owned>,
    /// Whether the runtime decides what this process reads, and not the group.
    pub(super) is_divided: bool,
    /// Answers of the service counted by the last statistics.
    pub(super) answers: i64,
    /// Connections that had ended by then.
    pub(super) disconnects: i64,
}

impl Group {
    /// Does what the group decided, and answers it.
    ///
    /// # Errors
    /// [`OpenError`] if a partition cannot be opened, which waiting does not change.
    pub(super) async fn apply(&mut self, change: Change) -> Result<(), OpenError> {
        match &change {
            Change::Assigned(partitions) => self.take_over(partitions).await?,
            Change::Revoked(partitions) => self.give_away(partitions).await,
        }
        self.board.answered();
        self.show_owned();
        Ok(())
    }

    fn show_owned(&self) {
        let owned = self.shared.metrics.gauge(&SOURCE_PARTITIONS, &[]);
        owned.set(self.owned.len() as f64);
    }

    async fn take_over(&mut self, partitions: &[HubPartition]) -> Result<(), OpenError> {
        let mut opened = Vec::with_capacity(partitions.len());
        let start_at = self.start_at();
        for at in partitions {
            opened.extend(self.open(at, start_at).await?);
        }
        self.shared.has_begun.store(true, Ordering::Relaxed);
        // Queues are split first, so that no message goes elsewhere.
        let mut readers = Vec::with_capacity(opened.len());
        let mut starts = Vec::with_capacity(opened.len());
        for Opened {
            at,
            partition,
            next,
        } in opened
        {
            starts.push((at.clone(), next));
            readers.extend(self.reader(at, partition, next));
        }
        let starts = list(starts.iter().map(|(at, next)| (at, Some(*next))));
        if let Err(error) = self.consumer.incremental_assign(&starts) {
            warn!(%error, "partitions not taken over");
            return Ok(());
        }
        for reader in readers {
            let at = reader.at.clone();
            info!(
                partition = reader.partition.name(),
                next = reader.next,
                "reading"
            );
            self.owned.insert(at, Owned::start(reader));
        }
        Ok(())
    }

    /// Stops reading, lets what was read settle, and tells the group how far that is. A group that
    /// gave us up takes no word of us; what has settled is at least not read again by ourselves.
    async fn give_away(&mut self, partitions: &[HubPartition]) {
        let is_lost = self.consumer.assignment_lost();
        self.release(partitions).await;
        if is_lost {
            self.count_reconnects(ASSIGNMENT_LOST, 1);
        } else {
            self.commit_now(partitions).await;
        }
        self.owned.retain(|at, _| !partitions.contains(at));
        info!(
            partitions = partitions.len(),
            is_lost, "partitions given away"
        );
        let leaving = list(partitions.iter().map(|at| (at, None)));
        if let Err(error) = self.consumer.incremental_unassign(&leaving) {
            warn!(%error, "partitions not given away");
        }
    }

    async fn release(&mut self, partitions: &[HubPartition]) {
        let deadline = Instant::now() + SETTLING;
        let mut leaving: Vec<_> = partitions
            .iter()
            .filter_map(|at| {
                let owned = self.owned.remove(at)?;
                owned.release();
                Some((at.clone(), owned))
            })
            .collect();
        for (_, owned) in &mut leaving {
            owned.settle(deadline).await;
        }
        self.owned.extend(leaving);
    }

    /// Ends all reading politely: what was read settles, and the group hears of it.
    pub(super) async fn leave(mut self) {
        let all: Vec<_> = self.owned.keys().cloned().collect();
        self.release(&all).await;
        self.commit_now(&all).await;
        self.owned.clear();
        self.show_owned();
        let left = tokio::task::spawn_blocking(move || drop(self)).await;
        left.expect("leaving a group does not panic");
    }

    /// Whether a reader ended although nobody told it to.
    pub(super) fn is_abandoned(&self) -> bool {
        self.owned.values().any(Owned::is_abandoned)
    }

    /// Shows backlog and lag.
    pub(super) fn show(&mut self) {
        if let Some(statistics) = self.board.take_statistics() {
            self.read(&statistics);
        }
        for owned in self.owned.values() {
            if let Some(next) = owned.settled_next() {
                owned.standing.settled(next);
            }
            owned.standing.show();
        }
    }

    fn count_reconnects(&self, reason: &str, times: u64) {
        let metrics = &self.shared.metrics;
        metrics.counter(&SOURCE_RECONNECTS, &[reason]).inc_by(times);
    }

    fn read(&mut self, statistics: &Statistics) {
        let ended: i64 = statistics.brokers.values().map(|it| it.disconnects).sum();
        let before = std::mem::replace(&mut self.disconnects, ended);
        self.count_reconnects(DISCONNECTED, u64::try_from(ended - before).unwrap_or(0));
        let answers = std::mem::replace(&mut self.answers, statistics.rx);
        if statistics.rx == answers {
            return;
        }
        for ((hub, number), owned) in &self.owned {
            let partition = statistics
                .topics
                .get(hub)
                .and_then(|topic| topic.partitions.get(&number.to_string()));
            let active = partition.filter(|partition| partition.fetch_state == "active");
            if let Some(partition) = active {
                owned
                    .standing
                    .answered(Some(partition.hi_offset).filter(|end| *end >= 0));
                self.health.works();
            }
        }
        let throttled_ms: i64 = statistics
            .brokers
            .values()
            .map(|broker| broker.throttle.sum)
            .sum();
        let labels = ["namespace", "throttled"];
        let seconds = self.shared.metrics.seconds(&SOURCE_WAIT_SECONDS, &labels);
        seconds.inc_by(throttled_ms.max(0) as f64 / 1000.0);
    }
}

impl Drop for Group {
    /// A consumer can be closed only when everything that the group asked is answered.
    fn drop(&mut self) {
        for change in self.board.close() {
            let told = match &change {
                Change::Assigned(partitions) => self
                    .consumer
                    .incremental_assign(&list(partitions.iter().map(|at| (at, None)))),
                Change::Revoked(partitions) => self
                    .consumer
                    .incremental_unassign(&list(partitions.iter().map(|at| (at, None)))),
            };
            if let Err(error) = told {
                warn!(%error, "leaving the group");
            }
        }
    }
}
