//! Events handed over together, and the cursor that their settling makes safe.

use std::collections::BTreeMap;

use bytes::Bytes;
use tokio::sync::oneshot;
use tracing::Span;

use crate::Event;

/// A position in a remote stream, in the source's own encoding.
#[derive(Clone, Debug, Default, Eq, Hash, PartialEq)]
pub struct Cursor(Bytes);

impl Cursor {
    /// Wraps what the source encoded.
    pub fn new(encoded: impl Into<Bytes>) -> Self {
        Self(encoded.into())
    }

    /// What the source encoded.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether this is the cursor of a partition that was never read.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What is durable of a partition: a cursor, and the source's own keyed state that belongs to it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Checkpoint {
    /// Everything up to here is settled. Empty if the partition was never read.
    pub cursor: Cursor,
    /// Keyed entries, such as what a poller has already seen inside its overlap.
    pub entries: BTreeMap<Bytes, Bytes>,
}

/// A record that the source itself could not accept; it goes to the dead letters.
#[derive(Debug)]
pub struct Rejected {
    /// The record's bytes and what is known of it.
    pub event: Event,
    /// One of the source's closed set of reasons, a metric label.
    pub reason: &'static str,
    /// The same for a human.
    pub why: String,
}

/// Events of one partition in reading order, and what becomes durable after they are settled.
#[derive(Debug)]
pub struct Batch {
    /// The cursor that is safe once every event here, and of all batches before, is settled.
    pub after: Cursor,
    /// The events, in reading order. May be empty: then only the cursor moves.
    pub events: Vec<Event>,
    /// Records that the source could not accept.
    pub rejected: Vec<Rejected>,
    /// Keyed entries to add or replace together with the cursor.
    pub puts: Vec<(Bytes, Bytes)>,
    /// Keys of entries to remove together with the cursor.
    pub deletes: Vec<Bytes>,
    /// The trace that reading this batch belongs to.
    pub span: Span,
    pub(crate) epoch: u64,
    pub(crate) durable: Option<oneshot::Sender<()>>,
}

impl Batch {
    /// A batch of events, after which the partition stands at `after`.
    pub fn new(after: Cursor, events: Vec<Event>) -> Self {
        Self {
            after,
            events,
            rejected: Vec::new(),
            puts: Vec::new(),
            deletes: Vec::new(),
            span: Span::none(),
            epoch: 0,
            durable: None,
        }
    }

    /// Bytes that the batch keeps in memory until it is settled: bodies as read, what transforms
    /// make of them, and a flat share for each event.
    pub fn weight(&self) -> usize {
        // An event as read stays beside its OCSF form, which is up to twice as large (measured).
        const FORMS: usize = 3;
        let events = self
            .events
            .iter()
            .chain(self.rejected.iter().map(|r| &r.event));
        events
            .map(|event| (FORMS - 1) * event.body().len() + event.weight())
            .sum()
    }

    /// How often the partition had been rewound when this was read.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Who waits for this batch to be durable; taken once by the runtime.
    pub fn take_durable(&mut self) -> Option<oneshot::Sender<()>> {
        self.durable.take()
    }
}
