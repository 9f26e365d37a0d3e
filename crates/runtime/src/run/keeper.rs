//! Moves the checkpoint of one partition, and rewinds its source.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tapline_core::metrics::IntCounter;
use tapline_core::metrics::{CHECKPOINT_COMMITS, ComponentMetrics, REWINDS};
use tapline_core::{Checkpoint, Control, Cursor, PartitionKey, StreamIdentity, Tenure, chain};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::engine::Engine;
use super::hold::Hold;
use super::ledger::Ledger;
use super::pipe::Held;
use crate::checkpoint::{CheckpointStore, Commit, Kept, StoreError, Turn};
use crate::settling::{Changes, Step};
use crate::status::{State, Trouble};

/// Between attempts of a store that refuses.
const STORE_AGAIN: Duration = Duration::from_millis(500);
/// How long the last commit may take once everything is given up.
const LAST_CHANCE: Duration = Duration::from_secs(1);
/// From this rewind without progress on, it is service that is lost.
const REPEATS_WORTH_AN_ERROR: u32 = 3;

pub(super) struct Keeper {
    pub(super) engine: Arc<Engine>,
    pub(super) store: Arc<dyn CheckpointStore>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) control: mpsc::Sender<Control>,
    /// Tells the source what is durable; closed when this ends.
    pub(super) settled: watch::Sender<Cursor>,
    pub(super) key: PartitionKey,
    pub(super) stream: StreamIdentity,
    /// Under which right the partition is read.
    pub(super) tenure: Tenure,
    /// Whoever changes the checkpoint from outside.
    pub(super) holds: mpsc::Receiver<Hold>,
    pub(super) counters: KeeperCounters,
    /// Asked for when there is something to commit.
    pub(super) turn: Option<Turn>,
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
        while self.go_on().await {}
        self.last_commit().await;
        let left = self.ledger.close();
        self.engine.add_unsettled(left as u64);
        self.show(State::Stopped);
    }

    async fn go_on(&mut self) -> bool {
        let is_called = self.turn.as_mut().is_some_and(Turn::has_come);
        let step = match self.ledger.step_if(is_called, Instant::now()) {
            Ok(step) => step,
            Err(bytes) => {
                let turn = self.turn.get_or_insert_with(|| self.store.turn());
                turn.weigh(bytes);
                return self.wait(None).await;
            }
        };
        if !matches!(step, Step::Commit { .. }) {
            self.turn = None;
        }
        match step {
            Step::Commit { cursor, changes } => self.commit(cursor, changes).await,
            Step::Rewind { repeats } => self.rewind(repeats).await,
            Step::Wait(_) if self.ledger.is_finished() => false,
            Step::Wait(until) => self.wait(until).await,
        }
    }

    async fn wait(&mut self, until: Option<Instant>) -> bool {
        let engine = Arc::clone(&self.engine);
        let store = Arc::clone(&self.store);
        let is_ours = !self.ledger.is_revoked();
        tokio::select! {
            () = self.ledger.changed() => true,
            () = comes(&mut self.turn) => true,
            () = store.tenure_over(&self.key, self.tenure), if is_ours => self.revoke(),
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
        self.turn = None;
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
            ..
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

    /// Another process is to read the partition: what is under way is void, and the source hears of
    /// it. True, since the source still has to let go.
    fn revoke(&self) -> bool {
        let PartitionKey {
            component,
            partition,
            ..
        } = &self.key;
        tracing::info!(component, partition, "partition taken away");
        // Said before anybody who waits hears that it came to nothing. Full only if the source takes
        // nothing any more, and closed if it has let go.
        let _known = self.control.try_send(Control::Revoked);
        self.ledger.revoke();
        true
    }

    /// Repeats until it is durable or void; false if everything is given up before.
    async fn commit(&mut self, cursor: Cursor, changes: Changes) -> bool {
        let (commit, _held) = self.step(cursor, changes);
        let mut failed = false;
        let kept = loop {
            let turn = self.turn.take().unwrap_or_else(|| self.store.turn());
            let kept = tokio::select! {
                kept = self.store.commit(commit.clone(), turn) => kept,
                () = self.engine.abandoned() => return false,
            };
            match kept {
                Ok(kept) => break kept,
                Err(error) => {
                    self.counters.failed.inc();
                    if !failed {
                        self.complain(&error);
                        failed = true;
                    }
                }
            }
            tokio::select! {
                () = sleep(STORE_AGAIN) => {}
                () = self.engine.abandoned() => return false,
            }
        };
        self.recovered(failed);
        match kept {
            Kept::Durable => self.done(&commit),
            Kept::Void => self.ledger.voided(),
        }
        true
    }

    fn recovered(&self, failed: bool) {
        if failed {
            tracing::info!(component = self.key.component, "checkpoints are kept again");
            self.trouble(None);
        }
    }

    /// The step, and what its batches hold in memory until it is durable.
    fn step(&self, cursor: Cursor, changes: Changes) -> (Commit, Vec<Arc<Held>>) {
        let mut events = Vec::new();
        let mut held = Vec::new();
        for mut staged in self.ledger.take_staged() {
            events.append(&mut staged.events);
            held.push(staged.held);
        }
        let commit = Commit {
            key: self.key.clone(),
            stream: self.stream.clone(),
            cursor,
            changes,
            tenure: self.tenure,
            events: Arc::new(events),
        };
        (commit, held)
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
            error = chain(error),
            "checkpoint not kept; trying again, nothing moves meanwhile"
        );
        self.trouble(Some(format!("checkpoint not kept: {}", chain(error))));
    }

    fn trouble(&self, detail: Option<String>) {
        let id = &self.key.component;
        self.engine.board.trouble(id, Trouble::Checkpoints, detail);
    }

    /// What settled before the end is kept, if the store takes it at once.
    async fn last_commit(&mut self) {
        self.ledger.hurry();
        if let Step::Commit { cursor, changes } = self.ledger.step(Instant::now()) {
            let (commit, _held) = self.step(cursor, changes);
            let mut turn = self.turn.take().unwrap_or_else(|| self.store.turn());
            let kept = async {
                turn.comes().await;
                self.store.commit(commit.clone(), turn).await
            };
            let kept = tokio::select! {
                kept = kept => kept,
                () = last_chance(&self.engine) => return,
            };
            match kept {
                Ok(Kept::Durable) => self.done(&commit),
                Ok(Kept::Void) => self.ledger.voided(),
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
        let Some(checkpoint) = checkpoint else {
            return self.revoke();
        };
        // It may have begun meanwhile; then what is lost counts as what was not settled.
        if self.engine.is_stopping() {
            return false;
        }
        self.counters.rewinds.inc();
        self.say_rewind(repeats);
        self.ledger.rewound();
        // There is room: the source took the last rewind before it sent what was lost now.
        self.control.try_send(Control::Rewind(checkpoint)).is_ok()
    }

    /// What is durable, or nothing if the partition is no longer ours; none if everything is given
    /// up before.
    async fn read_durable(&self) -> Option<Option<Checkpoint>> {
        let mut failed = false;
        loop {
            let read = tokio::select! {
                read = self.store.read(&self.key) => read,
                () = self.store.tenure_over(&self.key, self.tenure) => return Some(None),
                () = self.engine.abandoned() => return None,
            };
            match read {
                Ok(stored) => {
                    self.recovered(failed);
                    let checkpoint = stored.map(|stored| stored.checkpoint).unwrap_or_default();
                    return Some(Some(checkpoint));
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
            ..
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
            ..
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

/// Completes a moment after everything was given up: a store on disk takes what is left in time.
async fn last_chance(engine: &Engine) {
    engine.abandoned().await;
    sleep(LAST_CHANCE).await;
}

/// Completes when the turn comes that was asked for. Cancel-safe.
async fn comes(turn: &mut Option<Turn>) {
    match turn {
        Some(turn) => turn.comes().await,
        None => std::future::pending().await,
    }
}

async fn until_then(until: Option<Instant>) {
    match until {
        Some(until) => sleep_until(until).await,
        None => std::future::pending().await,
    }
}
