//! The source behind the queue: reads it, and deletes what was delivered.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tapline_core::metrics::{DISCARDED_EVENTS, Gauge, IntCounter, SPOOL_BYTES, SPOOL_EVENTS};
use tapline_core::{
    Batch, BuildContext, Control, Cursor, Event, Health, OpenError, Partition, Source,
    SourceContext, SourceError, Stopped, StreamIdentity,
};
use tokio::sync::watch;
use tokio::time::sleep;
use tracing::{error, warn};

use crate::event::Decoder;
use crate::queue::{Position, Queue, Reader, Stored};

/// Bytes that are read at once.
const READ: usize = 256 << 10;
/// Bytes that may be with the sink: a small part of the memory that the pipeline has, so that a
/// sink that takes nothing leaves room to the others.
const WITH_SINK: usize = 1 << 20;
/// Wait before a disk that cannot be read is asked again.
const PAUSE: Duration = Duration::from_secs(5);

/// Feeds the sink behind a spool.
pub(crate) struct Feed {
    queue: Queue,
    sink: Arc<str>,
    counters: Counters,
}

struct Counters {
    bytes: Gauge,
    events: Gauge,
    damaged: IntCounter,
}

impl Feed {
    pub(crate) fn new(queue: Queue, sink: Arc<str>, cx: &BuildContext) -> Self {
        let counters = Counters {
            bytes: cx.metrics.gauge(&SPOOL_BYTES, &[]),
            events: cx.metrics.gauge(&SPOOL_EVENTS, &[]),
            damaged: cx.metrics.counter(&DISCARDED_EVENTS, &["spool_damaged"]),
        };
        Self {
            queue,
            sink,
            counters,
        }
    }

    async fn open(&self, cx: &SourceContext) -> Result<Partition, OpenError> {
        let stream = StreamIdentity {
            source: "spool".to_owned(),
            parts: vec![("sink".to_owned(), self.sink.to_string())],
        };
        cx.open("spool", stream).await
    }

    /// A reader where the last process left off. Where nobody did, or in a queue that somebody
    /// emptied since, its place is durable before anything is read: an old place must not come true
    /// again.
    async fn reader(&self, partition: &Partition) -> Result<Reader, Stopped> {
        let from = Position::of_cursor(&partition.checkpoint().cursor);
        let reader = Reader::new(self.queue.clone(), from);
        let position = reader.position();
        if from != Some(position) {
            partition.commit(position.to_cursor()).await?;
        }
        self.release(position);
        Ok(reader)
    }

    /// Deletes what is delivered.
    fn release(&self, position: Position) {
        if let Err(error) = self.queue.release(position) {
            warn!(%error, "a spool file that is delivered cannot be deleted");
        }
    }

    fn count(&self) {
        self.counters.bytes.set(self.queue.bytes() as f64);
        self.counters.events.set(self.queue.backlog() as f64);
    }
}

#[async_trait]
impl Source for Feed {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let partition = match self.open(&cx).await {
            Ok(partition) => partition,
            Err(OpenError::Stopped(_)) => return Ok(()),
            Err(error) => return Err(SourceError(error.to_string())),
        };
        let Ok(reader) = self.reader(&partition).await else {
            return Ok(());
        };
        let mut feeding = Feeding {
            reader,
            settled: partition.settled(),
            grown: self.queue.grown(),
            with_sink: VecDeque::new(),
            decoder: Decoder::default(),
            feed: self,
            cx: &cx,
        };
        tokio::select! {
            () = cx.stopped() => {}
            () = feeding.run(partition) => {}
        }
        Ok(())
    }
}

/// The reading of a queue.
struct Feeding<'a> {
    reader: Reader,
    settled: watch::Receiver<Cursor>,
    grown: watch::Receiver<u64>,
    /// Where each batch that is not settled ends, and its bytes.
    with_sink: VecDeque<(Position, usize)>,
    decoder: Decoder,
    feed: &'a Feed,
    cx: &'a SourceContext,
}

impl Feeding<'_> {
    /// Until the pipeline takes no more.
    async fn run(&mut self, mut partition: Partition) {
        loop {
            tokio::select! {
                biased;
                control = partition.control() => match control {
                    Control::Stop | Control::Revoked => return,
                    Control::Rewind(checkpoint) => self.rewind(&checkpoint.cursor),
                },
                batch = self.next() => {
                    if partition.send(batch).await.is_err() {
                        return;
                    }
                }
            }
        }
    }

    fn rewind(&mut self, to: &Cursor) {
        self.reader = Reader::new(self.feed.queue.clone(), Position::of_cursor(to));
        self.with_sink.clear();
    }

    /// The next batch; waits until there is one, and until the sink has taken what it has.
    ///
    /// # Cancel safety
    /// Nothing is taken before the only wait is over.
    async fn next(&mut self) -> Batch {
        loop {
            let number = *self.grown.borrow_and_update();
            self.settle();
            let with_sink: usize = self.with_sink.iter().map(|(_, bytes)| bytes).sum();
            if with_sink < WITH_SINK && self.reader.position().number < number {
                match self.read() {
                    Some(batch) => return batch,
                    None => sleep(PAUSE).await,
                }
                continue;
            }
            tokio::select! {
                _ = self.grown.changed() => {}
                _ = self.settled.changed() => {}
            }
        }
    }

    /// Deletes what is delivered, and counts what is not.
    fn settle(&mut self) {
        let settled = Position::of_cursor(&self.settled.borrow_and_update());
        let is_settled = |(end, _): &(Position, usize)| Some(*end) == settled;
        if let Some(batch) = self.with_sink.iter().position(is_settled) {
            self.feed.release(self.with_sink[batch].0);
            self.with_sink.drain(..=batch);
        }
        self.feed.count();
    }

    fn read(&mut self) -> Option<Batch> {
        match self.reader.read(READ) {
            Ok(stored) => Some(self.batch(stored)),
            Err(error) => {
                let text = format!("the spool cannot be read: {error}");
                error!("{text}");
                self.cx.report("spool", Health::Degraded(text));
                None
            }
        }
    }

    fn batch(&mut self, stored: Stored) -> Batch {
        for damage in &stored.damage {
            error!("the spool is damaged: {damage}");
            self.feed.counters.damaged.inc_by(damage.records);
        }
        let events: Vec<Event> = stored
            .bodies
            .iter()
            .filter_map(|bytes| match self.decoder.decode(bytes) {
                Ok(event) => Some(event),
                Err(error) => {
                    error!("an event of the spool cannot be delivered: {error}");
                    self.feed.counters.damaged.inc();
                    None
                }
            })
            .collect();
        let bytes = stored.bodies.iter().map(|body| body.len()).sum();
        self.with_sink.push_back((stored.after, bytes));
        self.cx.report("spool", Health::Good);
        Batch::new(stored.after.to_cursor(), events)
    }
}
