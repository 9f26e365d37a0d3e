//! What rsyslog and syslog-ng are told to write: each message twice, in a form that no message
//! can forge.

use std::path::{Path, PathBuf};

use crate::wait_for;

/// One message as the receiver understood it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Received {
    /// What it takes for the message, without the header.
    pub message: Vec<u8>,
    /// What came, header included.
    pub raw: Vec<u8>,
}

/// Between message and raw message: unit separator.
pub(super) const WITHIN: u8 = 0x1f;
/// After each: record separator.
pub(super) const AFTER: u8 = 0x1e;

/// The file that a receiver writes.
pub(super) struct Output(PathBuf);

impl Output {
    pub(super) fn new(folder: &Path) -> Self {
        Self(folder.join("received"))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// Everything that was written completely.
    pub(super) fn read(&self) -> Vec<Received> {
        let bytes = std::fs::read(&self.0).unwrap_or_default();
        let records = bytes.split_inclusive(|byte| *byte == AFTER);
        let records = records.filter_map(|record| record.strip_suffix(&[AFTER]));
        records.filter_map(received).collect()
    }

    /// Waits until at least `count` messages were written.
    pub(super) async fn wait_for(&self, count: usize) -> Vec<Received> {
        let what = format!("{count} messages in {}", self.0.display());
        wait_for(&what, 60, async || {
            Some(self.read()).filter(|read| read.len() >= count)
        })
        .await
    }
}

fn received(record: &[u8]) -> Option<Received> {
    let middle = record.iter().position(|byte| *byte == WITHIN)?;
    Some(Received {
        message: record[..middle].to_vec(),
        raw: record[middle + 1..].to_vec(),
    })
}
