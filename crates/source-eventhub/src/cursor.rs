//! Where reading stands in a partition of a hub.

use serde::{Deserialize, Serialize};
use tapline_core::Cursor;

/// The last message that is settled, by everything the service counts by.
///
/// Sequence numbers grow by one per message; on the Kafka endpoint they are the offsets. The
/// offset of AMQP is opaque text (a number in most namespaces, not in replicated ones).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct HubCursor {
    /// -1 before the first.
    pub(crate) sequence: i64,
    /// What AMQP calls the offset, where it was read over AMQP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<String>,
    /// When the service took it in, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) enqueued_ms: Option<i64>,
}

/// What a checkpoint says of where a partition is read next.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Mark {
    /// Somebody moved it here by hand: also the offsets of a consumer group, which may be newer,
    /// give way to it.
    Wanted { wanted: Wanted },
    /// Everything up to here is settled.
    Settled(HubCursor),
}

/// Where somebody wants a partition to be read next.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(untagged)]
pub(crate) enum Wanted {
    /// With the first message that arrived at this time or after, in milliseconds since 1970; only
    /// the service knows which that is.
    Since { since_ms: i64 },
    /// After a message.
    After(HubCursor),
}

impl Mark {
    /// None for a partition that was never read.
    ///
    /// # Errors
    /// [`BadCursor`] if somebody else wrote it.
    pub(crate) fn decode(cursor: &Cursor) -> Result<Option<Self>, BadCursor> {
        if cursor.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(cursor.as_bytes())
            .map(Some)
            .map_err(BadCursor)
    }

    pub(crate) fn encode(&self) -> Cursor {
        let json = serde_json::to_vec(self).expect("numbers and text are JSON");
        Cursor::new(json)
    }
}

/// Bytes of a checkpoint that are no cursor of ours.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint cannot be read")]
pub(crate) struct BadCursor(#[source] pub(crate) serde_json::Error);

impl HubCursor {
    /// Everything before a sequence number is settled.
    pub(crate) const fn before(next: i64) -> Self {
        Self {
            sequence: next - 1,
            offset: None,
            enqueued_ms: None,
        }
    }

    /// The sequence number to read next.
    pub(crate) const fn next(&self) -> i64 {
        self.sequence + 1
    }

    pub(crate) fn encode(&self) -> Cursor {
        let json = serde_json::to_vec(self).expect("numbers and text are JSON");
        Cursor::new(json)
    }

    /// What is settled; none for a partition that was never read, or that somebody wants to be
    /// read elsewhere.
    ///
    /// # Errors
    /// [`BadCursor`] if somebody else wrote it.
    pub(crate) fn settled(cursor: &Cursor) -> Result<Option<Self>, BadCursor> {
        Ok(match Mark::decode(cursor)? {
            Some(Mark::Settled(cursor)) => Some(cursor),
            Some(Mark::Wanted { .. }) | None => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_as_it_was_written() {
        for cursor in [
            HubCursor::before(0),
            HubCursor {
                sequence: 1 << 60,
                offset: Some("a/b'c".to_owned()),
                enqueued_ms: Some(1),
            },
        ] {
            let read = Mark::decode(&cursor.encode()).expect("ours");
            assert_eq!(read, Some(Mark::Settled(cursor)));
        }
        assert!(Mark::decode(&Cursor::default()).expect("empty").is_none());
        assert!(Mark::decode(&Cursor::new("x")).is_err());
    }

    #[test]
    fn what_is_wanted_is_no_settled_place() {
        for wanted in [
            Wanted::Since { since_ms: 7 },
            Wanted::After(HubCursor::before(8)),
        ] {
            let mark = Mark::Wanted { wanted };
            let read = Mark::decode(&mark.encode()).expect("ours");
            assert_eq!(read, Some(mark.clone()));
            let settled = HubCursor::settled(&mark.encode()).expect("ours");
            assert_eq!(settled, None);
        }
    }
}
