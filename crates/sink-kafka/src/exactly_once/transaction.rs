//! One transaction: events, cursors behind them, and what is put aside, made visible together.
//!
//! Everything is confirmed by the brokers before the group is asked to take our offset. So whoever
//! takes a partition over finds the cursors of a transaction that the group still took in the topic,
//! waits until it is decided, and starts behind it; and one that comes later is refused.

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::TopicPartitionList;
use rdkafka::consumer::ConsumerGroupMetadata;
use rdkafka::error::{KafkaError, RDKafkaError};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode as Code;
use tapline_core::{Advance, Event, Fault};

use super::cursors;
use crate::config::Key;
use crate::produce::{Envelope, Opened};
use crate::sink::KafkaProducer;
use crate::topic::TopicTemplate;
use crate::{faults, record};

/// How long librdkafka may block for one step of a transaction before we look around.
const SLICE: Duration = Duration::from_secs(1);
/// How long librdkafka may want to be asked again: longer than a transaction may last, after which
/// something has become of it. A client that cannot say what is replaced.
const LONGEST: Duration = Duration::from_secs(30);
/// How long it may wait for reports at a time.
const FLUSH_SLICE: Duration = Duration::from_millis(50);
/// Between looks at a full queue of librdkafka.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(2);
/// The bytes of a dead letter that go in one record; a broker's default is 1 MiB for a whole batch.
const LETTER_BYTES: usize = 900_000;

/// Events that will never be taken, by step and position within it, and why.
pub(super) type Aside = BTreeMap<(usize, usize), (&'static str, String)>;

/// What became of a transaction.
#[derive(Debug, PartialEq)]
pub(super) enum Outcome {
    Committed,
    /// Aborted: these events will never be taken, the others may be without them.
    Unfit(Aside),
    /// Aborted: the topic takes smaller batches than ours.
    TooLarge,
    /// Aborted: the same may work later.
    Again(&'static str, String),
    /// Aborted: the group did not take our offset.
    NoMember(Code),
    /// The client is of no more use, and nobody can say what became of it.
    Broken(String),
}

/// What a transaction is made of.
pub(super) struct Transaction<'a> {
    pub(super) producer: &'a Arc<KafkaProducer>,
    pub(super) topic: &'a TopicTemplate,
    pub(super) key: Key,
    pub(super) cursors: &'a str,
    pub(super) dead_letters: &'a str,
    pub(super) instance: &'a str,
    /// Whether each record goes in a batch of its own.
    pub(super) is_alone: bool,
    pub(super) steps: &'a [Arc<Advance>],
    pub(super) aside: &'a Aside,
}

/// What shows the group that we may.
pub(super) struct Proof {
    pub(super) offsets: TopicPartitionList,
    pub(super) metadata: ConsumerGroupMetadata,
}

/// Records that were handed to librdkafka.
#[derive(Default)]
struct Sent {
    /// Of events: by step.
    events: Vec<(usize, Opened)>,
    others: Vec<Opened>,
    failed: Vec<Code>,
    /// Events that librdkafka finds too large before anything is sent, by step and position.
    too_large: Vec<(usize, usize)>,
}

impl Transaction<'_> {
    /// Makes all of it visible, or nothing.
    pub(super) async fn run(&self, proof: Proof) -> Outcome {
        if let Err(error) = self.producer.begin_transaction() {
            return self.fail(&error).await;
        }
        let sent = self.send().await;
        if !sent.too_large.is_empty() {
            return self.abort_without(&sent.too_large).await;
        }
        if let Some(failed) = self.confirm(sent).await {
            return self.abort_because(failed).await;
        }
        let producer = Arc::clone(self.producer);
        let end = move || end(&producer, &proof);
        match blocking(end).await {
            Ok(()) => Outcome::Committed,
            Err(error) => self.fail(&error).await,
        }
    }

    fn topic_of(&self, event: &Event) -> String {
        let mut topic = String::new();
        self.topic.render(event.meta(), &mut topic);
        topic
    }

    async fn send(&self) -> Sent {
        let mut sent = Sent::default();
        for (step, advance) in self.steps.iter().enumerate() {
            self.send_events(step, &advance.events, &mut sent).await;
        }
        let records = self.steps.iter().flat_map(|advance| {
            let owner = super::owner(&advance.key, self.instance);
            cursors::records(advance, owner)
        });
        let records: Vec<_> = records.collect();
        self.send_cursors(records, &mut sent).await;
        self.send_letters(&mut sent).await;
        sent
    }

    /// The events of a step but for those put aside.
    async fn send_events(&self, step: usize, events: &[Event], sent: &mut Sent) {
        let fit = |at: &usize| !self.aside.contains_key(&(step, *at));
        let positions: Vec<usize> = (0..events.len()).filter(fit).collect();
        let values: Vec<Bytes> = positions
            .iter()
            .map(|at| events[*at].body().clone())
            .collect();
        let mut call = Opened::new(self.producer, values.into());
        let (mut topic, mut key) = (String::new(), String::new());
        for at in positions {
            let meta = events[at].meta();
            self.topic.render(meta, &mut topic);
            topic.push('\0');
            let has_key = record::key(self.key, meta, &mut key);
            let envelope = Envelope {
                topic: CStr::from_bytes_with_nul(topic.as_bytes())
                    .expect("no other zero byte is legal in a topic"),
                key: has_key.then_some(&key),
                meta,
            };
            while let Err(code) = call.send(at, &envelope) {
                if code != Code::QueueFull {
                    if code == Code::MessageSizeTooLarge {
                        sent.too_large.push((step, at));
                    }
                    call.refuse(at, code);
                    break;
                }
                tokio::time::sleep(QUEUE_FULL_WAIT).await;
            }
        }
        sent.events.push((step, call));
    }

    async fn send_cursors(&self, records: Vec<cursors::Record>, sent: &mut Sent) {
        let call = self.call_of(records.len());
        for (at, (key, value)) in records.iter().enumerate() {
            let opaque = call.opaque(at);
            let mut record = BaseRecord::with_opaque_to(self.cursors, opaque)
                .partition(0)
                .key(key);
            record.payload = value.as_ref();
            self.hand_over(record, &mut sent.failed, &call, at).await;
        }
        sent.others.push(call);
    }

    async fn send_letters(&self, sent: &mut Sent) {
        for ((step, at), (reason, why)) in self.aside {
            let event = &self.steps[*step].events[*at];
            let key = event.meta().key();
            let parts: Vec<&[u8]> = event.body().chunks(LETTER_BYTES).collect();
            let parts = if parts.is_empty() {
                vec![&[][..]]
            } else {
                parts
            };
            let call = self.call_of(parts.len());
            for (number, part) in parts.iter().enumerate() {
                let place = format!("{}/{}", number + 1, parts.len());
                let extra = [("reason", *reason), ("why", why), ("part", &place)];
                let mut headers = OwnedHeaders::new();
                for (key, value) in record::headers(event.meta()).chain(extra) {
                    let value = Some(value);
                    headers = headers.insert(Header { key, value });
                }
                let record = BaseRecord::with_opaque_to(self.dead_letters, call.opaque(number))
                    .partition(0)
                    .key(&key)
                    .payload(*part)
                    .headers(headers);
                self.hand_over(record, &mut sent.failed, &call, number)
                    .await;
            }
            sent.others.push(call);
        }
    }

    fn call_of(&self, records: usize) -> Opened {
        // librdkafka copies these, so that there is nothing to keep.
        Opened::new(self.producer, vec![Bytes::new(); records].into())
    }

    async fn hand_over<K, P>(
        &self,
        record: BaseRecord<'_, K, P, usize>,
        failed: &mut Vec<Code>,
        call: &Opened,
        at: usize,
    ) where
        K: rdkafka::message::ToBytes + ?Sized,
        P: rdkafka::message::ToBytes + ?Sized,
    {
        let mut next = Some(record);
        while let Some(record) = next.take() {
            if let Err((error, record)) = self.producer.send(record) {
                match error.rdkafka_error_code() {
                    Some(Code::QueueFull) => {
                        tokio::time::sleep(QUEUE_FULL_WAIT).await;
                        next = Some(record);
                    }
                    code => {
                        let code = code.unwrap_or(Code::Fail);
                        failed.push(code);
                        call.report(at, code);
                    }
                }
            }
        }
    }

    /// Waits for every report; what failed, if anything did.
    async fn confirm(&self, sent: Sent) -> Option<Failed> {
        let reports = async {
            let mut failed = Failed::default();
            failed.others.extend(sent.failed);
            for (step, call) in sent.events {
                let failures = call.reports().await.unwrap_or_default();
                let failures = failures.into_iter();
                failed
                    .events
                    .extend(failures.map(|(at, code)| ((step, at), code)));
            }
            for call in sent.others {
                let failures = call.reports().await.unwrap_or_default();
                failed
                    .others
                    .extend(failures.into_iter().map(|(_, code)| code));
            }
            failed
        };
        let failed = tokio::select! {
            failed = reports => failed,
            never = hurry(self.producer) => match never {},
        };
        let is_any = !failed.events.is_empty() || !failed.others.is_empty();
        is_any.then_some(failed)
    }

    /// Aborts, and says what would help.
    async fn abort_because(&self, failed: Failed) -> Outcome {
        if let Some(broken) = self.abort().await {
            return broken;
        }
        if failed.others.contains(&Code::MessageSizeTooLarge) && !self.is_alone {
            return Outcome::TooLarge;
        }
        let mut unfit = Aside::new();
        let mut again = None;
        for ((step, at), code) in failed.events {
            // The whole batch was refused, and with it what may well fit.
            if code == Code::MessageSizeTooLarge && !self.is_alone {
                return Outcome::TooLarge;
            }
            let fault = faults::fault(code, &self.topic_of(&self.steps[step].events[at]));
            match fault {
                Fault::Reject { reason, why } => {
                    unfit.insert((step, at), (reason, why));
                }
                Fault::Denied { reason, why } => again = Some((reason, why)),
                Fault::Retry { reason, .. } => {
                    again.get_or_insert((reason, code.to_string()));
                }
                Fault::Fenced => {}
            }
        }
        if !unfit.is_empty() {
            return Outcome::Unfit(unfit);
        }
        let (reason, why) = again.unwrap_or_else(|| {
            let code = failed.others.first().copied().unwrap_or(Code::Fail);
            (
                "own_topics",
                format!("topics {} and {}: {code}", self.cursors, self.dead_letters),
            )
        });
        Outcome::Again(reason, why)
    }

    /// Aborts because of events that can be sent in no batch.
    async fn abort_without(&self, too_large: &[(usize, usize)]) -> Outcome {
        if let Some(broken) = self.abort().await {
            return broken;
        }
        let unfit = too_large.iter().filter_map(|(step, at)| {
            let topic = self.topic_of(&self.steps[*step].events[*at]);
            match faults::fault(Code::MessageSizeTooLarge, &topic) {
                Fault::Reject { reason, why } => Some(((*step, *at), (reason, why))),
                _ => None,
            }
        });
        Outcome::Unfit(unfit.collect())
    }

    /// What an error of librdkafka leaves: mostly an aborted transaction.
    async fn fail(&self, error: &KafkaError) -> Outcome {
        let code = error.rdkafka_error_code().unwrap_or(Code::Fail);
        let is_fatal = matches!(error, KafkaError::Transaction(error) if error.is_fatal());
        if is_fatal || self.producer.client().fatal_error().is_some() {
            return Outcome::Broken(error.to_string());
        }
        if let Some(broken) = self.abort().await {
            return broken;
        }
        match code {
            Code::FencedInstanceId
            | Code::IllegalGeneration
            | Code::UnknownMemberId
            | Code::RebalanceInProgress => Outcome::NoMember(code),
            _ => Outcome::Again("transaction", error.to_string()),
        }
    }

    /// Aborts; the client is broken if that is not possible.
    async fn abort(&self) -> Option<Outcome> {
        let producer = Arc::clone(self.producer);
        let aborted = blocking(move || until_done(|| producer.abort_transaction(SLICE))).await;
        let error = aborted.err()?;
        Some(Outcome::Broken(error.to_string()))
    }
}

#[derive(Default)]
struct Failed {
    events: Vec<((usize, usize), Code)>,
    others: Vec<Code>,
}

/// Asks the group to take our offset, then commits. Blocks.
fn end(producer: &KafkaProducer, proof: &Proof) -> Result<(), KafkaError> {
    until_done(|| producer.send_offsets_to_transaction(&proof.offsets, &proof.metadata, SLICE))?;
    until_done(|| producer.commit_transaction(SLICE))
}

/// Repeats what librdkafka wants to be asked again, such as a commit whose answer is not known.
fn until_done(mut ask: impl FnMut() -> Result<(), KafkaError>) -> Result<(), KafkaError> {
    let begun = Instant::now();
    loop {
        let done = ask();
        let is_open = match &done {
            Err(KafkaError::Transaction(error)) => is_worth_repeating(error),
            Err(KafkaError::Flush(_)) => true,
            _ => false,
        };
        if !is_open || begun.elapsed() > LONGEST {
            return done;
        }
    }
}

fn is_worth_repeating(error: &RDKafkaError) -> bool {
    error.is_retriable() && !error.txn_requires_abort() && !error.is_fatal()
}

/// Keeps librdkafka from waiting for more to fill its batches. Cancel-safe.
async fn hurry(producer: &Arc<KafkaProducer>) -> std::convert::Infallible {
    loop {
        let producer = Arc::clone(producer);
        let flushed = tokio::task::spawn_blocking(move || producer.flush(FLUSH_SLICE).is_ok());
        if let Ok(true) = flushed.await {
            // All is reported; the reports only have to be looked at.
            tokio::task::yield_now().await;
        }
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}
