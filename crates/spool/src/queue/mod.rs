//! The queue itself: records of bytes in segment files, oldest first.
//!
//! ```text
//! segment file  = head | head | record*
//! head          = magic "TLSP" | format u8 | 3 bytes 0 | salt [u8; 8] | crc u32
//! record        = mark [u8; 4] | length u32 | number u64 | crc u32 | body
//! ```
//! Numbers are little-endian. A record's number is one more than the number of the record before;
//! a file is named after the number of its first record. A record's CRC is over the file's salt,
//! length, number, and body; without the salt, the text of an event could pose as a record after
//! damage.

mod damage;
mod folder;
mod position;
mod reader;
mod record;
mod scan;
mod segment;
#[cfg(test)]
mod tests;
mod writer;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

pub(crate) use damage::Damage;
pub(crate) use position::Position;
pub(crate) use reader::{Reader, Stored};
pub(crate) use writer::{AppendError, Writer};

/// How large a queue may grow, and what happens then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Bytes of all files together.
    pub(crate) max_bytes: u64,
    /// What to do with a record that has no room.
    pub(crate) when_full: WhenFull,
}

/// What a full queue does with a new record.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum WhenFull {
    /// It waits, and what is before the queue waits too.
    #[default]
    Block,
    /// The oldest records are deleted, which is counted and said.
    DropOldest,
}

impl Bounds {
    /// A file is closed once it is this large, so that disk space comes back in small steps.
    fn segment_bytes(self) -> u64 {
        const LARGEST: u64 = 16 << 20;
        (self.max_bytes / 8).min(LARGEST)
    }
}

/// A segment file as the queue knows it without opening it.
#[derive(Clone, Copy, Debug)]
struct Known {
    first: u64,
    bytes: u64,
}

/// What writer and reader share.
#[derive(Debug)]
struct State {
    segments: VecDeque<Known>,
    /// Behind the last record that is safely on disk.
    end: Position,
    /// Numbers below this one are delivered.
    released: u64,
    /// Records deleted undelivered because the queue was full.
    dropped: u64,
}

/// A queue that is open; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    folder: Arc<Path>,
    state: Arc<Mutex<State>>,
    /// Changes whenever there is more to read.
    grown: watch::Sender<u64>,
}

/// A folder cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the spool in {}: {source}", .folder.display())]
pub(crate) struct OpenError {
    folder: PathBuf,
    source: std::io::Error,
}

impl Queue {
    /// Opens a queue, made if missing. Looks into the newest file only, whatever the size.
    ///
    /// # Errors
    /// What the system says if the folder cannot be made, read, or written, and if it holds a file
    /// of another format.
    pub(crate) fn open(folder: &Path) -> Result<Self, OpenError> {
        let failed = |source| OpenError {
            folder: folder.to_owned(),
            source,
        };
        let found = folder::open(folder).map_err(failed)?;
        let state = State {
            released: found.segments.front().map_or(0, |segment| segment.first),
            segments: found.segments,
            end: found.end,
            dropped: 0,
        };
        Ok(Self {
            folder: folder.into(),
            grown: watch::Sender::new(state.end.number),
            state: Arc::new(Mutex::new(state)),
        })
    }

    /// Records that wait to be delivered.
    pub(crate) fn backlog(&self) -> u64 {
        let state = self.lock();
        state.end.number.saturating_sub(state.released)
    }

    /// Bytes on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.lock().bytes()
    }

    /// Records deleted undelivered since it was opened.
    pub(crate) fn dropped(&self) -> u64 {
        self.lock().dropped
    }

    /// Behind the newest record.
    pub(crate) fn end(&self) -> Position {
        self.lock().end
    }

    /// Tells of growth: the number of the next record to come.
    pub(crate) fn grown(&self) -> watch::Receiver<u64> {
        self.grown.subscribe()
    }

    /// Everything before a position is delivered: files that hold nothing else are deleted.
    ///
    /// # Errors
    /// What the system says when a file cannot be deleted; it is tried again next time.
    pub(crate) fn release(&self, position: Position) -> std::io::Result<()> {
        let mut state = self.lock();
        state.released = state.released.max(position.number);
        while let Some(next) = state.segments.get(1)
            && next.first <= position.number
        {
            let first = state.segments[0].first;
            folder::remove(&self.folder, first)?;
            state.segments.pop_front();
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// The segment that a record is in, or the first one after it.
    fn holding(&self, number: u64) -> Option<Known> {
        let behind = self
            .segments
            .iter()
            .position(|segment| segment.first > number);
        let at = behind.unwrap_or(self.segments.len()).saturating_sub(1);
        self.segments.get(at).copied()
    }

    fn after(&self, segment: u64) -> Option<Known> {
        let mut segments = self.segments.iter();
        segments.find(|known| known.first > segment).copied()
    }
}
