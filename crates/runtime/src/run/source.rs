//! Runs one source, and builds it anew when it ends although nobody told it to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tapline_core::metrics::ERRORS;
use tapline_core::{BuildContext, BuildError, Reach, Source, SourceContext, chain};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

use super::Ended;
use super::engine::Engine;
use super::host::{Host, Plans, Stores};
use crate::budget::Share;
use crate::dead_letters::DeadLetters;
use crate::lanes::Backoff;
use crate::status::{State, Trouble};
use crate::topology::Factory;

/// A run at least this long counts as a recovery.
const LONG_RUN: Duration = Duration::from_secs(300);

pub(super) struct SourceTask {
    pub(super) build: Factory<dyn Source>,
    pub(super) cx: BuildContext,
    pub(super) engine: Arc<Engine>,
    pub(super) dead_letters: DeadLetters,
    pub(super) plans: watch::Receiver<Plans>,
    pub(super) stores: Stores,
    pub(super) reach: Reach,
    pub(super) share: Arc<Share>,
    /// For a source that ends by itself: how many of those there are still.
    pub(super) unfinished: Option<Arc<AtomicUsize>>,
}

/// The instance runs in a task of its own so that a panic ends only that.
struct AbortOnDrop(JoinHandle<Result<(), tapline_core::SourceError>>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl SourceTask {
    /// Runs until told to stop.
    pub(super) async fn run(self, first: Box<dyn Source>) {
        let engine = Arc::clone(&self.engine);
        let build = Arc::clone(&self.build);
        let cx = self.cx.clone();
        let unfinished = self.unfinished.clone();
        let host = SourceContext::new(Arc::new(self.into_host()), engine.stopping.clone());
        let mut rng = SmallRng::from_os_rng();
        let mut source = Some(first);
        let mut failures = 0;
        while !engine.is_stopping() {
            let begin = Instant::now();
            let built = match source.take() {
                Some(first) => Ok(first),
                None => rebuild(&build, &cx).await,
            };
            let (reason, why) = match built {
                Ok(source) => {
                    show_running(&engine, &cx);
                    match (run_once(source, host.clone()).await, &unfinished) {
                        (Ok(()), Some(unfinished)) => {
                            finished(&engine, &cx, unfinished);
                            break;
                        }
                        (Ok(()), None) => {
                            ("ended", "it ended although nobody told it to".to_owned())
                        }
                        (Err(ended), _) => ended,
                    }
                }
                Err(error) => ("build", chain(&error)),
            };
            if engine.is_stopping() {
                break;
            }
            failures = if begin.elapsed() < LONG_RUN {
                failures + 1
            } else {
                1
            };
            report(&engine, &cx, reason, &why);
            let wait = Backoff::sources().wait(failures, false, None, &mut rng);
            tokio::select! {
                () = sleep(wait) => {}
                () = engine.stopping() => {}
            }
        }
        engine.board.component(&cx.component.id, State::Stopped);
    }

    fn into_host(self) -> Host {
        Host {
            cx: self.cx,
            engine: self.engine,
            dead_letters: self.dead_letters,
            plans: self.plans,
            stores: self.stores,
            reach: self.reach,
            share: self.share,
            opened: Default::default(),
            progress: Default::default(),
        }
    }
}

/// What an earlier instance said is no longer true.
fn show_running(engine: &Engine, cx: &BuildContext) {
    let id = &cx.component.id;
    engine.board.forget_partitions(id);
    engine.board.trouble(id, Trouble::Itself, None);
    engine.board.component(id, State::Running);
}

/// The last source that ends by itself ends the pipeline.
fn finished(engine: &Engine, cx: &BuildContext, unfinished: &AtomicUsize) {
    // Told to stop, it ends as well.
    if engine.is_stopping() {
        return;
    }
    tracing::info!(component = %cx.component, "everything is read and settled");
    if unfinished.fetch_sub(1, Ordering::Relaxed) == 1 {
        engine.end(Ended::Finished);
    }
}

/// On a thread that may block: secrets come from files and commands.
async fn rebuild(
    build: &Factory<dyn Source>,
    cx: &BuildContext,
) -> Result<Box<dyn Source>, BuildError> {
    let (build, cx) = (Arc::clone(build), cx.clone());
    match tokio::task::spawn_blocking(move || build(&cx)).await {
        Ok(built) => built,
        Err(panicked) => Err(BuildError::new("config", panicked)),
    }
}

/// # Errors
/// Why it ended otherwise than well: a metric label, and for a human.
async fn run_once(
    mut source: Box<dyn Source>,
    cx: SourceContext,
) -> Result<(), (&'static str, String)> {
    let task = tokio::spawn(async move { source.run(cx).await });
    let mut task = AbortOnDrop(task);
    match (&mut task.0).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(("ended", chain(&error))),
        Err(_) => Err(("panicked", "it panicked".to_owned())),
    }
}

fn report(engine: &Engine, cx: &BuildContext, reason: &'static str, why: &str) {
    cx.metrics.counter(&ERRORS, &["receiving", reason]).inc();
    tracing::error!(component = %cx.component, reason, why, "source ended; building it anew");
    let detail = format!("being built anew: {why}");
    let id = &cx.component.id;
    engine.board.trouble(id, Trouble::Itself, Some(detail));
}
