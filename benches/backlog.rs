//! What it costs to work off a backlog of alerts: read, normalized, delivered, settled.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, ensure};
use tapline_e2e::ledger;
use tapline_e2e::program::Simulation;
use tapline_e2e::services::kafka::Kafka;

use crate::load::{Used, middle, most, work_off};
use crate::rig::{Rig, source};
use crate::table::Table;

/// Alerts in the backlog; Graph shows the newest version of each.
const ALERTS: usize = 100_000;
/// Versions of all kinds that the simulator makes for so many alerts: half go to the hub, a third of
/// the rest are alerts.
const VERSIONS: &str = "600000";
/// Times that the backlog is worked off, into a topic of its own each.
const ROUNDS: usize = 3;
/// As long as a record must be old before it is read.
const SETTLE: Duration = Duration::from_secs(2);
pub(crate) async fn measure(table: &mut Table) -> anyhow::Result<()> {
    let kafka = Kafka::start().await?;
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.ndjson");
    let simulation = simulate(folder.path(), &ledger)?;
    let alerts = all_made(&ledger)?;
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let topic = format!("backlog-{round}");
        let rig = Rig::new(
            simulation.text("client_secret"),
            &components(&kafka, &simulation, &topic),
        )?;
        rounds.push(work_off(&kafka, &rig, &topic, alerts)?);
    }
    report(table, alerts, &rounds);
    Ok(())
}

fn report(table: &mut Table, alerts: usize, rounds: &[Used]) {
    let per_million = middle(rounds, |used| used.processor_seconds) * 1e6 / alerts as f64;
    table.add(
        format!("backlog of {alerts} alerts to Kafka as OCSF with observables"),
        format!("{per_million:.1} CPU-s per million"),
        "at most 18",
    );
    let rate = alerts as f64 / middle(rounds, |used| used.wall_seconds);
    table.add(
        "  the same, by the clock",
        format!("{rate:.0} alerts a second"),
        "simulator and broker share the cores",
    );
    table.add(
        "  resident memory meanwhile, the most",
        format!("{:.1} MB", most(rounds, |used| used.most_megabytes)),
        "less than 60 MB",
    );
    table.add(
        "  resident memory afterwards",
        format!("{:.1} MB", most(rounds, |used| used.left_megabytes)),
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
