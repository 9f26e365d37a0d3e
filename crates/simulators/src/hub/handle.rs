//! What a test can do to a hub.

use super::message::HubMessage;
use super::store::HubPosition;
use super::trouble::{HubError, HubFault};
use super::{Hub, NAME, Order};
use crate::ticks;
use std::sync::Arc;
use std::time::Duration;

/// One attempt to read a partition, as the hub saw it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedAttach {
    /// Counts the connections of this hub, from 1.
    pub connection: u64,
    /// The link's name.
    pub link: String,
    /// The source address as sent.
    pub address: String,
    /// The partition, if the address names one.
    pub partition: Option<String>,
    /// The selector as sent; `None` when there was no filter.
    pub filter: Option<String>,
    /// The owner level.
    pub epoch: Option<i64>,
    /// Whether the receiver asked for what tells its lag.
    pub runtime_metric: bool,
    /// The condition with which it was refused.
    pub refused: Option<String>,
}

/// One token that was shown, or tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordedToken {
    /// Counts the connections of this hub, from 1.
    pub connection: u64,
    /// `servicebus.windows.net:sastoken` or `jwt`.
    pub kind: String,
    /// What the token is to open, as sent.
    pub audience: String,
    /// The answer's status.
    pub status: i32,
}

/// The hub `defender` of a simulation, in a test's hands.
#[derive(Debug, Clone)]
pub struct HubHandle {
    pub(crate) hub: Arc<Hub>,
}

impl HubHandle {
    /// The hub's name.
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The port on loopback for AMQP in clear.
    pub fn port(&self) -> u16 {
        self.hub.ports.clear
    }

    /// The port on loopback for AMQP on TLS.
    pub fn tls_port(&self) -> u16 {
        self.hub.ports.tls
    }

    /// The port on loopback for AMQP in a WebSocket on TLS, at `/$servicebus/websocket`.
    pub fn websocket_port(&self) -> u16 {
        self.hub.ports.websocket
    }

    /// Whom a client must trust to speak TLS with the hub: the authority's certificate, as PEM.
    pub fn authority(&self) -> &str {
        &self.hub.authority
    }

    /// How to get in, for clients that know `UseDevelopmentEmulator` (clear TCP).
    pub fn connection_string(&self) -> String {
        self.hub.connection_string()
    }

    /// How to get in over TLS, for clients that take the port from `Endpoint`.
    pub fn tls_connection_string(&self) -> String {
        self.hub.tls_connection_string()
    }

    /// Puts a message at the end of a partition, numbered from 0.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn put(&self, partition: usize, message: impl Into<HubMessage>) -> HubPosition {
        self.hub
            .put(partition, message.into(), ticks::now() / 10_000)
    }

    /// How many partitions there are.
    pub fn partitions(&self) -> usize {
        self.hub.logs().len()
    }

    /// How many messages a partition has.
    ///
    /// # Panics
    /// If there is no such partition.
    pub fn messages(&self, partition: usize) -> usize {
        self.hub.logs()[partition].len()
    }

    /// Makes partitions until there are so many. There are never fewer.
    pub fn grow_to(&self, partitions: usize) {
        self.hub.grow_to(partitions);
    }

    /// Forgets the messages of a partition before this sequence number, as if their time had passed.
    pub fn expire_before(&self, partition: usize, sequence_number: i64) {
        self.hub.logs()[partition].expire_before(sequence_number);
    }

    /// Something goes wrong, once, wherever it fits first. Faults of one kind strike in the order in which they were asked for.
    pub fn fail_next(&self, fault: HubFault) {
        self.hub.lock().asked.push(None, fault);
    }

    /// Something goes wrong, once, at this partition.
    pub fn fail_next_of(&self, partition: usize, fault: HubFault) {
        self.hub.lock().asked.push(Some(partition), fault);
    }

    /// Replaces the key. Tokens signed with the old one are refused from now on; links that are open stay open.
    /// The connection string is another one then.
    pub fn renew_key(&self) {
        self.hub.renew_key();
    }

    /// The policy keeps its key but loses the right to listen: tokens are accepted, links refused.
    pub fn forbid_listening(&self, forbidden: bool) {
        self.hub.lock().listening_forbidden = forbidden;
    }

    /// All tokens shown so far are past their time: every link is closed as unauthorized, and each connection needs a new token.
    pub fn expire_tokens(&self) {
        self.hub.order(&Order::ExpireTokens);
    }

    /// The tokens shown so far end after so many whole seconds, if not sooner: links are then closed as unauthorized, unless their
    /// connection has shown another one.
    pub fn shorten_tokens(&self, left: Duration) {
        self.hub.order(&Order::ShortenTokens(left));
    }

    /// Closes every open partition link, of one partition or of all, with this error.
    pub fn detach_all(&self, partition: Option<usize>, error: &HubError) {
        self.hub.order(&Order::Detach {
            partition,
            error: error.clone(),
        });
    }

    /// Drops every TCP connection without a word.
    pub fn drop_connections(&self) {
        self.hub.order(&Order::Drop);
    }

    /// Another reader with this owner level takes a partition of a consumer group: open links with the same or a lower level are
    /// stolen, and new ones that are lower refused, until [`HubHandle::release`].
    pub fn steal(&self, group: &str, partition: usize, epoch: i64) {
        self.hub.steal(group, partition, epoch);
    }

    /// The other reader leaves all its partitions.
    pub fn release(&self) {
        self.hub.release();
    }

    /// Adds a consumer group to `$Default`.
    pub fn add_consumer_group(&self, name: &str) {
        self.hub.lock().groups.insert(name.to_lowercase());
    }

    /// The attempts to read a partition so far.
    pub fn attaches(&self) -> Vec<RecordedAttach> {
        self.hub.lock().attaches.clone()
    }

    /// The tokens shown so far.
    pub fn tokens(&self) -> Vec<RecordedToken> {
        self.hub.lock().tokens.clone()
    }

    /// The requests to `$management` so far: their `type`, and the partition if they name one.
    pub fn management_requests(&self) -> Vec<(String, Option<String>)> {
        self.hub.lock().management.clone()
    }

    /// The largest credit that a reader of this partition has granted at once.
    pub fn largest_credit(&self, partition: usize) -> Option<u32> {
        self.hub.lock().largest_credit.get(&partition).copied()
    }

    /// How many links of readers are open on a partition, over all consumer groups.
    pub fn readers(&self, partition: usize) -> usize {
        self.hub.lock().readers.of_partition(partition)
    }

    /// How many connections were tried so far.
    pub fn connections(&self) -> u64 {
        self.hub.lock().connections
    }
}
