//! The durable state for people: looked at, moved, taken to another folder.
//!
//! One process has the checkpoints of a folder open. While a pipeline runs that is the pipeline, and
//! everything here goes through it: a partition that is read is brought to rest before its
//! checkpoint changes, and read on from there. Otherwise the file is opened by whoever asks.

mod document;

use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tapline_core::{CursorForm, PartitionKey, StreamIdentity, chain};

pub use document::{CursorText, Document, Saved};

use crate::StoreError;
use crate::checkpoint::{CheckpointStore, Listed, LocalStore, Stored};
use crate::registry::CursorForms;
use crate::run::{OpenPartitions, Restless};
use crate::topology::Topology;

/// What stands in the state of one partition.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Standing {
    /// Id of the source.
    pub component: String,
    /// The partition's name within the source.
    pub partition: String,
    /// The stream that the cursor belongs to.
    pub stream: StreamIdentity,
    /// The cursor itself, to be given back to `set`.
    pub cursor: CursorText,
    /// The same in words, if the source's type says how.
    pub position: Option<String>,
    /// The time up to which the stream is settled, if the cursor tells.
    pub at: Option<Timestamp>,
    /// Keyed entries beside the cursor, such as what was seen inside an overlap.
    pub entries: u64,
    /// Their bytes.
    pub entry_bytes: u64,
}

/// Partitions to be read again from a time on.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Rewind {
    /// Everything since then is delivered again.
    pub to: Timestamp,
    /// Only this source.
    #[serde(default)]
    pub component: Option<String>,
    /// Only this partition.
    #[serde(default)]
    pub partition: Option<String>,
}

/// A cursor to be put in place of another.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Id of the source.
    pub component: String,
    /// The partition's name within the source.
    pub partition: String,
    /// As `show` prints it.
    pub cursor: CursorText,
}

/// What a change did.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Changed {
    /// Partitions whose checkpoint is another one now, as `component partition`.
    pub changed: Vec<String>,
    /// Partitions that stay as they are, and why.
    pub unchanged: Vec<String>,
}

/// Why the state was not looked at, or was left as it is.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The store refused.
    #[error("{}", chain(.0))]
    Store(#[from] StoreError),
    /// What was asked for cannot be done; nothing was changed.
    #[error("{0}; nothing was changed")]
    Refused(String),
}

/// The state of a folder, open to be looked at and changed. Cheap to clone.
#[derive(Clone)]
pub struct StateDesk {
    store: Arc<dyn CheckpointStore>,
    open: OpenPartitions,
    cursors: Arc<CursorForms>,
    /// Why nothing can be changed here: the cursors are kept by a sink.
    elsewhere: Option<String>,
}

/// Where the cursors of a pipeline are if they are not in its data folder, as the beginning of a sentence.
pub fn kept_elsewhere(name: &str, topology: &Topology) -> Option<String> {
    let sink = topology.transactional.first()?;
    let id = &sink.name.id;
    Some(format!(
        "sinks.{id} is exactly_once: where its sources stand is in topic {name}.{id}.cursors"
    ))
}

impl StateDesk {
    /// Whether anything was ever stored in a folder.
    pub fn exists(data_dir: &Path) -> bool {
        LocalStore::exists(data_dir)
    }

    /// Opens the state of a folder that no process works on; makes it if missing.
    ///
    /// # Errors
    /// [`StoreError::InUse`] if a process does.
    pub async fn open(data_dir: &Path, cursors: CursorForms) -> Result<Self, StoreError> {
        let store = LocalStore::open(data_dir).await?;
        Ok(Self::new(
            Arc::new(store),
            OpenPartitions::default(),
            cursors,
        ))
    }

    pub(crate) fn new(
        store: Arc<dyn CheckpointStore>,
        open: OpenPartitions,
        cursors: CursorForms,
    ) -> Self {
        Self {
            store,
            open,
            cursors: Arc::new(cursors),
            elsewhere: None,
        }
    }

    /// The same for a pipeline whose cursors are kept elsewhere, if there is a where.
    pub(crate) fn kept(mut self, elsewhere: Option<String>) -> Self {
        self.elsewhere = elsewhere;
        self
    }

    fn is_here(&self) -> Result<(), StateError> {
        match &self.elsewhere {
            None => Ok(()),
            Some(elsewhere) => Err(StateError::Refused(format!(
                "{elsewhere}, which this does not reach"
            ))),
        }
    }

    /// Where every partition stands.
    ///
    /// # Errors
    /// [`StateError::Store`].
    pub async fn show(&self) -> Result<Vec<Standing>, StateError> {
        let listed = self.store.list().await?;
        Ok(listed.into_iter().map(|it| self.standing(it)).collect())
    }

    fn standing(&self, listed: Listed) -> Standing {
        let form = self.cursors.get(&*listed.stream.source);
        let words = form.map(|form| (form.describe)(&listed.cursor));
        let (position, at) = match words {
            Some(Ok(words)) => (Some(words.text), words.at),
            Some(Err(why)) => (Some(why), None),
            None => (None, None),
        };
        Standing {
            component: listed.key.component,
            partition: listed.key.partition,
            stream: listed.stream,
            cursor: CursorText::of(&listed.cursor),
            position,
            at,
            entries: listed.entries,
            entry_bytes: listed.entry_bytes,
        }
    }

    /// Has partitions read again from a time on: what was delivered since is delivered again.
    ///
    /// # Errors
    /// [`StateError`]; nothing was changed then.
    pub async fn rewind(&self, rewind: &Rewind) -> Result<Changed, StateError> {
        self.is_here()?;
        if rewind.to > Timestamp::now() {
            let text = format!("{} is in the future, and a rewind goes back", rewind.to);
            return Err(StateError::Refused(text));
        }
        let (keys, mut unchanged) = self.movable(rewind).await?;
        let mut changed = self
            .change(&keys, |key, stored| {
                let stored = stored.ok_or_else(|| format!("{key} has no state any more"))?;
                let form = self.form(key, &stored.stream)?;
                let rewound = (form.rewound)(&stored.checkpoint, rewind.to);
                let rewound = rewound.map_err(|why| format!("{key}: {why}"))?;
                Ok(rewound.map(|checkpoint| Stored {
                    stream: stored.stream,
                    checkpoint,
                }))
            })
            .await?;
        let early = std::mem::take(&mut changed.unchanged).into_iter();
        unchanged.extend(early.map(|name| format!("{name}: stands before that time already")));
        changed.unchanged = unchanged;
        Ok(changed)
    }

    /// The partitions that a rewind means, and those whose cursors nobody can move.
    async fn movable(
        &self,
        rewind: &Rewind,
    ) -> Result<(Vec<PartitionKey>, Vec<String>), StateError> {
        let is_meant = |asked: &Option<String>, name: &str| match asked {
            Some(asked) => asked == name,
            None => true,
        };
        let listed = self.store.list().await?;
        let meant = listed.into_iter().filter(|it| {
            is_meant(&rewind.component, &it.key.component)
                && is_meant(&rewind.partition, &it.key.partition)
        });
        let (movable, fixed): (Vec<_>, Vec<_>) =
            meant.partition(|it| self.cursors.contains_key(&*it.stream.source));
        if movable.is_empty() && fixed.is_empty() {
            return Err(StateError::Refused(format!(
                "no state of {}; `tapline state show` tells what there is",
                asked(rewind)
            )));
        }
        if movable.is_empty() {
            return Err(StateError::Refused(unmovable(
                &fixed[0].key,
                &fixed[0].stream,
            )));
        }
        let fixed = fixed.iter().map(|it| unmovable(&it.key, &it.stream));
        let keys = movable.into_iter().map(|it| it.key);
        Ok((keys.collect(), fixed.collect()))
    }

    /// Puts a cursor in place of another.
    ///
    /// # Errors
    /// [`StateError`]; nothing was changed then.
    pub async fn set(&self, placement: Placement) -> Result<Changed, StateError> {
        let key = PartitionKey::new(placement.component, placement.partition);
        let cursor = placement.cursor.to_cursor();
        let cursor = cursor.map_err(StateError::Refused)?;
        self.change(&[key], |key, stored| {
            let stored = stored.ok_or_else(|| {
                format!("{key} has no state yet; `tapline state show` tells what there is")
            })?;
            let form = self.form(key, &stored.stream)?;
            let placed = (form.placed)(&stored.checkpoint, cursor.clone());
            Ok(Some(Stored {
                stream: stored.stream,
                checkpoint: placed.map_err(|why| format!("{key}: {why}"))?,
            }))
        })
        .await
    }

    /// Everything that can be taken to another folder.
    ///
    /// # Errors
    /// [`StateError::Store`].
    pub async fn export(&self) -> Result<Document, StateError> {
        let mut partitions = Vec::new();
        for listed in self.store.list().await? {
            if is_of_folder(&listed.key) {
                continue;
            }
            if let Some(stored) = self.store.read(&listed.key).await? {
                partitions.push(Saved::of(listed.key, stored));
            }
        }
        Ok(Document::new(partitions))
    }

    /// Puts everything of a document in place of what is stored of the same partitions.
    ///
    /// # Errors
    /// [`StateError`]; nothing was changed then.
    pub async fn import(&self, document: Document) -> Result<Changed, StateError> {
        let mut new = document.into_stored().map_err(StateError::Refused)?;
        let keys: Vec<PartitionKey> = new.keys().cloned().collect();
        self.change(&keys, |key, stored| {
            let new = new.remove(key).expect("keys are those of the document");
            self.check_import(key, &new, stored.as_ref())?;
            Ok(Some(new))
        })
        .await
    }

    fn check_import(
        &self,
        key: &PartitionKey,
        new: &Stored,
        stored: Option<&Stored>,
    ) -> Result<(), String> {
        if is_of_folder(key) {
            return Err(format!(
                "{key} belongs to files of another data folder, and cannot be taken along"
            ));
        }
        let form = self.form(key, &new.stream)?;
        let words = (form.describe)(&new.checkpoint.cursor);
        words.map_err(|why| format!("{key}: {why}"))?;
        let known = stored.map(|stored| stored.stream.clone());
        match known.or_else(|| self.open.stream(key)) {
            Some(known) if known != new.stream => Err(format!(
                "{key} is state of {known} here, and the document has it of {}: a foreign stream; \
                 give the source another id, or take the partition out of the document",
                new.stream
            )),
            _ => Ok(()),
        }
    }

    fn form(&self, key: &PartitionKey, stream: &StreamIdentity) -> Result<CursorForm, String> {
        let form = self.cursors.get(&*stream.source);
        form.copied().ok_or_else(|| unmovable(key, stream))
    }

    /// Changes checkpoints while their partitions rest, all of them or none. `make` may leave one
    /// as it is.
    async fn change(
        &self,
        keys: &[PartitionKey],
        mut make: impl FnMut(&PartitionKey, Option<Stored>) -> Result<Option<Stored>, String>,
    ) -> Result<Changed, StateError> {
        self.is_here()?;
        let held = self.open.hold(keys).await;
        let mut held = held.map_err(|Restless(key)| {
            StateError::Refused(format!(
                "{key} does not come to rest, since its checkpoint cannot be kept now"
            ))
        })?;
        let mut all = Vec::new();
        let mut done = Changed::default();
        for key in keys {
            let stored = self.store.read(key).await?;
            match make(key, stored).map_err(StateError::Refused)? {
                Some(new) => {
                    done.changed.push(key.to_string());
                    all.push((key.clone(), new));
                }
                None => done.unchanged.push(key.to_string()),
            }
        }
        self.store.replace(all.clone()).await?;
        for (key, stored) in all {
            held.moved(&key, stored.checkpoint);
        }
        Ok(done)
    }
}

/// What comes out of a queue on disk, and what is sent again from the dead letters, is counted in
/// files of the data folder. No component of a pipeline file has a colon in its name.
fn is_of_folder(key: &PartitionKey) -> bool {
    key.component.contains(':')
}

fn asked(rewind: &Rewind) -> String {
    match (&rewind.component, &rewind.partition) {
        (None, None) => "any partition".to_owned(),
        (Some(component), None) => format!("source {component}"),
        (None, Some(partition)) => format!("partition {partition}"),
        (Some(component), Some(partition)) => format!("source {component}, partition {partition}"),
    }
}

fn unmovable(key: &PartitionKey, stream: &StreamIdentity) -> String {
    format!(
        "{key}: sources of type {} do not say how their cursors are moved",
        stream.source
    )
}
