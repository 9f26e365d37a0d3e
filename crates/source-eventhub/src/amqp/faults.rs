//! What the conditions mean with which the service ends links, sessions, and connections.

use std::time::Duration;

use fe2o3_amqp::link::{LinkStateError, ReceiverAttachError, RecvError};
use fe2o3_amqp::types::definitions::{Error, ErrorCondition};
use fe2o3_amqp::types::primitives::Symbol;

/// Every reason that reading over AMQP fails by.
pub(super) const REASONS: [&str; 9] = [
    "stolen",
    "throttled",
    "transient",
    "detached",
    "unauthorized",
    "no_such_hub",
    "quota",
    "refused",
    "unreachable",
];

/// Why a link ended, as a metric label; what to do; and what the service said.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    pub(super) reason: &'static str,
    pub(super) action: Action,
    pub(super) why: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Action {
    /// Attach again after this time.
    Attach(Duration),
    /// Somebody else reads the partition: attach again after a while, and after ever longer ones.
    Yield,
    /// The connection is of no more use.
    Connect,
}

const fn attach(secs: u64) -> Action {
    Action::Attach(Duration::from_secs(secs))
}

/// Source: the conditions of Microsoft's own clients and "Troubleshoot AMQP errors in Azure Event
/// Hubs", seen 2026; waits as in the Python client.
fn meaning(condition: &str) -> (&'static str, Action) {
    match condition {
        "amqp:link:stolen" => ("stolen", Action::Yield),
        "com.microsoft:server-busy" => ("throttled", attach(4)),
        "com.microsoft:container-close" => ("transient", attach(4)),
        "com.microsoft:timeout" => ("transient", attach(2)),
        "com.microsoft:operation-cancelled" | "amqp:internal-error" => ("transient", attach(1)),
        "amqp:link:detach-forced" => ("detached", Action::Attach(Duration::from_millis(100))),
        "amqp:connection:forced" | "amqp:connection:redirect" => ("detached", Action::Connect),
        "amqp:unauthorized-access" | "com.microsoft:auth-failed" => {
            ("unauthorized", Action::Connect)
        }
        "amqp:not-found" => ("no_such_hub", attach(60)),
        "amqp:resource-limit-exceeded" => ("quota", attach(60)),
        "amqp:not-allowed"
        | "amqp:invalid-field"
        | "com.microsoft:argument-error"
        | "com.microsoft:argument-out-of-range"
        | "com.microsoft:entity-disabled" => ("refused", attach(60)),
        _ => ("transient", attach(5)),
    }
}

fn told(error: &Error) -> Fault {
    let condition = name(&error.condition);
    let (reason, action) = meaning(&condition);
    let description = error.description.as_deref().unwrap_or("no description");
    Fault {
        reason,
        action,
        why: format!("{condition}: {description}"),
    }
}

fn name(condition: &ErrorCondition) -> String {
    let symbol = match condition {
        ErrorCondition::AmqpError(error) => Symbol::from(error),
        ErrorCondition::ConnectionError(error) => Symbol::from(error),
        ErrorCondition::SessionError(error) => Symbol::from(error),
        ErrorCondition::LinkError(error) => Symbol::from(error),
        ErrorCondition::Custom(symbol) => symbol.clone(),
    };
    symbol.0
}

/// The connection is gone, or no longer speaks as we do.
pub(super) fn gone(why: impl std::fmt::Display) -> Fault {
    Fault {
        reason: "unreachable",
        action: Action::Connect,
        why: why.to_string(),
    }
}

pub(super) fn of_reading(error: &RecvError) -> Fault {
    match error {
        RecvError::LinkStateError(
            LinkStateError::RemoteClosedWithError(error)
            | LinkStateError::RemoteDetachedWithError(error),
        ) => told(error),
        RecvError::LinkStateError(
            LinkStateError::RemoteClosed | LinkStateError::RemoteDetached,
        ) => Fault {
            reason: "detached",
            action: attach(1),
            why: "the service ended the link".to_owned(),
        },
        other => gone(other),
    }
}

pub(super) fn of_attaching(error: &ReceiverAttachError) -> Fault {
    match error {
        ReceiverAttachError::RemoteClosedWithError(error) => told(error),
        other => gone(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_a_known_reason() {
        for (condition, _) in tapline_simulators::HUB_CONDITIONS {
            assert!(REASONS.contains(&meaning(condition).0), "{condition}");
        }
        assert_eq!(meaning("amqp:link:stolen").1, Action::Yield);
        assert_eq!(meaning("com.microsoft:server-busy").1, attach(4));
        assert_eq!(meaning("amqp:connection:forced").1, Action::Connect);
    }
}
