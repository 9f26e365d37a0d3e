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

/// Bytes of a checkpoint that are no cursor of ours.
#[derive(Debug, thiserror::Error)]
#[error("the checkpoint cannot be read")]
pub(crate) struct BadCursor(#[source] serde_json::Error);

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
            let read = HubCursor::decode(&cursor.encode()).expect("ours");
            assert_eq!(read, Some(cursor));
        }
        assert!(
            HubCursor::decode(&Cursor::default())
                .expect("empty")
                .is_none()
        );
        assert!(HubCursor::decode(&Cursor::new("x")).is_err());
    }
}
