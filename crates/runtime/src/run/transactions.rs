//! Starts the sinks that make events and cursors durable together.

use std::sync::Arc;

use tapline_core::{BuildContext, Fenced, TransactionalSink};

use super::build::Built;
use super::engine::Engine;
use super::unit::Unit;
use super::{Ended, Starter};
use crate::checkpoint::{Committer, TransactionalStore};
use crate::status::{State, Trouble};

/// A transaction does not wait for more than this part of the memory budget: what it holds cannot
/// be read beside it.
const PART_OF_BUDGET: usize = 4;

impl Starter {
    /// Starts a sink that keeps cursors, and notes its store for the sources that come.
    pub(super) fn transactional(
        &mut self,
        built: Built<dyn TransactionalSink>,
        budget: usize,
    ) -> Unit {
        let sink: Arc<dyn TransactionalSink> = built.component.into();
        let cx = built.cx;
        let enough = budget / PART_OF_BUDGET;
        let (store, committer) = TransactionalStore::new(Arc::clone(&sink), &cx.metrics, enough);
        self.transactional.push(Arc::new(store));
        let name = cx.component.clone();
        let run = |engine| run(cx, sink, committer, engine);
        Unit::start(name, built.print, &self.engine, self.ends_refused, run)
    }
}

async fn run(
    cx: BuildContext,
    sink: Arc<dyn TransactionalSink>,
    committer: Committer,
    engine: Arc<Engine>,
) {
    let id = &cx.component.id;
    engine.board.component(id, State::Running);
    let ended = tokio::select! {
        ended = committer.run(engine.stopping.clone()) => ended,
        () = show(&*sink, id, &engine) => Ok(()),
        () = engine.abandoned() => Ok(()),
    };
    if let Err(Fenced) = ended {
        tracing::error!(component = %cx.component, "another process took our place; stopping, do not restart");
        engine.end(Ended::Fenced);
    }
    engine.board.component(id, State::Stopped);
}

/// Shows what holds the sink up; never ends while there is a sink.
async fn show(sink: &dyn TransactionalSink, id: &str, engine: &Engine) {
    let mut trouble = sink.trouble();
    loop {
        let detail = trouble.borrow_and_update().clone();
        engine.board.trouble(id, Trouble::Itself, detail);
        if trouble.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
