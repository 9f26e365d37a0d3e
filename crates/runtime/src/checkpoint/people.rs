//! The local store as people see and move it: a list of everything, and replacing some of it.

use redb::{Database, ReadableDatabase, ReadableTable};

use tapline_core::PartitionKey;

use super::local::{CHECKPOINTS, ENTRIES, decode, names};
use super::{Listed, StoreError, Stored, record};

/// Everything that is stored; entries are counted, not read into memory.
pub(super) fn list(database: &Database) -> Result<Vec<Listed>, StoreError> {
    let read = database.begin_read()?;
    let checkpoints = read.open_table(CHECKPOINTS)?;
    let entries = read.open_table(ENTRIES)?;
    let mut listed = Vec::new();
    for row in checkpoints.iter()? {
        let (key, record) = row?;
        let (component, partition) = key.value();
        let key = PartitionKey::new(component, partition);
        let (stream, cursor) = decode(&key, record.value())?;
        let (count, bytes) = weigh(&entries, &key)?;
        listed.push(Listed {
            key,
            stream,
            cursor,
            entries: count,
            entry_bytes: bytes,
        });
    }
    Ok(listed)
}

/// How many entries a partition has, and their bytes.
fn weigh(
    entries: &impl ReadableTable<(&'static str, &'static str, &'static [u8]), &'static [u8]>,
    key: &PartitionKey,
) -> Result<(u64, u64), StoreError> {
    let (component, partition) = names(key);
    let next = after(partition);
    let (mut count, mut bytes) = (0, 0);
    for entry in entries.range((component, partition, &[][..])..(component, &*next, &[][..]))? {
        let (key, value) = entry?;
        count += 1;
        bytes += (key.value().2.len() + value.value().len()) as u64;
    }
    Ok((count, bytes))
}

/// Puts checkpoints with their entries in place of what is stored, in one transaction.
pub(super) fn replace(
    database: &Database,
    all: &[(PartitionKey, Stored)],
) -> Result<(), StoreError> {
    let write = database.begin_write()?;
    {
        let mut checkpoints = write.open_table(CHECKPOINTS)?;
        let mut entries = write.open_table(ENTRIES)?;
        for (key, stored) in all {
            let (component, partition) = names(key);
            let record = record::encode(&stored.stream, &stored.checkpoint.cursor);
            checkpoints.insert((component, partition), record.as_slice())?;
            let next = after(partition);
            let own = (component, partition, &[][..])..(component, &*next, &[][..]);
            entries.retain_in(own, |_, _| false)?;
            for (key, value) in &stored.checkpoint.entries {
                entries.insert((component, partition, key.as_ref()), value.as_ref())?;
            }
        }
    }
    write.commit()?;
    Ok(())
}

/// The first name that sorts behind a name.
fn after(name: &str) -> String {
    format!("{name}\0")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;
    use tapline_core::{Checkpoint, Cursor, StreamIdentity, Tenure};

    use crate::checkpoint::{CheckpointStore, Commit, LocalStore};
    use crate::settling::Changes;

    use super::*;

    fn key(partition: &str) -> PartitionKey {
        PartitionKey::new("alerts", partition)
    }

    fn put(name: &'static str) -> (Bytes, Option<Bytes>) {
        (Bytes::from(name), Some(Bytes::from_static(b"v")))
    }

    #[tokio::test]
    async fn what_is_replaced_has_no_entry_of_before_and_its_neighbours_keep_theirs() {
        let folder = tempfile::tempdir().expect("a folder");
        let store = LocalStore::open(folder.path()).await.expect("opens");
        for partition in ["a", "a/b", "b"] {
            let commit = Commit {
                key: key(partition),
                stream: StreamIdentity::default(),
                cursor: Cursor::new("1"),
                changes: Changes::from([put("x"), put("yy")]),
                tenure: Tenure(0),
                events: Arc::default(),
            };
            store.commit(commit, store.turn()).await.expect("commits");
        }
        let entries = [(Bytes::from_static(b"z"), Bytes::new())].into();
        let stored = Stored {
            stream: StreamIdentity::default(),
            checkpoint: Checkpoint {
                cursor: Cursor::new("0"),
                entries,
            },
        };
        let all = vec![(key("a"), stored.clone())];
        store.replace(all).await.expect("replaces");
        assert_eq!(store.read(&key("a")).await.expect("reads"), Some(stored));
        let listed = store.list().await.expect("lists");
        let shown: Vec<_> = listed
            .iter()
            .map(|it| (&*it.key.partition, it.entries, it.entry_bytes))
            .collect();
        assert_eq!(shown, [("a", 1, 1), ("a/b", 2, 5), ("b", 2, 5)]);
    }
}
