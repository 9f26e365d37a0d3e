//! What a process used until everything that it was to deliver had arrived and settled.

use std::time::{Duration, Instant};

use anyhow::ensure;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tapline_e2e::process::Process;
use tapline_e2e::services::kafka::Kafka;

use crate::process::{processor_seconds, resident_megabytes};
use crate::rig::Rig;
use crate::table::median;

/// Bound for everything that is waited for.
const LIMIT: Duration = Duration::from_secs(300);

/// What one round used.
pub(crate) struct Used {
    pub(crate) processor_seconds: f64,
    pub(crate) wall_seconds: f64,
    pub(crate) most_megabytes: f64,
    pub(crate) left_megabytes: f64,
}

/// Runs a pipeline until so many records are in the topic and nothing is in flight.
pub(crate) fn work_off(
    kafka: &Kafka,
    rig: &Rig,
    topic: &str,
    records: usize,
) -> anyhow::Result<Used> {
    let consumer: BaseConsumer = kafka.client().create()?;
    let begin = Instant::now();
    let mut process = rig.run()?;
    while arrived(&consumer, topic) < records as i64 {
        still_fine(&mut process, begin)?;
        std::thread::sleep(Duration::from_millis(200));
    }
    let wall_seconds = begin.elapsed().as_secs_f64();
    while rig.in_flight() > 0.0 {
        still_fine(&mut process, begin)?;
        std::thread::sleep(Duration::from_millis(100));
    }
    // The last checkpoint is written within a second.
    std::thread::sleep(Duration::from_secs(2));
    let processor_seconds = processor_seconds(process.id())?;
    let (left_megabytes, most_megabytes) = resident_megabytes(process.id())?;
    let ended = process.terminate(Duration::from_secs(30));
    ensure!(ended.is_some_and(|status| status.success()), "{ended:?}");
    ensure!(arrived(&consumer, topic) == records as i64, "repeats");
    Ok(Used {
        processor_seconds,
        wall_seconds,
        most_megabytes,
        left_megabytes,
    })
}

/// The middle of a figure over all rounds.
pub(crate) fn middle(rounds: &[Used], figure: fn(&Used) -> f64) -> f64 {
    median(rounds.iter().map(figure).collect())
}

/// The largest of a figure over all rounds.
pub(crate) fn most(rounds: &[Used], figure: fn(&Used) -> f64) -> f64 {
    rounds.iter().map(figure).fold(0.0, f64::max)
}

fn still_fine(process: &mut Process, begin: Instant) -> anyhow::Result<()> {
    ensure!(process.is_running(), "tapline ended");
    ensure!(begin.elapsed() < LIMIT, "not done within {LIMIT:?}");
    Ok(())
}

/// Records in the topic, by its offsets.
fn arrived(consumer: &BaseConsumer, topic: &str) -> i64 {
    let wait = Duration::from_secs(5);
    let Ok(metadata) = consumer.fetch_metadata(Some(topic), wait) else {
        return 0;
    };
    let partitions = metadata
        .topics()
        .iter()
        .flat_map(|topic| topic.partitions());
    let marks = partitions.filter_map(|partition| {
        let marks = consumer
            .fetch_watermarks(topic, partition.id(), wait)
            .ok()?;
        Some(marks.1 - marks.0)
    });
    marks.sum()
}
