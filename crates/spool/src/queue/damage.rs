//! What cannot be read any more.

use std::fmt;
use std::path::PathBuf;

/// A stretch of a file without whole records.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Damage {
    pub(crate) file: PathBuf,
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    /// Records that were there.
    pub(crate) records: u64,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            file,
            offset,
            records,
        } = self;
        write!(
            f,
            "{records} records cannot be read in {} from byte {offset}: the disk, or whoever else writes there, changed them",
            file.display()
        )
    }
}
