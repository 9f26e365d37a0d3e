//! Deliveries under way: delivery reports are counted down per call, not awaited per event.
//!
//! The opaque word that travels with a record through librdkafka holds the number of its call
//! in the upper and its position in the lower 32 bits, so that a report costs no allocation.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;
use tokio::sync::oneshot;
use tracing::debug;

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
    /// Few: the runtime bounds how many calls of a sink are under way.
    open: Vec<Call>,
}

struct Call {
    number: u32,
    /// Records whose report is still to come; those not enqueued yet count too.
    missing: usize,
    /// librdkafka reads them where they are.
    _values: Arc<[Bytes]>,
    failures: Failures,
    done: oneshot::Sender<Failures>,
}

impl Call {
    fn finish(self) {
        if self.done.send(self.failures).is_err() {
            debug!("nobody waits for a delivery any more");
        }
    }
}

impl Calls {
    /// Opens a call of these records, each of which has to be reported or refused; until then
    /// their values are kept. Returns its number, and where its failures will arrive.
    pub(crate) fn open(&self, values: Arc<[Bytes]>) -> (u32, oneshot::Receiver<Failures>) {
        let (done, wait) = oneshot::channel();
        let mut table = self.lock();
        let number = table.next;
        table.next = table.next.wrapping_add(1);
        let call = Call {
            number,
            missing: values.len(),
            _values: values,
            failures: Vec::new(),
            done,
        };
        match call.missing {
            0 => call.finish(),
            _ => table.open.push(call),
        }
        (number, wait)
    }

    /// The word that travels with the record at `position`.
    pub(crate) fn opaque(number: u32, position: usize) -> usize {
        ((number as usize) << 32) | position
    }

    /// Settles one record of a call.
    pub(crate) fn arrive(&self, number: u32, failure: Option<(usize, RDKafkaErrorCode)>) {
        let mut table = self.lock();
        let Some(at) = table.open.iter().position(|call| call.number == number) else {
            return;
        };
        let call = &mut table.open[at];
        call.failures.extend(failure);
        call.missing -= 1;
        if call.missing == 0 {
            table.open.remove(at).finish();
        }
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
        self.troubles.tell(&error, reason);
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

    fn values(count: usize) -> Arc<[Bytes]> {
        vec![Bytes::from_static(b"value"); count].into()
    }

    #[test]
    fn a_call_ends_when_each_of_its_records_is_reported_or_refused() {
        let calls = Calls::default();
        let kept = values(2);
        let (first, mut done) = calls.open(Arc::clone(&kept));
        let (second, _) = calls.open(values(1));
        calls.arrive(first, None);
        assert!(done.try_recv().is_err(), "one is missing");
        assert_eq!(Arc::strong_count(&kept), 2, "librdkafka may still read it");
        calls.arrive(first, Some((1, RDKafkaErrorCode::MessageSizeTooLarge)));
        let failures = done.try_recv().expect("done");
        assert_eq!(failures, [(1, RDKafkaErrorCode::MessageSizeTooLarge)]);
        assert_eq!(Arc::strong_count(&kept), 1);
        assert_ne!(Calls::opaque(first, 0), Calls::opaque(second, 0));
    }

    #[test]
    fn a_call_without_records_ends_at_once() {
        let (_, mut done) = Calls::default().open(values(0));
        assert_eq!(done.try_recv(), Ok(Vec::new()));
    }
}
