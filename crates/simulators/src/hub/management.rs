//! What `$management` says of the hub and its partitions.
//!
//! Source: Azure's SDKs for Rust (sdk/eventhubs) and Python (azure-eventhub 5.15), which read these maps.

use super::envelope::{Request, time};
use super::store::Log;
use super::{Hub, NAME};
use fe2o3_amqp_types::primitives::{Array, Value};

/// Milliseconds since 1970 when the hub was made: 2026-01-01.
const CREATED_MS: i64 = 1_767_225_600_000;

/// Answers a request that may be answered: status, description, body.
pub(super) fn answer(hub: &Hub, request: &Request) -> (i32, &'static str, Value) {
    let named = request
        .text("name")
        .is_some_and(|name| name.eq_ignore_ascii_case(NAME));
    match (request.text("operation"), request.text("type")) {
        (Some("READ"), _) if !named => {
            (404, "The messaging entity could not be found", Value::Null)
        }
        (Some("READ"), Some("com.microsoft:eventhub")) => (200, "OK", of_hub(hub.logs().len())),
        (Some("READ"), Some("com.microsoft:partition")) => of_partition(hub, request),
        _ => (400, "The operation is not supported", Value::Null),
    }
}

fn of_hub(partitions: usize) -> Value {
    let ids = (0..partitions)
        .map(|id| Value::String(id.to_string()))
        .collect();
    map([
        ("name", text(NAME)),
        ("type", text("com.microsoft:eventhub")),
        ("created_at", time(CREATED_MS)),
        (
            "partition_count",
            Value::Int(i32::try_from(partitions).unwrap_or(i32::MAX)),
        ),
        ("partition_ids", Value::Array(Array(ids))),
        ("georeplication_factor", Value::Int(1)),
    ])
}

fn of_partition(hub: &Hub, request: &Request) -> (i32, &'static str, Value) {
    let id = request.text("partition").unwrap_or_default();
    let logs = hub.logs();
    let log = id.parse::<usize>().ok().and_then(|id| logs.get(id));
    match log {
        Some(log) => (200, "OK", describe(id, log)),
        None => (
            404,
            "The specified partition is invalid for an EventHub",
            Value::Null,
        ),
    }
}

/// The oldest number of an empty partition is that of the next message; whether the service says so too is not known.
fn describe(id: &str, log: &Log) -> Value {
    let newest = log.newest();
    map([
        ("name", text(NAME)),
        ("type", text("com.microsoft:partition")),
        ("partition", text(id)),
        ("begin_sequence_number", Value::Long(log.oldest())),
        ("last_enqueued_sequence_number", Value::Long(log.next() - 1)),
        ("last_enqueued_sequence_number_epoch", Value::Long(0)),
        (
            "last_enqueued_offset",
            text(newest.map_or("-1", |newest| &newest.offset)),
        ),
        (
            "last_enqueued_time_utc",
            time(newest.map_or(0, |newest| newest.enqueued_ms)),
        ),
        ("is_partition_empty", Value::Bool(log.is_empty())),
    ])
}

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn map<const N: usize>(entries: [(&str, Value); N]) -> Value {
    Value::Map(
        entries
            .into_iter()
            .map(|(name, value)| (text(name), value))
            .collect(),
    )
}
