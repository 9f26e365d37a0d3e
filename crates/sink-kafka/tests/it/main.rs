//! The sink against the broker that librdkafka simulates in-process; Apache Kafka itself is
//! spoken to by the end-to-end tests.

mod contract;

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers, Message, OwnedMessage};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tapline_core::{ComponentKind, Event, Fault, Kind, Metadata, Sink, SinkConfig};
use tapline_sink_kafka::KafkaConfig;
use tapline_testkit::build_context;

type Cluster = MockCluster<'static, DefaultProducerContext>;

fn sink(cluster: &Cluster) -> Box<dyn Sink> {
    let config = serde_json::json!({
        "brokers": [cluster.bootstrap_servers()], "topic": "defender.{kind}",
    });
    let config: KafkaConfig = serde_json::from_value(config).expect("well formed");
    let cx = build_context(ComponentKind::Sink, "kafka", "lake", &std::env::temp_dir());
    config.build(&cx).expect("built")
}

fn event(id: &str, version: usize, bytes: usize) -> Event {
    let meta = Metadata::new(Kind::new("graph.alert"), "t", id, version.to_string());
    Event::new(vec![b'x'; bytes], meta)
}

/// A cluster of one broker with the topic that the sink writes to.
fn cluster() -> Cluster {
    let cluster = Cluster::new(1).expect("cluster");
    cluster
        .create_topic("defender.graph.alert", 1, 1)
        .expect("topic");
    cluster
}

/// Everything in the topic's only partition, in order.
fn records(cluster: &Cluster) -> Vec<OwnedMessage> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .set("enable.partition.eof", "true")
        .create()
        .expect("consumer");
    let mut from = TopicPartitionList::new();
    from.add_partition_offset("defender.graph.alert", 0, Offset::Beginning)
        .expect("partition");
    consumer.assign(&from).expect("assigned");
    let mut records = Vec::new();
    loop {
        match consumer.poll(Duration::from_secs(30)) {
            Some(Ok(record)) => records.push(record.detach()),
            Some(Err(KafkaError::PartitionEOF(_))) => return records,
            other => panic!("neither a record nor the end: {other:?}"),
        }
    }
}

/// The same as `id@version`.
fn read(cluster: &Cluster) -> Vec<String> {
    let name = |record: OwnedMessage| {
        let headers = record.headers().expect("headers");
        let text = |name: &str| {
            let header = headers.iter().find(|h| h.key == name).expect("header");
            String::from_utf8(header.value.expect("value").to_vec()).expect("text")
        };
        format!("{}@{}", text("id"), text("version"))
    };
    records(cluster).into_iter().map(name).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn overlapping_calls_arrive_once_and_in_order() {
    let cluster = cluster();
    let sink: Arc<dyn Sink> = Arc::from(sink(&cluster));
    let batches: Vec<Vec<Event>> = (0..8)
        .map(|b| (0..500).map(|i| event("a", b * 500 + i, 1200)).collect())
        .collect();
    let calls = batches.iter().map(|batch| sink.deliver(batch));
    for delivery in join_in_order(calls).await {
        assert!(delivery.exceptions.is_empty(), "{delivery:?}");
    }
    let expected: Vec<_> = (0..4000).map(|i| format!("a@{i}")).collect();
    assert_eq!(read(&cluster), expected);
}

/// Polls all futures, first in order, until each is ready.
async fn join_in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<_> = futures.map(Box::pin).collect();
    let mut outputs: Vec<Option<F::Output>> = futures.iter().map(|_| None).collect();
    std::future::poll_fn(|cx| {
        for (future, output) in futures.iter_mut().zip(&mut outputs) {
            if output.is_none()
                && let std::task::Poll::Ready(ready) = future.as_mut().poll(cx)
            {
                *output = Some(ready);
            }
        }
        match outputs.iter().all(Option::is_some) {
            true => std::task::Poll::Ready(()),
            false => std::task::Poll::Pending,
        }
    })
    .await;
    outputs.into_iter().flatten().collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn one_record_too_large_does_not_hold_back_its_neighbours() {
    let cluster = cluster();
    let sink = sink(&cluster);
    let events = [
        event("a", 1, 10),
        event("b", 1, 2_000_000),
        event("c", 1, 10),
    ];
    let delivery = sink.deliver(&events).await;
    let [(1, Fault::Reject { reason, .. })] = delivery.exceptions.as_slice() else {
        panic!("{delivery:?}");
    };
    assert_eq!(*reason, "too_large");
    assert_eq!(read(&cluster), ["a@1", "c@1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_librdkafka_can_repeat_it_repeats_in_order() {
    let cluster = cluster();
    let passing = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS; 3];
    cluster.request_errors(RDKafkaApiKey::Produce, &passing);
    let delivery = sink(&cluster)
        .deliver(&[event("a", 1, 10), event("a", 2, 10)])
        .await;
    assert!(delivery.exceptions.is_empty(), "{delivery:?}");
    assert_eq!(read(&cluster), ["a@1", "a@2"]);
}

/// librdkafka takes the success of a later request for proof that all before it were persisted, which a
/// broker that does not know the producer yet does not promise.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_was_refused_is_not_delivered_because_the_next_one_is() {
    let cluster = cluster();
    let sink = sink(&cluster);
    let known = sink.deliver(&[event("known", 1, 10)]).await;
    assert!(known.exceptions.is_empty(), "{known:?}");

    // Slow enough that the second call is made before the first one is answered.
    let answer = Duration::from_millis(500);
    cluster.broker_round_trip_time(1, answer).expect("set");
    let passing = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION];
    cluster.request_errors(RDKafkaApiKey::Produce, &passing);
    let (first, second) = ([event("a", 1, 10)], [event("a", 2, 10)]);
    let later = async {
        tokio::time::sleep(answer / 4).await;
        sink.deliver(&second).await
    };
    let (first, second) = tokio::join!(sink.deliver(&first), later);
    for delivery in [first, second] {
        assert!(delivery.exceptions.is_empty(), "{delivery:?}");
    }
    let at_once = cluster.broker_round_trip_time(1, Duration::ZERO);
    at_once.expect("set");
    assert_eq!(read(&cluster), ["known@1", "a@1", "a@2"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_refuses_us_is_told_to_a_human() {
    let cluster = cluster();
    let refusal = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED];
    cluster.request_errors(RDKafkaApiKey::Produce, &refusal);
    let delivery = sink(&cluster).deliver(&[event("a", 1, 10)]).await;
    let [(0, Fault::Denied { reason, why })] = delivery.exceptions.as_slice() else {
        panic!("{delivery:?}");
    };
    assert_eq!(*reason, "authorization");
    assert!(why.contains("defender.graph.alert"), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_at_start_is_waited_for() {
    let cluster = cluster();
    cluster.broker_down(1).expect("down");
    let sink = sink(&cluster);
    let events = [event("a", 1, 10)];
    let mut delivery = Box::pin(sink.deliver(&events));
    let early = tokio::time::timeout(Duration::from_millis(300), &mut delivery).await;
    assert!(early.is_err(), "nothing can be confirmed yet");
    cluster.broker_up(1).expect("up");
    let delivery = tokio::time::timeout(Duration::from_secs(20), delivery).await;
    assert!(delivery.expect("in time").exceptions.is_empty());
}
