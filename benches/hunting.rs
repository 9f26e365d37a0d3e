//! What it costs to read process events from Event Hubs, over both transports, and to deliver
//! them as OCSF; and how much memory the largest messages take.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use tapline_e2e::services::kafka::Kafka;
use tapline_simulators::Simulation;

use crate::load::{Used, middle, most, work_off};
use crate::rig::Rig;
use crate::rows::message;
use crate::table::Table;

/// Rows in the backlog, and in each message of it.
const ROWS: usize = 100_000;
pub(crate) const ROWS_IN_MESSAGE: usize = 100;
/// Rows of a message that is nearly 1 MB, the most that the service takes.
const ROWS_IN_LARGE_MESSAGE: usize = 560;
/// Times that the backlog is worked off, into a topic of its own each.
const ROUNDS: usize = 3;
const PARTITIONS: usize = 4;
const HAPPENED: &str = "2026-05-01T09:53:10.7654321Z";

/// From a broker that stands for the Kafka endpoint.
pub(crate) async fn by_kafka(table: &mut Table) -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    let source = |hub: &str, round: usize| kafka_endpoint(&kafka, hub, round);
    fill(&kafka, "small", ROWS, ROWS_IN_MESSAGE)?;
    costs(
        table,
        "Kafka endpoint",
        &rounds(&kafka, "small", source)?,
        "at most 12",
    );
    fill(&kafka, "large", ROWS, ROWS_IN_LARGE_MESSAGE)?;
    let large = rounds(&kafka, "large", source)?;
    table.add(
        "  resident memory meanwhile, messages of 1 MB, the most",
        format!("{:.1} MB", most(&large, |used| used.most_megabytes)),
        "less than 100 MB",
    );
    Ok(())
}

/// From the simulated hub, which runs in this process.
pub(crate) async fn by_amqp(table: &mut Table) -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    let simulation = Simulation::scripted().await?;
    for (number, message) in messages(ROWS, ROWS_IN_MESSAGE).enumerate() {
        let partition = number % PARTITIONS;
        simulation.hub().put(partition, message.into_bytes());
    }
    let source = |_: &str, _| amqp(&simulation.hub().connection_string());
    let rounds = rounds(&kafka, "amqp", source)?;
    costs(table, "AMQP, simulated hub", &rounds, "at most 3 more");
    simulation.stop().await;
    Ok(())
}

fn costs(table: &mut Table, transport: &str, rounds: &[Used], target: &str) {
    let seconds = middle(rounds, |used| used.processor_seconds);
    table.add(
        format!("{ROWS} process events by {transport}, to Kafka as OCSF with observables"),
        format!("{:.1} CPU-s per million", seconds * 1e6 / ROWS as f64),
        target,
    );
    let rate = ROWS as f64 / middle(rounds, |used| used.wall_seconds);
    table.add(
        "  the same, by the clock",
        format!("{rate:.0} events a second"),
        "hub and broker share the cores",
    );
    table.add(
        "  resident memory meanwhile, the most",
        format!("{:.1} MB", most(rounds, |used| used.most_megabytes)),
        "less than 100 MB",
    );
}

fn messages(all: usize, rows: usize) -> impl Iterator<Item = String> {
    let starts = (0..all).step_by(rows);
    starts.map(move |first| message(first, rows.min(all - first), HAPPENED))
}

/// Puts a backlog of so many rows, so many in each message, into a topic, which stands for a hub.
pub(crate) fn fill(kafka: &Kafka, hub: &str, all: usize, rows: usize) -> anyhow::Result<()> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.address())
        .create()?;
    for message in messages(all, rows) {
        let record = BaseRecord::<(), _>::to(hub).payload(&message);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(60))?;
    Ok(())
}

fn rounds(
    kafka: &Kafka,
    hub: &str,
    source: impl Fn(&str, usize) -> String,
) -> anyhow::Result<Vec<Used>> {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let topic = format!("{hub}-out-{round}");
        let components = format!("{}{}", source(hub, round), sink(kafka, &topic, 20, ""));
        let rig = Rig::new("none", &components)?;
        rounds.push(work_off(kafka, &rig, &topic, ROWS)?);
    }
    Ok(rounds)
}

/// A broker as if it were the Kafka endpoint of a namespace; each group reads from the beginning.
pub(crate) fn kafka_endpoint(kafka: &Kafka, hub: &str, group: usize) -> String {
    format!(
        r#"sources:
  hunting:
    type: eventhub
    config:
      namespace: contoso.servicebus.windows.net
      hubs: [{hub}]
      tables: all
      consumer_group: bench-{group}
      auth: {{ sas: {{ policy: listen, key: bm9uZQ== }} }}
      endpoints: {{ kafka: "plaintext://{}" }}
"#,
        kafka.address()
    )
}

fn amqp(connection_string: &str) -> String {
    format!(
        r#"sources:
  hunting:
    type: eventhub
    config:
      transport: amqp
      tables: all
      consumer_group: $Default
      auth: {{ connection_string: "{connection_string}" }}
"#
    )
}

/// To OCSF and into a topic; `linger` in milliseconds, `more` are further settings of the sink.
pub(crate) fn sink(kafka: &Kafka, topic: &str, linger: u32, more: &str) -> String {
    format!(
        r#"transforms:
  ocsf: {{ type: normalize, inputs: [hunting], config: {{ to: ocsf }} }}
sinks:
  lake: {{ type: kafka, inputs: [ocsf], config: {{ brokers: ["{}"], topic: "{topic}", librdkafka: {{ linger.ms: {linger} }}{more} }} }}
"#,
        kafka.address(),
    )
}
