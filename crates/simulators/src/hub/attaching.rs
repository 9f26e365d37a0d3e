//! How links begin, or are refused.

use super::connection::Connection;
use super::frames::FrameKind;
use super::links::{Address, Feed, Node, Reading, Receiving, Sending, Session, wire_error};
use super::readers::Reader;
use super::selector::Start;
use super::{HubError, HubFault, RecordedAttach};
use bytes::BytesMut;
use fe2o3_amqp_types::definitions::{Fields, Role, SenderSettleMode};
use fe2o3_amqp_types::messaging::{Source, TargetArchetype};
use fe2o3_amqp_types::performatives::Attach;
use fe2o3_amqp_types::primitives::Value;
use std::collections::VecDeque;
use std::io;

/// The selector's key, and one of its two descriptors. Source: azure-eventhub 5.15 and azure_messaging_eventhubs 0.16.
const SELECTOR: &str = "apache.org:selector-filter:string";
const EPOCH: &str = "com.microsoft:epoch";
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";
/// Larger messages are not sent. Source: the quota of the Standard tier, 1 MB.
const LARGEST_MESSAGE: u64 = 1_048_576;

impl Connection {
    /// Makes a link, or refuses it as the service does: attached to nothing, and closed with an error at once.
    pub(super) fn attach(&mut self, channel: u16, attach: Attach) -> io::Result<()> {
        if !self.sessions.contains_key(&channel) {
            return Err(io::Error::other("a link without a session"));
        }
        let handle = attach.handle.0;
        match self.enter(channel, &attach) {
            Ok(()) => self.confirm(channel, attach),
            Err(error) => {
                self.confirm(
                    channel,
                    Attach {
                        source: None,
                        target: None,
                        ..attach
                    },
                )?;
                match self.sessions.get(&channel) {
                    Some(session) => {
                        session.detach(&mut self.frames, handle, Some(wire_error(&error)))
                    }
                    None => Ok(()),
                }
            }
        }
    }

    fn enter(&mut self, channel: u16, attach: &Attach) -> Result<(), HubError> {
        let handle = attach.handle.0;
        if attach.role == Role::Sender {
            let target = attach.target.as_deref().and_then(target_address);
            let node = target.and_then(Node::of).ok_or_else(read_only)?;
            let link = Receiving {
                node,
                delivery_count: attach.initial_delivery_count.unwrap_or(0),
                partial: BytesMut::new(),
            };
            self.session(channel).receiving.insert(handle, link);
            return Ok(());
        }
        let address = attach
            .source
            .as_ref()
            .and_then(|source| source.address.clone())
            .unwrap_or_default();
        let feed = match Node::of(&address) {
            Some(node) => Feed::Answers {
                node,
                target: attach
                    .target
                    .as_deref()
                    .and_then(target_address)
                    .map(str::to_owned),
                waiting: VecDeque::new(),
            },
            None => Feed::Partition(self.read_partition(attach, &address)?),
        };
        self.session(channel)
            .sending
            .insert(handle, Sending::new(feed));
        Ok(())
    }

    fn session(&mut self, channel: u16) -> &mut Session {
        self.sessions
            .get_mut(&channel)
            .expect("looked up before the link")
    }

    fn confirm(&mut self, channel: u16, attach: Attach) -> io::Result<()> {
        let handle = attach.handle.0;
        let requests = attach.role == Role::Sender;
        let answer = Attach {
            role: if requests {
                Role::Receiver
            } else {
                Role::Sender
            },
            snd_settle_mode: if requests {
                attach.snd_settle_mode
            } else {
                SenderSettleMode::Settled
            },
            unsettled: None,
            incomplete_unsettled: false,
            initial_delivery_count: (!requests).then_some(0),
            max_message_size: Some(LARGEST_MESSAGE),
            offered_capabilities: None,
            desired_capabilities: None,
            properties: None,
            ..attach
        };
        self.frames
            .put(FrameKind::Amqp, channel, 14, &answer, &[])?;
        match self.sessions.get(&channel) {
            Some(session) if requests && session.receiving.contains_key(&handle) => {
                session.invite(&mut self.frames, handle)
            }
            _ => Ok(()),
        }
    }

    fn read_partition(&mut self, attach: &Attach, address: &str) -> Result<Reading, HubError> {
        let asked = Asked::of(attach, address);
        let struck = self.strike_attach(asked.partition.as_deref());
        let entered = match struck {
            Some(HubFault::RefuseAttach(error)) => Err(error),
            _ => self.admit_reader(&asked),
        };
        let refused = entered.as_ref().err().map(|error| error.condition.clone());
        self.hub.lock().note_attach(RecordedAttach {
            connection: self.number,
            link: attach.name.clone(),
            address: address.to_owned(),
            partition: asked.partition,
            filter: asked.filter,
            epoch: asked.epoch,
            runtime_metric: asked.metric,
            refused,
        });
        entered
    }

    fn admit_reader(&mut self, asked: &Asked) -> Result<Reading, HubError> {
        let address = Address::parse(&asked.address)
            .map_err(|(condition, text)| HubError::described(condition, text))?;
        if !self.may_read(&address.path) {
            return Err(unauthorized());
        }
        if !self.hub.lock().groups.contains(&address.group) {
            return Err(HubError::described(
                "amqp:not-found",
                format!(
                    "The messaging entity '{}' could not be found.",
                    asked.address
                ),
            ));
        }
        let (partition, next) = self.place(&address, asked)?;
        let reader = Reader {
            number: None, // given by the hub
            group: address.group,
            partition,
            epoch: asked.epoch,
        };
        let number = self.hub.enter(reader)?;
        Ok(Reading {
            number,
            partition,
            path: address.path,
            next,
            metric: asked.metric,
        })
    }

    /// The partition, and the sequence number to begin with.
    fn place(&self, address: &Address, asked: &Asked) -> Result<(usize, i64), HubError> {
        let logs = self.hub.logs();
        let partition = address
            .partition
            .parse::<usize>()
            .ok()
            .filter(|id| *id < logs.len());
        let partition = partition.ok_or_else(|| no_partition(logs.len()))?;
        let start = match &asked.filter {
            None => Some(Start::Beginning),
            Some(filter) => Start::parse(filter),
        };
        let start = start
            .ok_or_else(|| HubError::described("amqp:invalid-field", "The filter is not known."))?;
        let next = logs[partition].first_of(&start);
        let next = next.ok_or_else(|| {
            HubError::described(
                "com.microsoft:argument-error",
                "The supplied offset is invalid.",
            )
        })?;
        Ok((partition, next))
    }
}

/// What a reader asks for.
#[derive(Debug)]
struct Asked {
    address: String,
    partition: Option<String>,
    filter: Option<String>,
    epoch: Option<i64>,
    metric: bool,
}

impl Asked {
    fn of(attach: &Attach, address: &str) -> Self {
        let desired = attach.desired_capabilities.as_ref();
        Self {
            address: address.to_owned(),
            partition: Address::parse(address)
                .ok()
                .map(|address| address.partition),
            filter: attach.source.as_deref().and_then(filter),
            epoch: attach.properties.as_ref().and_then(epoch),
            metric: desired
                .is_some_and(|all| all.0.iter().any(|one| one.as_str() == RUNTIME_METRIC)),
        }
    }
}

fn filter(source: &Source) -> Option<String> {
    let filters = source.filter.as_ref()?;
    let named = filters.iter().find(|(name, _)| name.as_str() == SELECTOR)?;
    match named.1 {
        Value::String(text) => Some(text.clone()),
        Value::Described(described) => match &described.value {
            Value::String(text) => Some(text.clone()),
            other => Some(format!("{other:?}")),
        },
        other => Some(format!("{other:?}")),
    }
}

fn epoch(properties: &Fields) -> Option<i64> {
    let named = properties.iter().find(|(name, _)| name.as_str() == EPOCH)?;
    match named.1 {
        Value::Long(epoch) => Some(*epoch),
        Value::Int(epoch) => Some(i64::from(*epoch)),
        Value::Ulong(epoch) => i64::try_from(*epoch).ok(),
        Value::Uint(epoch) => Some(i64::from(*epoch)),
        _ => None,
    }
}

fn target_address(target: &TargetArchetype) -> Option<&str> {
    match target {
        TargetArchetype::Target(target) => target.address.as_deref(),
    }
}

fn read_only() -> HubError {
    HubError::described(
        "amqp:unauthorized-access",
        "Unauthorized access. 'Send' claim(s) are required to perform this operation.",
    )
}

fn unauthorized() -> HubError {
    HubError::described(
        "amqp:unauthorized-access",
        "Unauthorized access. 'Listen' claim(s) are required to perform this operation.",
    )
}

fn no_partition(count: usize) -> HubError {
    HubError::described(
        "com.microsoft:argument-out-of-range",
        format!(
            "The specified partition is invalid for an EventHub partition sender or receiver. It should be between 0 and {}.",
            count - 1
        ),
    )
}
