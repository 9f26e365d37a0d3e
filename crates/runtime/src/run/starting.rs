//! How components that were built begin.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tapline_core::{BuildError, ComponentName, Event, Sink, Source, chain};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::build::{AllBuilt, Builder, Built, Inlets};
use super::engine::Engine;
use super::host::{Plans, Stores};
use super::source::SourceTask;
use super::unit::{Retired, SinkUnit, SourceUnit, Unit};
use super::worker::Worker;
use super::{SINK_QUEUE, Setup};
use crate::budget::{Budget, Share};
use crate::checkpoint::{CheckpointStore, StoreError};
use crate::config::Mistake;
use crate::dead_letters::DeadLetters;
use crate::status::State;

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

pub(super) fn start_dead_letters(
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
pub(super) struct Started {
    pub(super) sinks: Vec<SinkUnit>,
    pub(super) transactional: Vec<Unit>,
    pub(super) sources: Vec<SourceUnit>,
    pub(super) replay: SourceUnit,
}

/// Starts components that were built.
pub(super) struct Starter {
    pub(super) engine: Arc<Engine>,
    /// What the transactional sinks keep, by their position.
    pub(super) transactional: Vec<Arc<dyn CheckpointStore>>,
    pub(super) dead_letters: DeadLetters,
    pub(super) budget: Budget,
    /// See [`Engine::ends_refused`].
    pub(super) ends_refused: bool,
    /// Sources that are still reading what they were to read; used by a backfill only.
    pub(super) unfinished: Arc<AtomicUsize>,
}

/// Who has to end before a component begins, and by when.
pub(super) struct Before {
    pub(super) unit: Option<Unit>,
    pub(super) deadline: Instant,
    pub(super) report: Option<oneshot::Sender<Retired>>,
}

impl Before {
    pub(super) fn nobody() -> Self {
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
    pub(super) fn start_all(&mut self, setup: &Setup) -> Result<Started, StartError> {
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
        let transactional = transactional.map(|built| self.transactional(built, setup.budget()));
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

    pub(super) fn sink(
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

    pub(super) fn source(
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
