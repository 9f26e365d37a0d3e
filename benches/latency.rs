//! How long a row takes from the hub to the topic, at a steady rate.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::{ClientConfig, Message, Offset, TopicPartitionList};
use tapline_e2e::services::kafka::Kafka;

use crate::hunting::{kafka_endpoint, sink};
use crate::rig::Rig;
use crate::rows::message;
use crate::table::Table;

/// A message of so many rows every so often: 10,000 rows a second.
const ROWS_IN_MESSAGE: usize = 100;
const EVERY: Duration = Duration::from_millis(10);
/// The first seconds find connections, plans, and topics; they do not count.
const WARM_UP: Duration = Duration::from_secs(5);
const MEASURED: Duration = Duration::from_secs(20);
/// Linger of the sink in milliseconds.
const LINGER: u32 = 5;
const HUB: &str = "steady";
const OUT: &str = "steady-out";

/// The broker writes down when it took each record, on the clock by which the rows are made.
pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    let taken_at = [("message.timestamp.type", "LogAppendTime")];
    kafka.create_topic(HUB, &[]).await?;
    kafka.create_topic(OUT, &taken_at).await?;
    let components = kafka_endpoint(&kafka, HUB, 0) + &sink(&kafka, OUT, LINGER, "");
    let rig = Rig::new("none", &components)?;
    let mut process = rig.run()?;
    let rows = send(&kafka, HUB, EVERY, WARM_UP + MEASURED)?;
    let mut delays = delays(&kafka, rows)?;
    let ended = process.terminate(Duration::from_secs(30));
    ensure!(ended.is_some_and(|status| status.success()), "{ended:?}");
    report(table, &mut delays);
    Ok(())
}

fn report(table: &mut Table, delays: &mut [i64]) {
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
    table.add(
        format!("from the hub to Kafka at 10,000 events a second, linger {LINGER} ms, median"),
        format!("{} ms", at(0.5)),
        "hub and broker share the cores",
    );
    let (most, last) = (at(0.99), at(1.0));
    let figure = format!("{most} ms (longest {last})");
    table.add("  the same, 99 of 100 within", figure, "less than 20 ms");
}

/// Sends a message every so often, for so long; returns how many rows.
pub(crate) fn send(
    kafka: &Kafka,
    hub: &str,
    every: Duration,
    lasting: Duration,
) -> anyhow::Result<usize> {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", kafka.address())
        .set("linger.ms", "0")
        .create()?;
    let begin = Instant::now();
    let mut rows = 0;
    while begin.elapsed() < lasting {
        let due = begin + every * (rows / ROWS_IN_MESSAGE) as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        let message = message(rows, ROWS_IN_MESSAGE, &Timestamp::now().to_string());
        let record = BaseRecord::<(), _>::to(hub).payload(&message);
        producer.send(record).map_err(|(error, _)| error)?;
        producer.poll(Duration::ZERO);
        rows += ROWS_IN_MESSAGE;
    }
    producer.flush(Duration::from_secs(30))?;
    Ok(rows)
}

/// Milliseconds from when a row was made until the broker had it as an event.
fn delays(kafka: &Kafka, rows: usize) -> anyhow::Result<Vec<i64>> {
    let consumer: BaseConsumer = kafka.client().create()?;
    let mut whole = TopicPartitionList::new();
    whole.add_partition_offset(OUT, 0, Offset::Beginning)?;
    consumer.assign(&whole)?;
    let begin = Instant::now();
    let (mut seen, mut first, mut delays) = (0, None, Vec::new());
    while seen < rows {
        ensure!(
            begin.elapsed() < Duration::from_secs(120),
            "{seen} of {rows} arrived"
        );
        let Some(record) = consumer.poll(Duration::from_secs(1)) else {
            continue;
        };
        let record = record?;
        seen += 1;
        let made = made_at(record.payload().unwrap_or_default())?;
        let taken = record.timestamp().to_millis().context("a time")?;
        let first = *first.get_or_insert(made);
        if made - first >= i64::try_from(WARM_UP.as_millis())? {
            delays.push(taken - made);
        }
    }
    ensure!(!delays.is_empty(), "nothing was measured");
    Ok(delays)
}

/// The `time` of an event, in milliseconds.
pub(crate) fn made_at(event: &[u8]) -> anyhow::Result<i64> {
    let event = std::str::from_utf8(event)?;
    let (_, rest) = event.split_once(r#","time":"#).context("no time")?;
    let digits = rest.split(',').next().unwrap_or_default();
    Ok(digits.parse()?)
}
