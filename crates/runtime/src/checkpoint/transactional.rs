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
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::turns::{Called, Caller, Given, Turn, Turns, line};
use super::{CheckpointStore, Commit, Kept, StoreError, Stored, record};
use crate::settling::SettlingLimits;

/// Events of one step; what is settled beyond goes with the next, so that a transaction ends in time.
const STEP_EVENTS: usize = 2_500;
/// How long a sink may take to say goodbye, within the time of the drain.
const GOODBYE: Duration = Duration::from_secs(5);

/// The store of the partitions that lead to one transactional sink.
pub(crate) struct TransactionalStore {
    sink: Arc<dyn TransactionalSink>,
    turns: Turns,
    received: IntCounter,
    in_flight: Gauge,
}

/// Puts steps together and hands them to the sink; ends when the last store is gone.
pub(crate) struct Committer {
    sink: Arc<dyn TransactionalSink>,
    caller: Caller,
    /// So many bytes do not wait for more; what came meanwhile goes with them, up to as much again.
    enough: usize,
    sent: IntCounter,
    took: Histogram,
}

impl TransactionalStore {
    /// A store and who works for it.
    pub(crate) fn new(
        sink: Arc<dyn TransactionalSink>,
        metrics: &ComponentMetrics,
        enough: usize,
    ) -> (Self, Committer) {
        let (turns, caller) = line();
        let committer = Committer {
            sink: Arc::clone(&sink),
            caller,
            enough,
            sent: metrics.counter(&SENT_EVENTS, &[]),
            took: metrics.histogram(&SINK_DELIVERY_SECONDS, &[]),
        };
        let store = Self {
            sink,
            turns,
            received: metrics.counter(&RECEIVED_EVENTS, &[]),
            in_flight: metrics.gauge(&IN_FLIGHT_EVENTS, &[]),
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

    fn turn(&self) -> Turn {
        self.turns.take()
    }

    async fn commit(&self, commit: Commit, turn: Turn) -> Result<Kept, StoreError> {
        let events = commit.events.len();
        self.received.inc_by(events as u64);
        let _in_flight = InFlight::new(&self.in_flight, events);
        Ok(turn.give(commit).await)
    }
}

/// Events that are counted for as long as it lives.
struct InFlight<'a>(&'a Gauge, f64);

impl<'a> InFlight<'a> {
    fn new(gauge: &'a Gauge, events: usize) -> Self {
        gauge.add(events as f64);
        Self(gauge, events as f64)
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.sub(self.1);
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
        while let Some(called) = self.gather(stopping).await {
            let mut steps = Vec::with_capacity(called.len());
            for partition in called {
                steps.extend(partition.step().await);
            }
            if !steps.is_empty() {
                self.commit(steps).await?;
            }
        }
        if timeout(GOODBYE, self.sink.close()).await.is_err() {
            tracing::warn!("sink did not close in time");
        }
        Ok(())
    }

    /// Waits for partitions that have a step, and for what may share their transaction, and calls
    /// them; none if no more will come.
    async fn gather(&mut self, stopping: &mut watch::Receiver<bool>) -> Option<Vec<Called>> {
        let since = self.caller.first().await?;
        tokio::select! {
            () = self.caller.reaches(self.enough) => {}
            () = sleep_until(since + self.sink.interval()) => {}
            // An error means that nobody runs the pipeline any more.
            _ = stopping.wait_for(|stopping| *stopping) => {}
        }
        self.sink.ready().await;
        Some(self.caller.call(2 * self.enough))
    }

    async fn commit(&self, steps: Vec<Given>) -> Result<(), Fenced> {
        let begin = Instant::now();
        let (advances, replies): (Vec<_>, Vec<_>) = steps
            .into_iter()
            .map(|Given { commit, reply }| (Arc::new(advance(commit)), reply))
            .unzip();
        let advanced = self.sink.commit(advances.clone()).await;
        self.took.observe(begin.elapsed().as_secs_f64());
        // Whoever gets no answer takes its step for void.
        let advanced = advanced?;
        for ((advance, advanced), reply) in advances.iter().zip(advanced).zip(replies) {
            let kept = self.kept(advance, advanced);
            // Nobody waits any more if the partition was abandoned meanwhile.
            let _abandoned = reply.send(kept);
        }
        Ok(())
    }

    fn kept(&self, advance: &Advance, advanced: Advanced) -> Kept {
        match advanced {
            Advanced::Durable { rejected } => {
                let sent = advance.events.len().saturating_sub(rejected);
                self.sent.inc_by(sent as u64);
                Kept::Durable
            }
            Advanced::Void => Kept::Void,
        }
    }
}

fn advance(commit: Commit) -> Advance {
    Advance {
        record: record::encode(&commit.stream, &commit.cursor).into(),
        key: commit.key,
        tenure: commit.tenure,
        changes: commit.changes,
        events: commit.events,
    }
}
