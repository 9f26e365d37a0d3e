//! Whether memory stays flat under a steady load.

use std::io::Write;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tapline_e2e::program::Simulation;
use tapline_e2e::services::kafka::Kafka;

use crate::machine;
use crate::process::{processor_seconds, resident_megabytes};
use crate::rig::{Rig, source};
use crate::table::median;

/// Records read a second, all kinds together.
const RATE: u32 = 200;
/// The simulator makes as many again for the hub, which nobody reads here.
const MADE: u32 = 2 * RATE;
/// How long without `SOAK_SECS`, in seconds.
const DURATION: u64 = 600;
const SAMPLE: Duration = Duration::from_secs(10);
/// Resident memory in MB (10^6 bytes) that is too much.
const MOST: f64 = 60.0;
/// The last minute may have so much more than the second, ..
const GROWTH: f64 = 1.10;
/// .. and so many MB for each record read between them: what was sent is remembered for 48 hours.
const REMEMBERED: f64 = 50e-6;

pub(crate) async fn run() -> anyhow::Result<ExitCode> {
    let seconds = match std::env::var("SOAK_SECS") {
        Ok(text) => text.parse().context("SOAK_SECS is a number of seconds")?,
        Err(_) => DURATION,
    };
    ensure!(seconds >= 120, "SOAK_SECS: two minutes are the least");
    let kafka = Kafka::start().await?;
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("simulate.log");
    let simulation = Simulation::start(&["--rate", &MADE.to_string(), "--faults", "mild"], &log)?;
    let rig = Rig::new(
        simulation.text("client_secret"),
        &components(&kafka, &simulation),
    )?;
    let samples = watch(&rig, Duration::from_secs(seconds))?;
    judge(&samples)
}

/// Megabytes, every ten seconds.
fn watch(rig: &Rig, duration: Duration) -> anyhow::Result<Vec<f64>> {
    let mut process = rig.run()?;
    let begin = Instant::now();
    let mut samples = Vec::new();
    while begin.elapsed() < duration {
        std::thread::sleep(SAMPLE);
        let log = rig.path().join("tapline.log");
        ensure!(
            process.is_running(),
            "ended:\n{}",
            std::fs::read_to_string(log)?
        );
        let (now, most) = resident_megabytes(process.id())?;
        let used = processor_seconds(process.id())?;
        samples.push(now);
        say(&format!(
            "{:>4.0} s  {now:.1} MB, most {most:.1} MB, {used:.2} CPU-s, {} in flight",
            begin.elapsed().as_secs_f64(),
            rig.in_flight(),
        ))?;
    }
    let ended = process.terminate(Duration::from_secs(30));
    ensure!(ended.is_some_and(|status| status.success()), "{ended:?}");
    Ok(samples)
}

fn judge(samples: &[f64]) -> anyhow::Result<ExitCode> {
    let minute = 60 / SAMPLE.as_secs() as usize;
    let minutes: Vec<&[f64]> = samples
        .chunks(minute)
        .filter(|m| m.len() == minute)
        .collect();
    let (second, last) = (minutes.get(1), minutes.last());
    let (second, last) = (second.context("two minutes")?, last.context("two minutes")?);
    say(&format!(
        "\nresident memory of tapline, {RATE} records a second, on {}",
        machine::name()
    ))?;
    for (name, minute) in [("first", minutes[0]), ("second", second), ("last", last)] {
        let least = minute.iter().copied().fold(f64::MAX, f64::min);
        let most = minute.iter().copied().fold(0.0, f64::max);
        let middle = median(minute.to_vec());
        say(&format!(
            "{name:>6} minute: least {least:.1}, median {middle:.1}, most {most:.1} MB"
        ))?;
    }
    let (before, after) = (median(second.to_vec()), median(last.to_vec()));
    let seconds = 60.0 * (minutes.len() - 2) as f64;
    let remembered = seconds * f64::from(RATE) * REMEMBERED;
    let flat = after <= before * GROWTH + remembered;
    let small = after < MOST;
    say(match (flat, small) {
        (true, true) => "flat and small enough",
        (false, _) => "FAILED: it grows",
        (_, false) => "FAILED: it is too much",
    })?;
    Ok(if flat && small {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn say(line: &str) -> std::io::Result<()> {
    writeln!(std::io::stdout().lock(), "{line}")
}

fn components(kafka: &Kafka, simulation: &Simulation) -> String {
    let times = "      settle_secs: 2\n      poll_interval_secs: 10\n";
    let sources: String = [
        ("alerts", "graph_alerts"),
        ("incidents", "graph_incidents"),
        ("legacy", "siem"),
    ]
    .map(|(id, api)| source(simulation, id, api, times))
    .concat();
    format!(
        r#"sources:
{sources}transforms:
  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}
sinks:
  lake: {{ type: kafka, inputs: [ocsf], config: {{ brokers: ["{}"], topic: "defender.{{kind}}" }} }}
"#,
        kafka.address(),
    )
}
