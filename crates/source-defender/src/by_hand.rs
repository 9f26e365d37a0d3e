//! Checkpoints as people read them, and as they are moved by hand.

use bytes::Bytes;
use jiff::Timestamp;
use tapline_core::{Checkpoint, Cursor, CursorForm, CursorWords};

use crate::cursor::{CursorError, Position};
use crate::times::Ticks;
use crate::{emit, seen};

/// How cursors of this source read, and how they are moved.
pub(crate) const FORM: CursorForm = CursorForm {
    describe,
    rewound,
    placed,
};

fn describe(cursor: &Cursor) -> Result<CursorWords, String> {
    let Position {
        floor,
        newest,
        read_to,
    } = Position::decode(cursor).map_err(words)?;
    let second = |ticks: Ticks| format!("{:.0}", ticks.to_timestamp());
    let text = format!(
        "read to {}, newest record {}, nothing before {}",
        second(read_to),
        second(newest),
        second(floor)
    );
    let at = Some(read_to.to_timestamp());
    Ok(CursorWords { text, at })
}

fn rewound(checkpoint: &Checkpoint, to: Timestamp) -> Result<Option<Checkpoint>, String> {
    let position = Position::decode(&checkpoint.cursor).map_err(words)?;
    let to = Ticks::from_timestamp(to);
    if position.read_to <= to {
        return Ok(None);
    }
    Ok(Some(without_since(checkpoint, position, to)))
}

/// The cursor as given, and of what is remembered only what is older than its newest record: the
/// rest is read again.
fn placed(checkpoint: &Checkpoint, cursor: Cursor) -> Result<Checkpoint, String> {
    let position = Position::decode(&cursor).map_err(words)?;
    let entries = remembered_before(checkpoint, position.newest);
    Ok(Checkpoint { cursor, entries })
}

/// The reading of the partition as it would have stood at `to`.
///
/// The overlap before `to` is read again too, for what became visible late, so the floor is where
/// the memory of what was sent begins: from there on nothing but late records is new.
fn without_since(checkpoint: &Checkpoint, position: Position, to: Ticks) -> Checkpoint {
    let entries = remembered_before(checkpoint, to);
    let known_from = entries.keys().find_map(|key| seen::time_of(key));
    let floor = position.floor.max(known_from.unwrap_or(to)).min(to);
    let position = Position {
        floor,
        newest: position.newest.min(to),
        read_to: to,
    };
    Checkpoint {
        cursor: position.encode(),
        entries,
    }
}

/// What neither table knows comes from a later version, and stays.
fn remembered_before(
    checkpoint: &Checkpoint,
    end: Ticks,
) -> std::collections::BTreeMap<Bytes, Bytes> {
    let is_older = |(key, value): &(&Bytes, &Bytes)| {
        let time = seen::time_of(key).or_else(|| emit::time_of(key, value));
        time.is_none_or(|time| time < end)
    };
    let older = checkpoint.entries.iter().filter(is_older);
    older
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn words(error: CursorError) -> String {
    match error {
        CursorError::Unreadable(source) => {
            format!("the cursor is not one of this source: {source}")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::Emit;
    use crate::seen::print_of;
    use crate::tables::Tables;

    fn at(hour: u8) -> Ticks {
        Ticks::parse(&format!("2026-01-02T{hour:02}:00:00Z")).expect("a time")
    }

    /// Read from midnight to noon, with a record every hour from 6 o'clock on remembered.
    fn noon() -> Checkpoint {
        let mut tables = Tables::starting_at(at(0), Emit::First);
        let mut entries = std::collections::BTreeMap::new();
        for hour in 6..12 {
            let id = hour.to_string();
            entries.extend([tables.seen.add(at(hour), print_of(id.as_bytes(), b"v"))]);
            entries.extend(tables.gate.pass(id.as_bytes(), "new", at(hour)).put);
        }
        tables.position.advance(at(11), at(12));
        Checkpoint {
            cursor: tables.position.encode(),
            entries,
        }
    }

    /// Which records of the hours are still remembered.
    fn hours(checkpoint: &Checkpoint) -> Vec<u8> {
        let tables = Tables::restore(checkpoint, Emit::First);
        let mut tables = tables.expect("readable").expect("not empty");
        let known = |hour: &u8| {
            let id = hour.to_string();
            let seen = tables.seen.contains(&print_of(id.as_bytes(), b"v"));
            let passes = tables.gate.pass(id.as_bytes(), "new", at(*hour)).send;
            assert_ne!(seen, passes, "both tables say the same of {hour}");
            seen
        };
        (0..12).filter(known).collect()
    }

    #[test]
    fn what_was_sent_since_the_time_is_forgotten_and_the_rest_still_known() {
        let rewound = rewound(&noon(), at(9).to_timestamp()).expect("ours");
        let rewound = rewound.expect("it stands later");
        let position = Position::decode(&rewound.cursor).expect("ours");
        assert_eq!(
            (position.floor, position.newest, position.read_to),
            (at(6), at(9), at(9)),
            "late records are still looked for as far back as is remembered"
        );
        assert_eq!(hours(&rewound), [6, 7, 8]);
    }

    #[test]
    fn nothing_before_the_time_is_read_where_nothing_of_it_is_remembered() {
        let rewound = rewound(&noon(), at(3).to_timestamp()).expect("ours");
        let rewound = rewound.expect("it stands later");
        let position = Position::decode(&rewound.cursor).expect("ours");
        assert_eq!(position, Position::starting_at(at(3)));
        assert_eq!(hours(&rewound), [] as [u8; 0]);
    }

    #[test]
    fn a_rewind_does_not_go_forward() {
        let later = rewound(&noon(), at(12).to_timestamp()).expect("ours");
        assert_eq!(later, None);
    }

    #[test]
    fn a_cursor_is_placed_as_it_was_shown_and_a_foreign_one_refused() {
        let mut position = Position::decode(&noon().cursor).expect("ours");
        position.newest = at(8);
        let new = placed(&noon(), position.encode()).expect("ours");
        assert_eq!(new.cursor, position.encode());
        assert_eq!(hours(&new), [6, 7]);
        let foreign = placed(&noon(), Cursor::new(r#"{"sequence":7}"#));
        assert!(
            foreign
                .expect_err("refused")
                .contains("not one of this source")
        );
    }

    #[test]
    fn a_cursor_reads_as_times() {
        let words = describe(&noon().cursor).expect("ours");
        assert_eq!(
            words.text,
            "read to 2026-01-02T12:00:00Z, newest record 2026-01-02T11:00:00Z, \
             nothing before 2026-01-02T00:00:00Z"
        );
        assert_eq!(words.at, Some(at(12).to_timestamp()));
    }
}
