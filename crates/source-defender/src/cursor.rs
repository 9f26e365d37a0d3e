//! Where the reading of one partition stands, and how that is written down.

use serde::{Deserialize, Serialize};
use tapline_core::Cursor;

use crate::times::Ticks;

const VERSION: u32 = 1;

/// Where the reading of one partition stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Position {
    /// Nothing older than this is ever read: the starting point.
    pub(crate) floor: Ticks,
    /// Every record with an older time was read, but for what becomes visible late.
    pub(crate) newest: Ticks,
    /// Upper edge of what was read; the lag is counted from here.
    pub(crate) read_to: Ticks,
}

/// The same as JSON, with times as text, so that a person can read a checkpoint.
#[derive(Deserialize, Serialize)]
struct Written<'a> {
    v: u32,
    floor: &'a str,
    newest: &'a str,
    read_to: &'a str,
}

/// Why a cursor cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CursorError {
    #[error("the cursor is not one of this source")]
    Unreadable(#[source] serde_json::Error),
    #[error("the cursor has format {0}, this program knows {VERSION}")]
    Version(u32),
    #[error("the cursor holds {0:?} where a time should stand")]
    Time(String),
}

impl Position {
    /// A partition that was never read starts here.
    pub(crate) fn starting_at(floor: Ticks) -> Self {
        Self {
            floor,
            newest: floor,
            read_to: floor,
        }
    }

    /// Moves forward, never back.
    pub(crate) fn advance(&mut self, newest: Ticks, read_to: Ticks) {
        self.newest = self.newest.max(newest);
        self.read_to = self.read_to.max(read_to);
    }

    /// Whether what is read to here is read to `other` too.
    pub(crate) fn is_reached_by(&self, other: &Self) -> bool {
        self.newest <= other.newest && self.read_to <= other.read_to
    }

    pub(crate) fn encode(&self) -> Cursor {
        let [floor, newest, read_to] =
            [self.floor, self.newest, self.read_to].map(|ticks| ticks.to_string());
        let written = Written {
            v: VERSION,
            floor: &floor,
            newest: &newest,
            read_to: &read_to,
        };
        Cursor::new(serde_json::to_vec(&written).expect("numbers and text serialize"))
    }

    pub(crate) fn decode(cursor: &Cursor) -> Result<Self, CursorError> {
        let written: Written<'_> =
            serde_json::from_slice(cursor.as_bytes()).map_err(CursorError::Unreadable)?;
        if written.v != VERSION {
            return Err(CursorError::Version(written.v));
        }
        let time =
            |text: &str| Ticks::parse(text).ok_or_else(|| CursorError::Time(text.to_owned()));
        Ok(Self {
            floor: time(written.floor)?,
            newest: time(written.newest)?,
            read_to: time(written.read_to)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(text: &str) -> Ticks {
        Ticks::parse(text).expect("a time")
    }

    #[test]
    fn a_cursor_survives_being_written_with_every_digit() {
        let mut position = Position::starting_at(ticks("2026-01-01T00:00:00Z"));
        position.advance(
            ticks("2026-01-02T03:04:05.1234567Z"),
            ticks("2026-01-02T04:00:00Z"),
        );
        assert_eq!(
            Position::decode(&position.encode()).expect("decodes"),
            position
        );
    }

    #[test]
    fn a_position_never_moves_back() {
        let later = ticks("2026-01-02T00:00:00Z");
        let mut position = Position::starting_at(later);
        position.advance(ticks("2026-01-01T00:00:00Z"), ticks("2026-01-01T00:00:00Z"));
        assert_eq!(position, Position::starting_at(later));
    }

    #[test]
    fn a_foreign_cursor_is_refused() {
        let check = |text: &str, expected: &str| {
            let error = Position::decode(&Cursor::new(text.to_owned())).expect_err("refused");
            assert!(error.to_string().contains(expected), "{error}");
        };
        check("offset 17", "not one of this source");
        check(r#"{"v":2,"floor":"","newest":"","read_to":""}"#, "format 2");
        check(r#"{"v":1,"floor":"x","newest":"","read_to":""}"#, "\"x\"");
    }
}
