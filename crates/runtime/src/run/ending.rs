//! How a pipeline stops, in the order in which events flow.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::build::Inlets;
use super::engine::Engine;
use super::host::Plans;
use super::unit::Unit;
use super::{LAST_GRACE, Running};
use crate::dead_letters::DeadLetters;

/// How a stop went.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Stopped {
    /// Everything read was settled, and the checkpoints say so.
    Drained,
    /// So many events were not settled in time; they are read again at the next start.
    DeadlinePassed(u64),
}

/// A pipeline that was told to stop.
pub(super) struct Ending {
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
    pub(super) fn of(running: Running) -> Self {
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
    pub(super) async fn drain(&mut self) {
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

    pub(super) async fn give_up(&mut self) {
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

    pub(super) fn unsettled(&self) -> u64 {
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
