//! The task that makes records at the wanted rate.

use crate::Settings;
use crate::generator::Generator;
use crate::graph::GraphHandle;
use crate::ticks;
use crate::world::World;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Most versions made in one go, so that requests are answered in between.
const AT_ONCE: u64 = 1_000;
/// In seconds: timers are not finer than this.
const SHORTEST_REST: f64 = 0.002;
/// In seconds.
const LONGEST_REST: f64 = 0.1;

/// Makes versions so that at each moment `rate` times the elapsed time have been made.
pub(super) struct Pace {
    rate: f64,
    events: u64,
    generator: Generator,
    world: Arc<World>,
    graph: GraphHandle,
    asked_for: u64,
}

impl Pace {
    pub(super) fn new(
        settings: &Settings,
        generator: Generator,
        world: Arc<World>,
        graph: GraphHandle,
    ) -> Self {
        let events = settings.events.unwrap_or(u64::MAX);
        Self {
            rate: settings.rate,
            events,
            generator,
            world,
            graph,
            asked_for: 0,
        }
    }

    pub(super) async fn run(mut self, stop: CancellationToken, finished: Arc<AtomicBool>) {
        let start = Instant::now();
        while self.world.made() < self.events {
            if let Err(error) = self.catch_up(start.elapsed()) {
                tracing::error!(%error, "the ledger cannot be written; nothing more is made");
                return;
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(self.wait(start.elapsed())) => tokio::task::yield_now().await,
            }
        }
        finished.store(true, Ordering::Release);
    }

    /// Makes what is due by now, at most [`AT_ONCE`], and shows what has waited long enough.
    fn catch_up(&mut self, elapsed: Duration) -> std::io::Result<()> {
        let due = (elapsed.as_secs_f64() * self.rate) as u64;
        let count = due
            .saturating_add(1)
            .min(self.events)
            .saturating_sub(self.asked_for)
            .min(AT_ONCE);
        let batch = self
            .generator
            .make(count, self.events - self.asked_for, ticks::now());
        self.asked_for += batch.publications.len() as u64;
        for incident in batch.unexpandable {
            self.graph.fail_expand_of(&incident);
        }
        self.world.publish(batch.publications)
    }

    /// How long to rest: until the next version is due, not at all when far behind, and never so long that late versions are
    /// shown much too late.
    fn wait(&self, elapsed: Duration) -> Duration {
        let ahead = self.asked_for as f64 / self.rate - elapsed.as_secs_f64();
        if self.asked_for < self.events && -ahead * self.rate > AT_ONCE as f64 {
            return Duration::ZERO;
        }
        Duration::from_secs_f64(ahead.clamp(SHORTEST_REST, LONGEST_REST))
    }
}
