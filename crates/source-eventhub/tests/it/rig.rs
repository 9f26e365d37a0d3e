//! A mock cluster, a producer, and sources that read it.

use std::collections::BTreeSet;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::{DefaultProducerContext, FutureProducer, FutureRecord, Producer};
use serde_json::{Value, json};
use tapline_core::{BuildContext, ComponentKind, Event, Source, SourceConfig};
use tapline_source_eventhub::EventHubConfig;
use tapline_testkit::{RecordingHost, Running, build_context};
use tempfile::TempDir;

pub(crate) const HUB: &str = "defender";
pub(crate) const PARTITIONS: i32 = 3;

pub(crate) struct Rig {
    pub(crate) cluster: MockCluster<'static, DefaultProducerContext>,
    pub(crate) host: RecordingHost,
    pub(crate) cx: BuildContext,
    producer: FutureProducer,
    _folder: TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let cluster = MockCluster::new(1).expect("a cluster");
        cluster.create_topic(HUB, PARTITIONS, 1).expect("a topic");
        let producer = ClientConfig::new()
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .create()
            .expect("a producer");
        let folder = TempDir::new().expect("a folder");
        let cx = build_context(ComponentKind::Source, "eventhub", "hunting", folder.path());
        Self {
            cluster,
            host: RecordingHost::new(),
            cx,
            producer,
            _folder: folder,
        }
    }

    /// A source with the given settings besides the necessary ones.
    pub(crate) fn source(&self, more: Value) -> Box<dyn Source> {
        self.config(more).build(&self.cx).expect("builds")
    }

    fn config(&self, more: Value) -> EventHubConfig {
        let mut config = json!({
            "namespace": "contoso.servicebus.windows.net", "hubs": [HUB], "tables": "all",
            // The mock waits as long as a session for a member that does not join again at once.
            "librdkafka": {"session.timeout.ms": 3000, "heartbeat.interval.ms": 300},
            "auth": {"sas": {"policy": "listen", "key": "a2V5"}},
            "endpoints": {"kafka": format!("plaintext://{}", self.cluster.bootstrap_servers())},
        });
        let own = config.as_object_mut().expect("an object");
        own.extend(more.as_object().expect("an object").clone());
        let config: EventHubConfig = serde_json::from_value(config).expect("well formed");
        assert_eq!(config.problems(), []);
        config
    }

    pub(crate) fn run(&self, more: Value) -> Running {
        self.host.run(self.source(more))
    }

    /// Puts a message into a partition.
    pub(crate) async fn put(&self, partition: i32, message: impl AsRef<[u8]>) {
        self.put_into(HUB, partition, message).await;
    }

    pub(crate) async fn put_into(&self, hub: &str, partition: i32, message: impl AsRef<[u8]>) {
        let record = FutureRecord::<(), _>::to(hub).partition(partition);
        let sent = self
            .producer
            .send(record.payload(message.as_ref()), None)
            .await;
        sent.expect("the cluster takes it");
    }

    /// Puts messages of two records each into all partitions; returns the identities.
    pub(crate) async fn fill(&self, messages: usize, from: usize) -> BTreeSet<String> {
        let mut uids = BTreeSet::new();
        for number in from..from + messages {
            let names = [0, 1].map(|half| format!("{number}-{half}"));
            let records = names.each_ref().map(|name| record("AlertInfo", name));
            let partition = i32::try_from(number).expect("small") % PARTITIONS;
            self.put(
                partition,
                format!(r#"{{"records":[{}]}}"#, records.join(",")),
            )
            .await;
            uids.extend(names.iter().map(|name| uid("AlertInfo", name)));
        }
        uids
    }

    /// What the group has committed, by partition.
    pub(crate) fn committed(&self, group: &str) -> Vec<Option<i64>> {
        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", self.cluster.bootstrap_servers())
            .set("group.id", group)
            .create()
            .expect("a consumer");
        let mut asked = rdkafka::TopicPartitionList::new();
        for partition in 0..PARTITIONS {
            asked.add_partition(HUB, partition);
        }
        let timeout = std::time::Duration::from_secs(5);
        let answer = consumer
            .committed_offsets(asked, timeout)
            .expect("an answer");
        answer
            .elements()
            .iter()
            .map(|it| it.offset().to_raw().filter(|offset| *offset >= 0))
            .collect()
    }

    /// Offsets after the last message, by partition.
    pub(crate) fn ends(&self) -> Vec<Option<i64>> {
        let timeout = std::time::Duration::from_secs(5);
        let client = self.producer.client();
        let end = |partition| {
            client
                .fetch_watermarks(HUB, partition, timeout)
                .expect("an answer")
                .1
        };
        (0..PARTITIONS)
            .map(|partition| Some(end(partition)))
            .collect()
    }

    pub(crate) fn metrics(&self) -> String {
        let rendered = self.cx.metrics.process().render();
        String::from_utf8(rendered).expect("text")
    }
}

/// A streamed record; the name makes it another one.
pub(crate) fn record(table: &str, name: &str) -> String {
    format!(
        r#"{{"time":"2026-03-04T05:06:07Z","tenantId":"t-1","category":"AdvancedHunting-{table}","properties":{{"AlertId":"{name}"}}}}"#
    )
}

/// The identity of such a record.
pub(crate) fn uid(table: &str, name: &str) -> String {
    use sha2::{Digest, Sha256};
    let digest = Sha256::digest(format!("{table}\0{{\"AlertId\":\"{name}\"}}"));
    let id: String = digest[..16]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("t-1:hunting.{table}:{id}:1")
}

/// How often each event came more than once.
pub(crate) fn repeats(events: &[Event]) -> usize {
    events.len() - tapline_testkit::uids(events).len()
}
