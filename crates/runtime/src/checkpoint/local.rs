//! Checkpoints in a file of the data folder: redb, one process per folder.

use std::path::Path;
use std::sync::{Arc, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use redb::{Database, ReadableDatabase, TableDefinition, TableError};
use tapline_core::{Checkpoint, Cursor, PartitionKey, StreamIdentity};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::folder::FolderDatabase;
use super::{CheckpointStore, Commit, Kept, Listed, StoreError, Stored, Turn, people, record};

/// By component and partition.
pub(super) const CHECKPOINTS: TableDefinition<(&str, &str), &[u8]> =
    TableDefinition::new("checkpoints");
/// By component, partition, and the source's own key.
pub(super) const ENTRIES: TableDefinition<(&str, &str, &[u8]), &[u8]> =
    TableDefinition::new("entries");
/// Steps of so many partitions share one transaction, and so one fsync.
const STEPS_PER_TRANSACTION: usize = 1024;
/// The store of one process.
pub(crate) struct LocalStore {
    database: Arc<FolderDatabase>,
    queue: mpsc::Sender<Request>,
    _committer: AbortOnDrop,
}

type Request = (Commit, Reply);
type Reply = oneshot::Sender<Result<(), StoreError>>;

struct AbortOnDrop(JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl LocalStore {
    /// Whether a folder has a store.
    pub(crate) fn exists(folder: &Path) -> bool {
        FolderDatabase::file(folder).exists()
    }

    /// Opens the store of a data folder; makes both if missing. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if it cannot be written, [`StoreError::InUse`] if another process
    /// has it open.
    pub(crate) async fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.to_owned();
        let database = tokio::task::spawn_blocking(move || FolderDatabase::open(path))
            .await
            .map_err(|_| StoreError::Closed)??;
        let database = Arc::new(database);
        let (queue, requests) = mpsc::channel(STEPS_PER_TRANSACTION);
        let committer = tokio::spawn(commit_all(Arc::downgrade(&database), requests));
        Ok(Self {
            database,
            queue,
            _committer: AbortOnDrop(committer),
        })
    }

    /// Does some work on the database, where it may block.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = Arc::clone(&self.database);
        tokio::task::spawn_blocking(move || database.with(work))
            .await
            .map_err(|_| StoreError::Closed)?
    }
}

#[async_trait]
impl CheckpointStore for LocalStore {
    fn place(&self) -> String {
        self.database.folder().display().to_string()
    }

    async fn read(&self, key: &PartitionKey) -> Result<Option<Stored>, StoreError> {
        let key = key.clone();
        self.work(move |database| read(database, &key)).await
    }

    async fn commit(&self, commit: Commit, _turn: Turn) -> Result<Kept, StoreError> {
        let (reply, done) = oneshot::channel();
        let queued = self.queue.send((commit, reply)).await;
        queued.map_err(|_| StoreError::Closed)?;
        done.await.map_err(|_| StoreError::Closed)??;
        Ok(Kept::Durable)
    }

    async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.work(people::list).await
    }

    async fn replace(&self, all: Vec<(PartitionKey, Stored)>) -> Result<(), StoreError> {
        self.work(move |database| people::replace(database, &all))
            .await
    }
}

/// Commits whatever is queued in one transaction, as long as there is a store; dropping that
/// closes the file at once.
async fn commit_all(database: Weak<FolderDatabase>, mut requests: mpsc::Receiver<Request>) {
    let mut batch = Vec::new();
    while requests.recv_many(&mut batch, STEPS_PER_TRANSACTION).await > 0 {
        let Some(database) = database.upgrade() else {
            return;
        };
        let steps = std::mem::take(&mut batch);
        let (commits, replies): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
        // Answered only when the work has let go of the database, so that it can be reopened.
        let work = tokio::task::spawn_blocking(move || {
            database.with(|database| commit(database, &commits))
        });
        let result = work.await.unwrap_or(Err(StoreError::Closed));
        answer(&result, replies);
    }
}

fn answer(result: &Result<(), StoreError>, replies: Vec<Reply>) {
    for reply in replies {
        let answer = match result {
            Ok(()) => Ok(()),
            Err(error) => Err(again(error)),
        };
        // Nobody waits any more if the partition was abandoned meanwhile.
        let _abandoned = reply.send(answer);
    }
}

/// The same failure for one more partition; redb's errors cannot be cloned.
fn again(error: &StoreError) -> StoreError {
    let text = match error {
        StoreError::Database(source) => source.to_string(),
        other => other.to_string(),
    };
    redb::Error::Io(std::io::Error::other(text)).into()
}

fn commit(database: &Database, commits: &[Commit]) -> Result<(), StoreError> {
    let write = database.begin_write()?;
    {
        let mut checkpoints = write.open_table(CHECKPOINTS)?;
        let mut entries = write.open_table(ENTRIES)?;
        for step in commits {
            let (component, partition) = names(&step.key);
            let record = record::encode(&step.stream, &step.cursor);
            checkpoints.insert((component, partition), record.as_slice())?;
            for (key, value) in &step.changes {
                let key = (component, partition, key.as_ref());
                match value {
                    Some(value) => entries.insert(key, value.as_ref())?,
                    None => entries.remove(key)?,
                };
            }
        }
    }
    write.commit()?;
    Ok(())
}

fn read(database: &Database, key: &PartitionKey) -> Result<Option<Stored>, StoreError> {
    let (component, partition) = names(key);
    let read = database.begin_read()?;
    let checkpoints = match read.open_table(CHECKPOINTS) {
        Err(TableError::TableDoesNotExist(_)) => return Ok(None),
        table => table?,
    };
    let Some(record) = checkpoints.get((component, partition))? else {
        return Ok(None);
    };
    let (stream, cursor) = decode(key, record.value())?;
    let mut checkpoint = Checkpoint {
        cursor,
        ..Checkpoint::default()
    };
    let entries = read.open_table(ENTRIES)?;
    for entry in entries.range((component, partition, &[][..])..)? {
        let (key, value) = entry?;
        let (of_component, of_partition, key) = key.value();
        if (of_component, of_partition) != (component, partition) {
            break;
        }
        let key = Bytes::copy_from_slice(key);
        let value = Bytes::copy_from_slice(value.value());
        checkpoint.entries.insert(key, value);
    }
    Ok(Some(Stored { stream, checkpoint }))
}

/// A record, or an error that names its partition.
pub(super) fn decode(
    key: &PartitionKey,
    record: &[u8],
) -> Result<(StreamIdentity, Cursor), StoreError> {
    record::decode(record).map_err(|why| StoreError::Record {
        component: key.component.clone(),
        partition: key.partition.clone(),
        why,
    })
}

pub(super) fn names(key: &PartitionKey) -> (&str, &str) {
    (&key.component, &key.partition)
}

#[cfg(test)]
mod tests {
    use tapline_core::{Reach, Tenure};

    use super::*;
    use crate::settling::Changes;

    fn step(partition: &str, cursor: &str, changes: &[(&str, Option<&str>)]) -> Commit {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let changes: Changes = changes
            .iter()
            .map(|(key, value)| (bytes(key), value.map(bytes)))
            .collect();
        Commit {
            key: key(partition),
            stream: StreamIdentity::default(),
            cursor: Cursor::new(bytes(cursor)),
            changes,
            tenure: Tenure(0),
            events: Arc::default(),
        }
    }

    fn key(partition: &str) -> PartitionKey {
        PartitionKey {
            component: "alerts".to_owned(),
            partition: partition.to_owned(),
            reach: Reach::Everybody,
        }
    }

    #[tokio::test]
    async fn a_commit_touches_its_own_entries_only_and_survives_reopening() {
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("deep/data");
        let store = LocalStore::open(&data).await.expect("opens");
        let steps = [
            step("a", "1", &[("x", Some("1")), ("y", Some("1"))]),
            step("ab", "1", &[("x", Some("other"))]),
            step("a", "2", &[("x", None), ("z", Some("2"))]),
        ];
        for step in steps {
            store.commit(step, store.turn()).await.expect("commits");
        }
        drop(store);
        tokio::task::yield_now().await;
        let store = LocalStore::open(&data).await.expect("opens again");
        let stored = store
            .read(&key("a"))
            .await
            .expect("reads")
            .expect("is there");
        assert_eq!(stored.checkpoint.cursor.as_bytes(), b"2");
        let entries: Vec<&[u8]> = stored
            .checkpoint
            .entries
            .keys()
            .map(AsRef::as_ref)
            .collect();
        assert_eq!(entries, [b"y", b"z"]);
        assert_eq!(store.read(&key("b")).await.expect("reads"), None);
    }
}
