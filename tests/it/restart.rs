//! Killed and stopped at random moments, nothing is lost.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::ledger;
use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::program::Simulation;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;

const SETTLE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_secs(1);
/// A mild fault is over within 2 s, a retry after it backs off for about as long again, and a page
/// may meet several.
const TOLD_TO_WAIT: Duration = Duration::from_secs(10);
/// What was delivered so long before a kill has its checkpoint.
const COMMIT: Duration = Duration::from_millis(1500);
const IN_FLIGHT: &str = "tapline_component_in_flight_events";

fn moments() -> usize {
    let asked = std::env::var("TAPLINE_RESTARTS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(50)
}

#[tokio::test(flavor = "multi_thread")]
async fn stopped_or_killed_at_random_moments_nothing_is_lost() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let seed = rand::random::<u64>();
    eprintln!("seed {seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let kafka = Kafka::start().await?;
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.ndjson");
    let mut simulation = Simulation::start(
        &[
            "--faults",
            "mild",
            "--rate",
            "60",
            "--seed",
            &seed.to_string(),
            "--ledger",
            ledger.to_str().expect("UTF-8"),
        ],
        &folder.path().join("simulate.log"),
    )?;
    let pipeline = Pipeline::new(&format!(
        "{}transforms:\n  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}\nsinks:\n  lake:\n    type: kafka\n    inputs: [ocsf]\n    config: {{ brokers: [\"{}\"], topic: \"defender.{{kind}}\" }}\n",
        pipeline::sources(&simulation),
        kafka.address(),
    ))?;
    let environment = pipeline::environment(&simulation);
    let arrivals = Arrivals::of(&kafka, "defender.")?;

    let mut longest_down = Duration::ZERO;
    let mut bound = 0;
    let mut kills = 0;
    let mut process = pipeline.start(&environment).await?;
    for _ in 0..moments() {
        tokio::time::sleep(Duration::from_millis(random.random_range(200..2000))).await;
        if random.random_bool(0.25) {
            // Else what a kill before left to be repeated would be repeated behind this stop.
            read_twice(&pipeline).await;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..1000))).await;
            let before = Instant::now();
            pipeline.stop(&mut process);
            arrivals.caught_up().await;
            let repeats = arrivals.repeats();
            process = pipeline.start(&environment).await?;
            longest_down = longest_down.max(before.elapsed());
            read_twice(&pipeline).await;
            arrivals.caught_up().await;
            assert_eq!(arrivals.repeats(), repeats, "repeated after a polite stop");
        } else {
            arrivals.caught_up().await;
            let durable = arrivals.count();
            tokio::time::sleep(COMMIT).await;
            let in_flight = pipeline
                .metric(IN_FLIGHT, "component_kind=\"source\"")
                .await;
            let killed = Instant::now();
            process.kill();
            kills += 1;
            process = pipeline.start(&environment).await?;
            longest_down = longest_down.max(killed.elapsed());
            arrivals.caught_up().await;
            bound += in_flight as usize + arrivals.count() - durable;
        }
    }

    simulation.process().signal("STOP");
    let made = ledger::polled(ledger::read(&ledger)?);
    simulation.process().signal("CONT");
    let limit = SETTLE + 2 * POLL + longest_down + TOLD_TO_WAIT;
    let promised = wait_for("every promised version is in kafka", 120, async || {
        let promised = ledger::promised(&ledger, &made, limit).ok()?;
        let arrived = arrivals.by_uid();
        let all = promised.iter().all(|uid| arrived.contains_key(uid));
        all.then_some(promised)
    })
    .await;
    pipeline.stop(&mut process);

    let repeats = arrivals.repeats();
    eprintln!(
        "{} versions made, {} promised, {kills} kills, longest down {longest_down:?}, {repeats} repeats, at most {bound} unsettled at the kills",
        made.len(),
        promised.len(),
    );
    assert!(repeats <= bound, "{repeats} repeats, {bound} unsettled");
    let overtaken = arrivals.overtaken(&made);
    assert!(overtaken.is_empty(), "{overtaken:?}");
    Ok(())
}

/// Waits until every source has read twice since its start: what it repeats, it has repeated then.
async fn read_twice(pipeline: &Pipeline) {
    for api in ["graph_alerts", "graph_incidents", "siem"] {
        wait_for("two good polls", 60, async || {
            let stream = format!("/{api}\"");
            let good = ["outcome=\"ok\"", &*stream];
            let polls = pipeline
                .metric_with("tapline_source_polls_total", &good)
                .await;
            (polls >= 2.0).then_some(())
        })
        .await;
    }
}
