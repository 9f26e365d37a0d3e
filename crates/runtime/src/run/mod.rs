//! The thin shell around the state machines: tasks, channels, and the order of start and stop.
//!
//! Per source one task; per partition one that takes batches in and runs the transforms, and one
//! that moves the checkpoint; per sink one worker. Events travel as `Vec<Event>`.

mod build;
mod ending;
mod engine;
mod flow;
mod hold;
mod host;
mod keeper;
mod ledger;
mod pipe;
mod progress;
mod reload;
mod replay;
mod setup;
#[cfg(test)]
mod simulation;
mod source;
mod stage;
mod starting;
#[cfg(test)]
mod tests;
mod trace;
mod transactions;
mod unit;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use tapline_core::metrics::BUDGET_BYTES;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout_at};

use crate::budget::Budget;
use crate::checkpoint::LocalStore;
use crate::dead_letters::DeadLetters;
use crate::registry::CursorForms;
use crate::state::{StateDesk, kept_elsewhere};
use crate::status::State;
use ending::Ending;
pub use ending::Stopped;
use engine::Engine;
pub(crate) use hold::{OpenPartitions, Restless};
pub use reload::{NotReloaded, Reload, Reloaded, Reloading};
pub use setup::{DEAD_LETTERS, Setup};
use starting::{Before, Started, Starter, start_dead_letters};
pub use starting::{BuildFailures, StartError};
use unit::{SinkUnit, SourceUnit, Unit};

/// Chunks of events between the partitions and one sink.
const SINK_QUEUE: usize = 8;
/// How long tasks may take to notice that the drain ran out of time.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// Why a running pipeline should be stopped although nobody asked for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Ended {
    /// Another process took our place: stop, and do not restart.
    Fenced,
    /// A component's checkpoints belong to another stream; the text says which and what to do.
    Refused(String),
    /// All that was to be read is read and settled: a backfill is over.
    Finished,
}

/// Starts pipelines.
pub struct Runtime;

/// A running pipeline. Dropping it stops it without a drain.
pub struct Running {
    /// What it was started with; its topology is what runs now.
    setup: Setup,
    engine: Arc<Engine>,
    abandon: watch::Sender<bool>,
    ended: watch::Receiver<Option<Ended>>,
    budget: Budget,
    sources: Vec<SourceUnit>,
    sinks: Vec<SinkUnit>,
    /// Sinks that end when nobody keeps cursors there any more.
    transactional: Vec<Unit>,
    /// The source of the letters that are sent again.
    replay: Option<SourceUnit>,
    /// Components that a reload took out, on their way to the end.
    leaving: JoinSet<()>,
    dead_letters: DeadLetters,
    letters: JoinHandle<()>,
}

impl Runtime {
    /// Builds all components, sinks first, and starts them. Connects nothing itself.
    ///
    /// # Errors
    /// [`StartError`] when a folder or a component cannot be used.
    pub async fn start(setup: Setup) -> Result<Running, StartError> {
        let store = LocalStore::open(&setup.data_dir).await?;
        // Never raised: components have signals of their own.
        let (_, stopping) = watch::channel(false);
        let (abandon, abandoned) = watch::channel(false);
        let (end, ended) = watch::channel(None);
        let (dead_letters, letters) = start_dead_letters(&setup, abandoned.clone())?;
        let engine = Arc::new(Engine {
            local: Arc::new(store),
            board: setup.board.clone(),
            data_dir: setup.data_dir.clone(),
            stopping,
            abandoned,
            end,
            ends_refused: true,
            partitions: Default::default(),
            open: OpenPartitions::default(),
            unsettled: Default::default(),
        });
        let gauge = setup.metrics.gauge(&BUDGET_BYTES, &[]);
        let mut starter = Starter {
            engine: Arc::clone(&engine),
            transactional: Vec::new(),
            dead_letters: dead_letters.clone(),
            budget: Budget::new(setup.budget(), gauge),
            ends_refused: true,
            unfinished: Arc::default(),
        };
        let Started {
            sinks,
            transactional,
            sources,
            replay,
        } = starter.start_all(&setup)?;
        setup.board.pipeline(State::Running);
        tracing::info!(pipeline = %setup.name, "running");
        Ok(Running {
            setup,
            engine,
            abandon,
            ended,
            budget: starter.budget,
            sources,
            sinks,
            transactional,
            replay: Some(replay),
            leaving: JoinSet::new(),
            dead_letters,
            letters,
        })
    }
}

impl Running {
    /// Completes when the pipeline should be stopped although nobody asked for it. Cancel-safe.
    pub async fn ended(&self) -> Ended {
        let mut ended = self.ended.clone();
        match ended.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(why)) => why.clone(),
            // The engine lives as long as we do, so its sender is never gone before.
            _ => std::future::pending().await,
        }
    }

    /// The durable state, to be looked at and changed while this runs.
    pub fn state(&self, cursors: CursorForms) -> StateDesk {
        let store = Arc::clone(&self.engine.local);
        let elsewhere = kept_elsewhere(&self.setup.name, &self.setup.topology);
        StateDesk::new(store, self.engine.open.clone(), cursors).kept(elsewhere)
    }

    /// Completes when another process took our place. Cancel-safe.
    pub async fn fenced(&self) {
        let mut ended = self.ended.clone();
        let fenced = |ended: &Option<Ended>| *ended == Some(Ended::Fenced);
        if ended.wait_for(fenced).await.is_err() {
            std::future::pending().await
        }
    }

    /// Stops the sources, lets what they read settle, and makes the checkpoints durable; what is
    /// unsettled at the deadline is given up and read again at the next start.
    pub async fn stop(self) -> Stopped {
        let deadline = Instant::now() + self.setup.shutdown;
        self.engine.board.pipeline(State::Draining);
        tracing::info!("draining");
        let board = self.engine.board.clone();
        let mut ending = Ending::of(self);
        let drained = timeout_at(deadline, ending.drain()).await.is_ok();
        if !drained {
            ending.give_up().await;
        }
        board.pipeline(State::Stopped);
        let left = ending.unsettled();
        match drained && left == 0 {
            true => {
                tracing::info!("stopped, all settled");
                Stopped::Drained
            }
            false => {
                tracing::warn!(events = left, "stopped; unsettled events are read again");
                Stopped::DeadlinePassed(left)
            }
        }
    }
}
