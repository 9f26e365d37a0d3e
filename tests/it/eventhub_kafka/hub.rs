//! A hub that is filled, and what of it arrived.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;

pub(crate) const HUB: &str = "defender";
pub(crate) const NAMESPACE: &str = "contoso.servicebus.windows.net";
/// Records of a message.
pub(crate) const RECORDS: usize = 10;

/// A source that reads the hub in clear text, and a sink beside it; `more` are further settings of
/// the source, indented by six blanks.
pub(crate) fn source(kafka: &Kafka, group: &str, more: &str) -> String {
    format!(
        r#"sources:
  hunting:
    type: eventhub
    config:
      namespace: {NAMESPACE}
      hubs: [{HUB}]
      consumer_group: {group}
      auth: {{ sas: {{ policy: listen, key: "a2V5" }} }}
      endpoints: {{ kafka: "plaintext://{address}" }}
{more}sinks:
  lake: {{ type: kafka, inputs: [hunting], config: {{ brokers: ["{address}"], topic: "out.{{kind}}" }} }}
"#,
        address = kafka.address(),
    )
}

/// A producer that never puts a message in twice.
pub(crate) fn producer(kafka: &Kafka) -> anyhow::Result<FutureProducer> {
    let mut config = ClientConfig::new();
    config
        .set("bootstrap.servers", kafka.address())
        .set("enable.idempotence", "true")
        .set("message.max.bytes", "2000000")
        .set("reconnect.backoff.max.ms", "1000");
    Ok(config.create()?)
}

/// A row of AlertInfo, as it is streamed.
pub(crate) fn record(name: &str) -> String {
    format!(
        r#"{{"time":"2026-03-04T05:06:07Z","tenantId":"t-1","category":"AdvancedHunting-AlertInfo","properties":{{"AlertId":"{name}"}}}}"#
    )
}

/// The names of a message's records.
pub(crate) fn names(message: usize) -> impl Iterator<Item = String> {
    (0..RECORDS).map(move |row| format!("{message}-{row}"))
}

/// A message of ten records.
pub(crate) fn message(number: usize) -> String {
    let rows: Vec<_> = names(number).map(|name| record(&name)).collect();
    format!(r#"{{"records":[{}]}}"#, rows.join(","))
}

/// Puts a message into the hub, wherever it falls.
pub(crate) async fn put(producer: &FutureProducer, message: &str) -> anyhow::Result<()> {
    let record = FutureRecord::<(), _>::to(HUB).payload(message);
    let sent = producer.send(record, Duration::from_secs(120)).await;
    sent.map(drop).map_err(|(error, _)| error.into())
}

/// Puts messages of ten records each into the hub.
pub(crate) async fn fill(kafka: &Kafka, numbers: std::ops::Range<usize>) -> anyhow::Result<()> {
    let producer = producer(kafka)?;
    for number in numbers {
        put(&producer, &message(number)).await?;
    }
    Ok(())
}

/// How often each record of a hub has arrived, by its name.
pub(crate) fn arrived(arrivals: &Arrivals) -> BTreeMap<String, usize> {
    arrived_in(arrivals, "")
}

/// The same of topics whose names begin so.
pub(crate) fn arrived_in(arrivals: &Arrivals, topic: &str) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    let records = arrivals.records().into_iter();
    for record in records.filter(|record| record.topic.starts_with(topic)) {
        let row: serde_json::Value = serde_json::from_slice(&record.body).expect("JSON");
        let name = row["properties"]["AlertId"].as_str().expect("a name");
        *counts.entry(name.to_owned()).or_default() += 1;
    }
    counts
}

/// Waits until so many records have arrived.
pub(crate) async fn wait_for_records(arrivals: &Arrivals, count: usize) {
    wait_for(&format!("{count} records"), 120, async || {
        (arrivals.count() >= count).then_some(())
    })
    .await;
}
