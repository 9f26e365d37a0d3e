//! A source that counts, a sink that does as it is told, and a pipeline around them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tapline_core::metrics::Metrics;
use tapline_core::{
    Batch, Checkpoint, ComponentKind, ComponentName, Control, Cursor, Delivery, Event, Fault, Kind,
    Metadata, OpenError, Output, Sink, SinkLimits, Source, SourceContext, SourceError,
    StreamIdentity, Transform,
};
use tapline_runtime::topology::{Node, Print, Topology};
use tapline_runtime::{Running, Runtime, Setup};

/// What a counting source reads: events 1 to `last`, several per batch.
#[derive(Clone)]
pub(crate) struct Counting {
    pub(crate) partition: &'static str,
    pub(crate) tenant: &'static str,
    pub(crate) last: u64,
    pub(crate) per_batch: u64,
    pub(crate) body: usize,
    /// How many different ids; versions of one id share a lane.
    pub(crate) ids: u64,
    /// Numbers that were read, repeats included.
    pub(crate) read: Arc<AtomicU64>,
    /// Rewinds that arrived, as the number that each went back to.
    pub(crate) rewinds: Arc<Mutex<Vec<u64>>>,
}

impl Counting {
    pub(crate) fn to(last: u64) -> Self {
        Self {
            partition: "only",
            tenant: "contoso",
            last,
            per_batch: 10,
            body: 8,
            ids: u64::MAX,
            read: Arc::default(),
            rewinds: Arc::default(),
        }
    }

    fn batch(&self, after: u64) -> Batch {
        let upto = (after + self.per_batch).min(self.last);
        let events: Vec<Event> = (after + 1..=upto).map(|n| self.event(n)).collect();
        self.read.fetch_add(events.len() as u64, Ordering::Relaxed);
        let mut batch = Batch::new(cursor(upto), events);
        // Five stay behind the cursor.
        let old = after.saturating_sub(5);
        batch.puts = (after + 1..=upto)
            .map(|n| (number(n), Bytes::new()))
            .collect();
        batch.deletes = (old.max(1)..=upto.saturating_sub(5)).map(number).collect();
        batch
    }

    fn event(&self, n: u64) -> Event {
        let mut body = vec![b'x'; self.body];
        body[..8].copy_from_slice(&n.to_be_bytes());
        let kind = Kind::new("graph.alert");
        let id = (n % self.ids).to_string();
        Event::new(body, Metadata::new(kind, self.tenant, id, n.to_string()))
    }
}

fn cursor(at: u64) -> Cursor {
    Cursor::new(number(at))
}

fn number(n: u64) -> Bytes {
    Bytes::copy_from_slice(&n.to_be_bytes())
}

fn at(checkpoint: &Checkpoint) -> u64 {
    let bytes = checkpoint.cursor.as_bytes();
    bytes.try_into().map_or(0, u64::from_be_bytes)
}

/// The number of an event.
pub(crate) fn number_of(event: &Event) -> u64 {
    let head = event.body()[..8].try_into().expect("eight bytes");
    u64::from_be_bytes(head)
}

#[async_trait]
impl Source for Counting {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let stream = StreamIdentity {
            source: "counting".to_owned(),
            parts: vec![("tenant".to_owned(), self.tenant.to_owned())],
        };
        let mut partition = match cx.open(self.partition, stream).await {
            Ok(partition) => partition,
            Err(OpenError::Stopped(_)) => return Ok(()),
            Err(error) => return Err(SourceError(error.to_string())),
        };
        let mut after = at(partition.checkpoint());
        loop {
            let batch = (after < self.last).then(|| self.batch(after));
            let next = (after + self.per_batch).min(self.last);
            let sending = async {
                match batch {
                    Some(batch) => partition.send(batch).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                sent = sending => match sent {
                    Ok(()) => after = next,
                    Err(_) => return Ok(()),
                },
                () = cx.stopped() => return Ok(()),
            }
            if let Some(control) = next_control(&mut partition, after == self.last).await {
                match control {
                    Control::Rewind(checkpoint) => {
                        after = at(&checkpoint);
                        self.rewinds.lock().expect("whole").push(after);
                    }
                    Control::Stop | Control::Revoked => return Ok(()),
                }
            }
        }
    }
}

/// Waits only when there is nothing to read.
async fn next_control(partition: &mut tapline_core::Partition, wait: bool) -> Option<Control> {
    tokio::select! {
        biased;
        control = partition.control() => Some(control),
        () = std::future::ready(()), if !wait => None,
    }
}

/// What a sink answers for one event, the number of the attempt from 1.
type Answer = dyn Fn(&Event, u64) -> Option<Fault> + Send + Sync;

/// A sink that remembers, and answers as told.
#[derive(Clone)]
pub(crate) struct Told {
    pub(crate) delivered: Arc<Mutex<Vec<u64>>>,
    pub(crate) calls: Arc<AtomicUsize>,
    pub(crate) closed: Arc<AtomicUsize>,
    pub(crate) delay: Duration,
    /// How long it takes to say goodbye.
    pub(crate) goodbye: Duration,
    pub(crate) limits: SinkLimits,
    attempts: Arc<Mutex<HashMap<u64, u64>>>,
    answer: Arc<Answer>,
}

impl Told {
    pub(crate) fn takes_all() -> Self {
        Self::answers(|_, _| None)
    }

    /// Slowly, so that a test can act in the middle of it.
    pub(crate) fn takes_fifty_at_a_time() -> Self {
        let mut told = Self::takes_all();
        told.delay = Duration::from_millis(10);
        told.limits.max_events = 50;
        told
    }

    pub(crate) fn answers(
        answer: impl Fn(&Event, u64) -> Option<Fault> + Send + Sync + 'static,
    ) -> Self {
        Self {
            delivered: Arc::default(),
            calls: Arc::default(),
            closed: Arc::default(),
            delay: Duration::ZERO,
            goodbye: Duration::ZERO,
            limits: SinkLimits::default(),
            attempts: Arc::default(),
            answer: Arc::new(answer),
        }
    }

    pub(crate) fn delivered(&self) -> Vec<u64> {
        self.delivered.lock().expect("whole").clone()
    }

    /// Waits, in virtual time for up to a day, until so many events were delivered.
    pub(crate) async fn has(&self, count: usize) {
        until(|| self.delivered.lock().expect("whole").len() >= count).await;
    }
}

/// Waits until a condition holds; an hour of virtual time at most.
pub(crate) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(3600), waiting).await;
    waited.expect("it happens within an hour");
}

#[async_trait]
impl Sink for Told {
    async fn deliver(&self, events: &[Event]) -> Delivery {
        self.calls.fetch_add(1, Ordering::Relaxed);
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        let mut delivery = Delivery::all();
        for (index, event) in events.iter().enumerate() {
            let n = number_of(event);
            let attempt = {
                let mut attempts = self.attempts.lock().expect("whole");
                let attempt = attempts.entry(n).or_default();
                *attempt += 1;
                *attempt
            };
            match (self.answer)(event, attempt) {
                None => self.delivered.lock().expect("whole").push(n),
                Some(fault) => delivery.exceptions.push((index, fault)),
            }
        }
        delivery
    }

    fn limits(&self) -> SinkLimits {
        self.limits
    }

    async fn close(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
        tokio::time::sleep(self.goodbye).await;
    }
}

/// A transform made of a function.
pub(crate) struct Applied(pub(crate) fn(Event, &mut Output));

impl Transform for Applied {
    fn apply(&mut self, event: Event, out: &mut Output) {
        (self.0)(event, out);
    }
}

pub(crate) fn name(kind: ComponentKind, id: &str) -> ComponentName {
    ComponentName {
        kind,
        type_name: "fake",
        id: id.into(),
    }
}

pub(crate) fn source<S: Source + Clone + Sync + 'static>(id: &str, source: &S) -> Node<dyn Source> {
    let source = source.clone();
    Node {
        name: name(ComponentKind::Source, id),
        print: Print::default(),
        inputs: Vec::new(),
        build: Arc::new(move |_| Ok(Box::new(source.clone()))),
    }
}

pub(crate) fn transform(
    id: &str,
    input: &str,
    apply: fn(Event, &mut Output),
) -> Node<dyn Transform> {
    Node {
        name: name(ComponentKind::Transform, id),
        print: Print::default(),
        inputs: vec![input.into()],
        build: Arc::new(move |_| Ok(Box::new(Applied(apply)))),
    }
}

pub(crate) fn sink(id: &str, input: &str, sink: &Told) -> Node<dyn Sink> {
    let sink = sink.clone();
    Node {
        name: name(ComponentKind::Sink, id),
        print: Print::default(),
        inputs: vec![input.into()],
        build: Arc::new(move |_| Ok(Box::new(sink.clone()))),
    }
}

/// A source straight into a sink.
pub(crate) fn line(from: &Counting, to: &Told) -> Topology {
    Topology {
        sources: vec![source("alerts", from)],
        transforms: Vec::new(),
        sinks: vec![sink("lake", "alerts", to)],
        ..Topology::default()
    }
}

pub(crate) fn setup(folder: &Path, topology: Topology) -> Setup {
    let metrics = Metrics::new().expect("the table is right");
    Setup::new("test", folder.join("data"), topology, metrics)
}

pub(crate) async fn start(folder: &Path, topology: Topology) -> Running {
    let started = Runtime::start(setup(folder, topology)).await;
    started.expect("it starts")
}

/// One after the other, from 1.
pub(crate) fn up_to(last: u64) -> Vec<u64> {
    (1..=last).collect()
}

pub(crate) fn retry() -> Option<Fault> {
    Some(Fault::Retry {
        after: None,
        reason: "away",
    })
}
