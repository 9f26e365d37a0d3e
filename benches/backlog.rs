//! What it costs to work off a backlog of alerts: read, normalized, delivered, settled.

use std::collections::HashSet;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer};
use tapline_e2e::ledger;
use tapline_e2e::process::Process;
use tapline_e2e::program::Simulation;
use tapline_e2e::services::kafka::Kafka;

use crate::process::{processor_seconds, resident_megabytes};
use crate::rig::{Rig, source};
use crate::table::{Table, median};

/// Alerts in the backlog; Graph shows the newest version of each.
const ALERTS: usize = 100_000;
/// Versions of all kinds that the simulator makes for so many alerts: half go to the hub, a third of
/// the rest are alerts.
const VERSIONS: &str = "600000";
/// Times that the backlog is worked off, into a topic of its own each.
const ROUNDS: usize = 3;
/// As long as a record must be old before it is read.
const SETTLE: Duration = Duration::from_secs(2);
/// Bound for everything that is waited for.
const LIMIT: Duration = Duration::from_secs(300);

/// What one round used.
struct Used {
    processor_seconds: f64,
    wall_seconds: f64,
    most_megabytes: f64,
    left_megabytes: f64,
}

pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.ndjson");
    let simulation = simulate(folder.path(), &ledger)?;
    let alerts = all_made(&ledger)?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let topic = format!("backlog-{round}");
        rounds.push(work_off(&kafka, &simulation, alerts, &topic)?);
    }
    report(table, alerts, &rounds);
    Ok(())
}

fn report(table: &mut Table, alerts: usize, rounds: &[Used]) {
    let middle = |figure: fn(&Used) -> f64| median(rounds.iter().map(figure).collect());
    let most = |figure: fn(&Used) -> f64| rounds.iter().map(figure).fold(0.0, f64::max);
    let per_million = middle(|used| used.processor_seconds) * 1e6 / alerts as f64;
    table.add(
        format!("backlog of {alerts} alerts to Kafka as OCSF with observables"),
        format!("{per_million:.1} CPU-s per million"),
        "at most 18",
    );
    let rate = alerts as f64 / middle(|used| used.wall_seconds);
    table.add(
        "  the same, by the clock",
        format!("{rate:.0} alerts a second"),
        "simulator and broker share the cores",
    );
    table.add(
        "  resident memory meanwhile, the most",
        format!("{:.1} MB", most(|used| used.most_megabytes)),
        "less than 60 MB",
    );
    table.add(
        "  resident memory afterwards",
        format!("{:.1} MB", most(|used| used.left_megabytes)),
        "",
    );
}

fn simulate(folder: &Path, ledger: &Path) -> anyhow::Result<Simulation> {
    let ledger = ledger.to_str().context("a UTF-8 path")?;
    let arguments = [
        "--events", VERSIONS, "--rate", "1000000", "--ledger", ledger,
    ];
    Simulation::start(&arguments, &folder.join("simulate.log"))
}

/// Waits until the simulator made everything, and for it to be old enough; how many alerts there are.
fn all_made(ledger: &Path) -> anyhow::Result<usize> {
    let expected: usize = VERSIONS.parse()?;
    let mut before = 0;
    loop {
        std::thread::sleep(Duration::from_secs(1));
        let bytes = std::fs::metadata(ledger)?.len();
        if bytes > 0 && bytes == before {
            break;
        }
        before = bytes;
    }
    let made = ledger::read(ledger)?;
    ensure!(made.len() == expected, "{} versions were made", made.len());
    let alerts = made.iter().filter(|version| version.kind == "graph.alert");
    let alerts = alerts.map(|version| version.key.as_str());
    let alerts = alerts.collect::<HashSet<_>>().len();
    ensure!(alerts >= ALERTS, "the simulator made only {alerts} alerts");
    std::thread::sleep(SETTLE);
    Ok(alerts)
}

fn work_off(
    kafka: &Kafka,
    simulation: &Simulation,
    alerts: usize,
    topic: &str,
) -> anyhow::Result<Used> {
    let rig = Rig::new(simulation, &components(kafka, simulation, topic))?;
    let consumer: BaseConsumer = kafka.client().create()?;
    let begin = Instant::now();
    let mut process = rig.run()?;
    while arrived(&consumer, topic) < alerts as i64 {
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
    ensure!(arrived(&consumer, topic) == alerts as i64, "repeats");
    Ok(Used {
        processor_seconds,
        wall_seconds,
        most_megabytes,
        left_megabytes,
    })
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

/// No second poll falls into the measurement.
fn components(kafka: &Kafka, simulation: &Simulation, topic: &str) -> String {
    let settle = SETTLE.as_secs();
    let times = format!("      settle_secs: {settle}\n      poll_interval_secs: 600\n");
    format!(
        r#"sources:
{}transforms:
  ocsf: {{ type: normalize, inputs: [alerts], config: {{ to: ocsf }} }}
sinks:
  lake: {{ type: kafka, inputs: [ocsf], config: {{ brokers: ["{}"], topic: "{topic}" }} }}
"#,
        source(simulation, "alerts", "graph_alerts", &times),
        kafka.address(),
    )
}
