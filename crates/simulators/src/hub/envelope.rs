//! AMQP messages as bytes: those of a partition, and requests and answers of the two service nodes.

use super::message::HubBody;
use super::store::{HubPosition, Stored};
use bytes::Bytes;
use fe2o3_amqp_types::messaging::message::__private::Serializable;
use fe2o3_amqp_types::messaging::message::DecodeIntoMessage;
use fe2o3_amqp_types::messaging::{
    AmqpValue, ApplicationProperties, Body, DeliveryAnnotations, Message, MessageAnnotations,
    MessageId, Properties,
};
use fe2o3_amqp_types::primitives::{OrderedMap, SimpleValue, Timestamp, Value};
use serde_amqp::read::IoReader;
use std::io;

/// What tells a receiver its lag.
/// Source: a trace in amqp/rhea#205, and azure-eventhub 5.15.
#[derive(Debug)]
pub(super) struct Metric<'a> {
    pub(super) newest: &'a HubPosition,
    pub(super) now_ms: i64,
}

/// Writes a message of a partition.
pub(super) fn write(stored: &Stored, metric: Option<&Metric<'_>>) -> io::Result<Vec<u8>> {
    let mut out = Vec::with_capacity(stored.message.size() + 256);
    if let Some(metric) = metric {
        append(&mut out, &DeliveryAnnotations(named(lag(metric)).collect()))?;
    }
    append(
        &mut out,
        &MessageAnnotations(named(place(stored)).collect()),
    )?;
    body(&stored.message.body, &mut out)?;
    Ok(out)
}

fn named<K: From<&'static str>>(
    entries: Vec<(&'static str, Value)>,
) -> impl Iterator<Item = (K, Value)> {
    entries
        .into_iter()
        .map(|(name, value)| (name.into(), value))
}

fn place(stored: &Stored) -> Vec<(&'static str, Value)> {
    let position = &stored.position;
    let mut entries = vec![
        (
            "x-opt-sequence-number",
            Value::Long(position.sequence_number),
        ),
        ("x-opt-offset", Value::String(position.offset.clone())),
        ("x-opt-enqueued-time", time(position.enqueued_ms)),
    ];
    if let Some(key) = &stored.message.partition_key {
        entries.push(("x-opt-partition-key", Value::String(key.clone())));
    }
    entries
}

fn lag(metric: &Metric<'_>) -> Vec<(&'static str, Value)> {
    vec![
        (
            "last_enqueued_sequence_number",
            Value::Long(metric.newest.sequence_number),
        ),
        (
            "last_enqueued_offset",
            Value::String(metric.newest.offset.clone()),
        ),
        ("last_enqueued_time_utc", time(metric.newest.enqueued_ms)),
        ("runtime_info_retrieval_time_utc", time(metric.now_ms)),
    ]
}

/// A time in milliseconds since 1970.
pub(super) fn time(ms: i64) -> Value {
    Value::Timestamp(Timestamp::from_milliseconds(ms))
}

/// AMQP 1.0, part 3, section 3.2: each section is a described value with a descriptor of its own.
fn body(body: &HubBody, out: &mut Vec<u8>) -> io::Result<()> {
    const DATA: u8 = 0x75;
    const SEQUENCE: u8 = 0x76;
    const VALUE: u8 = 0x77;
    let mut section = |descriptor: u8| out.extend_from_slice(&[0x00, 0x53, descriptor]);
    match body {
        HubBody::Data(pieces) => pieces.iter().for_each(|piece| {
            out.extend_from_slice(&[0x00, 0x53, DATA]);
            binary(piece, out);
        }),
        HubBody::Text(text) => {
            section(VALUE);
            append(out, text)?;
        }
        HubBody::Binary(bytes) => {
            section(VALUE);
            binary(bytes, out);
        }
        HubBody::Sequence(texts) => {
            section(SEQUENCE);
            append(out, texts)?;
        }
        HubBody::Missing => {}
    }
    Ok(())
}

fn binary(bytes: &Bytes, out: &mut Vec<u8>) {
    out.push(0xb0);
    out.extend_from_slice(&(bytes.len() as u32).to_be_bytes());
    out.extend_from_slice(bytes);
}

fn append<T: serde::Serialize>(out: &mut Vec<u8>, value: &T) -> io::Result<()> {
    out.append(&mut serde_amqp::to_vec(value).map_err(io::Error::other)?);
    Ok(())
}

/// A request to `$cbs` or `$management`.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) id: Option<MessageId>,
    pub(super) reply_to: Option<String>,
    properties: OrderedMap<String, SimpleValue>,
    pub(super) body: Option<Value>,
}

impl Request {
    pub(super) fn read(bytes: &[u8]) -> io::Result<Self> {
        let message: Message<Body<Value>> =
            Body::decode_message_from_reader(IoReader::new(bytes)).map_err(io::Error::other)?;
        let properties = message.properties.unwrap_or_default();
        let body = match message.body {
            Body::Value(AmqpValue(value)) => Some(value),
            _ => None,
        };
        Ok(Self {
            id: properties.message_id,
            reply_to: properties.reply_to,
            properties: message.application_properties.unwrap_or_default().0,
            body,
        })
    }

    /// The text of an application property.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        match self.properties.get(name) {
            Some(SimpleValue::String(text)) => Some(text),
            Some(SimpleValue::Symbol(symbol)) => Some(symbol.as_str()),
            _ => None,
        }
    }
}

/// Writes the answer to a request: its id comes back as the correlation id.
pub(super) fn answer(
    request: &Request,
    status: i32,
    description: &str,
    body: Value,
) -> io::Result<Vec<u8>> {
    let properties = [
        ("status-code", SimpleValue::Int(status)),
        (
            "status-description",
            SimpleValue::String(description.to_owned()),
        ),
    ];
    let message = Message {
        header: None,
        delivery_annotations: None,
        message_annotations: None,
        properties: Some(Properties {
            correlation_id: request.id.clone(),
            ..Properties::default()
        }),
        application_properties: Some(ApplicationProperties(
            properties
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )),
        body: AmqpValue(body),
        footer: None,
    };
    serde_amqp::to_vec(&Serializable(message)).map_err(io::Error::other)
}
