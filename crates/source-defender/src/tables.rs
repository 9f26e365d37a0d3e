//! Everything about a partition that becomes durable: where it stands and what it has seen.

use std::time::Duration;

use bytes::Bytes;
use tapline_core::Checkpoint;

use crate::cursor::{CursorError, Position};
use crate::emit::{Emit, Gate};
use crate::limits::{PRUNE_EVERY, REMEMBER_RECORDS, SEEN_SLACK};
use crate::seen::{MOST, Seen};
use crate::times::Ticks;

/// The state of a partition; on a rewind it is thrown away as a whole and restored.
#[derive(Debug)]
pub(crate) struct Tables {
    pub(crate) position: Position,
    pub(crate) seen: Seen,
    pub(crate) gate: Gate,
    pruned_at: Ticks,
}

impl Tables {
    /// The state of a partition that was never read.
    pub(crate) fn starting_at(floor: Ticks, emit: Emit) -> Self {
        Self {
            position: Position::starting_at(floor),
            seen: Seen::default(),
            gate: Gate::new(emit),
            pruned_at: floor,
        }
    }

    /// The state that a checkpoint holds; `None` if it holds none.
    ///
    /// # Errors
    /// [`CursorError`] if the cursor is not one of this source.
    pub(crate) fn restore(
        checkpoint: &Checkpoint,
        emit: Emit,
    ) -> Result<Option<Self>, CursorError> {
        if checkpoint.cursor.is_empty() {
            return Ok(None);
        }
        let position = Position::decode(&checkpoint.cursor)?;
        let mut tables = Self::starting_at(position.floor, emit);
        tables.position = position;
        for (key, value) in &checkpoint.entries {
            // What neither table knows comes from a later version, and harms nothing.
            let _known = tables.seen.restore(key) || tables.gate.restore(key, value);
        }
        Ok(Some(tables))
    }

    /// Forgets what no reading will come back to; returns the keys of what was forgotten.
    pub(crate) fn prune(&mut self, remember: Duration) -> Vec<Bytes> {
        let read_to = self.position.read_to;
        if read_to.since(self.pruned_at) < PRUNE_EVERY {
            return Vec::new();
        }
        self.pruned_at = read_to;
        let mut gone = self.seen.prune(read_to.minus(remember + SEEN_SLACK), MOST);
        gone.extend(self.gate.prune(read_to.minus(REMEMBER_RECORDS)));
        // What was forgotten must not be read again: it would be sent again.
        self.position.floor = self.position.floor.max(self.seen.covered_from());
        gone
    }
}

#[cfg(test)]
mod tests {
    use tapline_core::Cursor;

    use super::*;
    use crate::seen::print_of;

    fn at(text: &str) -> Ticks {
        Ticks::parse(text).expect("a time")
    }

    #[test]
    fn a_partition_goes_on_with_what_its_checkpoint_holds() {
        let mut tables = Tables::starting_at(at("2026-01-01T00:00:00Z"), Emit::First);
        let print = print_of(b"da1", b"v");
        let seen = tables.seen.add(at("2026-01-01T01:00:00Z"), print);
        let known = tables
            .gate
            .pass(b"da1", "new", at("2026-01-01T01:00:00Z"))
            .put;
        let checkpoint = Checkpoint {
            cursor: tables.position.encode(),
            entries: [seen].into_iter().chain(known).collect(),
        };
        let restored = Tables::restore(&checkpoint, Emit::First).expect("readable");
        let mut restored = restored.expect("not empty");
        assert_eq!(restored.position, tables.position);
        assert!(restored.seen.contains(&print));
        assert!(
            !restored
                .gate
                .pass(b"da1", "new", at("2026-01-01T02:00:00Z"))
                .send
        );
    }

    #[test]
    fn an_empty_checkpoint_is_a_new_partition_and_a_foreign_one_an_error() {
        let empty = Checkpoint::default();
        assert!(
            Tables::restore(&empty, Emit::First)
                .expect("readable")
                .is_none()
        );
        let foreign = Checkpoint {
            cursor: Cursor::new("17"),
            ..Checkpoint::default()
        };
        assert!(Tables::restore(&foreign, Emit::First).is_err());
    }

    #[test]
    fn what_was_forgotten_is_never_read_again() {
        let mut tables = Tables::starting_at(at("2026-01-01T00:00:00Z"), Emit::EveryVersion);
        tables
            .seen
            .add(at("2026-01-01T01:00:00Z"), print_of(b"da1", b"v"));
        let later = at("2026-01-04T00:00:00Z");
        tables.position.advance(later, later);
        assert_eq!(tables.prune(Duration::from_secs(48 * 3600)).len(), 1);
        assert_eq!(tables.position.floor, at("2026-01-01T23:00:00Z"));
        assert!(
            tables.prune(Duration::ZERO).is_empty(),
            "not before time has passed"
        );
    }
}
