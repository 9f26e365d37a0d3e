//! One detection, incident, or table row: a body of bytes, and what routing needs to know of it.

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;
use jiff::Timestamp;
use tracing::Span;

use crate::{Cursor, Severity, Text, Ticket, Verdict};

/// What sort of record an event is: `graph.alert`, `hunting.DeviceEvents`, ..
///
/// Cheap to clone; make one per stream, not one per event.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Kind(Arc<str>);

impl Kind {
    /// Names a kind.
    pub fn new(name: &str) -> Self {
        Self(Arc::from(name))
    }

    /// The name, as it stands in headers, metrics, and identities.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The table's name if this is a row of advanced hunting.
    pub fn hunting_table(&self) -> Option<&str> {
        self.0.strip_prefix("hunting.")
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Fixed fields that the operator gave to a source.
pub type Labels = Arc<BTreeMap<String, String>>;

/// Shared, so that an event without labels asks for no memory.
static NO_LABELS: LazyLock<Labels> = LazyLock::new(Labels::default);

/// Where an event was read: its partition, and the cursor after its batch.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Origin {
    /// The partition of the source.
    pub partition: Arc<str>,
    /// The cursor that is safe once the event's whole batch is settled.
    pub cursor: Cursor,
}

/// What routing, keys, PRI, and metrics need of an event without parsing its body.
#[derive(Clone, Debug)]
pub struct Metadata {
    /// Id of the source component; set by the runtime.
    pub component: Arc<str>,
    /// What sort of record it is.
    pub kind: Kind,
    /// The Microsoft tenant; `unknown` if nobody says.
    pub tenant: Text,
    /// The record's id within tenant and kind.
    pub id: Text,
    /// The record's version; `1` for what never changes.
    pub version: Text,
    /// When it happened, by the record.
    pub event_time: Option<Timestamp>,
    /// When we received it.
    pub arrival: Timestamp,
    /// How serious it is.
    pub severity: Severity,
    /// The device it is about, for keys and syslog host names.
    pub device: Option<Text>,
    /// The table's name as it came, for rows of advanced hunting.
    pub table: Option<Text>,
    /// What the body is written in once a transform has rewritten it, such as `ocsf/1.8.0`.
    pub schema: Option<&'static str>,
    /// Fixed fields of the source.
    pub labels: Labels,
    /// Where it was read; set by the runtime.
    pub origin: Origin,
}

impl Metadata {
    /// Metadata with an identity, everything else unknown, received now.
    pub fn new(
        kind: Kind,
        tenant: impl Into<Text>,
        id: impl Into<Text>,
        version: impl Into<Text>,
    ) -> Self {
        Self::received(Timestamp::now(), kind, tenant, id, version)
    }

    /// The same for what came together: one look at the clock serves all of it.
    pub fn received(
        arrival: Timestamp,
        kind: Kind,
        tenant: impl Into<Text>,
        id: impl Into<Text>,
        version: impl Into<Text>,
    ) -> Self {
        Self {
            component: Arc::default(),
            kind,
            tenant: tenant.into(),
            id: id.into(),
            version: version.into(),
            event_time: None,
            arrival,
            severity: Severity::Unknown,
            device: None,
            table: None,
            schema: None,
            labels: Arc::clone(&NO_LABELS),
            origin: Origin::default(),
        }
    }

    /// `tenant:kind:id`: the same for all versions of a record.
    pub fn key(&self) -> String {
        format!("{}:{}:{}", self.tenant, self.kind, self.id)
    }

    /// `tenant:kind:id:version`: the record's identity.
    pub fn uid(&self) -> String {
        format!("{}:{}:{}:{}", self.tenant, self.kind, self.id, self.version)
    }

    /// A number that is the same for all versions of a record: their order must be kept.
    ///
    /// Two records may share one; that costs a little waiting and nothing else.
    pub fn lane(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.tenant.hash(&mut hasher);
        self.kind.hash(&mut hasher);
        self.id.hash(&mut hasher);
        hasher.finish()
    }
}

/// One detection, incident, or table row on its way.
///
/// A clone is a second event that has to be settled too.
#[derive(Clone, Debug)]
pub struct Event {
    body: Bytes,
    meta: Box<Metadata>,
    ticket: Option<Ticket>,
}

impl Event {
    /// An event that nobody waits for yet; the runtime adds the ticket.
    pub fn new(body: impl Into<Bytes>, meta: Metadata) -> Self {
        Self {
            body: body.into(),
            meta: Box::new(meta),
            ticket: None,
        }
    }

    /// The record's bytes: as they came, or as the last transform wrote them.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Bytes that it takes in memory, about.
    pub fn weight(&self) -> usize {
        const BESIDE_THE_BODY: usize = 512;
        self.body.len() + BESIDE_THE_BODY
    }

    /// Copies what is part of something larger, such as the message it came in, so that nothing
    /// else stays in memory for its sake.
    pub fn unshare(&mut self) {
        if !self.body.is_unique() {
            self.body = Bytes::copy_from_slice(&self.body);
        }
        let device = &mut self.meta.device;
        *device = device.take().map(|text| Text::from(&*text));
    }

    /// What is known of it without parsing.
    pub fn meta(&self) -> &Metadata {
        &self.meta
    }

    /// The same, to be changed.
    pub fn meta_mut(&mut self) -> &mut Metadata {
        &mut self.meta
    }

    /// Replaces the bytes and says what they are written in.
    pub fn rewrite(&mut self, body: Bytes, schema: &'static str) {
        self.body = body;
        self.meta.schema = Some(schema);
    }

    /// One more event made from this one; this one's batch waits for both.
    pub fn child(&self, body: Bytes) -> Self {
        let mut child = self.clone();
        child.body = body;
        child
    }

    /// Makes the event part of a batch whose end somebody waits for.
    pub fn attach(&mut self, ticket: Ticket) {
        self.ticket = Some(ticket);
    }

    /// The trace that its batch belongs to, if it is part of one.
    pub fn span(&self) -> Option<&Span> {
        self.ticket.as_ref().map(Ticket::span)
    }

    /// Takes the event out of its batch; whoever holds the ticket has to settle it.
    pub fn detach(&mut self) -> Option<Ticket> {
        self.ticket.take()
    }

    /// Ends its life.
    pub fn settle(mut self, verdict: Verdict) {
        if let Some(ticket) = self.ticket.take() {
            ticket.settle(verdict);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_part_of_a_message_lets_go_of_it() {
        let message = Bytes::from(br#"[{"DeviceName":"pc1"}]"#.to_vec());
        let mut meta = Metadata::new(Kind::new("graph.alert"), "t", "1", "1");
        meta.device = Text::try_from(message.slice(16..19)).ok();
        let mut event = Event::new(message.slice(1..21), meta);
        event.unshare();
        assert!(message.is_unique());
        assert_eq!(event.body(), br#"{"DeviceName":"pc1"}"#.as_slice());
        assert_eq!(event.meta().device.as_deref(), Some("pc1"));
        let body = event.body().as_ptr();
        event.unshare();
        assert_eq!(event.body().as_ptr(), body, "what is its own is not copied");
    }
}
