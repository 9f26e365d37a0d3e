//! A source host that records what a source sends, and keeps checkpoints like the runtime.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tapline_core::{
    Batch, Checkpoint, Control, Cursor, Event, Health, OpenError, Partition, Source, SourceContext,
    SourceError, SourceHost, StreamIdentity,
};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;

use crate::{PATIENCE, eventually};

/// What the host does with a batch that arrives.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Settling {
    /// Settles it at once and makes its cursor durable.
    #[default]
    AtOnce,
    /// Keeps its events unsettled until [`RecordingHost::settle_all`] or [`RecordingHost::lose`];
    /// a cursor that moves without events is settled when all before it is.
    Held,
    /// Takes no batch: the source feels backpressure.
    Stuck,
}

/// A record that the source itself could not accept.
#[derive(Clone, Debug)]
pub struct Refused {
    /// The record.
    pub event: Event,
    /// Why, as a metric label.
    pub reason: &'static str,
    /// Why, for a human.
    pub why: String,
}

/// One batch as it arrived.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The partition it belongs to.
    pub partition: Arc<str>,
    /// The cursor that it makes safe.
    pub after: Cursor,
    /// Its events.
    pub events: Vec<Event>,
    /// Records that the source gave up.
    pub rejected: Vec<Refused>,
    /// Entries to add.
    pub puts: Vec<(Bytes, Bytes)>,
    /// Entries to remove.
    pub deletes: Vec<Bytes>,
    /// How often the partition had been rewound when it was read.
    pub epoch: u64,
}

/// Plays the runtime for one source: opens partitions, collects batches, keeps checkpoints,
/// rewinds, and stops.
///
/// One host outlives many runs of a source, as a data folder does. Cheap to clone.
#[derive(Clone)]
pub struct RecordingHost {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    changed: Notify,
    stop: watch::Sender<bool>,
}

#[derive(Default)]
struct State {
    settling: Settling,
    delay: Duration,
    recorded: Vec<Recorded>,
    healths: Vec<(String, Health)>,
    partitions: HashMap<String, Stored>,
}

#[derive(Default)]
struct Stored {
    stream: StreamIdentity,
    checkpoint: Checkpoint,
    held: VecDeque<Batch>,
    settled: Vec<Event>,
    control: Option<mpsc::Sender<Control>>,
    tell_settled: Option<watch::Sender<Cursor>>,
    epoch: u64,
    generation: u64,
}

impl Default for RecordingHost {
    fn default() -> Self {
        Self::new()
    }
}

impl RecordingHost {
    /// A host that has no checkpoint and settles everything at once.
    pub fn new() -> Self {
        Self {
            inner: Arc::new(Inner {
                state: Mutex::default(),
                changed: Notify::new(),
                stop: watch::Sender::new(false),
            }),
        }
    }

    /// What a source runs with.
    pub fn context(&self) -> SourceContext {
        SourceContext::new(Arc::new(self.clone()), self.inner.stop.subscribe())
    }

    /// Runs a source in a task of its own.
    pub fn run(&self, mut source: Box<dyn Source>) -> Running {
        self.inner.stop.send_replace(false);
        let context = self.context();
        Running {
            host: self.clone(),
            task: tokio::spawn(async move { source.run(context).await }),
        }
    }

    /// Stores a checkpoint as if an earlier process had left it.
    pub fn put_checkpoint(&self, partition: &str, stream: StreamIdentity, checkpoint: Checkpoint) {
        let mut state = self.state();
        let stored = state.partitions.entry(partition.to_owned()).or_default();
        stored.stream = stream;
        stored.checkpoint = checkpoint;
    }

    /// What is durable of a partition; empty if it was never opened.
    pub fn checkpoint(&self, partition: &str) -> Checkpoint {
        let state = self.state();
        let stored = state.partitions.get(partition);
        stored.map(|s| s.checkpoint.clone()).unwrap_or_default()
    }

    /// The names of all partitions that were ever opened, sorted.
    pub fn partitions(&self) -> Vec<String> {
        let mut names: Vec<_> = self.state().partitions.keys().cloned().collect();
        names.sort();
        names
    }

    /// Changes what becomes of the batches that arrive from now on.
    ///
    /// Changing to [`Settling::AtOnce`] settles what was held.
    pub fn set_settling(&self, settling: Settling) {
        self.state().settling = settling;
        if settling == Settling::AtOnce {
            self.settle_all();
        }
        self.inner.changed.notify_waiters();
    }

    /// Makes the host wait before it takes each batch, as a slow sink does.
    pub fn set_delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// Settles everything that is held, in order, and makes the cursors durable.
    pub fn settle_all(&self) {
        let mut state = self.state();
        for stored in state.partitions.values_mut() {
            while let Some(batch) = stored.held.pop_front() {
                stored.commit(batch);
            }
        }
        drop(state);
        self.inner.changed.notify_waiters();
    }

    /// Loses what is held of a partition, and rewinds its reader to the checkpoint.
    pub async fn lose(&self, partition: &str) {
        let (control, checkpoint) = {
            let mut state = self.state();
            let stored = state
                .partitions
                .get_mut(partition)
                .expect("the partition was opened");
            stored.held.clear();
            stored.epoch += 1;
            let control = stored.control.clone().expect("the partition is open");
            (control, stored.checkpoint.clone())
        };
        // A reader that is gone reads from the checkpoint anyway.
        drop(control.send(Control::Rewind(checkpoint)).await);
    }

    /// Tells the source to stop.
    pub fn stop(&self) {
        self.inner.stop.send_replace(true);
    }

    /// Every batch that arrived, in order of arrival, those of abandoned readings included.
    pub fn recorded(&self) -> Vec<Recorded> {
        self.state().recorded.clone()
    }

    /// Every event that arrived, in order of arrival; repeats included.
    pub fn events(&self) -> Vec<Event> {
        let state = self.state();
        let batches = state.recorded.iter();
        batches.flat_map(|batch| batch.events.clone()).collect()
    }

    /// Every record that the source gave up, in order of arrival.
    pub fn rejected(&self) -> Vec<Refused> {
        let state = self.state();
        let batches = state.recorded.iter();
        batches.flat_map(|batch| batch.rejected.clone()).collect()
    }

    /// Everything that the source said of its partitions' health, in order, with their names.
    pub fn healths(&self) -> Vec<(String, Health)> {
        self.state().healths.clone()
    }

    /// The events whose batches were settled, partition by partition; repeats included.
    pub fn settled(&self) -> Vec<Event> {
        let state = self.state();
        let mut names: Vec<_> = state.partitions.keys().collect();
        names.sort();
        names
            .into_iter()
            .flat_map(|name| state.partitions[name].settled.clone())
            .collect()
    }

    /// Waits until at least `count` events arrived; repeats count.
    ///
    /// # Panics
    /// If they do not within [`PATIENCE`].
    pub async fn wait_for_events(&self, count: usize) {
        self.wait_for(&format!("{count} events"), |host| {
            host.state()
                .recorded
                .iter()
                .map(|b| b.events.len())
                .sum::<usize>()
                >= count
        })
        .await;
    }

    /// Waits until the host satisfies a condition.
    ///
    /// # Panics
    /// If it does not within [`PATIENCE`]; `what` says what was waited for.
    pub async fn wait_for(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        eventually(what, || holds(self)).await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Every change is complete before anything that may panic.
        self.inner
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes batches of one partition until its reader is gone.
    async fn receive(
        self,
        partition: Arc<str>,
        generation: u64,
        mut batches: mpsc::Receiver<Batch>,
    ) {
        while self.ready_to_take().await
            && let Some(batch) = batches.recv().await
        {
            self.take(&partition, generation, batch);
        }
        self.ended(&partition, generation);
    }

    /// Nothing more comes: what is settled by now was told.
    fn ended(&self, partition: &Arc<str>, generation: u64) {
        let mut state = self.state();
        let stored = state.partitions.get_mut(&**partition);
        if let Some(stored) = stored.filter(|stored| stored.generation == generation) {
            stored.tell_settled = stored
                .tell_settled
                .take()
                .filter(|_| !stored.held.is_empty());
        }
    }

    /// Waits until a batch may be taken; `false` if that will not be before the stop.
    async fn ready_to_take(&self) -> bool {
        let delay = self.state().delay;
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let mut stop = self.inner.stop.subscribe();
        loop {
            let mut changed = pin!(self.inner.changed.notified());
            changed.as_mut().enable();
            if self.state().settling != Settling::Stuck {
                return true;
            }
            tokio::select! {
                () = changed => {}
                _stopped = stop.wait_for(|stop| *stop) => return false,
            }
        }
    }

    fn take(&self, partition: &Arc<str>, generation: u64, batch: Batch) {
        let mut state = self.state();
        let settling = state.settling;
        state.recorded.push(Recorded::of(partition, &batch));
        let stored = state
            .partitions
            .get_mut(&**partition)
            .expect("only open partitions receive");
        if stored.generation != generation || stored.epoch != batch.epoch() {
            return; // of an abandoned reading
        }
        // Nothing of a batch without events can be unsettled, once all before it is settled.
        let is_settled = stored.held.is_empty() && batch.events.is_empty();
        if settling == Settling::AtOnce || is_settled {
            stored.commit(batch);
        } else {
            stored.held.push_back(batch);
        }
        drop(state);
        self.inner.changed.notify_waiters();
    }
}

impl Stored {
    fn commit(&mut self, mut batch: Batch) {
        self.checkpoint.cursor = batch.after.clone();
        if let Some(tell) = &self.tell_settled {
            tell.send_replace(batch.after.clone());
        }
        for key in &batch.deletes {
            self.checkpoint.entries.remove(key);
        }
        self.checkpoint.entries.extend(batch.puts.drain(..));
        self.settled.append(&mut batch.events);
        if let Some(durable) = batch.take_durable() {
            // Whoever asked may have been cancelled.
            let _asker_gone = durable.send(());
        }
    }
}

impl Recorded {
    fn of(partition: &Arc<str>, batch: &Batch) -> Self {
        let refused = |rejected: &tapline_core::Rejected| Refused {
            event: rejected.event.clone(),
            reason: rejected.reason,
            why: rejected.why.clone(),
        };
        Self {
            partition: Arc::clone(partition),
            after: batch.after.clone(),
            events: batch.events.clone(),
            rejected: batch.rejected.iter().map(refused).collect(),
            puts: batch.puts.clone(),
            deletes: batch.deletes.clone(),
            epoch: batch.epoch(),
        }
    }
}

#[async_trait]
impl SourceHost for RecordingHost {
    async fn open(&self, partition: &str, stream: StreamIdentity) -> Result<Partition, OpenError> {
        let name: Arc<str> = partition.into();
        let (batches, received) = mpsc::channel(1);
        let (control, commands) = mpsc::channel(16);
        let (tell_settled, settled) = watch::channel(Cursor::default());
        let (checkpoint, generation) = {
            let mut state = self.state();
            let known = state.partitions.contains_key(partition);
            let stored = state.partitions.entry(partition.to_owned()).or_default();
            if known && stored.stream != stream {
                let message = format!("checkpoint of {:?}, not of {stream:?}", stored.stream);
                return Err(OpenError::ForeignCheckpoint(message));
            }
            stored.stream = stream;
            stored.held.clear();
            stored.control = Some(control);
            tell_settled.send_replace(stored.checkpoint.cursor.clone());
            stored.tell_settled = Some(tell_settled);
            stored.epoch = 0;
            stored.generation += 1;
            (stored.checkpoint.clone(), stored.generation)
        };
        tokio::spawn(
            self.clone()
                .receive(Arc::clone(&name), generation, received),
        );
        let partition = Partition::new(name, checkpoint, batches, commands);
        Ok(partition.telling_settled(settled))
    }

    fn report(&self, partition: &str, health: Health) {
        self.state().healths.push((partition.to_owned(), health));
    }
}

/// A source at work.
pub struct Running {
    host: RecordingHost,
    task: JoinHandle<Result<(), SourceError>>,
}

impl Running {
    /// Tells the source to stop, and waits until it has.
    ///
    /// # Panics
    /// If it ends with an error, or not within [`PATIENCE`].
    pub async fn stop(self) {
        self.host.stop();
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended
            .expect("the source stops in time")
            .expect("the source does not panic")
            .expect("a source that was told to stop ends without an error");
    }

    /// Ends the source where it stands, as a crash does; what is held is lost.
    pub async fn kill(self) {
        self.task.abort();
        let _aborted = self.task.await;
        let mut state = self.host.state();
        for stored in state.partitions.values_mut() {
            stored.held.clear();
            stored.generation += 1;
        }
    }

    /// Whether the source ended by itself, which it never should.
    pub fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}
