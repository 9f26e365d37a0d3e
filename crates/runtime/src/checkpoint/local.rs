//! Checkpoints in a file of the data folder: redb, one process per folder.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, Weak};

use async_trait::async_trait;
use bytes::Bytes;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition, TableError};
use tapline_core::{Checkpoint, Cursor, PartitionKey, StreamIdentity, private};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::{CheckpointStore, Commit, Kept, Listed, StoreError, Stored, people, record};

const FILE: &str = "checkpoints.redb";
/// Held as long as a process works on the folder.
const LOCK: &str = "lock";
/// By component and partition.
pub(super) const CHECKPOINTS: TableDefinition<(&str, &str), &[u8]> =
    TableDefinition::new("checkpoints");
/// By component, partition, and the source's own key.
pub(super) const ENTRIES: TableDefinition<(&str, &str, &[u8]), &[u8]> =
    TableDefinition::new("entries");
/// Steps of so many partitions share one transaction, and so one fsync.
const STEPS_PER_TRANSACTION: usize = 1024;
/// redb would take up to 1 GiB; the state of a partition is read once and written in small steps.
const CACHE_BYTES: usize = 4 << 20;

/// The store of one process.
pub(crate) struct LocalStore {
    database: Arc<Reopened>,
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
        folder.join(FILE).exists()
    }

    /// Opens the store of a data folder; makes both if missing. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if it cannot be written, [`StoreError::InUse`] if another process
    /// has it open.
    pub(crate) async fn open(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.to_owned();
        let database = tokio::task::spawn_blocking(move || Reopened::open(path))
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

/// The database of a folder. After an error of the system, such as a full disk, redb takes nothing
/// more until it is opened anew; that is done before the next piece of work.
struct Reopened {
    folder: PathBuf,
    database: RwLock<Option<Database>>,
    /// The folder stays ours while the database is closed.
    _lock: File,
}

impl Reopened {
    fn open(folder: PathBuf) -> Result<Self, StoreError> {
        let lock = lock(&folder)?;
        let database = RwLock::new(Some(open_database(&folder)?));
        Ok(Self {
            folder,
            database,
            _lock: lock,
        })
    }

    fn with<T>(
        &self,
        work: impl FnOnce(&Database) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.reopen()?;
        let result = match &*self.database.read().unwrap_or_else(PoisonError::into_inner) {
            Some(database) => work(database),
            // Refused something to somebody else in this moment.
            None => Err(StoreError::Closed),
        };
        if result.as_ref().is_err_and(StoreError::is_of_system) {
            self.close();
        }
        result
    }

    /// Opens it if it was closed.
    fn reopen(&self) -> Result<(), StoreError> {
        let is_open = |database: &Option<Database>| database.is_some();
        if is_open(&self.database.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut database = self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if database.is_none() {
            *database = Some(open_database(&self.folder)?);
        }
        Ok(())
    }

    fn close(&self) {
        *self
            .database
            .write()
            .unwrap_or_else(PoisonError::into_inner) = None;
    }
}

#[async_trait]
impl CheckpointStore for LocalStore {
    fn place(&self) -> String {
        self.database.folder.display().to_string()
    }

    async fn read(&self, key: &PartitionKey) -> Result<Option<Stored>, StoreError> {
        let key = key.clone();
        self.work(move |database| read(database, &key)).await
    }

    async fn commit(&self, commit: Commit) -> Result<Kept, StoreError> {
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

/// Makes the folder if it is missing, and keeps others out of it.
fn lock(folder: &Path) -> Result<File, StoreError> {
    let refused = |source| StoreError::Folder {
        folder: folder.to_owned(),
        source,
    };
    private::make_folder(folder).map_err(refused)?;
    let file = private_file(&folder.join(LOCK)).map_err(refused)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse(folder.to_owned())),
        Err(TryLockError::Error(source)) => Err(refused(source)),
    }
}

fn open_database(folder: &Path) -> Result<Database, StoreError> {
    let file = private_file(&folder.join(FILE)).map_err(|source| StoreError::Folder {
        folder: folder.to_owned(),
        source,
    })?;
    let opened = FileBackend::new(file).and_then(|backend| {
        Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(backend)
    });
    let database = opened.map_err(|error| explain(folder, error))?;
    let write = database.begin_write()?;
    write.open_table(CHECKPOINTS)?;
    write.open_table(ENTRIES)?;
    write.commit()?;
    Ok(database)
}

fn private_file(path: &Path) -> std::io::Result<File> {
    let mut options = private::file_options();
    options.read(true).write(true).create(true).truncate(false);
    options.open(path)
}

fn explain(folder: &Path, error: DatabaseError) -> StoreError {
    let folder = folder.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(folder),
        DatabaseError::Storage(redb::StorageError::Io(source)) if !is_damage(&source) => {
            StoreError::Folder { folder, source }
        }
        // redb also says `Io` of a file that is no database or too short to be one.
        other => StoreError::Damaged {
            file: folder.join(FILE),
            why: other.to_string(),
        },
    }
}

/// Whether it is what stands in the file, and not the way to it.
fn is_damage(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::InvalidData | ErrorKind::UnexpectedEof
    )
}

/// Commits whatever is queued in one transaction, as long as there is a store; dropping that
/// closes the file at once.
async fn commit_all(database: Weak<Reopened>, mut requests: mpsc::Receiver<Request>) {
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
            weight: 0,
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
            store.commit(step).await.expect("commits");
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

    #[cfg(unix)]
    #[tokio::test]
    async fn the_data_folder_is_private_to_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let data = folder.path().join("data");
        let _store = LocalStore::open(&data).await.expect("opens");
        let mode = std::fs::metadata(&data)
            .expect("is there")
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o700);
        let file = std::fs::metadata(data.join(FILE)).expect("a file");
        assert_eq!(file.permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test]
    async fn a_folder_in_use_and_one_that_cannot_be_made_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let _store = LocalStore::open(folder.path()).await.expect("opens");
        let second = LocalStore::open(folder.path())
            .await
            .err()
            .expect("refused");
        assert!(matches!(second, StoreError::InUse(_)), "{second}");
        assert!(
            second
                .to_string()
                .contains(&*folder.path().to_string_lossy())
        );

        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        let wrong = LocalStore::open(&file).await.err().expect("refused");
        assert!(matches!(wrong, StoreError::Folder { .. }), "{wrong}");
    }

    #[tokio::test]
    async fn a_file_that_is_no_database_is_told_with_its_name_and_left_alone() {
        for damaged in ["far too short", &"no database ".repeat(1000)] {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join(FILE);
            std::fs::write(&file, damaged).expect("written");
            let opened = LocalStore::open(folder.path()).await;
            let told = opened.err().expect("refused").to_string();
            assert!(
                told.contains(FILE) && told.contains("move it away"),
                "{told}"
            );
            assert_eq!(std::fs::read(&file).expect("is there"), damaged.as_bytes());
        }
    }
}
