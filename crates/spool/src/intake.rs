//! The sink in front of the queue: an event is delivered once it is safely on disk.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tapline_core::metrics::{DISCARDED_EVENTS, Gauge, IntCounter, SPOOL_BYTES};
use tapline_core::{BuildContext, Delivery, Event, Fault, Sink, SinkLimits};
use tokio::task::{JoinError, spawn_blocking};

use crate::event;
use crate::queue::{AppendError, Bounds, Queue, Writer};

/// Takes events in.
pub(crate) struct Intake {
    writer: Arc<Mutex<Writer>>,
    queue: Queue,
    bytes: Gauge,
    dropped: IntCounter,
}

impl Intake {
    pub(crate) fn new(queue: Queue, bounds: Bounds, cx: &BuildContext) -> Self {
        Self {
            writer: Arc::new(Mutex::new(Writer::new(queue.clone(), bounds))),
            queue,
            bytes: cx.metrics.gauge(&SPOOL_BYTES, &[]),
            dropped: cx.metrics.counter(&DISCARDED_EVENTS, &["spool_full"]),
        }
    }

    /// Waits for the disk on a thread that may block.
    async fn append(&self, events: &[Event]) -> Result<Result<(), AppendError>, JoinError> {
        let encoded: Vec<Vec<u8>> = events.iter().map(event::encode).collect();
        let writer = Arc::clone(&self.writer);
        spawn_blocking(move || {
            let mut writer = writer.lock().unwrap_or_else(PoisonError::into_inner);
            writer.append(&encoded)
        })
        .await
    }

    fn count(&self) {
        self.bytes.set(self.queue.bytes() as f64);
        let dropped = self.queue.dropped().saturating_sub(self.dropped.get());
        self.dropped.inc_by(dropped);
        if dropped > 0 {
            tracing::error!(
                events = dropped,
                "the spool is full: its oldest events were deleted undelivered, as its when_full asks for"
            );
        }
    }
}

#[async_trait]
impl Sink for Intake {
    async fn deliver(&self, events: &[Event]) -> Delivery {
        let appended = self.append(events).await;
        self.count();
        let retry = |reason| {
            Delivery::none(
                events.len(),
                Fault::Retry {
                    after: None,
                    reason,
                },
            )
        };
        match appended {
            Ok(Ok(())) => Delivery::all(),
            Ok(Err(error)) => refused(events.len(), &error),
            // A stopping process cancels what has not begun.
            Err(_) => retry("spool_stopped"),
        }
    }

    fn limits(&self) -> SinkLimits {
        SinkLimits {
            max_bytes: 4 << 20,
            ..SinkLimits::default()
        }
    }
}

fn refused(count: usize, error: &AppendError) -> Delivery {
    let denied = |reason| Fault::Denied {
        reason,
        why: error.to_string(),
    };
    match error {
        AppendError::Full => {
            let after = None;
            let reason = "spool_full";
            Delivery::none(count, Fault::Retry { after, reason })
        }
        AppendError::Io(_) => Delivery::none(count, denied("spool_unwritable")),
        AppendError::TooLarge { index, .. } => {
            let after = None;
            let reason = "spool_neighbour";
            let mut delivery = Delivery::none(count, Fault::Retry { after, reason });
            delivery.exceptions[*index].1 = Fault::Reject {
                reason: "too_large",
                why: error.to_string(),
            };
            delivery
        }
    }
}
