//! Azure Event Hubs over AMQP 1.0: one namespace with the hub `defender`, on loopback, with three ways in:
//!
//! | way | port of [`HubHandle`] | key of the announcement's `eventhub` |
//! | --- | --- | --- |
//! | TCP in clear, as Microsoft's emulator has it | `port()` | in `connection_string` |
//! | TLS from the first byte | `tls_port()` | `tls_port`; `tls_connection_string` |
//! | WebSocket on TLS: path `/$servicebus/websocket`, protocol `amqp` or `AMQPWSB10` | `websocket_port()` | `websocket_port` |
//!
//! The certificate is [`crate::Settings::hub_certificate`], else one for `localhost` and `127.0.0.1` is made at the start. A client
//! must trust the authority that `authority()` and `authority` name, as PEM. SAS tokens and audiences may name any of the ports, or
//! none.
//!
//! The protocol is served by an engine of our own (`connection`), on the types of fe2o3-amqp: so a test of a reader that uses that
//! library does not meet the same code twice, refusals look as the service's do, and every frame can be spoilt on purpose.

mod attaching;
mod certificate;
mod claims;
mod connection;
mod envelope;
mod frames;
mod handle;
mod handshake;
mod links;
mod management;
mod message;
mod packing;
mod pump;
mod readers;
mod requests;
mod selector;
mod serve;
mod store;
mod trouble;
mod weather;
mod websocket;

pub use certificate::HubCertificate;
pub use handle::{HubHandle, RecordedAttach, RecordedToken};
pub use message::{HubBody, HubMessage};
pub(crate) use packing::{Packer, Streamed};
pub(crate) use serve::{Doors, Service, serve};
pub use store::HubPosition;
pub use trouble::{CONDITIONS, HubError, HubFault};

use crate::simulation::EventHub;
use crate::ticks;
use crate::tokens::unguessable;
use readers::{Reader, Readers, stolen};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use store::Log;
use tokio::sync::Notify;
use tokio::time::Instant;
use trouble::{Asked, Place};

/// The only hub of the namespace.
pub(crate) const NAME: &str = "defender";
/// Partitions at the start.
pub(crate) const PARTITIONS: usize = 4;
/// The shared access policy.
const POLICY: &str = "listen";
/// How many attaches, tokens, and requests are remembered.
const REMEMBERED: usize = 10_000;

/// What the hub tells its connections to do.
#[derive(Debug, Clone)]
pub(crate) enum Order {
    Detach {
        partition: Option<usize>,
        error: HubError,
    },
    /// One link, by its number.
    Steal {
        number: u64,
        error: HubError,
    },
    ExpireTokens,
    /// What the tokens shown so far open, they open at most so long.
    ShortenTokens(Duration),
    Drop,
}

/// Orders that wait for one connection, and the bell that tells it of them and of new messages.
#[derive(Debug, Default)]
pub(crate) struct Mailbox {
    orders: Mutex<Vec<Order>>,
    pub(crate) bell: Notify,
}

impl Mailbox {
    fn leave(&self, order: Order) {
        self.orders
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(order);
        self.bell.notify_one();
    }

    pub(crate) fn take(&self) -> Vec<Order> {
        std::mem::take(&mut self.orders.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The ports of the namespace.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    pub(crate) clear: u16,
    pub(crate) tls: u16,
    pub(crate) websocket: u16,
}

/// The namespace and its hub.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) ports: Ports,
    /// Whom a client must trust, as PEM.
    pub(crate) authority: String,
    state: Mutex<State>,
    logs: Mutex<Vec<Log>>,
    mailboxes: Mutex<Vec<Arc<Mailbox>>>,
}

/// What can change besides the messages.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) key: String,
    pub(crate) listening_forbidden: bool,
    /// Names of consumer groups, in lower case.
    pub(crate) groups: HashSet<String>,
    pub(crate) readers: Readers,
    pub(crate) asked: Asked,
    pub(crate) connections: u64,
    pub(crate) attaches: Vec<RecordedAttach>,
    pub(crate) tokens: Vec<RecordedToken>,
    pub(crate) management: Vec<(String, Option<String>)>,
    pub(crate) largest_credit: HashMap<usize, u32>,
    /// Whether what clients do is remembered, which a run of hours must not do.
    records: bool,
    /// Until when no partition can be read, by a fault.
    busy_until: Option<Instant>,
    /// Until when a ghost reads, by a fault.
    haunted_until: Option<Instant>,
    next_connection: u64,
    next_reader: u64,
}

impl State {
    fn note_attach(&mut self, attach: RecordedAttach) {
        if self.records && self.attaches.len() < REMEMBERED {
            self.attaches.push(attach);
        }
    }

    fn note_token(&mut self, token: RecordedToken) {
        if self.records && self.tokens.len() < REMEMBERED {
            self.tokens.push(token);
        }
    }

    fn note_management(&mut self, request: (String, Option<String>)) {
        if self.records && self.management.len() < REMEMBERED {
            self.management.push(request);
        }
    }

    /// Ends what has lasted long enough.
    fn calm_down(&mut self, now: Instant) {
        if self.busy_until.is_some_and(|until| until <= now) {
            self.busy_until = None;
        }
        if self.haunted_until.is_some_and(|until| until <= now) {
            self.haunted_until = None;
            self.readers.release();
        }
    }
}

impl Hub {
    /// `records` says whether what clients do is remembered.
    pub(crate) fn new(ports: Ports, authority: String, records: bool) -> Self {
        let state = State {
            key: unguessable(""),
            listening_forbidden: false,
            groups: HashSet::from(["$default".to_owned()]),
            readers: Readers::default(),
            asked: Asked::default(),
            connections: 0,
            attaches: Vec::new(),
            tokens: Vec::new(),
            management: Vec::new(),
            largest_credit: HashMap::new(),
            records,
            busy_until: None,
            haunted_until: None,
            next_connection: 0,
            next_reader: 0,
        };
        Self {
            ports,
            authority,
            state: Mutex::new(state),
            logs: Mutex::new((0..PARTITIONS).map(|_| Log::default()).collect()),
            mailboxes: Mutex::default(),
        }
    }

    pub(crate) fn connection_string(&self) -> String {
        self.endpoint(self.ports.clear, "UseDevelopmentEmulator=true;")
    }

    pub(crate) fn tls_connection_string(&self) -> String {
        self.endpoint(self.ports.tls, "")
    }

    fn endpoint(&self, port: u16, more: &str) -> String {
        let key = &self.lock().key;
        format!(
            "Endpoint=sb://localhost:{port};SharedAccessKeyName={POLICY};SharedAccessKey={key};{more}EntityPath={NAME}"
        )
    }

    pub(crate) fn announcement(&self) -> EventHub {
        EventHub {
            connection_string: self.connection_string(),
            hub: NAME.to_owned(),
            partitions: self.logs().len(),
            tls_connection_string: self.tls_connection_string(),
            tls_port: self.ports.tls,
            websocket_port: self.ports.websocket,
            authority: self.authority.clone(),
        }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn logs(&self) -> MutexGuard<'_, Vec<Log>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a message and wakes the readers.
    pub(crate) fn put(&self, partition: usize, message: HubMessage, now_ms: i64) -> HubPosition {
        let position = self.logs()[partition].append(message, now_ms);
        self.ring();
        position
    }

    /// The older half of a partition expires, and comes again at its end, so that nothing is lost to a reader that goes on.
    fn wear_out(&self, partition: usize) {
        {
            let mut logs = self.logs();
            let log = &mut logs[partition];
            let middle = log.oldest() + (log.next() - log.oldest()) / 2;
            let now = ticks::now() / 10_000;
            for stored in log.expire_before(middle) {
                log.append(stored.message.again(), now);
            }
        }
        self.ring();
    }

    fn grow_to(&self, partitions: usize) {
        let mut logs = self.logs();
        let count = partitions.max(logs.len());
        logs.resize_with(count, Log::default);
    }

    fn renew_key(&self) {
        self.lock().key = unguessable("");
    }

    fn steal(&self, group: &str, partition: usize, epoch: i64) {
        let ghost = Reader {
            number: None,
            group: group.to_lowercase(),
            partition,
            epoch: Some(epoch),
        };
        let displaced = self.lock().readers.enter(ghost).unwrap_or_default();
        self.displace(&displaced, epoch);
    }

    /// Lets a reader in, gives it a number, and sends those away who must give way.
    fn enter(&self, mut reader: Reader) -> Result<u64, HubError> {
        let (number, epoch) = {
            let mut state = self.lock();
            state.next_reader += 1;
            (state.next_reader, reader.epoch)
        };
        reader.number = Some(number);
        let displaced = self.lock().readers.enter(reader)?;
        self.displace(&displaced, epoch.unwrap_or(0));
        Ok(number)
    }

    /// A ghost takes a partition of the default group for a while.
    fn haunt(&self, partition: usize, until: Instant) {
        self.lock().haunted_until = Some(until);
        self.steal("$default", partition, i64::from(u32::MAX));
    }

    /// A connection comes to a door; says whether it is sent away there.
    fn knock(&self) -> bool {
        let mut state = self.lock();
        state.connections += 1;
        state.asked.take(Place::Connect, None).is_some()
    }

    /// A connection comes in; its number, and where it finds its orders.
    fn join(&self) -> (u64, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::default());
        self.mailboxes().push(Arc::clone(&mailbox));
        let mut state = self.lock();
        state.next_connection += 1;
        (state.next_connection, mailbox)
    }

    /// A connection is gone.
    fn part(&self, mailbox: &Arc<Mailbox>) {
        self.mailboxes()
            .retain(|other| !Arc::ptr_eq(other, mailbox));
    }

    fn displace(&self, displaced: &[u64], epoch: i64) {
        for number in displaced {
            self.order(&Order::Steal {
                number: *number,
                error: stolen(epoch),
            });
        }
    }

    fn release(&self) {
        self.lock().readers.release();
    }

    /// Tells every connection.
    pub(crate) fn order(&self, order: &Order) {
        for mailbox in self.mailboxes().iter() {
            mailbox.leave(order.clone());
        }
    }

    fn ring(&self) {
        for mailbox in self.mailboxes().iter() {
            mailbox.bell.notify_one();
        }
    }

    fn mailboxes(&self) -> MutexGuard<'_, Vec<Arc<Mailbox>>> {
        self.mailboxes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}
