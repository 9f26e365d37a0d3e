//! Deliveries under way: delivery reports are counted down per call, not awaited per event.
//!
//! The opaque word that travels with a record through librdkafka holds the number of its call
//! in the upper and its position in the lower 32 bits, so that a report costs no allocation.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::troubles::Troubles;

/// Positions that failed, and with which code, in order of arrival.
pub(crate) type Failures = Vec<(usize, RDKafkaErrorCode)>;

/// All calls under way of one producer.
#[derive(Default)]
pub(crate) struct Calls {
    table: Mutex<Table>,
    troubles: Troubles,
}

#[derive(Default)]
struct Table {
    next: u32,
    open: HashMap<u32, Call>,
}

struct Call {
    /// Reports still to come; one more while the call is being enqueued.
    missing: usize,
    failures: Failures,
    done: oneshot::Sender<Failures>,
}

/// A call that is being enqueued.
pub(crate) struct Opened {
    number: u32,
    pub(crate) done: oneshot::Receiver<Failures>,
}

impl Opened {
    /// The word that travels with the record at `position`.
    pub(crate) fn opaque(&self, position: usize) -> usize {
        ((self.number as usize) << 32) | position
    }
}

impl Calls {
    pub(crate) fn open(&self) -> Opened {
        let (done, wait) = oneshot::channel();
        let mut table = self.lock();
        let number = table.next;
        table.next = table.next.wrapping_add(1);
        let call = Call {
            missing: 1,
            failures: Vec::new(),
            done,
        };
        table.open.insert(number, call);
        Opened { number, done: wait }
    }

    /// Counts a record that librdkafka took; before its report can come, so call it before sending.
    pub(crate) fn expect(&self, opened: &Opened) {
        if let Some(call) = self.lock().open.get_mut(&opened.number) {
            call.missing += 1;
        }
    }

    /// Settles one record of a call, or the end of its enqueueing (`failure` none, no position).
    fn arrive(&self, number: u32, failure: Option<(usize, RDKafkaErrorCode)>) {
        let mut table = self.lock();
        let Some(call) = table.open.get_mut(&number) else {
            return;
        };
        call.failures.extend(failure);
        call.missing -= 1;
        if call.missing == 0
            && let Some(call) = table.open.remove(&number)
            && call.done.send(call.failures).is_err()
        {
            debug!("nobody waits for a delivery any more");
        }
    }

    /// Settles a record that librdkafka did not even take.
    pub(crate) fn refuse(&self, opened: &Opened, position: usize, code: RDKafkaErrorCode) {
        self.arrive(opened.number, Some((position, code)));
    }

    /// Everything of the call is enqueued.
    pub(crate) fn enqueued(&self, opened: &Opened) {
        self.arrive(opened.number, None);
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // Nothing panics while the lock is held, and counts stay right if it did.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Calls {
    fn log(&self, _: RDKafkaLogLevel, facility: &str, message: &str) {
        // What matters of it also comes through `error`, where repeats can be told apart.
        debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code();
        if self
            .troubles
            .is_news(code.unwrap_or(RDKafkaErrorCode::Unknown))
        {
            // Reasons name brokers and causes; librdkafka keeps passwords out of them.
            warn!(%error, reason, "kafka is in trouble");
        }
    }
}

impl ProducerContext for Calls {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, opaque: usize) {
        let position = opaque & u32::MAX as usize;
        let failure = result.as_ref().err().map(|(error, _)| {
            let code = error.rdkafka_error_code();
            (position, code.unwrap_or(RDKafkaErrorCode::Unknown))
        });
        self.arrive((opaque >> 32) as u32, failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_ends_when_all_its_reports_are_in_and_it_is_enqueued() {
        let calls = Calls::default();
        let mut first = calls.open();
        let second = calls.open();
        for _ in 0..2 {
            calls.expect(&first);
        }
        calls.arrive(first.number, None);
        calls.refuse(&first, 1, RDKafkaErrorCode::MessageSizeTooLarge);
        assert!(first.done.try_recv().is_err(), "still being enqueued");
        calls.enqueued(&first);
        let failures = first.done.try_recv().expect("done");
        assert_eq!(failures, [(1, RDKafkaErrorCode::MessageSizeTooLarge)]);
        assert_ne!(first.opaque(0), second.opaque(0));
    }
}
