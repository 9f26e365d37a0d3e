//! The thin shell around the state machines: tasks, channels, and the order of start and stop.
//!
//! Per source one task; per partition one that takes batches in and runs the transforms, and one
//! that moves the checkpoint; per sink one worker. Events travel as `Vec<Event>`.

mod engine;
mod flow;
mod hold;
mod host;
mod keeper;
mod ledger;
mod pipe;
mod replay;
#[cfg(test)]
mod simulation;
mod source;
mod stage;
#[cfg(test)]
mod tests;
mod trace;
mod worker;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tapline_core::metrics::{BUDGET_BYTES, Metrics};
use tapline_core::{
    BuildContext, BuildError, ComponentName, Event, NetworkSettings, Shared, Sink, Source,
};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::checkpoint::{LocalStore, StoreError};
use crate::config::Mistake;
use crate::dead_letters::DeadLetters;
use crate::registry::CursorForms;
use crate::settling::SettlingLimits;
use crate::state::StateDesk;
use crate::status::{State, StatusBoard};
use crate::topology::{Node, Topology};
use engine::Engine;
use flow::{Entrance, Plan};
pub(crate) use hold::{OpenPartitions, Restless};
use host::Plans;
use source::SourceTask;
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
    engine: Arc<Engine>,
    stop: watch::Sender<bool>,
    abandon: watch::Sender<bool>,
    ended: watch::Receiver<Option<Ended>>,
    sources: JoinSet<()>,
    partitions: TaskTracker,
    workers: JoinSet<()>,
    letters: JoinHandle<()>,
    shutdown: Duration,
}

impl Runtime {
    /// Builds all components, sinks first, and starts them. Connects nothing itself.
    ///
    /// # Errors
    /// [`StartError`] when a folder or a component cannot be used.
    pub async fn start(pipeline: Setup) -> Result<Running, StartError> {
        let store = LocalStore::open(&pipeline.data_dir).await?;
        let (stop, stopping) = watch::channel(false);
        let (abandon, abandoned) = watch::channel(false);
        let (end, ended) = watch::channel(None);
        let (dead_letters, letters) = start_dead_letters(&pipeline, abandoned.clone())?;
        let partitions = TaskTracker::new();
        let engine = Arc::new(Engine {
            store: Arc::new(store),
            board: pipeline.board.clone(),
            data_dir: pipeline.data_dir.clone(),
            limits: SettlingLimits::default(),
            stopping,
            abandoned,
            end,
            partitions: partitions.clone(),
            open: OpenPartitions::default(),
            unsettled: Default::default(),
        });
        let builder = Builder::new(&pipeline);
        builder.fill_board();
        let built = builder.build()?;
        let (sinks, workers) = builder.start_sinks(built.sinks, &engine, &dead_letters);
        let sources = builder.start_sources(built.sources, &engine, &dead_letters, &sinks)?;
        pipeline.board.pipeline(State::Running);
        tracing::info!(pipeline = %pipeline.name, "running");
        Ok(Running {
            engine,
            stop,
            abandon,
            ended,
            sources,
            partitions,
            workers,
            letters,
            shutdown: pipeline.shutdown,
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
        let store = Arc::clone(&self.engine.store);
        StateDesk::new(store, self.engine.open.clone(), cursors)
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
    pub async fn stop(mut self) -> Stopped {
        let deadline = Instant::now() + self.shutdown;
        self.engine.board.pipeline(State::Draining);
        tracing::info!("draining");
        self.stop.send_replace(true);
        let drained = timeout_at(deadline, self.drain()).await.is_ok();
        if !drained {
            self.give_up().await;
        }
        self.engine.board.pipeline(State::Stopped);
        let left = self.engine.unsettled();
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

    /// In flow order: sources, partitions, sinks.
    async fn drain(&mut self) {
        join_all(&mut self.sources).await;
        self.partitions.close();
        self.partitions.wait().await;
        join_all(&mut self.workers).await;
        // It ends when the last worker is gone; it may be asked again after a time-out.
        let _ended = (&mut self.letters).await;
    }

    async fn give_up(&mut self) {
        self.abandon.send_replace(true);
        self.sources.abort_all();
        self.partitions.close();
        let rest = async {
            join_all(&mut self.sources).await;
            self.partitions.wait().await;
            join_all(&mut self.workers).await;
        };
        if timeout(LAST_GRACE, rest).await.is_err() {
            tracing::error!("tasks did not end in time");
        }
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

/// Components that were built, in the order of the topology.
struct Built {
    sinks: Vec<(BuildContext, Box<dyn Sink>)>,
    sources: Vec<(BuildContext, Box<dyn Source>)>,
}

/// Builds components of one pipeline.
struct Builder<'a> {
    pipeline: &'a Setup,
}

/// Where events for a sink are handed in, by the sink's position.
type Inlets = Vec<mpsc::Sender<Vec<Event>>>;

impl<'a> Builder<'a> {
    fn new(pipeline: &'a Setup) -> Self {
        Self { pipeline }
    }

    fn context(&self, name: &ComponentName) -> BuildContext {
        BuildContext {
            component: name.clone(),
            pipeline: Arc::clone(&self.pipeline.name),
            data_dir: self.pipeline.data_dir.clone(),
            config_dir: self.pipeline.config_dir.clone(),
            network: self.pipeline.network.clone(),
            metrics: self.pipeline.metrics.component(name),
            shared: self.pipeline.shared.clone(),
        }
    }

    fn fill_board(&self) {
        let topology = &self.pipeline.topology;
        let sources = topology.sources.iter().map(|n| (&n.name, &n.inputs));
        let transforms = topology.transforms.iter().map(|n| (&n.name, &n.inputs));
        let sinks = topology.sinks.iter().map(|n| (&n.name, &n.inputs));
        for (name, inputs) in sources.chain(transforms).chain(sinks) {
            self.pipeline.board.add(name, inputs);
        }
    }

    /// Builds sinks and sources, so that all that cannot be built is told at once.
    fn build(&self) -> Result<Built, StartError> {
        let topology = &self.pipeline.topology;
        let mut failures = BuildFailures::default();
        let built = Built {
            sinks: self.build_all(&topology.sinks, &mut failures),
            sources: self.build_all(&topology.sources, &mut failures),
        };
        match failures.0.is_empty() {
            true => Ok(built),
            false => Err(StartError::Build(failures)),
        }
    }

    fn build_all<T: ?Sized>(
        &self,
        nodes: &[Node<T>],
        failures: &mut BuildFailures,
    ) -> Vec<(BuildContext, Box<T>)> {
        let mut built = Vec::new();
        for node in nodes {
            let cx = self.context(&node.name);
            match (node.build)(&cx) {
                Ok(component) => built.push((cx, component)),
                Err(error) => failures.0.push((node.name.clone(), error)),
            }
        }
        built
    }

    fn start_sinks(
        &self,
        sinks: Vec<(BuildContext, Box<dyn Sink>)>,
        engine: &Arc<Engine>,
        dead_letters: &DeadLetters,
    ) -> (Inlets, JoinSet<()>) {
        let mut inlets = Vec::new();
        let mut workers = JoinSet::new();
        for (cx, sink) in sinks {
            let sink: Arc<dyn Sink> = sink.into();
            let (inlet, inbox) = mpsc::channel(SINK_QUEUE);
            let worker = Worker::new(&cx, sink, inbox, Arc::clone(engine), dead_letters.clone());
            workers.spawn(worker.run());
            inlets.push(inlet);
        }
        (inlets, workers)
    }

    fn start_sources(
        &self,
        sources: Vec<(BuildContext, Box<dyn Source>)>,
        engine: &Arc<Engine>,
        dead_letters: &DeadLetters,
        sinks: &Inlets,
    ) -> Result<JoinSet<()>, StartError> {
        let topology = &self.pipeline.topology;
        let gauge = self.pipeline.metrics.gauge(&BUDGET_BYTES, &[]);
        let budget = Budget::new(self.pipeline.budget_bytes, topology.sources.len(), gauge);
        let mut tasks = JoinSet::new();
        let contexts = self.transform_contexts();
        for (position, (node, (cx, first))) in topology.sources.iter().zip(sources).enumerate() {
            let plan = Plan::of(Entrance::Behind(&node.name.id), topology, &contexts, sinks);
            plan.check()
                .map_err(|failure| StartError::Build(BuildFailures(vec![failure])))?;
            let task = SourceTask {
                build: Arc::clone(&node.build),
                cx,
                engine: Arc::clone(engine),
                dead_letters: dead_letters.clone(),
                plans: Plans::Same(plan),
                share: Arc::new(budget.share(position)),
            };
            tasks.spawn(task.run(first));
        }
        let replay = self.replay(engine, dead_letters, &contexts, sinks);
        tasks.spawn(replay.task.run(replay.first));
        for node in &topology.transforms {
            let board = &self.pipeline.board;
            board.component(&node.name.id, State::Running);
        }
        Ok(tasks)
    }

    fn transform_contexts(&self) -> HashMap<Arc<str>, BuildContext> {
        let transforms = self.pipeline.topology.transforms.iter();
        transforms
            .map(|node| (Arc::clone(&node.name.id), self.context(&node.name)))
            .collect()
    }
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
