//! What it means when the service ends a link, a session, or a connection, or refuses one.

use std::time::Duration;

use fe2o3_amqp::connection::ConnectionStopReason;
use fe2o3_amqp::link::{LinkStateError, ReceiverAttachError, RecvError, SessionStopReason};
use fe2o3_amqp::session::BeginError;
use fe2o3_amqp::types::definitions::{Error, ErrorCondition};
use fe2o3_amqp::types::primitives::Symbol;
use fe2o3_amqp_management::error::Error as AskError;

/// Every reason that reading over AMQP fails by.
pub(super) const REASONS: [&str; 13] = [
    "stolen",
    "throttled",
    "transient",
    "detached",
    "unauthorized",
    "token",
    "no_such_hub",
    "quota",
    "refused",
    "unreachable",
    "tls",
    "proxy",
    "undecodable",
];

/// Why reading ended, as a metric label; what to do; and what the service said.
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

const AT_ONCE: Action = Action::Attach(Duration::from_millis(100));
/// What does not get better by itself is tried once a minute.
const RARELY: Action = attach(60);

/// What each condition means.
///
/// Source: the conditions of Microsoft's own clients and "Troubleshoot AMQP errors in Azure Event
/// Hubs", seen 2026; waits as in the Python client. A redirect is not followed: the namespace
/// itself is asked again, and knows where its parts are.
const MEANINGS: [(&str, &str, Action); 27] = [
    ("amqp:link:stolen", "stolen", Action::Yield),
    ("com.microsoft:server-busy", "throttled", attach(4)),
    ("com.microsoft:container-close", "transient", attach(4)),
    ("com.microsoft:timeout", "transient", attach(2)),
    ("com.microsoft:operation-cancelled", "transient", attach(1)),
    ("amqp:internal-error", "transient", attach(1)),
    ("com.microsoft:entity-updated", "transient", attach(1)),
    ("com.microsoft:partition-not-owned", "transient", attach(1)),
    ("com.microsoft:store-lock-lost", "transient", attach(1)),
    ("com.microsoft:precondition-failed", "transient", attach(4)),
    ("amqp:link:detach-forced", "detached", AT_ONCE),
    ("amqp:connection:forced", "detached", Action::Connect),
    ("amqp:connection:framing-error", "detached", Action::Connect),
    ("amqp:connection:redirect", "detached", Action::Connect),
    ("amqp:link:redirect", "detached", Action::Connect),
    ("amqp:unauthorized-access", "unauthorized", Action::Connect),
    ("com.microsoft:auth-failed", "unauthorized", Action::Connect),
    ("amqp:not-found", "no_such_hub", RARELY),
    ("amqp:resource-limit-exceeded", "quota", RARELY),
    ("amqp:not-allowed", "refused", RARELY),
    ("amqp:invalid-field", "refused", RARELY),
    ("amqp:not-implemented", "refused", RARELY),
    ("com.microsoft:argument-error", "refused", RARELY),
    ("com.microsoft:argument-out-of-range", "refused", RARELY),
    ("com.microsoft:entity-disabled", "refused", RARELY),
    ("com.microsoft:publisher-revoked", "refused", RARELY),
    ("amqp:link:message-size-exceeded", "refused", RARELY),
];

/// What nobody has written down is taken as passing.
const UNKNOWN: (&str, Action) = ("transient", attach(5));

fn meaning(condition: &str) -> (&'static str, Action) {
    let known = MEANINGS.iter().find(|known| known.0 == condition);
    known.map_or(UNKNOWN, |known| (known.1, known.2))
}

/// What a human can do, where one can.
fn advice(reason: &str) -> &'static str {
    match reason {
        "stolen" => {
            "; another process reads the partition now, and this one tries again later. \
             Give each pipeline a consumer group of its own"
        }
        "unauthorized" => {
            "; what was shown does not allow reading: a policy needs the right Listen, an app the \
             role Azure Event Hubs Data Receiver"
        }
        "no_such_hub" => {
            "; the hub and the consumer group must both exist. On the Basic tier the only \
             consumer group is $Default"
        }
        "quota" => {
            "; a partition takes five readers of a consumer group that have no owner level, and a \
             namespace so many connections: end some, or use another consumer group"
        }
        _ => "",
    }
}

impl Fault {
    fn new(reason: &'static str, action: Action, why: impl std::fmt::Display) -> Self {
        Self {
            reason,
            action,
            why: format!("{why}{}", advice(reason)),
        }
    }

    /// Whether it will not get better before a human does something.
    pub(super) fn needs_a_human(&self) -> bool {
        matches!(
            self.reason,
            "unauthorized" | "token" | "no_such_hub" | "quota" | "refused"
        )
    }

    /// Whether the service did not take what it was asked for, such as an offset of before.
    pub(super) fn is_refusal(&self) -> bool {
        self.reason == "refused"
    }

    /// How long to wait at least before the next try.
    pub(super) fn least_wait(&self) -> Duration {
        match self.action {
            Action::Attach(wait) => wait,
            Action::Yield | Action::Connect => Duration::ZERO,
        }
    }
}

fn told(error: &Error) -> Fault {
    let condition = name(&error.condition);
    let (reason, action) = meaning(&condition);
    let description = error.description.as_deref().unwrap_or("no description");
    Fault::new(reason, action, format!("{condition}: {description}"))
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
    Fault::new("unreachable", Action::Connect, why)
}

/// There is no connection, for a reason of its own.
pub(super) fn no_way(reason: &'static str, why: impl std::fmt::Display) -> Fault {
    Fault::new(reason, Action::Connect, why)
}

/// Nobody can say now who reads what; what is read goes on.
pub(super) fn no_owner(why: impl std::fmt::Display) -> Fault {
    Fault::new("transient", attach(5), why)
}

/// There is nothing to show to the service.
pub(super) fn no_token(why: impl std::fmt::Display) -> Fault {
    Fault::new("token", Action::Connect, why)
}

/// A message that is not AMQP; the link's credit is no longer right after it.
pub(super) fn undecodable(why: impl std::fmt::Display) -> Fault {
    Fault::new("undecodable", AT_ONCE, why)
}

pub(super) fn of_reading(error: &RecvError) -> Fault {
    match error {
        RecvError::LinkStateError(error) => of_link(error),
        RecvError::MessageDecode(error) => undecodable(error),
        other => gone(other),
    }
}

fn of_link(error: &LinkStateError) -> Fault {
    match error {
        LinkStateError::RemoteClosedWithError(error)
        | LinkStateError::RemoteDetachedWithError(error) => told(error),
        LinkStateError::RemoteClosed | LinkStateError::RemoteDetached => {
            Fault::new("detached", attach(1), "the service ended the link")
        }
        LinkStateError::SessionStopped(reason) => of_session(reason),
        other => gone(other),
    }
}

fn of_session(reason: &SessionStopReason) -> Fault {
    match reason {
        SessionStopReason::RemoteEndedWithError(error) => told(error),
        SessionStopReason::RemoteEnded => {
            Fault::new("detached", attach(1), "the service ended the session")
        }
        SessionStopReason::ConnectionStopped(reason) => of_connection(reason),
        other => gone(format!("the session is over: {other:?}")),
    }
}

/// Whatever the condition is, the connection is of no more use.
fn of_connection(reason: &ConnectionStopReason) -> Fault {
    let fault = match reason {
        ConnectionStopReason::RemoteClosedWithError(error) => told(error),
        ConnectionStopReason::RemoteClosed => Fault::new(
            "detached",
            Action::Connect,
            "the service closed the connection",
        ),
        _ => gone("the connection is lost"),
    };
    Fault {
        action: Action::Connect,
        ..fault
    }
}

pub(super) fn of_beginning(error: &BeginError) -> Fault {
    match error {
        BeginError::ConnectionStopped(reason) => of_connection(reason),
        BeginError::RemoteEndedWithError(error) => told(error),
        other => gone(other),
    }
}

pub(super) fn of_attaching(error: &ReceiverAttachError) -> Fault {
    match error {
        ReceiverAttachError::RemoteClosedWithError(error) => told(error),
        ReceiverAttachError::SessionStopped(reason) => of_session(reason),
        other => gone(other),
    }
}

/// What was asked of `$cbs` or `$management` was not done; none if the answer says nothing
/// about the connection, which is of no more use then.
pub(super) fn of_asking(error: &AskError) -> Fault {
    let AskError::Status(status) = error else {
        return match error {
            AskError::Recv(error) => Fault {
                action: Action::Connect,
                ..of_reading(error)
            },
            other => gone(other),
        };
    };
    let (code, description) = (status.code.0.get(), status.description.as_deref());
    let (reason, action) = match code {
        401 | 403 => ("unauthorized", Action::Connect),
        404 => ("no_such_hub", attach(10)),
        400 => ("refused", attach(30)),
        429 | 503 => ("throttled", attach(4)),
        _ => ("transient", attach(1)),
    };
    let description = description.unwrap_or("no description");
    Fault::new(reason, action, format!("status {code}: {description}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_condition_has_its_reaction() {
        for (condition, _) in tapline_simulators::HUB_CONDITIONS {
            let known = MEANINGS.iter().any(|known| known.0 == condition);
            assert!(known, "nothing is said about {condition}");
        }
        for (condition, reason, _) in MEANINGS {
            assert!(REASONS.contains(&reason), "{condition}");
        }
        let check = |condition: &str, reason: &str, action: Action| {
            let error = Error::new(ErrorCondition::Custom(condition.into()), None, None);
            let fault = told(&error);
            assert_eq!(
                (fault.reason, fault.action),
                (reason, action),
                "{condition}"
            );
            assert!(fault.why.contains(condition), "{}", fault.why);
        };
        check("amqp:link:stolen", "stolen", Action::Yield);
        check("com.microsoft:server-busy", "throttled", attach(4));
        check("com.microsoft:timeout", "transient", attach(2));
        check("amqp:internal-error", "transient", attach(1));
        check("amqp:link:detach-forced", "detached", AT_ONCE);
        check("amqp:connection:forced", "detached", Action::Connect);
        check("amqp:unauthorized-access", "unauthorized", Action::Connect);
        check("amqp:not-found", "no_such_hub", RARELY);
        check("amqp:resource-limit-exceeded", "quota", RARELY);
        check("com.microsoft:argument-error", "refused", RARELY);
        check("com.microsoft:made-up-yesterday", "transient", attach(5));
    }

    #[test]
    fn a_connection_that_is_closed_is_never_attached_to_again() {
        let busy = ErrorCondition::Custom("com.microsoft:server-busy".into());
        let reason = ConnectionStopReason::RemoteClosedWithError(Error::new(busy, None, None));
        let fault = of_session(&SessionStopReason::ConnectionStopped(reason));
        assert_eq!((fault.reason, fault.action), ("throttled", Action::Connect));
    }
}
