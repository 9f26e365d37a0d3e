//! What an error of the Kafka endpoint means, for people and for metrics.

use rdkafka::types::RDKafkaErrorCode as Code;

use crate::access::Access;

/// Every reason that reading fails by.
pub(super) const REASONS: [&str; 7] = [
    "authentication",
    "authorization",
    "no_such_hub",
    "unreachable",
    "tls",
    "token",
    "service",
];

/// Why a connection or an assignment was made anew although nothing was refused: it broke, and
/// librdkafka made the next one by itself; or the group had given us up.
pub(super) const DISCONNECTED: &str = "disconnected";
pub(super) const ASSIGNMENT_LOST: &str = "assignment_lost";

/// A metric label, and what a human should do about these hubs.
pub(super) fn fault(code: Code, access: &Access, hubs: &str) -> (&'static str, String) {
    let namespace = &access.namespace;
    match code {
        Code::SaslAuthenticationFailed | Code::Authentication => {
            ("authentication", refused(access))
        }
        Code::TopicAuthorizationFailed | Code::GroupAuthorizationFailed => (
            "authorization",
            format!(
                "{namespace} does not allow reading {hubs}: the policy lacks the right Listen, or belongs to \
             another hub, or the namespace is of the Basic tier, which has no Kafka endpoint"
            ),
        ),
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => (
            "no_such_hub",
            format!(
                "{namespace} has no hub of this name: {hubs}; what the streaming API was told to write to has to stand under hubs"
            ),
        ),
        Code::SSL => (
            "tls",
            format!(
                "no trusted TLS connection to {namespace}: name the CA of a proxy in between under tls"
            ),
        ),
        Code::AllBrokersDown
        | Code::BrokerTransportFailure
        | Code::Resolve
        | Code::OperationTimedOut
        | Code::RequestTimedOut => (
            "unreachable",
            format!(
                "no connection to {namespace}: port 9093 has to be open, and the Kafka endpoint cannot use a proxy"
            ),
        ),
        other => ("service", format!("{namespace} answers: {other}")),
    }
}

fn refused(access: &Access) -> String {
    let namespace = &access.namespace;
    match &access.policy {
        Some(policy) => format!(
            "{namespace} refuses the key of policy {policy}: it is wrong, or was rotated, or the policy is another hub's"
        ),
        None => format!(
            "{namespace} refuses the token: the app needs the role Azure Event Hubs Data Receiver there, \
             which takes up to five minutes to work"
        ),
    }
}
