//! Moves the checkpoint of one partition, and rewinds its source.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tapline_core::metrics::IntCounter;
use tapline_core::metrics::{CHECKPOINT_COMMITS, ComponentMetrics, REWINDS};
use tapline_core::{Checkpoint, Control, Cursor, StreamIdentity};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::chain;
use super::engine::Engine;
use super::hold::Hold;
use super::ledger::Ledger;
use crate::checkpoint::{Commit, PartitionKey, StoreError};
use crate::settling::{Changes, Step};
use crate::status::{State, Trouble};

/// Between attempts of a store that refuses.
const STORE_AGAIN: Duration = Duration::from_millis(500);
/// From this rewind without progress on, it is service that is lost.
const REPEATS_WORTH_AN_ERROR: u32 = 3;

pub(super) struct Keeper {
    pub(super) engine: Arc<Engine>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) control: mpsc::Sender<Control>,
    /// Tells the source what is durable; closed when this ends.
    pub(super) settled: watch::Sender<Cursor>,
    pub(super) key: PartitionKey,
    pub(super) stream: StreamIdentity,
    /// Whoever changes the checkpoint from outside.
    pub(super) holds: mpsc::Receiver<Hold>,
    pub(super) counters: KeeperCounters,
    pub(super) told_to_stop: bool,
}

/// Handles of the keeper's metrics.
pub(super) struct KeeperCounters {
    committed: IntCounter,
    failed: IntCounter,
    rewinds: IntCounter,
}

impl KeeperCounters {
    pub(super) fn new(metrics: &ComponentMetrics, partition: &str) -> Self {
        Self {
            committed: metrics.counter(&CHECKPOINT_COMMITS, &["ok"]),
            failed: metrics.counter(&CHECKPOINT_COMMITS, &["failed"]),
            rewinds: metrics.counter(&REWINDS, &[partition]),
        }
    }
}

impl Keeper {
    /// Runs until no batch is open and none will come, or everything is given up.
    pub(super) async fn run(mut self) {
        while self.turn().await {}
        self.last_commit().await;
        let left = self.ledger.close();
        self.engine.add_unsettled(left);
        self.show(State::Stopped);
    }

    async fn turn(&mut self) -> bool {
        match self.ledger.step(Instant::now()) {
            Step::Commit { cursor, changes } => self.commit(cursor, changes).await,
            Step::Rewind { repeats } => self.rewind(repeats).await,
            Step::Wait(_) if self.ledger.is_finished() => false,
            Step::Wait(until) => self.wait(until).await,
        }
    }

    async fn wait(&mut self, until: Option<Instant>) -> bool {
        let engine = Arc::clone(&self.engine);
        tokio::select! {
            () = self.ledger.changed() => true,
            () = until_then(until) => true,
            Some(hold) = self.holds.recv() => self.hold(hold).await,
            () = engine.stopping(), if !self.told_to_stop => {
                self.tell_to_stop();
                true
            }
            () = engine.abandoned() => false,
        }
    }

    /// Stands still until the checkpoint was changed, or was not after all.
    async fn hold(&mut self, hold: Hold) -> bool {
        if hold.held.send(()).is_err() {
            return true;
        }
        let engine = Arc::clone(&self.engine);
        tokio::select! {
            moved = hold.moved => match moved {
                Ok(checkpoint) => self.moved(checkpoint).await,
                Err(_) => true,
            },
            () = engine.abandoned() => false,
        }
    }

    /// Everything open is void; the source reads from the new checkpoint.
    async fn moved(&self, checkpoint: Checkpoint) -> bool {
        let PartitionKey {
            component,
            partition,
        } = &self.key;
        tracing::info!(component, partition, "checkpoint moved by hand");
        self.counters.rewinds.inc();
        self.ledger.rewound();
        self.settled.send_replace(checkpoint.cursor.clone());
        self.show(State::Running);
        tokio::select! {
            // Without a reader, whoever opens the partition next begins at what is durable.
            _read = self.control.send(Control::Rewind(checkpoint)) => true,
            () = self.engine.abandoned() => false,
        }
    }

    fn tell_to_stop(&mut self) {
        self.told_to_stop = true;
        self.ledger.hurry();
        // Full or closed means that the source has other ways to know.
        let _known = self.control.try_send(Control::Stop);
    }

    /// Repeats until it is durable; false if everything is given up before.
    async fn commit(&self, cursor: Cursor, changes: Changes) -> bool {
        let commit = self.step(cursor, changes);
        let mut failed = false;
        while let Err(error) = self.engine.store.commit(commit.clone()).await {
            self.counters.failed.inc();
            if !failed {
                self.complain(&error);
                failed = true;
            }
            tokio::select! {
                () = sleep(STORE_AGAIN) => {}
                () = self.engine.abandoned() => return false,
            }
        }
        self.recovered(failed);
        self.done(&commit);
        true
    }

    fn recovered(&self, failed: bool) {
        if failed {
            tracing::info!(component = self.key.component, "checkpoints are kept again");
            self.trouble(None);
        }
    }

    fn step(&self, cursor: Cursor, changes: Changes) -> Commit {
        Commit {
            key: self.key.clone(),
            stream: self.stream.clone(),
            cursor,
            changes,
        }
    }

    fn done(&self, commit: &Commit) {
        self.counters.committed.inc();
        self.ledger.committed();
        self.settled.send_replace(commit.cursor.clone());
        tracing::debug!(
            component = commit.key.component,
            partition = commit.key.partition,
            entries = commit.changes.len(),
            "checkpoint moved"
        );
        self.show(State::Running);
    }

    fn complain(&self, error: &StoreError) {
        tracing::error!(
            component = self.key.component,
            partition = self.key.partition,
            error = error as &dyn std::error::Error,
            "checkpoint not kept; trying again, nothing moves meanwhile"
        );
        self.trouble(Some(format!("checkpoint not kept: {}", chain(error))));
    }

    fn trouble(&self, detail: Option<String>) {
        let id = &self.key.component;
        self.engine.board.trouble(id, Trouble::Checkpoints, detail);
    }

    /// What settled before the end is kept, if the store takes it at once.
    async fn last_commit(&self) {
        self.ledger.hurry();
        if let Step::Commit { cursor, changes } = self.ledger.step(Instant::now()) {
            let commit = self.step(cursor, changes);
            match self.engine.store.commit(commit.clone()).await {
                Ok(()) => self.done(&commit),
                Err(error) => self.complain(&error),
            }
        }
    }

    /// False if there is nobody left to read again.
    async fn rewind(&self, repeats: u32) -> bool {
        if self.engine.is_stopping() {
            return false;
        }
        let Some(checkpoint) = self.read_durable().await else {
            return false;
        };
        self.counters.rewinds.inc();
        self.say_rewind(repeats);
        self.ledger.rewound();
        // There is room: the source took the last rewind before it sent what was lost now.
        self.control.try_send(Control::Rewind(checkpoint)).is_ok()
    }

    async fn read_durable(&self) -> Option<Checkpoint> {
        let mut failed = false;
        loop {
            match self.engine.store.read(&self.key).await {
                Ok(stored) => {
                    self.recovered(failed);
                    return Some(stored.map(|s| s.checkpoint).unwrap_or_default());
                }
                Err(error) => self.complain(&error),
            }
            failed = true;
            tokio::select! {
                () = sleep(STORE_AGAIN) => {}
                () = self.engine.abandoned() => return None,
            }
        }
    }

    fn say_rewind(&self, repeats: u32) {
        let PartitionKey {
            component,
            partition,
        } = &self.key;
        match repeats < REPEATS_WORTH_AN_ERROR {
            true => tracing::warn!(component, partition, "event lost, reading again"),
            false => tracing::error!(
                component,
                partition,
                repeats,
                "the same events are lost again and again; the partition does not move"
            ),
        }
        self.engine
            .board
            .partition(component, partition, |status| status.rewinds += 1);
    }

    fn show(&self, state: State) {
        let open = self.ledger.open_events() as u64;
        let PartitionKey {
            component,
            partition,
        } = &self.key;
        self.engine.board.partition(component, partition, |status| {
            status.state = state;
            status.in_flight_events = open;
            if state == State::Running {
                status.checkpoint_at = Some(Timestamp::now());
            }
        });
    }
}

async fn until_then(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
