//! What a source is, and what it may ask of whoever runs it.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Batch, BuildContext, BuildError, Checkpoint, Cursor, CursorForm, Problem};

/// Settings of one source type, as written under `config:`.
pub trait SourceConfig: DeserializeOwned + Clone + Send + Sync + 'static {
    /// The name written after `type:`.
    const TYPE: &'static str;
    /// How its cursors read, and how they are moved; without it nobody can but the source itself.
    const CURSORS: Option<CursorForm> = None;
    /// Whether a source that is built with [`BuildContext::backfill`] reads only that span, in
    /// partitions of its own, and ends well once all of it is settled.
    const BACKFILLS: bool = false;
    /// Checks what the types cannot say; all mistakes at once.
    fn problems(&self) -> Vec<Problem> {
        Vec::new()
    }
    /// Builds the source. Opens no connection.
    ///
    /// # Errors
    /// [`BuildError`] when a file or a secret that the settings name cannot be used.
    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError>;
}

/// Pulls events from outside until told to stop.
///
/// Survives outages: an error out of `run` is a bug, and the runtime builds the source anew.
#[async_trait]
pub trait Source: Send {
    /// Reads until [`SourceContext::stopped`].
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError>;
}

/// A source ended although nobody told it to.
#[derive(Debug, thiserror::Error)]
#[error("source ended: {0}")]
pub struct SourceError(pub String);

/// The stream behind a partition; a checkpoint of another stream is never read with it.
#[derive(Clone, Debug, Default, Eq, PartialEq, serde::Deserialize, serde::Serialize)]
pub struct StreamIdentity {
    /// The source's type, such as `defender`.
    pub source: String,
    /// What names the stream, in order: cloud, tenant, and api; or namespace, hub, group, and partition.
    pub parts: Vec<(String, String)>,
}

impl fmt::Display for StreamIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts = self.parts.iter();
        let parts: Vec<String> = parts
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        write!(f, "{} ({})", self.source, parts.join(", "))
    }
}

/// Why a partition could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The checkpoint under this name belongs to another stream.
    #[error("{0}")]
    ForeignCheckpoint(String),
    /// The checkpoint store cannot be read.
    #[error("reading the checkpoint: {0}")]
    Store(String),
    /// The runtime is stopping.
    #[error(transparent)]
    Stopped(#[from] Stopped),
}

/// The runtime no longer takes batches: stop.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the runtime is stopping")]
pub struct Stopped;

/// What the runtime, or a test, offers a source.
#[async_trait]
pub trait SourceHost: Send + Sync {
    /// Reads the checkpoint of a partition and connects it.
    async fn open(&self, partition: &str, stream: StreamIdentity) -> Result<Partition, OpenError>;

    /// Whether this process is to read a partition now; none if the source decides that itself.
    fn owns(&self, _partition: &str) -> Option<bool> {
        None
    }

    /// Notes how the reading of a partition is going; who shows nothing to people may ignore it.
    fn report(&self, _partition: &str, _health: Health) {}

    /// Notes how much of a partition is read that ends, from 0 to 1; who shows nothing to people
    /// may ignore it.
    fn progress(&self, _partition: &str, _done: f64) {}
}

/// How the reading of a partition is going, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Health {
    /// It is read.
    Good,
    /// It cannot be read now, for this reason; best with what a human should do. Never a secret
    /// or the body of an event.
    Degraded(String),
}

/// What a running source may ask for. Cheap to clone.
#[derive(Clone)]
pub struct SourceContext {
    host: Arc<dyn SourceHost>,
    stop: watch::Receiver<bool>,
}

impl SourceContext {
    /// Joins a host and its stop signal.
    pub fn new(host: Arc<dyn SourceHost>, stop: watch::Receiver<bool>) -> Self {
        Self { host, stop }
    }

    /// Opens a partition at its last checkpoint. Waits while another process reads it, if
    /// [`SourceContext::owns`] says that this is not the source's to decide.
    ///
    /// # Errors
    /// [`OpenError::ForeignCheckpoint`] if the name was used for another stream before.
    pub async fn open(
        &self,
        partition: &str,
        stream: StreamIdentity,
    ) -> Result<Partition, OpenError> {
        self.host.open(partition, stream).await
    }

    /// Whether this process is to read a partition now; none if the source decides that itself,
    /// such as by a consumer group of its service.
    pub fn owns(&self, partition: &str) -> Option<bool> {
        self.host.owns(partition)
    }

    /// Says how the reading of a partition is going; once per change is enough.
    pub fn report(&self, partition: &str, health: Health) {
        self.host.report(partition, health);
    }

    /// Says how much of a partition is read that ends, from 0 to 1.
    pub fn progress(&self, partition: &str, done: f64) {
        self.host.progress(partition, done);
    }

    /// Completes when the source has to stop. Cancel-safe.
    pub async fn stopped(&self) {
        let mut stop = self.stop.clone();
        // An error means that the runtime is gone, which is a stop too.
        let _gone = stop.wait_for(|stop| *stop).await;
    }

    /// Whether the source has to stop.
    pub fn is_stopped(&self) -> bool {
        *self.stop.borrow() || self.stop.has_changed().is_err()
    }
}

/// What the runtime tells the reader of a partition.
#[derive(Debug)]
pub enum Control {
    /// Something was lost: read again from here, keyed entries included.
    Rewind(Checkpoint),
    /// Another process is to read it: let go of the partition. What was sent and is not durable
    /// is void; [`SourceContext::open`] waits until it is ours again.
    Revoked,
    /// Read no more.
    Stop,
}

/// An independently ordered part of a stream, as its reader sees it.
pub struct Partition {
    name: Arc<str>,
    checkpoint: Checkpoint,
    batches: mpsc::Sender<Batch>,
    control: mpsc::Receiver<Control>,
    settled: watch::Receiver<Cursor>,
    epoch: u64,
}

impl Partition {
    /// Joins the two channels of a partition; called by the runtime and by tests.
    pub fn new(
        name: Arc<str>,
        checkpoint: Checkpoint,
        batches: mpsc::Sender<Batch>,
        control: mpsc::Receiver<Control>,
    ) -> Self {
        let settled = watch::Sender::new(checkpoint.cursor.clone()).subscribe();
        Self {
            name,
            checkpoint,
            batches,
            control,
            settled,
            epoch: 0,
        }
    }

    /// Joins a third channel: on it the runtime tells each cursor once it is durable, and closes
    /// it when there will be no more.
    pub fn telling_settled(mut self, settled: watch::Receiver<Cursor>) -> Self {
        self.settled = settled;
        self
    }

    /// Follows the durable cursor, for a source whose remote side keeps one too.
    ///
    /// Outlives the partition: closed once nothing of it is in flight any more.
    pub fn settled(&self) -> watch::Receiver<Cursor> {
        self.settled.clone()
    }

    /// Its name within the component.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What was durable when it was opened.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Takes what was durable when it was opened out of it, so that a big table is not held twice.
    pub fn take_checkpoint(&mut self) -> Checkpoint {
        std::mem::take(&mut self.checkpoint)
    }

    /// Hands over a batch; waits while downstream is full.
    ///
    /// # Errors
    /// [`Stopped`] when the runtime takes no more.
    ///
    /// # Cancel safety
    /// Not cancel-safe: the batch is gone if the future is dropped while it waits. Nothing is
    /// lost by that, since the checkpoint does not pass a batch that was not handed over.
    pub async fn send(&self, mut batch: Batch) -> Result<(), Stopped> {
        batch.epoch = self.epoch;
        self.batches.send(batch).await.map_err(|_| Stopped)
    }

    /// Waits until a batch could be handed over at once, so that none is read only to wait in
    /// memory. Cancel-safe.
    ///
    /// # Errors
    /// [`Stopped`] when the runtime takes no more.
    pub fn room(&self) -> impl Future<Output = Result<(), Stopped>> + Send + use<> {
        let batches = self.batches.clone();
        async move {
            let place = batches.reserve().await;
            place.map(drop).map_err(|_| Stopped)
        }
    }

    /// Makes a cursor durable after everything sent before, and waits until it is.
    ///
    /// # Errors
    /// [`Stopped`] when the runtime ended, or was rewound, before.
    pub async fn commit(&self, after: Cursor) -> Result<(), Stopped> {
        let (durable, wait) = oneshot::channel();
        let mut batch = Batch::new(after, Vec::new());
        batch.durable = Some(durable);
        self.send(batch).await?;
        wait.await.map_err(|_| Stopped)
    }

    /// Whether it was taken away: why [`Partition::commit`] may have failed although nobody stops.
    pub fn is_revoked(&mut self) -> bool {
        // What else was said is of no use to who lets go.
        while let Ok(control) = self.control.try_recv() {
            if matches!(control, Control::Revoked) {
                return true;
            }
        }
        false
    }

    /// Waits for the next word of the runtime. Cancel-safe.
    ///
    /// After a [`Control::Rewind`] everything sent belongs to the new reading.
    pub async fn control(&mut self) -> Control {
        let control = self.control.recv().await.unwrap_or(Control::Stop);
        if matches!(control, Control::Rewind(_)) {
            self.epoch += 1;
        }
        control
    }
}
