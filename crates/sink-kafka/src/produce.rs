//! Hands records to librdkafka without a copy of their values.
//!
//! `rdkafka` lets librdkafka copy every value: an allocation of the record's size, touched by one
//! thread and given back by another. Here the values are shared, and stay in the table of calls
//! until the last record of their call is reported, which is when librdkafka lets go of them
//! (`rdkafka.h`, `rd_kafka_produce`, on `msgflags` without `RD_KAFKA_MSG_F_COPY`).
#![expect(
    unsafe_code,
    reason = "librdkafka takes a value without a copy only by its C interface"
)]

use std::ffi::{CStr, c_void};
use std::ptr;
use std::sync::Arc;

use bytes::Bytes;
use rdkafka::bindings::{
    rd_kafka_header_add, rd_kafka_headers_destroy, rd_kafka_headers_new, rd_kafka_headers_t,
    rd_kafka_producev,
};
use rdkafka::producer::Producer;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};
use tapline_core::Metadata;
use tokio::sync::oneshot;

use crate::calls::{Calls, Failures};
use crate::record;
use crate::sink::KafkaProducer;

/// A call that is being enqueued: its records are sent or refused one after another.
pub(crate) struct Opened {
    /// Whose table keeps the values; its handle of librdkafka is destroyed before that table.
    producer: Arc<KafkaProducer>,
    number: u32,
    values: Arc<[Bytes]>,
    /// How many records are sent or refused.
    dealt_with: usize,
    done: oneshot::Receiver<Failures>,
}

/// What goes to librdkafka beside a value; all of it is copied there.
pub(crate) struct Envelope<'a> {
    pub(crate) topic: &'a CStr,
    pub(crate) key: Option<&'a str>,
    /// The headers are made of it.
    pub(crate) meta: &'a Metadata,
}

impl Opened {
    /// Opens a call for records with these values.
    pub(crate) fn new(producer: &Arc<KafkaProducer>, values: Arc<[Bytes]>) -> Self {
        let (number, done) = producer.context().open(Arc::clone(&values));
        Self {
            producer: Arc::clone(producer),
            number,
            values,
            dealt_with: 0,
            done,
        }
    }

    /// Sends the next record, which stands at `position` among the events of the call.
    ///
    /// # Errors
    /// Why librdkafka does not take it; it is still the next one.
    pub(crate) fn send(
        &mut self,
        position: usize,
        envelope: &Envelope<'_>,
    ) -> Result<(), RDKafkaErrorCode> {
        let value = &self.values[self.dealt_with];
        let key = envelope.key.map_or(ptr::null(), str::as_ptr);
        let headers = headers(envelope.meta);
        let opaque = Calls::opaque(self.number, position);
        // SAFETY: the handle lives as long as the producer, and the arguments are of the types
        // that their tags announce; topic, key, and headers live until the call returns. The value outlives librdkafka's use of it: the table of calls
        // holds it until each record of the call was sent, which happens once, and reported; and
        // the table itself, which belongs to the client, outlives the handle.
        let error = unsafe {
            use rdkafka::bindings::rd_kafka_vtype_t::*;
            rd_kafka_producev(
                self.producer.client().native_ptr(),
                RD_KAFKA_VTYPE_TOPIC,
                envelope.topic.as_ptr(),
                RD_KAFKA_VTYPE_MSGFLAGS,
                0,
                RD_KAFKA_VTYPE_VALUE,
                value.as_ptr().cast::<c_void>(),
                value.len(),
                RD_KAFKA_VTYPE_KEY,
                key.cast::<c_void>(),
                envelope.key.map_or(0, str::len),
                RD_KAFKA_VTYPE_OPAQUE,
                ptr::without_provenance_mut::<c_void>(opaque),
                RD_KAFKA_VTYPE_HEADERS,
                headers,
                RD_KAFKA_VTYPE_END,
            )
        };
        if error != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            // SAFETY: librdkafka takes headers over only together with their record.
            unsafe { rd_kafka_headers_destroy(headers) };
            return Err(error.into());
        }
        self.dealt_with += 1;
        Ok(())
    }

    /// The word that travels with the record at `position`, for one that goes another way.
    pub(crate) fn opaque(&self, position: usize) -> usize {
        Calls::opaque(self.number, position)
    }

    /// Settles a record that goes another way, and that librdkafka will never take.
    pub(crate) fn report(&self, position: usize, code: RDKafkaErrorCode) {
        let failure = Some((position, code));
        self.producer.context().arrive(self.number, failure);
    }

    /// Settles the next record, which librdkafka will never take.
    pub(crate) fn refuse(&mut self, position: usize, code: RDKafkaErrorCode) {
        self.dealt_with += 1;
        self.producer
            .context()
            .arrive(self.number, Some((position, code)));
    }

    /// Waits for all reports; none if the producer is gone before they came.
    pub(crate) async fn reports(self) -> Option<Failures> {
        self.done.await.ok()
    }
}

/// The headers of an event, owned by whoever called.
fn headers(meta: &Metadata) -> *mut rd_kafka_headers_t {
    // SAFETY: it only allocates, and ends the process where it cannot.
    let headers = unsafe { rd_kafka_headers_new(record::MOST_HEADERS) };
    for (name, value) in record::headers(meta) {
        let (name_at, name_length) = (name.as_ptr().cast(), name.len().cast_signed());
        let (value_at, value_length) = (value.as_ptr().cast(), value.len().cast_signed());
        // SAFETY: the list is ours alone, and name and value are copied before it returns. It
        // refuses nothing but lists that are read-only.
        let _added =
            unsafe { rd_kafka_header_add(headers, name_at, name_length, value_at, value_length) };
    }
    headers
}
