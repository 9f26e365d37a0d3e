//! How soon the program is ready.

use std::time::{Duration, Instant};

use anyhow::ensure;
use tapline_e2e::program::Simulation;

use crate::rig::{Rig, source};
use crate::table::{Table, median};

const STARTS: usize = 20;
/// How often a start is looked at; it is part of the figure.
const LOOK: Duration = Duration::from_millis(1);

/// Three sources, both normalizers, both sinks; neither of the destinations exists.
pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let simulation = Simulation::start(&["--events", "0"], &folder.path().join("simulate.log"))?;
    let mut times = Vec::new();
    for _ in 0..STARTS {
        times.push(one(&simulation)?.as_secs_f64() * 1e3);
    }
    let most = times.iter().copied().fold(0.0, f64::max);
    let figure = format!("{:.0} ms (longest {most:.0})", median(times));
    let what = format!("exec to /health/ready = 200, median of {STARTS} starts");
    table.add(what, figure, "at most 200 ms");
    Ok(())
}

fn one(simulation: &Simulation) -> anyhow::Result<Duration> {
    let rig = Rig::new(simulation.text("client_secret"), &components(simulation))?;
    let begin = Instant::now();
    let mut process = rig.run()?;
    while !rig.is_ready() {
        ensure!(begin.elapsed() < Duration::from_secs(10), "never ready");
        ensure!(process.is_running(), "tapline ended:\n{}", rig.log());
        std::thread::sleep(LOOK);
    }
    Ok(begin.elapsed())
}

fn components(simulation: &Simulation) -> String {
    let sources: String = [
        ("alerts", "graph_alerts"),
        ("incidents", "graph_incidents"),
        ("legacy", "siem"),
    ]
    .map(|(id, api)| source(simulation, id, api, ""))
    .concat();
    format!(
        r#"sources:
{sources}transforms:
  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}
  cef: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: cef }} }}
sinks:
  lake: {{ type: kafka, inputs: [ocsf], config: {{ brokers: ["127.0.0.1:9"], topic: "defender.{{kind}}" }} }}
  siem: {{ type: syslog, inputs: [cef], config: {{ endpoint: "tcp://127.0.0.1:9" }} }}
"#
    )
}
