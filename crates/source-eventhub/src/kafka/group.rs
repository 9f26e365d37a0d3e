//! Our share of the group's partitions: opening, giving away, and committing offsets.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use tapline_core::metrics::{SOURCE_MISSED_RECORDS, SOURCE_PARTITIONS, SOURCE_WAIT_SECONDS};
use tapline_core::{Cursor, OpenError, Partition, SourceConfig, SourceContext, StreamIdentity};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::{info, warn};

use super::Shared;
use super::context::{Board, Change, HubPartition, Statistics, list};
use super::faults::fault;
use super::position::{asking, next_offset};
use super::reader::{KafkaConsumer, Reader};
use crate::config::EventHubConfig;
use crate::cursor::HubCursor;
use crate::events::Reaper;
use crate::health::ConnectionHealth;
use crate::standing::Standing;
use crate::start::StartAt;

/// How long a partition that is taken away may settle, so that its next reader repeats nothing;
/// and the same when we stop.
const SETTLING: Duration = Duration::from_secs(10);
/// Between attempts of what the service refused.
const AGAIN: Duration = Duration::from_secs(1);

/// A group that is being balanced refuses commits for a moment.
const COMMIT_ATTEMPTS: usize = 6;
const COMMIT_AGAIN: Duration = Duration::from_millis(500);

/// The partitions that this process reads. Dropping it leaves the group.
pub(super) struct Group {
    pub(super) consumer: Arc<KafkaConsumer>,
    pub(super) board: Arc<Board>,
    pub(super) shared: Arc<Shared>,
    pub(super) health: Arc<ConnectionHealth>,
    pub(super) cx: SourceContext,
    pub(super) owned: HashMap<HubPartition, Owned>,
    /// Answers of the service counted by the last statistics.
    pub(super) answers: i64,
}

/// One partition that we read.
pub(super) struct Owned {
    release: watch::Sender<bool>,
    settled: watch::Receiver<Cursor>,
    standing: Arc<Standing>,
    /// What the group was told last.
    committed: Option<i64>,
    reader: Task,
}

/// Ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A partition that was opened, and where to begin.
struct Opened {
    at: HubPartition,
    partition: Partition,
    next: i64,
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
        let metrics = &self.shared.metrics;
        metrics
            .gauge(&SOURCE_PARTITIONS, &[])
            .set(self.owned.len() as f64);
        Ok(())
    }

    async fn take_over(&mut self, partitions: &[HubPartition]) -> Result<(), OpenError> {
        let mut opened = Vec::with_capacity(partitions.len());
        let start_at = self.start_at();
        for at in partitions {
            opened.push(self.open(at, start_at).await?);
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

    /// A partition that was added while we read has nothing but new messages: all are wanted.
    fn start_at(&self) -> StartAt {
        match self.shared.start_at {
            StartAt::Latest if self.shared.has_begun.load(Ordering::Relaxed) => StartAt::Earliest,
            other => other,
        }
    }

    async fn open(&self, at: &HubPartition, start_at: StartAt) -> Result<Opened, OpenError> {
        let name = name(at);
        let partition = self.cx.open(&name, self.identity(at)).await?;
        let checkpoint = HubCursor::decode(&partition.checkpoint().cursor)
            .map_err(|error| OpenError::ForeignCheckpoint(format!("{name}: {error}")))?;
        let next = self.start(at, checkpoint.as_ref(), start_at).await;
        // From here on nothing is lost, also if nothing can be read yet; and a rewind knows
        // where another replica had left off.
        if checkpoint.map(|checkpoint| checkpoint.next()) != Some(next) {
            partition.commit(HubCursor::before(next).encode()).await?;
        }
        Ok(Opened {
            at: at.clone(),
            partition,
            next,
        })
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
            match next_offset(&self.consumer, at, checkpoint, start_at).await {
                Ok(next) => return next,
                Err(error) => {
                    let code = error
                        .rdkafka_error_code()
                        .unwrap_or(rdkafka::types::RDKafkaErrorCode::Fail);
                    let (reason, why) = fault(code, &self.shared.access);
                    self.health.failed(reason, &why);
                    sleep(AGAIN).await;
                }
            }
        }
    }

    fn reader(&self, at: HubPartition, partition: Partition, next: i64) -> Option<Reader> {
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
            reaper: Reaper::new(tables, Arc::clone(labels), metrics, recall),
            standing: Arc::new(Standing::new(metrics, &name, next)),
            missed: metrics.counter(&SOURCE_MISSED_RECORDS, &[&name]),
            health: Arc::clone(&self.health),
            access: Arc::clone(access),
        })
    }

    /// Stops reading, lets what was read settle, and tells the group how far that is. A group that
    /// gave us up takes no word of us; what has settled is at least not read again by ourselves.
    async fn give_away(&mut self, partitions: &[HubPartition]) {
        let is_lost = self.consumer.assignment_lost();
        self.release(partitions).await;
        if !is_lost {
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
                owned.release.send_replace(true);
                Some((at.clone(), owned))
            })
            .collect();
        for (_, owned) in &mut leaving {
            // A reader that panicked is released too.
            drop((&mut owned.reader.0).await);
            let settled = async { while owned.settled.changed().await.is_ok() {} };
            if timeout_at(deadline, settled).await.is_err() {
                warn!("some of a partition is still in flight; its next reader repeats that");
            }
        }
        self.owned.extend(leaving);
    }

    /// Ends all reading politely: what was read settles, and the group hears of it.
    pub(super) async fn leave(mut self) {
        let all: Vec<_> = self.owned.keys().cloned().collect();
        self.release(&all).await;
        self.commit_now(&all).await;
        let left = tokio::task::spawn_blocking(move || drop(self)).await;
        left.expect("leaving a group does not panic");
    }

    /// Tells the group what is settled since the last time, without waiting for its answer.
    pub(super) fn commit(&mut self) {
        if self.board.take_commit_failed() {
            self.owned
                .values_mut()
                .for_each(|owned| owned.committed = None);
        }
        let due = self.due(|_| true);
        if due.is_empty() {
            return;
        }
        let offsets = list(due.iter().map(|(at, next)| (at, Some(*next))));
        self.note(self.consumer.commit(&offsets, CommitMode::Async), &due);
    }

    /// Tells the group what is settled, and waits until it knows. What an earlier commit said does
    /// not count, since its answer may still be on its way.
    async fn commit_now(&mut self, partitions: &[HubPartition]) {
        for owned in self.owned.values_mut() {
            owned.committed = None;
        }
        let due = self.due(|at| partitions.contains(at));
        if due.is_empty() {
            return;
        }
        for _ in 0..COMMIT_ATTEMPTS {
            let offsets = list(due.iter().map(|(at, next)| (at, Some(*next))));
            let told = asking(&self.consumer, move |consumer| {
                consumer.commit(&offsets, CommitMode::Sync)
            });
            let told = told.await;
            let is_told = told.is_ok();
            self.note(told, &due);
            if is_told {
                return;
            }
            sleep(COMMIT_AGAIN).await;
        }
    }

    fn note(&mut self, told: KafkaResult<()>, due: &[(HubPartition, i64)]) {
        match told {
            Ok(()) => {
                for (at, next) in due {
                    if let Some(owned) = self.owned.get_mut(at) {
                        owned.committed = Some(*next);
                    }
                }
            }
            Err(error) => {
                warn!(%error, "offsets not committed to the group; the checkpoint has them")
            }
        }
    }

    fn due(&self, wanted: impl Fn(&HubPartition) -> bool) -> Vec<(HubPartition, i64)> {
        let ours = self.owned.iter().filter(|(at, _)| wanted(at));
        let due = ours.filter_map(|(at, owned)| {
            let next = owned.settled_next()?;
            (owned.committed != Some(next)).then(|| (at.clone(), next))
        });
        due.collect()
    }

    /// Whether a reader ended although nobody told it to.
    pub(super) fn is_abandoned(&self) -> bool {
        self.owned
            .values()
            .any(|owned| owned.reader.0.is_finished())
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

    fn read(&mut self, statistics: &Statistics) {
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

impl Owned {
    fn start(reader: Reader) -> Self {
        let (release, released) = watch::channel(false);
        Self {
            release,
            settled: reader.partition.settled(),
            standing: Arc::clone(&reader.standing),
            committed: None,
            reader: Task(tokio::spawn(reader.run(released))),
        }
    }

    fn settled_next(&self) -> Option<i64> {
        let cursor = HubCursor::decode(&self.settled.borrow());
        Some(cursor.ok()??.next())
    }
}

/// The name of a partition, in checkpoints and metrics.
fn name((hub, number): &HubPartition) -> String {
    format!("{hub}/{number}")
}
