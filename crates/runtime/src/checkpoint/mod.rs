//! What is durable of every partition.

mod local;
mod people;
mod record;

use std::fmt;
use std::path::PathBuf;

use async_trait::async_trait;
use tapline_core::{Checkpoint, Cursor, StreamIdentity};

pub(crate) use local::LocalStore;

use crate::settling::Changes;

/// Names a partition of a component.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct PartitionKey {
    pub(crate) component: String,
    pub(crate) partition: String,
}

impl fmt::Display for PartitionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.component, self.partition)
    }
}

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

/// Keeps checkpoints. Another kind, such as a topic of the destination cluster, may take its place.
#[async_trait]
pub(crate) trait CheckpointStore: Send + Sync {
    /// Reads what is durable of a partition; none if it was never read.
    async fn read(&self, key: &PartitionKey) -> Result<Option<Stored>, StoreError>;

    /// Makes a step durable, all of it or nothing. Steps of one partition come one at a time.
    async fn commit(&self, commit: Commit) -> Result<(), StoreError>;

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

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        Self::Database(Box::new(error.into()))
    }
}
