//! Messages as a hub keeps them, whatever their bodies are.

use bytes::Bytes;
use serde_json::Value;

/// The body of an AMQP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubBody {
    /// One or several data sections; the body is all of them together.
    Data(Vec<Bytes>),
    /// An amqp-value section with a string.
    Text(String),
    /// An amqp-value section with binary.
    Binary(Bytes),
    /// An amqp-sequence section with strings.
    Sequence(Vec<String>),
    /// No body section at all, which the standard does not allow.
    Missing,
}

/// One message as a test puts it in.
///
/// Bytes, text, and JSON become a message with one data section; [`HubMessage::new`] takes any body.
#[derive(Debug, Clone)]
pub struct HubMessage {
    pub(crate) body: HubBody,
    pub(crate) offset: Option<String>,
    pub(crate) enqueued_ms: Option<i64>,
    pub(crate) partition_key: Option<String>,
}

impl HubMessage {
    /// A message with this body.
    pub fn new(body: HubBody) -> Self {
        Self {
            body,
            offset: None,
            enqueued_ms: None,
            partition_key: None,
        }
    }

    /// A message whose body is cut into pieces, each in a data section of its own.
    pub fn pieces<P: Into<Bytes>>(pieces: impl IntoIterator<Item = P>) -> Self {
        Self::new(HubBody::Data(pieces.into_iter().map(Into::into).collect()))
    }

    /// Gives the message this offset in place of a number; any text is legal.
    #[must_use]
    pub fn offset(mut self, offset: impl Into<String>) -> Self {
        self.offset = Some(offset.into());
        self
    }

    /// When the hub took the message, in milliseconds since 1970; now, if not said.
    #[must_use]
    pub fn enqueued_ms(mut self, at: i64) -> Self {
        self.enqueued_ms = Some(at);
        self
    }

    /// The key by which the sender chose the partition.
    #[must_use]
    pub fn partition_key(mut self, key: impl Into<String>) -> Self {
        self.partition_key = Some(key.into());
        self
    }

    /// The same message, to stand at another place.
    pub(crate) fn again(&self) -> Self {
        Self {
            offset: None,
            ..self.clone()
        }
    }

    /// Roughly the bytes that the message takes.
    pub(crate) fn size(&self) -> usize {
        match &self.body {
            HubBody::Data(pieces) => pieces.iter().map(Bytes::len).sum(),
            HubBody::Text(text) => text.len(),
            HubBody::Binary(bytes) => bytes.len(),
            HubBody::Sequence(texts) => texts.iter().map(String::len).sum(),
            HubBody::Missing => 0,
        }
    }
}

impl From<Bytes> for HubMessage {
    fn from(body: Bytes) -> Self {
        Self::pieces([body])
    }
}

impl From<Vec<u8>> for HubMessage {
    fn from(body: Vec<u8>) -> Self {
        Self::pieces([body])
    }
}

impl From<&str> for HubMessage {
    fn from(body: &str) -> Self {
        Self::pieces([Bytes::copy_from_slice(body.as_bytes())])
    }
}

impl From<Value> for HubMessage {
    fn from(body: Value) -> Self {
        Self::pieces([body.to_string()])
    }
}
