//! Kafka for the demo: a broker inside this process, and a consumer that reads what arrives.

use std::time::Duration;

use anyhow::Context;
use rdkafka::ClientConfig;
use rdkafka::consumer::{Consumer, StreamConsumer};
use rdkafka::message::{BorrowedMessage, Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;

use super::tally::{Arrivals, Identity};

/// The topics that the demo's kinds go to.
const TOPICS: [&str; 4] = [
    "defender.graph.alert",
    "defender.graph.incident",
    "defender.siem.detection",
    "defender.hunting",
];

/// Partitions of each topic; a partition of the embedded broker keeps 5 MiB.
const PARTITIONS: i32 = 4;

/// The broker; it lives as long as this does.
pub(super) struct Broker {
    cluster: MockCluster<'static, DefaultProducerContext>,
}

impl Broker {
    pub(super) fn start() -> anyhow::Result<Self> {
        let cluster = MockCluster::new(1).context("starting the embedded Kafka")?;
        for topic in TOPICS {
            cluster
                .create_topic(topic, PARTITIONS, 1)
                .with_context(|| format!("creating topic {topic}"))?;
        }
        Ok(Self { cluster })
    }

    pub(super) fn address(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Reads all topics until dropped, and tells `arrivals` of every record.
    pub(super) fn consume(
        &self,
        arrivals: Arrivals,
    ) -> anyhow::Result<impl Future<Output = ()> + Send + 'static> {
        let consumer: StreamConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.address())
            .set("group.id", "demo")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "50")
            .create()
            .context("starting the consumer of the demo")?;
        let mut from = rdkafka::TopicPartitionList::new();
        for topic in TOPICS {
            for partition in 0..PARTITIONS {
                from.add_partition_offset(topic, partition, rdkafka::Offset::Beginning)?;
            }
        }
        // Assigned, not subscribed: joining a group takes three seconds.
        consumer.assign(&from)?;
        Ok(async move {
            loop {
                match consumer.recv().await {
                    Ok(message) => arrivals.kafka(identity(&message), message.payload()),
                    Err(error) => {
                        tracing::warn!(%error, "reading what arrived in kafka");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                }
            }
        })
    }
}

fn identity(message: &BorrowedMessage<'_>) -> Identity {
    let text = |name: &str| {
        let headers = message.headers()?;
        let header = headers.iter().find(|header| header.key == name)?;
        String::from_utf8(header.value?.to_vec()).ok()
    };
    let header = |name: &str| text(name).unwrap_or_else(|| format!("no {name} header"));
    Identity {
        kind: header("kind"),
        tenant: header("tenant"),
        id: header("id"),
        version: header("version"),
    }
}
