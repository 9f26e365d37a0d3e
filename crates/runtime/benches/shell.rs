//! What the shell itself costs per event: taking in, settling, lanes, commits.
//!
//! A source that hands out the same events again and again, no transform, and a sink that takes
//! everything. What the source costs alone is measured too, and taken off. CPU time, because
//! both cores take part.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use tapline_core::metrics::Metrics;
use tapline_core::{
    Batch, ComponentKind, ComponentName, Cursor, Delivery, Event, Kind, Metadata, Sink, SinkLimits,
    Source, SourceContext, SourceError, StreamIdentity,
};
use tapline_runtime::topology::{Node, Print, Topology};
use tapline_runtime::{Runtime, Setup, Stopped};
use tokio::sync::Notify;

const EVENTS: u64 = 2_000_000;
/// A page of Graph.
const PER_BATCH: usize = 1000;
/// As many pages as may be in flight have records of their own, so that no lane is busy.
const BATCHES: usize = 32;
/// A small alert.
const BODY_BYTES: usize = 2048;
const RUNS: usize = 3;

/// Hands out the same batches again and again.
#[derive(Clone)]
struct Reused(Arc<Vec<Vec<Event>>>);

impl Reused {
    fn new() -> Self {
        let kind = Kind::new("graph.alert");
        let body = Bytes::from(vec![b'x'; BODY_BYTES]);
        let event = |n: usize| {
            let meta = Metadata::new(kind.clone(), "contoso", format!("alert-{n:026}"), "1");
            Event::new(body.clone(), meta)
        };
        let batch = |b: usize| (b * PER_BATCH..(b + 1) * PER_BATCH).map(event).collect();
        Self(Arc::new((0..BATCHES).map(batch).collect()))
    }

    fn batch(&self, number: u64) -> Batch {
        let events = self.0[number as usize % BATCHES].clone();
        Batch::new(Cursor::new(number.to_string()), events)
    }
}

#[async_trait]
impl Source for Reused {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let opened = cx.open("only", StreamIdentity::default()).await;
        let partition = opened.map_err(|error| SourceError(error.to_string()))?;
        for number in 0..EVENTS / PER_BATCH as u64 {
            if partition.send(self.batch(number)).await.is_err() {
                return Ok(());
            }
        }
        cx.stopped().await;
        Ok(())
    }
}

/// Takes everything, and tells when it has all.
#[derive(Clone, Default)]
struct Counter(Arc<(AtomicU64, Notify)>);

#[async_trait]
impl Sink for Counter {
    async fn deliver(&self, events: &[Event]) -> Delivery {
        let (count, all) = &*self.0;
        let before = count.fetch_add(events.len() as u64, Ordering::Relaxed);
        if before + events.len() as u64 >= EVENTS {
            all.notify_one();
        }
        Delivery::all()
    }

    /// As the Kafka sink has them.
    fn limits(&self) -> SinkLimits {
        SinkLimits {
            max_in_flight: 16,
            ..SinkLimits::default()
        }
    }
}

fn name(kind: ComponentKind, id: &str) -> ComponentName {
    ComponentName {
        kind,
        type_name: "fake",
        id: id.into(),
    }
}

fn topology(source: &Reused, sink: &Counter) -> Topology {
    let (source, sink) = (source.clone(), sink.clone());
    Topology {
        sources: vec![Node {
            name: name(ComponentKind::Source, "alerts"),
            print: Print::default(),
            inputs: Vec::new(),
            build: Arc::new(move |_| Ok(Box::new(source.clone()))),
        }],
        transforms: Vec::new(),
        sinks: vec![Node {
            name: name(ComponentKind::Sink, "lake"),
            print: Print::default(),
            inputs: vec!["alerts".into()],
            build: Arc::new(move |_| Ok(Box::new(sink.clone()))),
        }],
        ..Topology::default()
    }
}

async fn run(folder: &Path, source: &Reused) {
    let sink = Counter::default();
    let metrics = Metrics::new().expect("the table is right");
    let setup = Setup::new("bench", folder.to_owned(), topology(source, &sink), metrics);
    let running = Runtime::start(setup).await.expect("it starts");
    sink.0.1.notified().await;
    assert_eq!(running.stop().await, Stopped::Drained);
}

/// CPU time of this process, user and system.
///
/// Source: proc(5), `/proc/pid/stat`, fields 14 and 15 in ticks of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    let ticks = fields.split_ascii_whitespace().skip(11).take(2);
    let ticks: u64 = ticks
        .map(|field| field.parse::<u64>().expect("ticks"))
        .sum();
    Duration::from_millis(10 * ticks)
}

fn nanos_per_event(work: impl FnOnce()) -> (f64, f64) {
    let (cpu, wall) = (cpu_time(), Instant::now());
    work();
    let each = |time: Duration| time.as_nanos() as f64 / EVENTS as f64;
    (each(cpu_time() - cpu), each(wall.elapsed()))
}

#[expect(clippy::print_stdout, reason = "the table is for people")]
fn main() {
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    let source = Reused::new();
    println!("shell: ns per event, best of {RUNS} runs of {EVENTS} events");
    let best = |mut work: Box<dyn FnMut() + '_>| {
        let runs = (0..RUNS).map(|_| nanos_per_event(&mut work));
        runs.fold((f64::MAX, f64::MAX), |a, b| (a.0.min(b.0), a.1.min(b.1)))
    };
    let (alone, _) = best(Box::new(|| {
        for number in 0..EVENTS / PER_BATCH as u64 {
            drop(std::hint::black_box(source.batch(number)));
        }
    }));
    let (all, wall) = best(Box::new(|| {
        let folder = tempfile::tempdir().expect("a folder");
        tokio.block_on(run(folder.path(), &source));
    }));
    println!("  source alone, CPU     {alone:>8.0}");
    println!("  shell and source, CPU {all:>8.0}   (wall clock {wall:.0})");
    println!("  shell, CPU            {:>8.0}", all - alone);
}
