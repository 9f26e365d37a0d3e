//! What survives a crash: checkpoints.

use bytes::Bytes;
use tapline_core::{Checkpoint, Cursor};

use super::microsoft::{OVERLAP, Row};
use crate::settling::Changes;

/// A step forward that the store was asked for.
#[derive(Clone)]
pub(super) struct Asked {
    pub(super) cursor: Cursor,
    pub(super) changes: Changes,
}

#[derive(Default)]
pub(super) struct Disk {
    checkpoints: Vec<Checkpoint>,
}

impl Disk {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            checkpoints: vec![Checkpoint::default(); partitions],
        }
    }

    pub(super) fn checkpoint(&self, partition: usize) -> &Checkpoint {
        &self.checkpoints[partition]
    }

    pub(super) fn commit(&mut self, partition: usize, asked: Asked) {
        let checkpoint = &mut self.checkpoints[partition];
        checkpoint.cursor = asked.cursor;
        for (key, value) in asked.changes {
            match value {
                Some(value) => checkpoint.entries.insert(key, value),
                None => checkpoint.entries.remove(&key),
            };
        }
    }

    /// Whether a reader that starts from here passes the row over.
    pub(super) fn covers(&self, at: usize, row: &Row) -> bool {
        let checkpoint = &self.checkpoints[row.partition];
        let begin = time_of(&checkpoint.cursor).saturating_sub(OVERLAP);
        row.time < begin || checkpoint.entries.contains_key(&key(at))
    }
}

/// The key under which a row is remembered as seen.
pub(super) fn key(row: usize) -> Bytes {
    Bytes::copy_from_slice(&(row as u64).to_be_bytes())
}

pub(super) fn cursor(time: u64) -> Cursor {
    Cursor::new(time.to_be_bytes().to_vec())
}

/// The time that a cursor stands for; the beginning if it was never moved.
pub(super) fn time_of(cursor: &Cursor) -> u64 {
    let bytes: Option<[u8; 8]> = cursor.as_bytes().try_into().ok();
    bytes.map_or(0, u64::from_be_bytes)
}
