//! Checkpoints on the destination's side, durable together with the events before them.
//!
//! Steps of many partitions are put together into one transaction: when the first of them has
//! waited for the sink's interval, when enough bytes wait, or at once when the pipeline stops.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tapline_core::metrics::{
    ComponentMetrics, Gauge, Histogram, IN_FLIGHT_EVENTS, IntCounter, RECEIVED_EVENTS, SENT_EVENTS,
    SINK_DELIVERY_SECONDS,
};
use tapline_core::{
    Advance, Advanced, Checkpoint, Fenced, PartitionKey, Tenure, TransactionalSink,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::{CheckpointStore, Commit, Kept, StoreError, Stored, record};
use crate::settling::SettlingLimits;

/// Steps that may wait for a transaction; a partition has one at a time.
const STEPS: usize = 1024;
/// Events of one step; what is settled beyond goes with the next, so that a transaction ends in time.
const STEP_EVENTS: usize = 10_000;
/// How long a sink may take to say goodbye, within the time of the drain.
const GOODBYE: Duration = Duration::from_secs(5);

/// The store of the partitions that lead to one transactional sink.
pub(crate) struct TransactionalStore {
    sink: Arc<dyn TransactionalSink>,
    queue: mpsc::Sender<Request>,
    received: IntCounter,
    in_flight: Gauge,
}

/// A step, and who waits for it.
struct Request {
    advance: Arc<Advance>,
    weight: usize,
    since: Instant,
    reply: oneshot::Sender<Kept>,
}

/// Puts steps together and hands them to the sink; ends when the last store is gone.
pub(crate) struct Committer {
    sink: Arc<dyn TransactionalSink>,
    requests: mpsc::Receiver<Request>,
    /// So many bytes do not wait for more.
    enough: usize,
    sent: IntCounter,
    in_flight: Gauge,
    took: Histogram,
}

impl TransactionalStore {
    /// A store and who works for it.
    pub(crate) fn new(
        sink: Arc<dyn TransactionalSink>,
        metrics: &ComponentMetrics,
        enough: usize,
    ) -> (Self, Committer) {
        let (queue, requests) = mpsc::channel(STEPS);
        let in_flight = metrics.gauge(&IN_FLIGHT_EVENTS, &[]);
        let committer = Committer {
            sink: Arc::clone(&sink),
            requests,
            enough,
            sent: metrics.counter(&SENT_EVENTS, &[]),
            in_flight: in_flight.clone(),
            took: metrics.histogram(&SINK_DELIVERY_SECONDS, &[]),
        };
        let store = Self {
            sink,
            queue,
            received: metrics.counter(&RECEIVED_EVENTS, &[]),
            in_flight,
        };
        (store, committer)
    }
}

#[async_trait]
impl CheckpointStore for TransactionalStore {
    async fn acquire(&self, key: &PartitionKey) -> Tenure {
        let mut changes = self.sink.changes();
        loop {
            if let Some(tenure) = self.sink.tenure(key) {
                return tenure;
            }
            if changes.changed().await.is_err() {
                // The sink is gone, and with it whoever could give us a partition.
                std::future::pending::<()>().await;
            }
        }
    }

    async fn tenure_over(&self, key: &PartitionKey, tenure: Tenure) {
        let mut changes = self.sink.changes();
        while self.sink.tenure(key) == Some(tenure) {
            if changes.changed().await.is_err() {
                return;
            }
        }
    }

    fn owns(&self, key: &PartitionKey) -> Option<bool> {
        Some(self.sink.tenure(key).is_some())
    }

    fn place(&self) -> String {
        self.sink.place()
    }

    /// The transaction itself is what collects.
    fn limits(&self) -> SettlingLimits {
        SettlingLimits {
            commit_interval: Duration::ZERO,
            commit_events: STEP_EVENTS,
            ..SettlingLimits::default()
        }
    }

    async fn read(&self, key: &PartitionKey) -> Result<Option<Stored>, StoreError> {
        let durable = self.sink.recover(key).await;
        let Some(bytes) = durable.record else {
            return Ok(None);
        };
        let (stream, cursor) = record::decode(&bytes).map_err(|why| StoreError::Record {
            component: key.component.clone(),
            partition: key.partition.clone(),
            why,
        })?;
        let checkpoint = Checkpoint {
            cursor,
            entries: durable.entries,
        };
        Ok(Some(Stored { stream, checkpoint }))
    }

    async fn commit(&self, commit: Commit) -> Result<Kept, StoreError> {
        let events = commit.events.len();
        self.received.inc_by(events as u64);
        self.in_flight.add(events as f64);
        let (reply, kept) = oneshot::channel();
        let request = Request {
            weight: commit.weight,
            advance: Arc::new(Advance {
                record: record::encode(&commit.stream, &commit.cursor).into(),
                key: commit.key,
                tenure: commit.tenure,
                changes: commit.changes,
                events: commit.events,
            }),
            since: Instant::now(),
            reply,
        };
        // Nobody commits any more where another process took our place, or all is given up.
        if self.queue.send(request).await.is_err() {
            return Ok(Kept::Void);
        }
        Ok(kept.await.unwrap_or(Kept::Void))
    }
}

impl Committer {
    /// Runs until the last store is gone, or another process took our place.
    pub(crate) async fn run(mut self, mut stopping: watch::Receiver<bool>) -> Result<(), Fenced> {
        let sink = Arc::clone(&self.sink);
        tokio::select! {
            fenced = sink.run() => Err(fenced),
            ended = self.commit_all(&mut stopping) => ended,
        }
    }

    async fn commit_all(&mut self, stopping: &mut watch::Receiver<bool>) -> Result<(), Fenced> {
        let mut batch = Vec::new();
        while self.gather(&mut batch, stopping).await {
            self.commit(std::mem::take(&mut batch)).await?;
        }
        if timeout(GOODBYE, self.sink.close()).await.is_err() {
            tracing::warn!("sink did not close in time");
        }
        Ok(())
    }

    /// Waits for steps and for what may share their transaction; false if none will come.
    async fn gather(
        &mut self,
        batch: &mut Vec<Request>,
        stopping: &mut watch::Receiver<bool>,
    ) -> bool {
        let Some(first) = self.requests.recv().await else {
            return false;
        };
        let due = first.since + self.sink.interval();
        let mut weight = first.weight;
        batch.push(first);
        while weight < self.enough && batch.len() < STEPS {
            tokio::select! {
                biased;
                more = self.requests.recv() => match more {
                    Some(more) => {
                        weight += more.weight;
                        batch.push(more);
                    }
                    None => return true,
                },
                () = sleep_until(due) => return true,
                // An error means that nobody runs the pipeline any more.
                _ = stopping.wait_for(|stopping| *stopping) => return true,
            }
        }
        true
    }

    async fn commit(&self, batch: Vec<Request>) -> Result<(), Fenced> {
        let begin = Instant::now();
        let steps = batch.iter().map(|one| Arc::clone(&one.advance)).collect();
        let advanced = self.sink.commit(steps).await;
        self.took.observe(begin.elapsed().as_secs_f64());
        let advanced = match advanced {
            Ok(advanced) => advanced,
            Err(fenced) => {
                batch
                    .into_iter()
                    .for_each(|one| self.answer(one, Advanced::Void));
                return Err(fenced);
            }
        };
        for (one, advanced) in batch.into_iter().zip(advanced) {
            self.answer(one, advanced);
        }
        Ok(())
    }

    fn answer(&self, request: Request, advanced: Advanced) {
        let events = request.advance.events.len();
        self.in_flight.sub(events as f64);
        let kept = match advanced {
            Advanced::Durable { rejected } => {
                self.sent.inc_by(events.saturating_sub(rejected) as u64);
                Kept::Durable
            }
            Advanced::Void => Kept::Void,
        };
        // Nobody waits any more if the partition was abandoned meanwhile.
        let _abandoned = request.reply.send(kept);
    }
}
