//! Checkpoints as people read them, and as they are moved by hand.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use tapline_core::{Checkpoint, Cursor, CursorForm, CursorWords};

use crate::cursor::{BadCursor, HubCursor, Mark, Wanted};
use crate::repeats::Spot;

/// How cursors of this source read, and how they are moved.
pub(crate) const FORM: CursorForm = CursorForm {
    describe,
    rewound,
    placed,
};

fn describe(cursor: &Cursor) -> Result<CursorWords, String> {
    let at = |ms: i64| Timestamp::from_millisecond(ms).ok();
    Ok(match Mark::decode(cursor).map_err(words)? {
        None => CursorWords {
            text: "not read yet".to_owned(),
            at: None,
        },
        Some(Mark::Settled(cursor)) => CursorWords {
            at: cursor.enqueued_ms.and_then(at),
            text: format!("settled to {}", message(&cursor)),
        },
        Some(Mark::Wanted {
            wanted: Wanted::After(cursor),
        }) => CursorWords {
            at: cursor.enqueued_ms.and_then(at),
            text: format!("to be read after {}", message(&cursor)),
        },
        Some(Mark::Wanted {
            wanted: Wanted::Since { since_ms },
        }) => CursorWords {
            at: at(since_ms),
            text: match at(since_ms) {
                Some(time) => format!("to be read from what arrived at {time} on"),
                None => "to be read from the oldest message on".to_owned(),
            },
        },
    })
}

fn message(cursor: &HubCursor) -> String {
    match cursor.sequence {
        ..0 => "before the first message".to_owned(),
        number => format!("message {number}"),
    }
}

/// Which message the time leads to, only the service knows.
fn rewound(checkpoint: &Checkpoint, to: Timestamp) -> Result<Option<Checkpoint>, String> {
    let since_ms = to.as_millisecond();
    let stands_at = match Mark::decode(&checkpoint.cursor).map_err(words)? {
        None => return Ok(None),
        Some(Mark::Settled(cursor))
        | Some(Mark::Wanted {
            wanted: Wanted::After(cursor),
        }) => cursor.enqueued_ms,
        Some(Mark::Wanted {
            wanted: Wanted::Since { since_ms },
        }) => Some(since_ms - 1),
    };
    if stands_at.is_some_and(|stands_at| stands_at < since_ms) {
        return Ok(None);
    }
    let mark = Mark::Wanted {
        wanted: Wanted::Since { since_ms },
    };
    Ok(Some(Checkpoint {
        cursor: mark.encode(),
        entries: remembered(checkpoint, |spot| spot.enqueued_ms < since_ms),
    }))
}

fn placed(checkpoint: &Checkpoint, cursor: Cursor) -> Result<Checkpoint, String> {
    let wanted = match Mark::decode(&cursor).map_err(words)? {
        None => return Err("the cursor is empty".to_owned()),
        Some(Mark::Settled(cursor)) => Wanted::After(cursor),
        Some(Mark::Wanted { wanted }) => wanted,
    };
    let entries = match &wanted {
        Wanted::After(cursor) => remembered(checkpoint, |spot| spot.sequence <= cursor.sequence),
        Wanted::Since { since_ms } => remembered(checkpoint, |spot| spot.enqueued_ms < *since_ms),
    };
    Ok(Checkpoint {
        cursor: Mark::Wanted { wanted }.encode(),
        entries,
    })
}

/// A record that is read again must not be taken for its own repeat.
fn remembered(checkpoint: &Checkpoint, keep: impl Fn(&Spot) -> bool) -> BTreeMap<Bytes, Bytes> {
    let entries = checkpoint.entries.iter();
    let kept = entries.filter(|(_, value)| Spot::decode(value).is_none_or(|spot| keep(&spot)));
    kept.map(|(key, value)| (key.clone(), value.clone()))
        .collect()
}

fn words(error: BadCursor) -> String {
    let BadCursor(source) = error;
    format!("the cursor is not one of this source: {source}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_767_323_045;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn settled(sequence: i64, second: i64) -> Checkpoint {
        let cursor = HubCursor {
            sequence,
            offset: None,
            enqueued_ms: Some(second * 1000),
        };
        Checkpoint {
            cursor: cursor.encode(),
            entries: BTreeMap::new(),
        }
    }

    fn read(checkpoint: &Checkpoint) -> Option<Mark> {
        Mark::decode(&checkpoint.cursor).expect("ours")
    }

    #[test]
    fn a_rewind_wants_a_time_and_goes_back_only() {
        let stands = settled(7, SECOND);
        let back = rewound(&stands, time(SECOND)).expect("ours");
        let back = back.expect("it arrived then, and is wanted again");
        let since_ms = SECOND * 1000;
        let wanted = Wanted::Since { since_ms };
        assert_eq!(read(&back), Some(Mark::Wanted { wanted }));
        assert_eq!(rewound(&stands, time(SECOND + 1)).expect("ours"), None);
        assert_eq!(
            rewound(&back, time(SECOND)).expect("ours"),
            None,
            "it is there"
        );
    }

    #[test]
    fn a_cursor_that_is_placed_is_wanted_whatever_the_group_says() {
        let placed = placed(&settled(7, SECOND), HubCursor::before(3).encode()).expect("ours");
        let wanted = Wanted::After(HubCursor::before(3));
        assert_eq!(read(&placed), Some(Mark::Wanted { wanted }));
        let foreign = super::placed(&settled(7, SECOND), Cursor::new(r#"{"v":1}"#));
        assert!(
            foreign
                .expect_err("refused")
                .contains("not one of this source")
        );
    }

    #[test]
    fn a_cursor_reads_as_a_message_or_a_time() {
        let check = |cursor: &Cursor, text: &str, at: Option<i64>| {
            let words = describe(cursor).expect("ours");
            assert_eq!((&*words.text, words.at), (text, at.map(time)));
        };
        let stands = settled(7, SECOND);
        check(&stands.cursor, "settled to message 7", Some(SECOND));
        let before = HubCursor::before(0).encode();
        check(&before, "settled to before the first message", None);
        let back = rewound(&stands, time(SECOND)).expect("ours");
        check(
            &back.expect("back").cursor,
            "to be read from what arrived at 2026-01-02T03:04:05Z on",
            Some(SECOND),
        );
    }
}
