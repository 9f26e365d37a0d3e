//! The topics beside those of the events, made if they are missing.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, ResourceSpecifier, TopicReplication};
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode as Code;

use super::outspoken::greet;
use super::quiet::Quiet;
use super::shares::SHARES;
use crate::troubles::Troubles;

/// How long the cluster may take to answer.
const PATIENCE: Duration = Duration::from_secs(20);

type Admin = AdminClient<Quiet>;

/// Names that belong to one sink of a pipeline.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Names {
    /// Of the producer's transactions, and of our place in the group.
    pub(super) identity: String,
    /// Shared by all replicas, as the topics are.
    pub(super) group: String,
    pub(super) control: String,
    pub(super) cursors: String,
    pub(super) dead_letters: String,
}

impl Names {
    pub(super) fn new(pipeline: &str, instance: &str, sink: &str) -> Self {
        let of_sink = |what: &str| format!("{pipeline}.{sink}.{what}");
        Self {
            identity: format!("{pipeline}-{instance}-{sink}"),
            group: of_sink("control"),
            control: of_sink("control"),
            cursors: of_sink("cursors"),
            dead_letters: of_sink("dead-letters"),
        }
    }
}

/// Why the topics are not there.
#[derive(Debug, thiserror::Error)]
pub(super) enum TopicsError {
    #[error("the cluster cannot be asked for topics: {0}")]
    Asking(#[from] KafkaError),
    #[error(
        "the broker does not make topic {topic}: {code}; make it with {partitions} partitions{compacted}, or allow us to (CREATE)"
    )]
    Refused {
        topic: String,
        partitions: i32,
        compacted: &'static str,
        code: Code,
    },
    #[error(
        "topic {topic} has cleanup.policy={found}, which deletes cursors; it has to have cleanup.policy=compact"
    )]
    Policy { topic: String, found: String },
    #[error(
        "topic {topic} has {found} partitions and has to have {wanted}; delete it while no replica runs, or give the sink another id"
    )]
    Partitions {
        topic: String,
        found: usize,
        wanted: i32,
    },
}

/// Makes what is missing, and looks whether what is there can be used.
pub(super) async fn make(
    config: &ClientConfig,
    names: &Names,
    troubles: &Arc<Troubles>,
) -> Result<(), TopicsError> {
    let (ours, topic, told) = (config.clone(), names.control.clone(), Arc::clone(troubles));
    let greeted = move || greet(&ours, &topic, PATIENCE, &told);
    let greeted = tokio::task::spawn_blocking(greeted).await;
    greeted.unwrap_or(Err(KafkaError::Canceled))?;
    let admin: Arc<Admin> = Arc::new(config.create_with_context(Quiet)?);
    let topics = wanted(names);
    let options = AdminOptions::new()
        .request_timeout(Some(PATIENCE))
        .operation_timeout(Some(PATIENCE));
    for result in admin.create_topics(&topics, &options).await? {
        match result {
            Ok(_) | Err((_, Code::TopicAlreadyExists)) => {}
            Err((topic, code)) => {
                let partitions = partitions_of(&topics, &topic);
                // Who may not make topics may still find them there.
                if !exists(&admin, &topic).await? {
                    let is_compacted = topic == names.cursors;
                    return Err(TopicsError::Refused {
                        topic,
                        partitions,
                        compacted: if is_compacted {
                            " and cleanup.policy=compact"
                        } else {
                            ""
                        },
                        code,
                    });
                }
            }
        }
    }
    for topic in &topics[..2] {
        check(&admin, topic).await?;
    }
    check_policy(&admin, &names.cursors, &options).await
}

/// Who may not look at the settings of a topic has to know them.
async fn check_policy(
    admin: &Admin,
    topic: &str,
    options: &AdminOptions,
) -> Result<(), TopicsError> {
    let asked = [ResourceSpecifier::Topic(topic)];
    let described = admin.describe_configs(&asked, options).await?;
    let Some(Ok(settings)) = described.into_iter().next() else {
        tracing::debug!(topic, "its settings may not be looked at");
        return Ok(());
    };
    let policy = settings
        .get("cleanup.policy")
        .and_then(|it| it.value.as_deref());
    match policy {
        Some(found) if found != "compact" => Err(TopicsError::Policy {
            topic: topic.to_owned(),
            found: found.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What a batch of ours may have, also where the cluster's default is less: Kafka's own default.
const BATCH: &str = "1048588";
/// As many replicas as the cluster gives a topic by default.
const CLUSTER_DECIDES: TopicReplication<'static> = TopicReplication::Fixed(-1);

fn wanted(names: &Names) -> [NewTopic<'_>; 3] {
    [
        NewTopic::new(&names.control, SHARES, CLUSTER_DECIDES),
        // Small segments are compacted soon, so that a start reads little more than what is current.
        NewTopic::new(&names.cursors, 1, CLUSTER_DECIDES)
            .set("cleanup.policy", "compact")
            .set("segment.bytes", "16777216")
            .set("segment.ms", "600000")
            .set("min.cleanable.dirty.ratio", "0.2")
            .set("max.message.bytes", BATCH),
        NewTopic::new(&names.dead_letters, 1, CLUSTER_DECIDES)
            .set("retention.ms", "-1")
            .set("max.message.bytes", BATCH),
    ]
}

fn partitions_of(topics: &[NewTopic<'_>], name: &str) -> i32 {
    let topic = topics.iter().find(|topic| topic.name == name);
    topic.map_or(1, |topic| topic.num_partitions)
}

async fn exists(admin: &Arc<Admin>, topic: &str) -> Result<bool, TopicsError> {
    Ok(partitions(admin, topic).await? > 0)
}

async fn check(admin: &Arc<Admin>, topic: &NewTopic<'_>) -> Result<(), TopicsError> {
    // A topic that was made just now is known to all brokers a moment later.
    for _ in 0..50 {
        match partitions(admin, topic.name).await? {
            0 => tokio::time::sleep(Duration::from_millis(100)).await,
            found if i32::try_from(found) == Ok(topic.num_partitions) => return Ok(()),
            found => {
                return Err(TopicsError::Partitions {
                    topic: topic.name.to_owned(),
                    found,
                    wanted: topic.num_partitions,
                });
            }
        }
    }
    Err(TopicsError::Partitions {
        topic: topic.name.to_owned(),
        found: 0,
        wanted: topic.num_partitions,
    })
}

async fn partitions(admin: &Arc<Admin>, topic: &str) -> Result<usize, TopicsError> {
    let (asked, name) = (Arc::clone(admin), topic.to_owned());
    let ask = move || asked.inner().fetch_metadata(Some(&name), PATIENCE);
    let answer = tokio::task::spawn_blocking(ask).await;
    let answer = answer.unwrap_or(Err(KafkaError::Canceled))?;
    let found = answer.topics().iter().find(|it| it.name() == topic);
    Ok(found.map_or(0, |topic| topic.partitions().len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_contract() {
        let names = Names::new("tapline", "0123456789abcdef", "lake");
        assert_eq!(names.identity, "tapline-0123456789abcdef-lake");
        assert_eq!(names.control, "tapline.lake.control");
        assert_eq!(names.cursors, "tapline.lake.cursors");
        assert_eq!(names.dead_letters, "tapline.lake.dead-letters");
    }
}
