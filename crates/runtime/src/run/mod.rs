//! The thin shell around the state machines: tasks, channels, and the order of start and stop.
//!
//! Per source one task; per partition one that takes batches in and runs the transforms, and one
//! that moves the checkpoint; per sink one worker. Events travel as `Vec<Event>`.

mod build;
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
#[cfg(test)]
mod simulation;
mod source;
mod stage;
#[cfg(test)]
mod tests;
mod trace;
mod transactions;
mod unit;
mod worker;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tapline_core::metrics::{BUDGET_BYTES, Metrics};
use tapline_core::{
    BuildError, ComponentName, Event, NetworkSettings, Shared, Sink, Source, Span, chain,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};

use crate::budget::{Budget, Share};
use crate::checkpoint::{CheckpointStore, LocalStore, StoreError};
use crate::config::Mistake;
use crate::dead_letters::DeadLetters;
use crate::registry::CursorForms;
use crate::state::{StateDesk, kept_elsewhere};
use crate::status::{State, StatusBoard};
use crate::topology::Topology;
use build::{AllBuilt, Builder, Built, Inlets};
use engine::Engine;
pub(crate) use hold::{OpenPartitions, Restless};
use host::{Plans, Stores};
pub use reload::{NotReloaded, Reload, Reloaded, Reloading};
use source::SourceTask;
use unit::{Retired, SinkUnit, SourceUnit, Unit};
use worker::Worker;

/// Default of [`Setup::budget_bytes`].
pub const BUDGET: usize = 12 << 20;
/// Default of [`Setup::dead_letter_bytes`].
pub const DEAD_LETTERS: u64 = 1 << 30;

/// Default of [`Setup::shutdown`].
const SHUTDOWN: Duration = Duration::from_secs(20);
/// Chunks of events between the partitions and one sink.
const SINK_QUEUE: usize = 8;
/// How long tasks may take to notice that the drain ran out of time.
const LAST_GRACE: Duration = Duration::from_secs(3);

/// A topology, and what it needs to run.
pub struct Setup {
    /// The pipeline's name.
    pub name: Arc<str>,
    /// Checkpoints, dead letters, and the components' small private files. Made if missing.
    pub data_dir: PathBuf,
    /// Folder of the pipeline file; relative paths in settings start here.
    pub config_dir: PathBuf,
    /// Proxy and trust of the process.
    pub network: NetworkSettings,
    /// The checked graph.
    pub topology: Topology,
    /// How long a drain may take.
    pub shutdown: Duration,
    /// All metrics of the process.
    pub metrics: Metrics,
    /// Things that components share.
    pub shared: Shared,
    /// Where states are shown.
    pub board: StatusBoard,
    /// Bytes of unsettled events in memory, [`BUDGET`] unless there is a reason.
    pub budget_bytes: usize,
    /// Bytes of dead letters on disk, [`DEAD_LETTERS`] unless there is a reason.
    pub dead_letter_bytes: u64,
    /// What the sources are to read, and then end, instead of following their streams. Every source
    /// of the topology has to be of a type that can, but for queues on disk.
    pub backfill: Option<Span>,
}

impl Setup {
    /// A topology with the default bounds, in the state of a process that just began.
    pub fn new(
        name: impl Into<Arc<str>>,
        data_dir: PathBuf,
        topology: Topology,
        metrics: Metrics,
    ) -> Self {
        let name = name.into();
        Self {
            board: StatusBoard::new(Arc::clone(&name)),
            name,
            config_dir: data_dir.clone(),
            data_dir,
            network: NetworkSettings::default(),
            topology,
            shutdown: SHUTDOWN,
            metrics,
            shared: Shared::default(),
            budget_bytes: BUDGET,
            dead_letter_bytes: DEAD_LETTERS,
            backfill: None,
        }
    }
}

/// Why a pipeline could not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder or the checkpoints in it cannot be used.
    #[error("opening the checkpoints")]
    Store(#[from] StoreError),
    /// The folder of the dead letters cannot be used.
    #[error("opening the dead letters in {folder}")]
    DeadLetters {
        /// Where they are.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// What components' settings name cannot be used.
    #[error("{0}")]
    Build(BuildFailures),
}

/// Every component that could not be built. Display writes one line for each.
#[derive(Debug, Default)]
pub struct BuildFailures(pub Vec<(ComponentName, BuildError)>);

impl BuildFailures {
    /// One line each; with file, line, and column for what stands in a pipeline file.
    pub fn lines(&self, file: &str) -> Vec<String> {
        let line = |(component, error): &(ComponentName, BuildError)| match error
            .source
            .downcast_ref::<Mistake>()
        {
            Some(mistake) => mistake.line(file),
            None => format!("building {component}: {}", chain(error)),
        };
        self.0.iter().map(line).collect()
    }
}

impl fmt::Display for BuildFailures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines("the pipeline file").join("\n"))
    }
}

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

/// How a stop went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stopped {
    /// Everything read was settled, and the checkpoints say so.
    Drained,
    /// So many events were not settled in time; they are read again at the next start.
    DeadlinePassed(u64),
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
            budget: Budget::new(setup.budget_bytes, gauge),
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

/// A pipeline that was told to stop.
struct Ending {
    sources: Vec<Unit>,
    sinks: Vec<Unit>,
    leaving: JoinSet<()>,
    abandon: watch::Sender<bool>,
    /// What lets the sinks and the dead letters end once it is gone.
    inlets: Option<(Inlets, Vec<watch::Sender<Plans>>, DeadLetters)>,
    letters: JoinHandle<()>,
    /// Lives as long as whatever is left of the pipeline, and counts for those that left it before.
    engine: Arc<Engine>,
}

impl Ending {
    fn of(running: Running) -> Self {
        let sources = running.sources.into_iter().chain(running.replay);
        let (sources, plans): (Vec<_>, Vec<_>) = sources.map(|it| (it.unit, it.plans)).unzip();
        let sinks = running.sinks.into_iter();
        let (mut sinks, inlets): (Vec<_>, Vec<_>) = sinks.map(|it| (it.unit, it.inlet)).unzip();
        sinks.extend(running.transactional);
        sources.iter().chain(&sinks).for_each(Unit::stop);
        Self {
            sources,
            sinks,
            leaving: running.leaving,
            abandon: running.abandon,
            inlets: Some((inlets, plans, running.dead_letters)),
            letters: running.letters,
            engine: running.engine,
        }
    }

    /// In flow order: sources, their partitions, sinks.
    async fn drain(&mut self) {
        for source in &mut self.sources {
            source.ended().await;
        }
        drop(self.inlets.take());
        join_all(&mut self.leaving).await;
        for sink in &mut self.sinks {
            sink.ended().await;
        }
        // It ends when the last worker is gone; it may be asked again after a time-out.
        let _ended = (&mut self.letters).await;
    }

    async fn give_up(&mut self) {
        self.abandon.send_replace(true);
        self.sources
            .iter()
            .chain(&self.sinks)
            .for_each(Unit::abandon);
        let rest = async {
            for source in &mut self.sources {
                source.ended().await;
            }
            join_all(&mut self.leaving).await;
            for sink in &mut self.sinks {
                sink.ended().await;
            }
        };
        if timeout(LAST_GRACE, rest).await.is_err() {
            tracing::error!("tasks did not end in time");
        }
    }

    fn unsettled(&self) -> u64 {
        let units = self.sources.iter().chain(&self.sinks);
        let of_units: u64 = units.map(|unit| unit.engine.unsettled()).sum();
        of_units + self.engine.unsettled()
    }
}

async fn join_all(tasks: &mut JoinSet<()>) {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended
            && error.is_panic()
        {
            tracing::error!("a task of the runtime panicked");
        }
    }
}

fn start_dead_letters(
    pipeline: &Setup,
    abandoned: watch::Receiver<bool>,
) -> Result<(DeadLetters, JoinHandle<()>), StartError> {
    let folder = pipeline.data_dir.join("dead-letters");
    DeadLetters::start(
        folder.clone(),
        pipeline.dead_letter_bytes,
        &pipeline.metrics,
        pipeline.board.clone(),
        abandoned,
    )
    .map_err(|source| StartError::DeadLetters { folder, source })
}

/// A pipeline that was just started.
struct Started {
    sinks: Vec<SinkUnit>,
    transactional: Vec<Unit>,
    sources: Vec<SourceUnit>,
    replay: SourceUnit,
}

/// Starts components that were built.
struct Starter {
    engine: Arc<Engine>,
    /// What the transactional sinks keep, by their position.
    transactional: Vec<Arc<dyn CheckpointStore>>,
    dead_letters: DeadLetters,
    budget: Budget,
    /// See [`Engine::ends_refused`].
    ends_refused: bool,
    /// Sources that are still reading what they were to read; used by a backfill only.
    unfinished: Arc<AtomicUsize>,
}

/// Who has to end before a component begins, and by when.
struct Before {
    unit: Option<Unit>,
    deadline: Instant,
    report: Option<oneshot::Sender<Retired>>,
}

impl Before {
    fn nobody() -> Self {
        Self {
            unit: None,
            deadline: Instant::now(),
            report: None,
        }
    }

    async fn ended(self, successor: &Engine) {
        if let Some(unit) = self.unit {
            let retired = unit.retire(self.deadline, successor).await;
            if let Some(report) = self.report {
                // Whoever asked for the reload may be gone.
                let _gone = report.send(retired);
            }
        }
    }
}

impl Starter {
    fn start_all(&mut self, setup: &Setup) -> Result<Started, StartError> {
        let builder = Builder::new(setup);
        let topology = &setup.topology;
        topology.for_each_name(|name, inputs| setup.board.add(name, inputs));
        let AllBuilt {
            sinks,
            transactional,
            sources,
        } = builder.build(|_, _| true).map_err(StartError::Build)?;
        let (inlets, inboxes): (Inlets, Vec<_>) =
            sinks.iter().map(|_| mpsc::channel(SINK_QUEUE)).unzip();
        let contexts = builder.transform_contexts();
        let mut plans = builder
            .plans(&contexts, &inlets)
            .map_err(StartError::Build)?;
        let replay_plans = builder.replay_plans(&contexts, &inlets);
        let replay = builder.replay(&setup.data_dir, topology.ids());
        let sinks = sinks.into_iter().zip(inlets).zip(inboxes);
        let sinks = sinks.map(|((built, inlet), inbox)| SinkUnit {
            unit: self.sink(built, inbox, Before::nobody()),
            inlet,
        });
        let sinks = sinks.collect();
        let transactional = transactional.into_iter();
        let transactional =
            transactional.map(|built| self.transactional(built, setup.budget_bytes));
        let transactional = transactional.collect();
        // Every source has its share before any of them takes of it.
        let shared: Vec<_> = sources
            .into_iter()
            .map(|built| (built, self.budget.share()))
            .collect();
        let sources = shared.into_iter().filter_map(|(built, share)| {
            let plan = plans.remove(&built.cx.component.id)?;
            Some(self.source(built, share, Plans::Same(plan), Before::nobody()))
        });
        let sources = sources.collect();
        let share = Builder::replay_share();
        let replay = self.source(replay, share, replay_plans, Before::nobody());
        for node in &topology.transforms {
            setup.board.component(&node.name.id, State::Running);
        }
        Ok(Started {
            sinks,
            transactional,
            sources,
            replay,
        })
    }

    fn sink(
        &self,
        built: Built<dyn Sink>,
        inbox: mpsc::Receiver<Vec<Event>>,
        before: Before,
    ) -> Unit {
        let dead_letters = self.dead_letters.clone();
        let name = built.cx.component.clone();
        Unit::start(
            name,
            built.print,
            &self.engine,
            self.ends_refused,
            |engine| async move {
                before.ended(&engine).await;
                let sink: Arc<dyn Sink> = built.component.into();
                let worker = Worker::new(&built.cx, sink, inbox, engine, dead_letters);
                worker.run().await;
            },
        )
    }

    fn source(
        &self,
        built: Built<dyn Source>,
        share: Share,
        plans: Plans,
        before: Before,
    ) -> SourceUnit {
        let (plans, current) = watch::channel(plans);
        let dead_letters = self.dead_letters.clone();
        let name = built.cx.component.clone();
        let reach = built.reach();
        let stores = Stores {
            local: Arc::clone(&self.engine.local),
            transactional: self.transactional.clone(),
        };
        let unfinished = built.ends().then(|| {
            self.unfinished.fetch_add(1, Ordering::Relaxed);
            Arc::clone(&self.unfinished)
        });
        let run = |engine: Arc<Engine>| async move {
            before.ended(&engine).await;
            let task = SourceTask {
                build: built.build,
                cx: built.cx,
                engine,
                dead_letters,
                plans: current,
                stores,
                reach,
                share: Arc::new(share),
                unfinished,
            };
            task.run(built.component).await;
        };
        SourceUnit {
            unit: Unit::start(name, built.print, &self.engine, self.ends_refused, run),
            plans,
        }
    }
}
