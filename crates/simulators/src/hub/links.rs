//! Sessions and links of one connection: what stands between two peers, without the peers.

use super::frames::{FrameKind, Frames, HEAD, LARGEST};
use super::store::Stored;
use super::{Hub, NAME};
use bytes::BytesMut;
use fe2o3_amqp_types::definitions::Error;
use fe2o3_amqp_types::performatives::{Detach, Flow, Transfer};
use fe2o3_amqp_types::primitives::Symbol;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// Requests that a client may send before the first is answered.
pub(super) const REQUESTS_AT_ONCE: u32 = 100;
/// Frames that a peer may send before the window is opened again. Source: the service's Begin, quoted in vcabbage/amqp#43.
pub(super) const WINDOW: u32 = 5_000;
/// The most that a transfer's own fields take.
const TRANSFER_FIELDS: usize = 64;

/// The two nodes that answer requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Node {
    Cbs,
    Management,
}

impl Node {
    /// The node that an address names, with or without the namespace and the entity before it.
    pub(super) fn of(address: &str) -> Option<Self> {
        match address.rsplit('/').next()? {
            "$cbs" => Some(Self::Cbs),
            "$management" => Some(Self::Management),
            _ => None,
        }
    }
}

/// One session. Channels and handles are the peer's; ours are the same numbers.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) channel: u16,
    pub(super) next_incoming: u32,
    pub(super) next_outgoing: u32,
    next_delivery: u32,
    /// Frames that the peer still takes.
    pub(super) their_window: u32,
    pub(super) sending: BTreeMap<u32, Sending>,
    pub(super) receiving: BTreeMap<u32, Receiving>,
}

/// A link on which the hub receives requests.
#[derive(Debug)]
pub(super) struct Receiving {
    pub(super) node: Node,
    pub(super) delivery_count: u32,
    /// What came of a message whose last frame did not come yet.
    pub(super) partial: BytesMut,
}

/// A link on which the hub sends.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) credit: u32,
    pub(super) delivery_count: u32,
    pub(super) drain: bool,
    pub(super) paused_until: Option<Instant>,
    /// Nothing goes wrong by chance with the next message, since it did already.
    pub(super) spared: bool,
    /// How many messages come one by one, and how long nothing comes after each.
    pub(super) trickle: (u32, Duration),
    pub(super) feed: Feed,
}

/// What is sent on a link.
#[derive(Debug)]
pub(super) enum Feed {
    Answers {
        node: Node,
        /// Where the client says that it receives.
        target: Option<String>,
        waiting: VecDeque<Vec<u8>>,
    },
    Partition(Reading),
}

/// A partition being read.
#[derive(Debug)]
pub(super) struct Reading {
    /// Unique within the hub.
    pub(super) number: u64,
    pub(super) partition: usize,
    /// The path of the entity, in lower case, for which there must be a claim.
    pub(super) path: String,
    /// The sequence number of the next message.
    pub(super) next: i64,
    pub(super) metric: bool,
}

impl Reading {
    pub(super) fn upcoming(&self, hub: &Hub) -> Option<Arc<Stored>> {
        hub.logs().get(self.partition)?.at(self.next).cloned()
    }
}

impl Sending {
    pub(super) fn new(feed: Feed) -> Self {
        Self {
            credit: 0,
            delivery_count: 0,
            drain: false,
            paused_until: None,
            spared: false,
            trickle: (0, Duration::ZERO),
            feed,
        }
    }

    pub(super) fn reading(&self) -> Option<&Reading> {
        match &self.feed {
            Feed::Partition(reading) => Some(reading),
            Feed::Answers { .. } => None,
        }
    }

    /// Whether something can be sent now.
    pub(super) fn is_ready(&self, hub: &Hub, now: Instant) -> bool {
        self.credit > 0
            && self.paused_until.is_none_or(|until| until <= now)
            && match &self.feed {
                Feed::Answers { waiting, .. } => !waiting.is_empty(),
                Feed::Partition(reading) => reading.upcoming(hub).is_some(),
            }
    }

    /// A message was sent; waits after it if they are to come one by one.
    pub(super) fn sent(&mut self) {
        self.credit -= 1;
        self.delivery_count = self.delivery_count.wrapping_add(1);
        let (left, pause) = self.trickle;
        if left > 0 {
            self.trickle.0 = left - 1;
            self.paused_until = Some(Instant::now() + pause);
        }
    }

    /// Takes a flow of the receiver in.
    pub(super) fn grant(&mut self, flow: &Flow) {
        let theirs = flow.delivery_count.unwrap_or(0);
        let limit = theirs.wrapping_add(flow.link_credit.unwrap_or(0));
        let credit = limit.wrapping_sub(self.delivery_count);
        // a limit behind what was sent already means no credit, not four thousand millions of it
        self.credit = if credit > u32::MAX / 2 { 0 } else { credit };
        self.drain = flow.drain;
    }
}

impl Session {
    pub(super) fn new(channel: u16, their_window: u32, next_incoming: u32) -> Self {
        Self {
            channel,
            next_incoming,
            next_outgoing: 0,
            next_delivery: 0,
            their_window,
            sending: BTreeMap::new(),
            receiving: BTreeMap::new(),
        }
    }

    /// Takes the session's part of a flow in.
    pub(super) fn widen(&mut self, flow: &Flow) {
        let limit = flow
            .next_incoming_id
            .unwrap_or(0)
            .wrapping_add(flow.incoming_window);
        self.their_window = limit.wrapping_sub(self.next_outgoing);
    }

    /// Sends a message on a link, settled, in as many frames as it needs; false when the peer's window is too small for it now.
    pub(super) fn transfer(
        &mut self,
        frames: &mut Frames,
        handle: u32,
        message: &[u8],
    ) -> io::Result<bool> {
        let room = frames.largest.min(LARGEST) - HEAD - TRANSFER_FIELDS;
        let pieces = message.len().div_ceil(room).max(1);
        if (self.their_window as usize) < pieces {
            return Ok(false);
        }
        let mut chunks = message.chunks(room).peekable();
        let mut first = true;
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let more = chunks.peek().is_some();
            let transfer = self.fields(handle, first, more);
            frames.put(FrameKind::Amqp, self.channel, 11, &transfer, chunk)?;
            self.next_outgoing = self.next_outgoing.wrapping_add(1);
            self.their_window -= 1;
            first = false;
            if !more {
                break;
            }
        }
        self.next_delivery = self.next_delivery.wrapping_add(1);
        Ok(true)
    }

    /// As the service sends them: settled, with an empty tag. Source: a trace in amqp/rhea#205.
    fn fields(&self, handle: u32, first: bool, more: bool) -> Transfer {
        Transfer {
            handle: handle.into(),
            delivery_id: Some(self.next_delivery),
            delivery_tag: first.then(Default::default),
            message_format: first.then_some(0),
            settled: Some(true),
            more,
            rcv_settle_mode: None,
            state: None,
            resume: false,
            aborted: false,
            batchable: true,
        }
    }

    /// Says where a sending link stands.
    pub(super) fn report(&self, frames: &mut Frames, handle: u32) -> io::Result<()> {
        let link = self.sending.get(&handle);
        let flow = Flow {
            delivery_count: link.map(|link| link.delivery_count),
            link_credit: link.map(|link| link.credit),
            available: link.map(|_| 0),
            drain: link.is_some_and(|link| link.drain),
            ..self.flow(link.map(|_| handle))
        };
        frames.put(FrameKind::Amqp, self.channel, 11, &flow, &[])
    }

    /// Lets a client send requests.
    pub(super) fn invite(&self, frames: &mut Frames, handle: u32) -> io::Result<()> {
        let count = self.receiving.get(&handle).map(|link| link.delivery_count);
        let flow = Flow {
            delivery_count: count,
            link_credit: Some(REQUESTS_AT_ONCE),
            ..self.flow(Some(handle))
        };
        frames.put(FrameKind::Amqp, self.channel, 11, &flow, &[])
    }

    fn flow(&self, handle: Option<u32>) -> Flow {
        Flow {
            next_incoming_id: Some(self.next_incoming),
            incoming_window: WINDOW,
            next_outgoing_id: self.next_outgoing,
            outgoing_window: WINDOW,
            handle: handle.map(Into::into),
            delivery_count: None,
            link_credit: None,
            available: None,
            drain: false,
            echo: false,
            properties: None,
        }
    }

    /// Ends a link for good.
    pub(super) fn detach(
        &self,
        frames: &mut Frames,
        handle: u32,
        error: Option<Error>,
    ) -> io::Result<()> {
        let detach = Detach {
            handle: handle.into(),
            closed: true,
            error,
        };
        frames.put(FrameKind::Amqp, self.channel, 3, &detach, &[])
    }

    /// The link for the answer to a request of this node: the one that it names, else the only one there is.
    pub(super) fn answering(
        &mut self,
        node: Node,
        reply_to: Option<&str>,
    ) -> Option<&mut VecDeque<Vec<u8>>> {
        let mut found: Option<&mut VecDeque<Vec<u8>>> = None;
        for link in self.sending.values_mut() {
            if let Feed::Answers {
                node: of,
                target,
                waiting,
            } = &mut link.feed
                && *of == node
            {
                let named = reply_to.is_some() && target.as_deref() == reply_to;
                if named {
                    return Some(waiting);
                }
                found.get_or_insert(waiting);
            }
        }
        found
    }
}

/// What an address of a partition says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Address {
    /// In lower case.
    pub(super) group: String,
    pub(super) partition: String,
    /// Of the entity, in lower case.
    pub(super) path: String,
}

impl Address {
    /// Reads `<hub>/ConsumerGroups/<group>/Partitions/<id>`, with or without the namespace before it.
    ///
    /// # Errors
    /// The condition and sentence for an address of something else.
    pub(super) fn parse(address: &str) -> Result<Self, (&'static str, &'static str)> {
        const NOT_FOUND: (&str, &str) =
            ("amqp:not-found", "The messaging entity could not be found");
        let path = match super::claims::split(address) {
            Some((_, path)) => path,
            None => address.trim_matches('/').to_lowercase(),
        };
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            [NAME, "consumergroups", group, "partitions", partition] => Ok(Self {
                group: crate::wire::decode(group).to_lowercase(),
                partition: partition.to_owned(),
                path: path.clone(),
            }),
            _ => Err(NOT_FOUND),
        }
    }
}

/// An error as it goes over the wire.
pub(super) fn wire_error(error: &super::HubError) -> Error {
    use fe2o3_amqp_types::definitions::ErrorCondition;
    let condition = ErrorCondition::Custom(Symbol::from(error.condition.as_str()));
    Error::new(condition, error.description.clone(), None)
}
