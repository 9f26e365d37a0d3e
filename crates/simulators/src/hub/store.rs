//! What a hub keeps: messages in partitions, each with its place and time.

use super::message::HubMessage;
use super::selector::Start;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Where a message stands in its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubPosition {
    /// The first message of a partition has 0, and each one more than the one before.
    pub sequence_number: i64,
    /// Grows by the size of the messages, unless a test chose the text.
    pub offset: String,
    /// When the hub took the message, in milliseconds since 1970.
    pub enqueued_ms: i64,
}

/// A message and its place.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) position: HubPosition,
    pub(crate) message: HubMessage,
}

/// One partition.
#[derive(Debug, Default)]
pub(crate) struct Log {
    messages: VecDeque<Arc<Stored>>,
    next: i64,
    next_offset: u64,
    /// The place of the newest message, kept when the message is gone.
    newest: Option<HubPosition>,
    /// The numbers of messages whose offset is not a number; they are known even when the message is gone.
    named: HashMap<String, i64>,
}

impl Log {
    /// Takes a message in at this time, in milliseconds since 1970.
    pub(crate) fn append(&mut self, message: HubMessage, now: i64) -> HubPosition {
        let offset = match &message.offset {
            Some(offset) => offset.clone(),
            None => self.next_offset.to_string(),
        };
        if offset.parse::<i64>().is_err() {
            self.named.insert(offset.clone(), self.next);
        }
        let position = HubPosition {
            sequence_number: self.next,
            offset,
            enqueued_ms: message.enqueued_ms.unwrap_or(now),
        };
        self.next += 1;
        self.next_offset += message.size() as u64 + 56;
        self.newest = Some(position.clone());
        self.messages.push_back(Arc::new(Stored {
            position: position.clone(),
            message,
        }));
        position
    }

    /// The message with this sequence number, or the oldest one after it.
    pub(crate) fn at(&self, sequence_number: i64) -> Option<&Arc<Stored>> {
        let skipped = sequence_number.saturating_sub(self.oldest());
        self.messages.get(usize::try_from(skipped).unwrap_or(0))
    }

    /// The sequence number of the oldest message that is still there, or of the next one to come.
    pub(crate) fn oldest(&self) -> i64 {
        let first = self.messages.front();
        first.map_or(self.next, |stored| stored.position.sequence_number)
    }

    /// The sequence number that the next message will have.
    pub(crate) fn next(&self) -> i64 {
        self.next
    }

    pub(crate) fn newest(&self) -> Option<&HubPosition> {
        self.newest.as_ref()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Forgets all messages before this sequence number, as if their time had passed, and gives them back.
    pub(crate) fn expire_before(&mut self, sequence_number: i64) -> Vec<Arc<Stored>> {
        let kept = |stored: &Arc<Stored>| stored.position.sequence_number >= sequence_number;
        let count = self
            .messages
            .iter()
            .take_while(|stored| !kept(stored))
            .count();
        self.messages.drain(..count).collect()
    }

    /// The sequence number of the first message that a receiver with this start gets; `None` when the start names an offset that
    /// never was.
    pub(crate) fn first_of(&self, start: &Start) -> Option<i64> {
        match start {
            Start::Beginning => Some(0),
            Start::Latest => Some(self.next),
            Start::Sequence { number, inclusive } => Some(number + i64::from(!inclusive)),
            Start::Enqueued { ms, inclusive } => {
                let early = |at: i64| if *inclusive { at < *ms } else { at <= *ms };
                let passed = self
                    .messages
                    .partition_point(|stored| early(stored.position.enqueued_ms));
                Some(self.oldest() + passed as i64)
            }
            Start::Offset { text, inclusive } => self.after_offset(text, *inclusive),
        }
    }

    fn after_offset(&self, text: &str, inclusive: bool) -> Option<i64> {
        if let Some(number) = self.named.get(text) {
            return Some(number + i64::from(!inclusive));
        }
        let wanted: i64 = text.parse().ok()?;
        let early = |stored: &Arc<Stored>| {
            let offset = stored.position.offset.parse::<i64>();
            offset.is_ok_and(|at| if inclusive { at < wanted } else { at <= wanted })
        };
        let passed = self
            .messages
            .iter()
            .rposition(early)
            .map_or(0, |place| place + 1);
        Some(self.oldest() + passed as i64)
    }
}
