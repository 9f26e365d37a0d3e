//! What goes wrong between a hub and its readers.

use std::collections::VecDeque;
use std::time::Duration;

/// The conditions with which a hub ends links, all of them: `(condition, description)`.
/// Source: Microsoft's Event Hubs AMQP troubleshooting pages and SDK sources, collected 2026-08.
pub const CONDITIONS: [(&str, &str); 22] = [
    (
        "amqp:link:detach-forced",
        "The link was closed by the service (IdleTimerExpired)",
    ),
    (
        "com.microsoft:timeout",
        "The operation did not complete within the allotted time",
    ),
    (
        "com.microsoft:operation-cancelled",
        "The operation was cancelled",
    ),
    (
        "amqp:internal-error",
        "The service was unable to process the request",
    ),
    (
        "com.microsoft:container-close",
        "The container is being closed",
    ),
    (
        "com.microsoft:server-busy",
        "The server is busy; try again in 4 seconds",
    ),
    (
        "amqp:connection:forced",
        "The connection was closed by the service for an upgrade",
    ),
    (
        "amqp:link:stolen",
        "New receiver with a higher epoch is created, hence the current receiver is disconnected",
    ),
    ("amqp:unauthorized-access", "The token is expired"),
    (
        "com.microsoft:auth-failed",
        "The token could not be checked",
    ),
    ("amqp:not-found", "The entity could not be found"),
    (
        "amqp:resource-limit-exceeded",
        "Exceeded the maximum number of allowed receivers",
    ),
    ("amqp:not-allowed", "The operation is not allowed"),
    ("amqp:invalid-field", "A field is not valid"),
    (
        "com.microsoft:argument-error",
        "The supplied offset is not valid",
    ),
    (
        "com.microsoft:argument-out-of-range",
        "The specified partition is not valid",
    ),
    ("com.microsoft:entity-disabled", "The entity is disabled"),
    ("com.microsoft:entity-updated", "The entity was updated"),
    (
        "com.microsoft:partition-not-owned",
        "The partition is not owned by this container",
    ),
    ("com.microsoft:store-lock-lost", "The store lock was lost"),
    ("amqp:link:redirect", "The link is to be made elsewhere"),
    (
        "amqp:connection:redirect",
        "The connection is to be made elsewhere",
    ),
];

/// The conditions after which a reader only has to attach again: the first ones of [`CONDITIONS`].
pub(crate) const PASSING: usize = 7;

/// An error as a hub states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubError {
    /// Such as `amqp:link:stolen`.
    pub condition: String,
    /// A sentence for people.
    pub description: String,
}

impl HubError {
    /// An error with this condition, described as the service does if it is one of [`CONDITIONS`].
    pub fn new(condition: &str) -> Self {
        let known = CONDITIONS.iter().find(|known| known.0 == condition);
        Self::described(condition, known.map_or("", |known| known.1))
    }

    /// An error with a description of its own.
    pub fn described(condition: impl Into<String>, description: impl Into<String>) -> Self {
        Self {
            condition: condition.into(),
            description: description.into(),
        }
    }
}

/// Something that goes wrong once. Counts of messages begin when the fault is the next one of its partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HubFault {
    /// The next attempt to read a partition is refused.
    RefuseAttach(HubError),
    /// After so many more messages the link is closed with an error.
    Detach {
        /// Messages sent before it.
        after: u64,
        /// Said with the detach.
        error: HubError,
    },
    /// After so many more messages the session is ended with an error.
    EndSession {
        /// Messages sent before it.
        after: u64,
        /// Said with the end.
        error: HubError,
    },
    /// After so many more messages the connection is closed with an error.
    CloseConnection {
        /// Messages sent before it.
        after: u64,
        /// Said with the close.
        error: HubError,
    },
    /// After so many more messages the TCP connection goes away without a word.
    Drop {
        /// Messages sent before it.
        after: u64,
    },
    /// After so many more messages the next one breaks off in its middle, and the TCP connection goes away.
    CutOff {
        /// Messages sent before it.
        after: u64,
    },
    /// After so many more messages nothing is sent on that link for a while.
    Pause {
        /// Messages sent before it.
        after: u64,
        /// How long.
        time: Duration,
    },
    /// After so many more messages some come on that link one by one, with pauses, whatever its credit.
    Trickle {
        /// Messages sent before it.
        after: u64,
        /// How many come one by one.
        messages: u32,
        /// How long nothing is sent after each.
        pause: Duration,
    },
    /// After so many more messages the next one is sent twice on that link.
    Twice {
        /// Messages sent before it.
        after: u64,
    },
    /// The next put-token is answered with this status, such as 401, 404, or 500.
    RefuseToken(i32),
    /// The next request to `$management` is answered with this status, such as 404, 500, or 503.
    RefuseManagement(i32),
    /// The next connection is closed before a byte is sent.
    RefuseConnection,
}

/// Where a fault can strike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Connect,
    Attach,
    Transfer,
    Token,
    Management,
}

impl HubFault {
    fn place(&self) -> Place {
        match self {
            Self::RefuseConnection => Place::Connect,
            Self::RefuseAttach(_) => Place::Attach,
            Self::RefuseToken(_) => Place::Token,
            Self::RefuseManagement(_) => Place::Management,
            Self::Detach { .. }
            | Self::EndSession { .. }
            | Self::CloseConnection { .. }
            | Self::Drop { .. }
            | Self::CutOff { .. }
            | Self::Pause { .. }
            | Self::Trickle { .. }
            | Self::Twice { .. } => Place::Transfer,
        }
    }

    fn after(&mut self) -> Option<&mut u64> {
        match self {
            Self::Detach { after, .. }
            | Self::EndSession { after, .. }
            | Self::CloseConnection { after, .. }
            | Self::Drop { after }
            | Self::CutOff { after }
            | Self::Pause { after, .. }
            | Self::Trickle { after, .. }
            | Self::Twice { after } => Some(after),
            _ => None,
        }
    }
}

/// Faults asked for and not yet met, in order.
#[derive(Debug, Default)]
pub(crate) struct Asked {
    faults: VecDeque<(Option<usize>, HubFault)>,
}

impl Asked {
    /// Puts a fault at the end of the queue, for one partition or for any.
    pub(crate) fn push(&mut self, partition: Option<usize>, fault: HubFault) {
        self.faults.push_back((partition, fault));
    }

    /// The fault that strikes now, if there is one; one that counts messages is told of this one.
    pub(crate) fn take(&mut self, place: Place, partition: Option<usize>) -> Option<HubFault> {
        let fits = |(on, fault): &(Option<usize>, HubFault)| {
            fault.place() == place && (on.is_none() || *on == partition)
        };
        let found = self.faults.iter().position(fits)?;
        if let Some(after @ 1..) = self.faults[found].1.after() {
            *after -= 1;
            return None;
        }
        self.faults.remove(found).map(|entry| entry.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_strikes_after_its_messages_and_on_its_partition() {
        let mut asked = Asked::default();
        asked.push(Some(1), HubFault::Drop { after: 1 });
        assert_eq!(asked.take(Place::Transfer, Some(0)), None);
        assert_eq!(asked.take(Place::Attach, Some(1)), None);
        assert_eq!(asked.take(Place::Transfer, Some(1)), None);
        assert_eq!(
            asked.take(Place::Transfer, Some(1)),
            Some(HubFault::Drop { after: 0 })
        );
        assert_eq!(asked.take(Place::Transfer, Some(1)), None);
    }
}
