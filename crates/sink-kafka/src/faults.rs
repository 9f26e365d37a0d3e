//! What an error of librdkafka means for one event.

use rdkafka::types::RDKafkaErrorCode as Code;
use tapline_core::Fault;

/// Maps an error code to what can be done about it.
pub(crate) fn fault(code: Code, topic: &str) -> Fault {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => Fault::Reject {
            reason: "too_large",
            why: format!(
                "the record is larger than topic {topic} or the producer takes; raise max.message.bytes of the topic and message.max.bytes of the sink"
            ),
        },
        Code::InvalidMessage | Code::InvalidRecord | Code::InvalidTimestamp => Fault::Reject {
            reason: "invalid_record",
            why: format!("the broker does not take the record into topic {topic}: {code}"),
        },
        Code::TopicAuthorizationFailed
        | Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed => Fault::Denied {
            reason: "authorization",
            why: format!(
                "the broker does not allow writing to topic {topic}; grant WRITE and IDEMPOTENT_WRITE"
            ),
        },
        Code::SaslAuthenticationFailed | Code::Authentication => Fault::Denied {
            reason: "authentication",
            why: "the broker does not accept our user and password".to_owned(),
        },
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            Fault::Denied {
                reason: "unknown_topic",
                why: format!(
                    "topic {topic} does not exist and the broker does not create it; create it, or allow auto.create.topics.enable"
                ),
            }
        }
        Code::InvalidTopic => Fault::Reject {
            reason: "invalid_topic",
            why: format!("{topic} is not a legal topic name"),
        },
        Code::PolicyViolation => Fault::Denied {
            reason: "policy",
            why: format!("a policy of the broker forbids topic {topic}"),
        },
        Code::QueueFull => retry("queue_full"),
        Code::AllBrokersDown | Code::BrokerTransportFailure | Code::Resolve => retry("unreachable"),
        Code::MessageTimedOut | Code::RequestTimedOut | Code::OperationTimedOut => retry("timeout"),
        Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => retry("too_few_replicas"),
        Code::Fatal
        | Code::PurgeQueue
        | Code::PurgeInflight
        | Code::OutOfOrderSequenceNumber
        | Code::InvalidProducerEpoch
        | Code::UnknownProducerId => retry("producer_renewed"),
        _ => retry("other"),
    }
}

fn retry(reason: &'static str) -> Fault {
    Fault::Retry {
        after: None,
        reason,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_bytes_themselves_cause_is_rejected() {
        let check = |code, expected: &str| {
            let told = match fault(code, "t") {
                Fault::Reject { reason, .. } => format!("reject {reason}"),
                Fault::Denied { reason, .. } => format!("denied {reason}"),
                Fault::Retry { reason, .. } => format!("retry {reason}"),
                Fault::Fenced => "fenced".to_owned(),
            };
            assert_eq!(told, expected);
        };
        check(Code::MessageSizeTooLarge, "reject too_large");
        check(Code::TopicAuthorizationFailed, "denied authorization");
        check(Code::UnknownTopic, "denied unknown_topic");
        check(Code::NotEnoughReplicas, "retry too_few_replicas");
        check(Code::Fatal, "retry producer_renewed");
        check(Code::BrokerNotAvailable, "retry other");
    }
}
