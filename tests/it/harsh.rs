//! Microsoft's APIs at their worst. Takes six minutes, since rows come up to five minutes late: only with
//! `TAPLINE_HARSH=1`, as `make harsh` does.

use std::time::{Duration, Instant};

use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::ledger;
use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::program::Simulation;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;

const EVENTS: usize = 2000;
/// Versions per second, of all kinds.
const RATE: &str = "50";
/// A version that is replaced sooner may never be seen: a fault of a server lasts for up to half a
/// minute, and a page may meet several.
const LIMIT: Duration = Duration::from_secs(120);

/// How long the last ones may take once all are made.
const PATIENCE: Duration = Duration::from_secs(400);

#[tokio::test(flavor = "multi_thread")]
async fn under_harsh_faults_all_that_stays_arrives_once_and_in_order() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() || std::env::var_os("TAPLINE_HARSH").is_none() {
        return Ok(());
    }
    let kafka = Kafka::start().await?;
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.ndjson");
    let events = EVENTS.to_string();
    let path = ledger.to_str().expect("UTF-8");
    let arguments = [
        "--faults", "harsh", "--rate", RATE, "--events", &events, "--ledger", path,
    ];
    let microsoft = Simulation::start(&arguments, &folder.path().join("simulate.log"))?;
    let pipeline = Pipeline::new(&format!(
        "{}transforms:\n  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}\nsinks:\n  lake:\n    type: kafka\n    inputs: [ocsf]\n    config: {{ brokers: [\"{}\"], topic: \"defender.{{kind}}\" }}\n",
        // The service counts requests too; whoever asks as often as it likes is told to wait.
        pipeline::sources(&microsoft)
            .replace("requests_per_minute: 60000", "requests_per_minute: 150")
            .replace("poll_interval_secs: 1", "poll_interval_secs: 5"),
        kafka.address(),
    ))?;
    let environment = pipeline::environment(&microsoft);
    let arrivals = Arrivals::of(&kafka, "defender.")?;
    let mut process = pipeline.start(&environment).await?;

    // Late rows too.
    let made = wait_for("all are made", 480, async || {
        ledger::read(&ledger)
            .ok()
            .filter(|made| made.len() == EVENTS)
    })
    .await;
    let made = ledger::polled(made);
    let promised = ledger::promised(&ledger, &made, LIMIT)?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let arrived = arrivals.by_uid();
        let missing = promised.iter().filter(|uid| !arrived.contains_key(*uid));
        let missing: Vec<_> = missing.collect();
        if missing.is_empty() {
            break;
        }
        let in_time = Instant::now() < deadline && process.is_running();
        assert!(in_time, "missing: {missing:?}\n{}", pipeline.log());
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    pipeline.stop(&mut process);
    arrivals.caught_up().await;
    assert_eq!(arrivals.repeats(), 0, "{:?}", arrivals.repeated());
    let overtaken = arrivals.overtaken(&made);
    assert!(overtaken.is_empty(), "{overtaken:?}");
    eprintln!("{} made, {} promised", made.len(), promised.len());
    Ok(())
}
