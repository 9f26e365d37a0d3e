//! What the shell itself costs per event.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use async_trait::async_trait;
use tapline_core::{ComponentKind, Delivery, Event, Sink};
use tapline_runtime::topology::{Node, Topology};

use crate::fakes::{Counting, name, source, start, until};

/// Takes everything and only counts.
#[derive(Clone, Default)]
struct Counter(Arc<AtomicU64>);

#[async_trait]
impl Sink for Counter {
    async fn deliver(&self, events: &[Event]) -> Delivery {
        self.0.fetch_add(events.len() as u64, Ordering::Relaxed);
        Delivery::all()
    }
}

/// Run with `cargo test --release -p tapline-runtime --test running -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_the_shell() {
    const EVENTS: u64 = 1_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let mut numbers = Counting::to(EVENTS);
    numbers.per_batch = 1000;
    let counter = Counter::default();
    let built = counter.clone();
    let lake = Node::<dyn Sink> {
        name: name(ComponentKind::Sink, "lake"),
        inputs: vec!["alerts".into()],
        build: Arc::new(move |_| Ok(Box::new(built.clone()))),
    };
    let topology = Topology {
        sources: vec![source("alerts", &numbers)],
        transforms: Vec::new(),
        sinks: vec![lake],
    };
    let begin = Instant::now();
    let running = start(folder.path(), topology).await;
    until(|| counter.0.load(Ordering::Relaxed) >= EVENTS).await;
    running.stop().await;
    let each = begin.elapsed().as_nanos() / u128::from(EVENTS);
    eprintln!("{each} ns per event, fake source and sink included");
}
