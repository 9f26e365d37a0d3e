//! Traces of deliveries: a call may hold events of several batches, each with a trace of its own.

use tapline_core::{ComponentName, Event};
use tracing::{Span, debug_span};

/// One span per batch that is part of a call, each in the trace of its batch; they end when they
/// are dropped.
pub(super) fn deliveries(component: &ComponentName, events: &[Event]) -> Vec<Span> {
    let mut batches: Vec<&Span> = Vec::new();
    for span in events.iter().filter_map(Event::span) {
        // Events of one batch mostly stand together.
        if !span.is_none() && batches.last() != Some(&span) && !batches.contains(&span) {
            batches.push(span);
        }
    }
    let deliver = |parent: &Span| debug_span!(parent: parent, "deliver", component = %component.id, events = events.len());
    batches.into_iter().map(deliver).collect()
}
