//! The database of a data folder: locked against other processes, and opened anew after errors.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError};
use tapline_core::private;

use super::StoreError;
use super::local::{CHECKPOINTS, ENTRIES};

const FILE: &str = "checkpoints.redb";
/// Held as long as a process works on the folder.
const LOCK: &str = "lock";
/// redb would take up to 1 GiB; the state of a partition is read once and written in small steps.
const CACHE_BYTES: usize = 4 << 20;

/// The database of a folder. After an error of the system, such as a full disk, redb takes nothing
/// more until it is opened anew; that is done before the next piece of work.
pub(super) struct FolderDatabase {
    folder: PathBuf,
    database: RwLock<Option<Database>>,
    /// The folder stays ours while the database is closed.
    _lock: File,
}

impl FolderDatabase {
    /// Where it is in a folder.
    pub(super) fn file(folder: &Path) -> PathBuf {
        folder.join(FILE)
    }

    /// Makes folder and database if they are missing.
    ///
    /// # Errors
    /// [`StoreError::Folder`] if the folder cannot be written, [`StoreError::InUse`] if another process
    /// works on it, [`StoreError::Damaged`] if what stands there is not ours.
    pub(super) fn open(folder: PathBuf) -> Result<Self, StoreError> {
        let lock = lock(&folder)?;
        let database = RwLock::new(Some(open_database(&folder)?));
        Ok(Self {
            folder,
            database,
            _lock: lock,
        })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Does some work on it. Blocks.
    pub(super) fn with<T>(
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
        let database = self.database.read();
        if database.unwrap_or_else(PoisonError::into_inner).is_some() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn open(folder: &Path) -> Result<FolderDatabase, StoreError> {
        FolderDatabase::open(folder.to_owned())
    }

    #[cfg(unix)]
    #[test]
    fn the_data_folder_is_private_to_its_owner() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().expect("a folder");
        let folder = root.path().join("data");
        let _database = open(&folder).expect("opens");
        let mode = |path: &Path| {
            let found = std::fs::metadata(path).expect("is there");
            found.permissions().mode() & 0o777
        };
        let modes = [&folder, &folder.join(FILE), &folder.join(LOCK)].map(|path| mode(path));
        assert_eq!(modes, [0o700, 0o600, 0o600]);
    }

    #[test]
    fn a_folder_in_use_and_one_that_cannot_be_made_are_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let _database = open(folder.path()).expect("opens");
        let second = open(folder.path()).err().expect("refused");
        assert!(matches!(second, StoreError::InUse(_)), "{second}");
        let name = folder.path().to_string_lossy();
        assert!(second.to_string().contains(&*name), "{second}");

        let file = folder.path().join("file");
        std::fs::write(&file, "").expect("written");
        let wrong = open(&file).err().expect("refused");
        assert!(matches!(wrong, StoreError::Folder { .. }), "{wrong}");
    }

    #[test]
    fn after_an_error_of_the_system_it_is_opened_anew_and_nobody_comes_between() {
        let folder = tempfile::tempdir().expect("a folder");
        let database = open(folder.path()).expect("opens");
        let full = || redb::Error::Io(std::io::Error::other("disk full"));
        let failed = database.with(|_| Err::<(), _>(full().into()));
        assert!(failed.is_err());
        assert!(database.database.read().expect("whole").is_none(), "closed");
        let second = open(folder.path()).err().expect("refused");
        assert!(matches!(second, StoreError::InUse(_)), "{second}");
        database.with(|_| Ok(())).expect("it is open again");
    }

    #[test]
    fn a_file_that_is_no_database_is_told_with_its_name_and_left_alone() {
        for damaged in ["far too short", &"no database ".repeat(1000)] {
            let folder = tempfile::tempdir().expect("a folder");
            let file = folder.path().join(FILE);
            std::fs::write(&file, damaged).expect("written");
            let told = open(folder.path()).err().expect("refused").to_string();
            assert!(
                told.contains(FILE) && told.contains("move it away"),
                "{told}"
            );
            assert_eq!(std::fs::read(&file).expect("is there"), damaged.as_bytes());
        }
    }
}
