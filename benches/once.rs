//! What exactly-once into Kafka costs: how much less is delivered in the same time, and how much
//! later it can be read.

use std::time::{Duration, Instant};

use anyhow::ensure;
use jiff::Timestamp;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::{Message, Offset, TopicPartitionList};
use tapline_e2e::services::kafka::Kafka;

use crate::hunting::{ROWS_IN_MESSAGE, fill, kafka_endpoint, sink};
use crate::latency::{made_at, send};
use crate::rig::Rig;
use crate::table::{Table, median};

/// Settings of the sink: without, and with.
const MODES: [(&str, &str); 2] = [
    ("at least once", ""),
    (
        "exactly once",
        ", exactly_once: true, transaction_interval_ms: 100",
    ),
];
/// Rows in the backlog: several seconds of work.
const ROWS: usize = 400_000;
/// Times that the backlog is worked off in each mode, taking turns.
const ROUNDS: usize = 3;
/// Between looks at what was delivered.
const LOOK: Duration = Duration::from_millis(50);
/// Few enough that the machine is not the limit.
const EVERY: Duration = Duration::from_millis(50);
/// Until the group has its members and the first transaction is over.
const WARM_UP: Duration = Duration::from_secs(10);
const MEASURED: Duration = Duration::from_secs(20);
const LINGER: u32 = 5;
/// Bound for everything that is waited for.
const LIMIT: Duration = Duration::from_secs(180);
const HUB: &str = "once";

/// From the first event that is delivered to the last.
pub(crate) async fn throughput(table: &mut Table) -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    fill(&kafka, HUB, ROWS, ROWS_IN_MESSAGE)?;
    let mut rates: [Vec<f64>; 2] = Default::default();
    for round in 0..ROUNDS {
        for (mode, (_, settings)) in MODES.iter().enumerate() {
            let number = 2 * round + mode;
            let out = format!("once-out-{number}");
            let components =
                kafka_endpoint(&kafka, HUB, number) + &sink(&kafka, &out, LINGER, settings);
            rates[mode].push(rate(&Rig::new("none", &components)?)?);
        }
    }
    let [without, with] = rates.map(median);
    table.add(
        format!("{ROWS} process events to Kafka, at least once"),
        format!("{without:.0} events a second"),
        "",
    );
    table.add(
        "  the same, exactly once",
        format!("{with:.0} events a second, {:.0} %", 100.0 * with / without),
        "at least 70 %",
    );
    Ok(())
}

fn rate(rig: &Rig) -> anyhow::Result<f64> {
    let mut process = rig.run()?;
    let started = Instant::now();
    let mut first = None;
    let seconds = loop {
        ensure!(process.is_running(), "tapline ended:\n{}", rig.log());
        ensure!(started.elapsed() < LIMIT, "not done within {LIMIT:?}");
        let delivered = rig.delivered();
        let now = Instant::now();
        match first {
            None if delivered > 0.0 => first = Some((now, delivered)),
            Some((begin, before)) if delivered >= ROWS as f64 => {
                break (now - begin).as_secs_f64() * ROWS as f64 / (delivered - before);
            }
            _ => std::thread::sleep(LOOK),
        }
    };
    let ended = process.terminate(Duration::from_secs(30));
    ensure!(ended.is_some_and(|status| status.success()), "{ended:?}");
    Ok(ROWS as f64 / seconds)
}

/// From when a row was made until a reader of what is committed has it as an event.
pub(crate) async fn latency(table: &mut Table) -> anyhow::Result<()> {
    let mut medians = Vec::new();
    for (mode, settings) in MODES {
        let mut delays = delays(settings).await?;
        delays.sort_unstable();
        let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize];
        medians.push(at(0.5));
        table.add(
            format!("until a reader has it, {mode}, 2,000 events a second, median"),
            format!("{} ms (99 of 100 within {})", at(0.5), at(0.99)),
            "",
        );
    }
    table.add(
        "  added by exactly-once with transaction_interval_ms: 100",
        format!("{} ms", medians[1] - medians[0]),
        "stated",
    );
    Ok(())
}

async fn delays(settings: &str) -> anyhow::Result<Vec<i64>> {
    let kafka = Kafka::start().await?;
    kafka.create_topic(HUB, &[]).await?;
    kafka.create_topic("once-out", &[]).await?;
    let components = kafka_endpoint(&kafka, HUB, 0) + &sink(&kafka, "once-out", LINGER, settings);
    let rig = Rig::new("none", &components)?;
    let mut process = rig.run()?;
    let reader = reader(&kafka)?;
    let seen = std::thread::spawn(move || watch(&reader));
    send(&kafka, HUB, EVERY, WARM_UP + MEASURED)?;
    let delays = seen.join().expect("the reader does not panic")?;
    let ended = process.terminate(Duration::from_secs(30));
    ensure!(ended.is_some_and(|status| status.success()), "{ended:?}");
    Ok(delays)
}

fn reader(kafka: &Kafka) -> anyhow::Result<BaseConsumer> {
    let mut config = kafka.client();
    config
        .set("isolation.level", "read_committed")
        .set("fetch.wait.max.ms", "5");
    let consumer: BaseConsumer = config.create()?;
    let mut whole = TopicPartitionList::new();
    whole.add_partition_offset("once-out", 0, Offset::Beginning)?;
    consumer.assign(&whole)?;
    Ok(consumer)
}

/// Milliseconds by which events arrive after they were made.
fn watch(consumer: &BaseConsumer) -> anyhow::Result<Vec<i64>> {
    let begin = Instant::now();
    let mut delays = Vec::new();
    while begin.elapsed() < WARM_UP + MEASURED {
        let Some(record) = consumer.poll(Duration::from_millis(100)) else {
            continue;
        };
        let made = made_at(record?.payload().unwrap_or_default())?;
        if begin.elapsed() > WARM_UP {
            delays.push(Timestamp::now().as_millisecond() - made);
        }
    }
    ensure!(!delays.is_empty(), "nothing was measured");
    Ok(delays)
}
