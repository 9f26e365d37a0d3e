//! What a sink may be able to do besides delivering: make events and cursors durable together.
//!
//! The destination then keeps the checkpoints, and decides among all processes of a pipeline who
//! reads which partition. Steps of many partitions share a transaction; all of it or nothing
//! becomes visible.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{BuildContext, BuildError, Event};

/// Builds a sink that commits events and cursors together; see [`crate::SinkConfig::transactional`].
pub trait TransactionalConfig {
    /// Builds the sink, inside a tokio runtime. Opens no connection.
    ///
    /// # Errors
    /// [`BuildError`] when a file or a secret that the settings name cannot be used.
    fn build(&self, cx: &BuildContext) -> Result<Box<dyn TransactionalSink>, BuildError>;
}

/// Names a partition of a component.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PartitionKey {
    /// Id of the component.
    pub component: String,
    /// The partition's name within it.
    pub partition: String,
    /// Who could read it.
    pub reach: Reach,
}

impl PartitionKey {
    /// A partition that any process of the pipeline could read.
    pub fn new(component: impl Into<String>, partition: impl Into<String>) -> Self {
        Self {
            component: component.into(),
            partition: partition.into(),
            reach: Reach::Everybody,
        }
    }
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.component, self.partition)
    }
}

/// Which processes of a pipeline could read a partition.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Reach {
    /// Any of them: what it reads is outside.
    #[default]
    Everybody,
    /// The one that works on our data folder: what it reads is there.
    Folder,
}

/// A right to read a partition, from when it was gained until it is taken away. A number is never
/// used twice in a process.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Tenure(pub u64);

/// A step forward of one partition: what becomes durable, all of it or nothing.
#[derive(Debug)]
pub struct Advance {
    /// Which partition.
    pub key: PartitionKey,
    /// Under which right its events were read.
    pub tenure: Tenure,
    /// What replaces the partition's record.
    pub record: Bytes,
    /// Keyed entries: a value to put, or none to delete.
    pub changes: BTreeMap<Bytes, Option<Bytes>>,
    /// Events in reading order.
    pub events: Arc<Vec<Event>>,
}

/// What is durable of a partition.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Durable {
    /// The record of its last step; none if it was never read.
    pub record: Option<Bytes>,
    /// Its keyed entries.
    pub entries: BTreeMap<Bytes, Bytes>,
}

/// What became of one step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Advanced {
    /// It is durable; so many of its events will never be taken, and were put aside with it.
    Durable {
        /// Events put aside.
        rejected: usize,
    },
    /// Nobody can say, or it is not: read the partition again from what is durable.
    Void,
}

/// Another process took our place: stop, and do not restart.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("another process took our place")]
pub struct Fenced;

/// Commits events and cursors together, and shares partitions among the processes of a pipeline.
///
/// It survives outages by itself: what it is asked takes as long as it takes.
#[async_trait]
pub trait TransactionalSink: Send + Sync {
    /// How long a step may wait for others to share its transaction.
    fn interval(&self) -> Duration;

    /// Where the checkpoints are, for people.
    fn place(&self) -> String;

    /// Keeps our place among the processes of the pipeline for as long as it is polled.
    async fn run(&self) -> Fenced;

    /// What holds it up, for people; nothing if nothing does. Never a secret or the body of an event.
    fn trouble(&self) -> watch::Receiver<Option<String>>;

    /// Changes whenever a partition may have been gained or taken away.
    fn changes(&self) -> watch::Receiver<u64>;

    /// Our right to read a partition now; none if another process has it, or nobody.
    fn tenure(&self, key: &PartitionKey) -> Option<Tenure>;

    /// Reads what is durable of a partition that is ours. Cancel-safe.
    async fn recover(&self, key: &PartitionKey) -> Durable;

    /// Waits until a transaction may begin. Cancel-safe.
    async fn ready(&self) {}

    /// Commits steps in one transaction; returns what became of each, in their order. Steps whose
    /// tenure is over are void.
    ///
    /// # Errors
    /// [`Fenced`] if another process took our place.
    ///
    /// # Cancel safety
    /// Not cancel-safe: what was under way may become durable or not. The next call waits for it.
    async fn commit(&self, steps: Vec<Arc<Advance>>) -> Result<Vec<Advanced>, Fenced>;

    /// Says goodbye after the last commit. Dropped unfinished when the time for stopping is over.
    async fn close(&self) {}
}
