//! How the cursors of a source type read, for people who look at the state and move it.

use std::fmt;

use jiff::Timestamp;

use crate::{Checkpoint, Cursor};

/// What can be said of the cursors of one source type, and how new ones are made.
///
/// The runtime knows a cursor as bytes only; whoever looks at the state wants words, and whoever
/// moves it has a time in mind.
#[derive(Clone, Copy)]
pub struct CursorForm {
    /// A cursor in words; an error, in words too, if it is none of this type.
    pub describe: fn(&Cursor) -> Result<CursorWords, String>,
    /// The checkpoint from which everything since a time is delivered again; none if the partition
    /// stands before that time already. What is remembered of records since then is not part of
    /// it, since that would keep them from being delivered.
    pub rewound: fn(&Checkpoint, Timestamp) -> Result<Option<Checkpoint>, String>,
    /// The checkpoint in which the cursor is the given one; an error if it is none of this type.
    pub placed: fn(&Checkpoint, Cursor) -> Result<Checkpoint, String>,
}

impl fmt::Debug for CursorForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CursorForm")
    }
}

/// A cursor, for people.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct CursorWords {
    /// What it says.
    pub text: String,
    /// The time up to which the stream is settled, if the cursor tells.
    pub at: Option<Timestamp>,
}
