//! The sink against receivers of the test, over real sockets.
#![expect(clippy::unwrap_used, reason = "a step that fails ends its test")]

mod certificates;
mod failover;
mod receiver;
mod tcp;
mod tls;
mod udp;

use std::path::Path;

use serde_json::Value;
use tapline_core::{BuildContext, ComponentKind, Delivery, Event, Fault, Sink, SinkConfig};
use tapline_sink_syslog::SyslogConfig;
use tapline_testkit::{build_context, event};

fn context(folder: &Path) -> BuildContext {
    build_context(ComponentKind::Sink, "syslog", "siem", folder)
}

fn build(settings: Value, cx: &BuildContext) -> Box<dyn Sink> {
    let config: SyslogConfig = serde_json::from_value(settings).unwrap();
    assert_eq!(config.problems(), []);
    config.build(cx).unwrap()
}

fn sink(settings: Value) -> Box<dyn Sink> {
    build(settings, &context(Path::new(".")))
}

/// An event with a body, and a header that does not change.
fn message(body: impl AsRef<[u8]>) -> Event {
    let mut event = event("graph.alert", "da1", "v1", body);
    event.meta_mut().event_time = Some("2026-01-02T03:04:05.1234567Z".parse().unwrap());
    event
}

fn messages(bodies: &[&str]) -> Vec<Event> {
    bodies.iter().map(message).collect()
}

/// Position and reason of every exception.
fn reasons(delivery: &Delivery) -> Vec<(usize, &'static str)> {
    let reason = |fault: &Fault| match fault {
        Fault::Retry { reason, .. }
        | Fault::Reject { reason, .. }
        | Fault::Denied { reason, .. } => *reason,
        Fault::Fenced => "fenced",
    };
    let exceptions = delivery.exceptions.iter();
    exceptions.map(|(at, fault)| (*at, reason(fault))).collect()
}

fn is_denied(delivery: &Delivery) -> bool {
    let mut faults = delivery.exceptions.iter().map(|(_, fault)| fault);
    faults.all(|fault| matches!(fault, Fault::Denied { .. })) && !delivery.exceptions.is_empty()
}
