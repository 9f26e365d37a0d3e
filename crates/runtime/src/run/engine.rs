//! What all tasks of one component share, and through it with those of the others.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;
use tokio_util::task::TaskTracker;

use super::Ended;
use super::hold::OpenPartitions;
use crate::checkpoint::CheckpointStore;
use crate::status::StatusBoard;

pub(super) struct Engine {
    /// The one in the data folder; sinks may keep others.
    pub(super) local: Arc<dyn CheckpointStore>,
    pub(super) board: StatusBoard,
    pub(super) data_dir: PathBuf,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) abandoned: watch::Receiver<bool>,
    pub(super) end: watch::Sender<Option<Ended>>,
    /// Whether the pipeline ends where this component's checkpoints belong to another stream. It
    /// does at its start; a reload that brings such a component must not stop the others.
    pub(super) ends_refused: bool,
    pub(super) partitions: TaskTracker,
    /// Those of all components, for whoever changes their checkpoints.
    pub(super) open: OpenPartitions,
    pub(super) unsettled: AtomicU64,
}

impl Engine {
    /// The same for one component, with signals and partitions of its own.
    pub(super) fn apart(
        &self,
        stopping: watch::Receiver<bool>,
        abandoned: watch::Receiver<bool>,
        ends_refused: bool,
    ) -> Self {
        Self {
            local: Arc::clone(&self.local),
            board: self.board.clone(),
            data_dir: self.data_dir.clone(),
            stopping,
            abandoned,
            end: self.end.clone(),
            ends_refused,
            partitions: TaskTracker::new(),
            open: self.open.clone(),
            unsettled: AtomicU64::new(0),
        }
    }

    /// Completes when the sources have to stop. Cancel-safe.
    pub(super) async fn stopping(&self) {
        raised(&self.stopping).await;
    }

    /// Whether the sources have to stop.
    pub(super) fn is_stopping(&self) -> bool {
        *self.stopping.borrow() || self.stopping.has_changed().is_err()
    }

    /// Completes when everything unsettled is given up. Cancel-safe.
    pub(super) async fn abandoned(&self) {
        raised(&self.abandoned).await;
    }

    /// Whether everything unsettled is given up.
    pub(super) fn is_abandoned(&self) -> bool {
        *self.abandoned.borrow() || self.abandoned.has_changed().is_err()
    }

    /// Asks whoever runs the pipeline to stop it; the first reason stays.
    pub(super) fn end(&self, why: Ended) {
        self.end.send_if_modified(|ended| {
            let first = ended.is_none();
            ended.get_or_insert(why);
            first
        });
    }

    /// Counts events that were given up.
    pub(super) fn add_unsettled(&self, events: u64) {
        self.unsettled.fetch_add(events, Ordering::Relaxed);
    }

    pub(super) fn unsettled(&self) -> u64 {
        self.unsettled.load(Ordering::Relaxed)
    }
}

/// A signal whose sender is gone counts as raised: nobody runs the pipeline any more.
async fn raised(signal: &watch::Receiver<bool>) {
    let mut signal = signal.clone();
    let _gone = signal.wait_for(|raised| *raised).await;
}
