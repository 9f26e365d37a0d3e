//! A source or sink that runs, with levers to stop it apart from the others.

use std::sync::Arc;

use tapline_core::{ComponentKind, ComponentName, Event};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep_until, timeout};

use super::LAST_GRACE;
use super::engine::Engine;
use super::host::Plans;
use crate::topology::Print;

/// The tasks of one component. Dropping it ends them without a drain.
pub(super) struct Unit {
    pub(super) name: ComponentName,
    /// Of the settings that it was built from.
    pub(super) print: Print,
    pub(super) engine: Arc<Engine>,
    stop: watch::Sender<bool>,
    abandon: watch::Sender<bool>,
    task: Option<JoinHandle<()>>,
}

/// A sink that runs.
pub(super) struct SinkUnit {
    pub(super) unit: Unit,
    /// Where events for it are handed in; it ends when all are gone.
    pub(super) inlet: mpsc::Sender<Vec<Event>>,
}

/// A source that runs.
pub(super) struct SourceUnit {
    pub(super) unit: Unit,
    /// What its events go through; partitions exchange it between two batches.
    pub(super) plans: watch::Sender<Plans>,
}

/// How the stop of one component went.
#[derive(Debug)]
pub(super) struct Retired {
    pub(super) name: ComponentName,
    /// Whether everything under way was settled.
    pub(super) drained: bool,
}

impl Unit {
    /// Starts a component with signals of its own.
    pub(super) fn start<F: Future<Output = ()> + Send + 'static>(
        name: ComponentName,
        print: Print,
        engine: &Engine,
        ends_refused: bool,
        run: impl FnOnce(Arc<Engine>) -> F,
    ) -> Self {
        let (stop, stopping) = watch::channel(false);
        let (abandon, abandoned) = watch::channel(false);
        let engine = Arc::new(engine.apart(stopping, abandoned, ends_refused));
        let task = tokio::spawn(run(Arc::clone(&engine)));
        Self {
            name,
            print,
            engine,
            stop,
            abandon,
            task: Some(task),
        }
    }

    /// Tells it to finish what is under way.
    pub(super) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// Everything that is not settled is lost.
    pub(super) fn abandon(&self) {
        self.abandon.send_replace(true);
        if let (ComponentKind::Source, Some(task)) = (self.name.kind, &self.task) {
            task.abort();
        }
    }

    /// Completes when none of its tasks runs any more. Cancel-safe.
    pub(super) async fn ended(&mut self) {
        if let Some(task) = &mut self.task {
            let ended = task.await;
            self.task = None;
            if ended.is_err_and(|error| error.is_panic()) {
                tracing::error!(component = %self.name, "a task of the runtime panicked");
            }
        }
        self.engine.partitions.close();
        self.engine.partitions.wait().await;
    }

    /// Stops it beside the others that go on. What is not settled at the deadline is lost, so that
    /// it is read again.
    pub(super) async fn retire(mut self, deadline: Instant, successor: &Engine) -> Retired {
        self.stop();
        let drained = tokio::select! {
            () = self.ended() => true,
            () = sleep_until(deadline) => false,
            () = successor.abandoned() => false,
        };
        if !drained {
            self.abandon();
            if timeout(LAST_GRACE, self.ended()).await.is_err() {
                tracing::error!(component = %self.name, "tasks did not end in time");
            }
        }
        let left = self.engine.unsettled();
        let drained = drained && left == 0;
        // Nobody reads it again before the next start.
        if successor.is_stopping() || successor.is_abandoned() {
            successor.add_unsettled(left);
        }
        match drained {
            true => tracing::info!(component = %self.name, "stopped, all settled"),
            false => tracing::warn!(
                component = %self.name,
                events = left,
                "stopped before all was settled; the rest is read again"
            ),
        }
        Retired {
            name: self.name.clone(),
            drained,
        }
    }
}

impl Drop for Unit {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}
