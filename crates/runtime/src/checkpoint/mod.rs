//! What is durable of every partition.

mod folder;
mod local;
mod people;
mod record;
mod transactional;
mod turns;

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use tapline_core::{Checkpoint, Cursor, Event, PartitionKey, StreamIdentity, Tenure};

pub(crate) use local::LocalStore;
pub(crate) use transactional::{Committer, TransactionalStore};
pub(crate) use turns::Turn;

use crate::settling::{Changes, SettlingLimits};

/// What is stored of a partition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Stored {
    pub(crate) stream: StreamIdentity,
    pub(crate) checkpoint: Checkpoint,
}

/// A step forward of one partition.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) key: PartitionKey,
    pub(crate) stream: StreamIdentity,
    pub(crate) cursor: Cursor,
    pub(crate) changes: Changes,
    /// Under which right the partition is read.
    pub(crate) tenure: Tenure,
    /// Events that become visible together with the cursor; none for a store of cursors alone.
    pub(crate) events: Arc<Vec<Event>>,
}

/// What stands in a store of a partition, without its entries.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Listed {
    pub(crate) key: PartitionKey,
    pub(crate) stream: StreamIdentity,
    pub(crate) cursor: Cursor,
    pub(crate) entries: u64,
    pub(crate) entry_bytes: u64,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kept {
    Durable,
    /// It is not durable, or nobody can say: only what is read anew is true.
    Void,
}

/// Keeps checkpoints, and says who may read a partition.
#[async_trait]
pub(crate) trait CheckpointStore: Send + Sync {
    /// Waits until a partition is ours to read.
    async fn acquire(&self, _key: &PartitionKey) -> Tenure {
        Tenure(0)
    }

    /// Completes when the right to read a partition is over. Cancel-safe.
    async fn tenure_over(&self, _key: &PartitionKey, _tenure: Tenure) {
        std::future::pending().await
    }

    /// Whether a partition is ours to read now; none if that is not for the store to say.
    fn owns(&self, _key: &PartitionKey) -> Option<bool> {
        None
    }

    /// Where the checkpoints are, for people.
    fn place(&self) -> String;

    /// How a partition's batches are put together into steps.
    fn limits(&self) -> SettlingLimits {
        SettlingLimits::default()
    }

    /// Reads what is durable of a partition; none if it was never read.
    async fn read(&self, key: &PartitionKey) -> Result<Option<Stored>, StoreError>;

    /// Asks for a turn to commit a step of one partition.
    fn turn(&self) -> Turn {
        Turn::at_once()
    }

    /// Makes a step durable whose turn has come, all of it or nothing. Steps of one partition come one
    /// at a time.
    async fn commit(&self, commit: Commit, turn: Turn) -> Result<Kept, StoreError>;

    /// Everything that is stored, in the order of its keys.
    async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        Err(StoreError::NotForPeople)
    }

    /// Puts checkpoints in place of what is stored, all of them or none. Nobody commits steps of
    /// these partitions meanwhile.
    async fn replace(&self, _all: Vec<(PartitionKey, Stored)>) -> Result<(), StoreError> {
        Err(StoreError::NotForPeople)
    }
}

/// Why the checkpoint store did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The folder cannot be made or written.
    #[error("data_dir: {folder} cannot be used; name a folder that this user may write to")]
    Folder {
        /// `data_dir` of the pipeline file.
        folder: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The file in the folder is not what we wrote.
    #[error(
        "{file} is damaged: {why}; bring back a copy, or move it away: then every source starts \
         anew, as far back as its initial_lookback_secs"
    )]
    Damaged {
        /// The database.
        file: PathBuf,
        /// What the database says.
        why: String,
    },
    /// Another process works on the folder.
    #[error("the data folder {0} is in use by another process; each needs its own `data_dir`")]
    InUse(PathBuf),
    /// The database refused.
    #[error("accessing the checkpoints")]
    Database(#[source] Box<redb::Error>),
    /// The store was shut down, or its work was interrupted.
    #[error("the checkpoint store is closed")]
    Closed,
    /// The store is not one that people look into.
    #[error("the checkpoints of this pipeline are not kept in its data folder")]
    NotForPeople,
    /// A record was written by a newer version, or is damaged.
    #[error("checkpoint of {component}/{partition} is not readable: {why}")]
    Record {
        /// Id of the source.
        component: String,
        /// The partition.
        partition: String,
        /// What is wrong with it.
        why: String,
    },
}

impl StoreError {
    /// Whether the database met an error of the system, now or earlier.
    fn is_of_system(&self) -> bool {
        let Self::Database(error) = self else {
            return false;
        };
        matches!(**error, redb::Error::Io(_) | redb::Error::PreviousIo)
    }
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}
