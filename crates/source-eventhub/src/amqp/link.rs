//! Reads one partition over links that come and go; what was received is known across all of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fe2o3_amqp::connection::ConnectionHandle;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::link::{Receiver, RecvError};
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{Fields, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::messaging::{Body, Source};
use fe2o3_amqp::types::primitives::{OrderedMap, Symbol, Value};
use fe2o3_amqp::{Delivery, Session};
use jiff::Timestamp;
use tapline_core::metrics::IntCounter;
use tapline_core::{Control, Partition};
use tokio::sync::{Mutex, watch};
use tokio::time::{interval, sleep};
use tracing::{error, warn};

use super::faults::{Action, Fault, gone, of_attaching, of_reading};
use crate::cursor::HubCursor;
use crate::events::{Harvest, Place, Reaper};
use crate::health::ConnectionHealth;
use crate::standing::Standing;
use crate::start::StartAt;

const SELECTOR: &str = "apache.org:selector-filter:string";
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";
/// The newest reader of a partition wins; the one before hears of it.
const OWNER_LEVEL: i64 = 0;
/// Bytes of messages that the service may send ahead, as far as their size can be foreseen.
const AHEAD: usize = 1 << 20;
/// Messages that it may send ahead; as in Microsoft's own clients.
const MOST_CREDIT: usize = 300;
const BATCH_BYTES: usize = 256 << 10;
const FIRST_YIELD: Duration = Duration::from_secs(30);
const LONGEST_YIELD: Duration = Duration::from_secs(300);

/// The connection of a hub; each link has a session of its own on it.
pub(super) type Shared = Arc<Mutex<ConnectionHandle<()>>>;

/// A partition, for as long as this process reads it.
pub(super) struct Seat {
    pub(super) hub: String,
    pub(super) id: String,
    pub(super) group: String,
    pub(super) partition: Partition,
    /// The last message that was received, on whatever link; none if nothing is known.
    pub(super) received: Option<HubCursor>,
    pub(super) start_at: StartAt,
    pub(super) reaper: Reaper,
    pub(super) standing: Standing,
    pub(super) missed: IntCounter,
    pub(super) health: Arc<ConnectionHealth>,
    /// Size of the last messages, smoothed.
    pub(super) message_bytes: usize,
    pub(super) yields: u32,
}

/// Why a seat is no longer read.
#[derive(Debug)]
pub(super) enum Left {
    Released,
    /// The runtime takes no more.
    Stopped,
    Connection(Fault),
}

/// Why a link is no longer read.
enum Ended {
    Fault(Fault),
    Rewound,
    Stopped,
}

struct Link {
    receiver: Receiver,
    /// Dropped, it ends.
    _session: SessionHandle<()>,
}

impl Seat {
    /// Reads until released, or the connection is of no more use.
    pub(super) async fn read(
        mut self,
        connection: Shared,
        mut released: watch::Receiver<bool>,
    ) -> (Self, Left) {
        let left = tokio::select! {
            biased;
            _ = released.wait_for(|released| *released) => Left::Released,
            left = self.links(&connection) => left,
        };
        (self, left)
    }

    async fn links(&mut self, connection: &Shared) -> Left {
        loop {
            let ended = match self.attach(connection).await {
                Ok(mut link) => self.follow(&mut link.receiver).await,
                Err(fault) => Ended::Fault(fault),
            };
            match ended {
                Ended::Rewound => {}
                Ended::Stopped => return Left::Stopped,
                Ended::Fault(fault) => {
                    self.health.failed(
                        fault.reason,
                        &format!("partition {}/{}: {}", self.hub, self.id, fault.why),
                    );
                    match fault.action {
                        Action::Attach(wait) => sleep(wait).await,
                        Action::Yield => sleep(self.next_yield()).await,
                        Action::Connect => return Left::Connection(fault),
                    }
                }
            }
        }
    }

    fn next_yield(&mut self) -> Duration {
        warn!(
            partition = self.partition.name(),
            "another process reads the partition now; trying again later. Give each pipeline a consumer group of its own"
        );
        let wait = FIRST_YIELD * 2u32.saturating_pow(self.yields);
        self.yields = (self.yields + 1).min(8);
        wait.min(LONGEST_YIELD)
    }

    async fn attach(&self, connection: &Shared) -> Result<Link, Fault> {
        let mut session = Session::begin(&mut *connection.lock().await)
            .await
            .map_err(gone)?;
        let address = format!(
            "{}/ConsumerGroups/{}/Partitions/{}",
            self.hub, self.group, self.id
        );
        let source = Source::builder()
            .address(address)
            .add_to_filter_using_legacy_format(
                Symbol::from(SELECTOR),
                selector(self.received.as_ref(), self.start_at),
            );
        let mut properties = Fields::new();
        properties.insert(
            Symbol::from("com.microsoft:epoch"),
            Value::Long(OWNER_LEVEL),
        );
        let receiver = Receiver::builder()
            .name(format!(
                "tapline-{}-{}",
                self.id,
                Timestamp::now().as_nanosecond()
            ))
            .source(source.build())
            .sender_settle_mode(SenderSettleMode::Settled)
            .receiver_settle_mode(ReceiverSettleMode::First)
            .credit_mode(CreditMode::Auto(self.credit()))
            .properties(properties)
            .add_desired_capabilities(Symbol::from(RUNTIME_METRIC))
            .attach(&mut session)
            .await
            .map_err(|error| of_attaching(&error))?;
        Ok(Link {
            receiver,
            _session: session,
        })
    }

    fn credit(&self) -> u32 {
        let messages = (AHEAD / self.message_bytes.max(1)).clamp(1, MOST_CREDIT);
        u32::try_from(messages).expect("at most a few hundred")
    }

    async fn follow(&mut self, receiver: &mut Receiver) -> Ended {
        let mut ticks = interval(Duration::from_secs(1));
        loop {
            tokio::select! {
                biased;
                control = self.partition.control() => match control {
                    Control::Stop => return Ended::Stopped,
                    Control::Rewind(checkpoint) => {
                        match HubCursor::decode(&checkpoint.cursor) {
                            Ok(cursor) => self.received = cursor,
                            Err(error) => error!(partition = self.partition.name(), %error, "reading on"),
                        }
                        self.reaper.rewound(&checkpoint);
                        self.standing.rewound();
                        return Ended::Rewound;
                    }
                },
                _ = ticks.tick() => self.show(),
                first = receiver.recv::<Body<Value>>() => {
                    if let Err(ended) = self.take(receiver, first).await {
                        return ended;
                    }
                }
            }
        }
    }

    /// The link is there, so the service answers.
    fn show(&mut self) {
        if let Ok(Some(settled)) = HubCursor::decode(&self.partition.settled().borrow()) {
            self.standing.settled(settled.next());
        }
        self.standing.answered(None);
        self.standing.show();
        self.health.works();
    }

    /// Hands over a message, and what came with it.
    async fn take(
        &mut self,
        receiver: &mut Receiver,
        first: Result<Delivery<Body<Value>>, RecvError>,
    ) -> Result<(), Ended> {
        let mut harvest = Harvest::default();
        let (mut bytes, mut oldest_ms, mut fault) = (0, None, None);
        let before = self.received.clone();
        let mut next = Some(first);
        while let Some(delivery) = next {
            match delivery {
                Ok(delivery) => {
                    let (size, enqueued_ms) = self.receive(&delivery, &mut harvest);
                    bytes += size;
                    oldest_ms = oldest_ms.or(enqueued_ms);
                }
                Err(error) => {
                    fault = Some(of_reading(&error));
                    break;
                }
            }
            next = if bytes < BATCH_BYTES {
                ready(receiver).await
            } else {
                None
            };
        }
        self.adjust(receiver).await;
        if self.received != before {
            self.hand_over(harvest, oldest_ms).await?;
        }
        fault.map_or(Ok(()), |fault| Err(Ended::Fault(fault)))
    }

    /// Grants anew when the size of the messages has changed much; the link counts from here then.
    async fn adjust(&self, receiver: &mut Receiver) {
        let (credit, now) = (self.credit(), receiver.credit_mode());
        let is_near = |now: u32| now / 2 <= credit && credit / 2 <= now;
        if matches!(now, CreditMode::Auto(now) if is_near(*now)) {
            return;
        }
        receiver.set_credit_mode(CreditMode::Auto(credit));
        // A link that has ended meanwhile says so at the next message.
        drop(receiver.set_credit(credit).await);
    }

    async fn hand_over(&mut self, harvest: Harvest, oldest_ms: Option<i64>) -> Result<(), Ended> {
        let Some(after) = &self.received else {
            return Ok(());
        };
        self.yields = 0;
        let newest_ms = after.enqueued_ms.unwrap_or_default();
        self.standing
            .sent(after.sequence, oldest_ms.unwrap_or(newest_ms), newest_ms);
        let batch = harvest.batch(after.encode());
        self.partition.send(batch).await.map_err(|_| Ended::Stopped)
    }

    /// Adds a message to the harvest; returns its size, and when the service took it in.
    fn receive(
        &mut self,
        delivery: &Delivery<Body<Value>>,
        harvest: &mut Harvest,
    ) -> (usize, Option<i64>) {
        let message = delivery.message();
        let annotations = message.message_annotations.as_ref().map(|it| &it.0);
        let sequence = annotations.and_then(|it| number(it, "x-opt-sequence-number"));
        let offset = annotations.and_then(|it| text(it, "x-opt-offset"));
        let enqueued_ms = annotations.and_then(|it| number(it, "x-opt-enqueued-time"));
        let told = message.delivery_annotations.as_ref();
        let newest = told.and_then(|it| number(&it.0, "last_enqueued_sequence_number"));
        self.standing.answered(newest.map(|newest| newest + 1));
        let body = body(&message.body);
        self.message_bytes = (self.message_bytes * 7 + body.len().max(1)) / 8;
        let shown = offset.as_deref().unwrap_or("unknown");
        let place = Place {
            hub: &self.hub,
            partition: &self.id,
            offset: &shown,
            sequence,
            enqueued_ms,
        };
        self.reaper.reap(&body, place, harvest);
        if let Some(sequence) = sequence {
            self.note_gap(sequence);
            self.received = Some(HubCursor {
                sequence,
                offset,
                enqueued_ms,
            });
        }
        (body.len(), enqueued_ms)
    }

    /// The service begins with its oldest message when the one asked for is gone, without a word.
    fn note_gap(&self, sequence: i64) {
        let expected = self.received.as_ref().map(HubCursor::next);
        let missed = expected.map_or(0, |expected| sequence - expected);
        if missed > 0 {
            self.missed.inc_by(missed.unsigned_abs());
            error!(
                partition = self.partition.name(),
                missed,
                sequence,
                "messages are gone: the hub's retention passed before they were read; going on with the oldest"
            );
        }
    }
}

/// A message that is there already.
async fn ready(receiver: &mut Receiver) -> Option<Result<Delivery<Body<Value>>, RecvError>> {
    tokio::select! {
        biased;
        message = receiver.recv() => Some(message),
        () = std::future::ready(()) => None,
    }
}

/// The selector for what comes after a cursor.
fn selector(received: Option<&HubCursor>, start_at: StartAt) -> String {
    let after = match (received, start_at) {
        (
            Some(HubCursor {
                offset: Some(offset),
                ..
            }),
            _,
        ) => format!("offset > '{offset}'"),
        (Some(HubCursor { sequence, .. }), _) => format!("sequence-number > '{sequence}'"),
        (None, StartAt::Earliest) => "offset > '-1'".to_owned(),
        (None, StartAt::Latest) => "offset > '@latest'".to_owned(),
        (None, StartAt::Time(time)) => format!("enqueued-time > '{}'", time.as_millisecond() - 1),
    };
    format!("amqp.annotation.x-opt-{after}")
}

/// All sections of a body as one; what is no bytes or text becomes what no record is.
fn body(body: &Body<Value>) -> Bytes {
    match body {
        Body::Data(sections) => {
            let sections: Vec<&[u8]> = sections.iter().map(|section| section.0.as_ref()).collect();
            Bytes::from(sections.concat())
        }
        Body::Value(value) => match &value.0 {
            Value::Binary(bytes) => Bytes::copy_from_slice(bytes.as_ref()),
            Value::String(text) => Bytes::copy_from_slice(text.as_bytes()),
            other => Bytes::from(format!(
                "an AMQP value that is neither bytes nor text: {other:?}"
            )),
        },
        other => Bytes::from(format!(
            "an AMQP body that is neither bytes nor text: {other:?}"
        )),
    }
}

fn value<'a>(annotations: &'a OrderedMap<OwnedKey, Value>, name: &str) -> Option<&'a Value> {
    let named = |key: &OwnedKey| matches!(key, OwnedKey::Symbol(symbol) if symbol.0 == name);
    annotations
        .iter()
        .find(|(key, _)| named(key))
        .map(|(_, value)| value)
}

fn number(annotations: &OrderedMap<OwnedKey, Value>, name: &str) -> Option<i64> {
    match value(annotations, name)? {
        Value::Long(number) => Some(*number),
        Value::Timestamp(time) => Some(time.milliseconds()),
        _ => None,
    }
}

fn text(annotations: &OrderedMap<OwnedKey, Value>, name: &str) -> Option<String> {
    match value(annotations, name)? {
        Value::String(text) => Some(text.clone()),
        Value::Long(number) => Some(number.to_string()),
        _ => None,
    }
}
