//! Event Hubs over AMQP: the real program against a simulated hub that lets everything go wrong.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::ledger;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::process::Process;
use tapline_e2e::program::Simulation;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;
use tempfile::TempDir;

const IN_FLIGHT: &str = "tapline_component_in_flight_events";
const SENT: &str = "tapline_component_sent_events_total";
const RECONNECTS: &str = "tapline_source_reconnects_total";
const READ: &str = "tapline_source_partitions";
/// What was delivered so long before a kill has its checkpoint.
const COMMIT: Duration = Duration::from_millis(500);

/// A hub with its faults, a broker behind, and the ledger of what was streamed.
///
/// Ends in this order: clients do not end without their broker.
struct Scene {
    arrivals: Arrivals,
    kafka: Kafka,
    simulation: Simulation,
    ledger: PathBuf,
    _folder: TempDir,
}

impl Scene {
    async fn new(events: usize, rate: usize, faults: &str) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let ledger = folder.path().join("ledger.ndjson");
        let (events, rate) = (events.to_string(), rate.to_string());
        let arguments = [
            "--events",
            &events,
            "--rate",
            &rate,
            "--faults",
            faults,
            "--ledger",
            ledger.to_str().expect("UTF-8"),
        ];
        let kafka = Kafka::start().await?;
        Ok(Self {
            arrivals: Arrivals::of(&kafka, "out.")?,
            kafka,
            simulation: Simulation::start(&arguments, &folder.path().join("simulate.log"))?,
            ledger,
            _folder: folder,
        })
    }

    /// A pipeline that reads the hub into a topic, with further settings of its source.
    fn pipeline(&self, topic: &str, more: &str) -> anyhow::Result<Pipeline> {
        Pipeline::new(&format!(
            r#"sources:
  hunting:
    type: eventhub
    config:
      transport: amqp
      tables: all
      consumer_group: "$Default"
      auth: {{ connection_string: {{ env: TAPLINE_TEST_HUB }} }}
      {more}
sinks:
  lake: {{ type: kafka, inputs: [hunting], config: {{ brokers: ["{}"], topic: {topic} }} }}
"#,
            self.kafka.address(),
        ))
    }

    fn connection_string(&self) -> &str {
        let announced = &self.simulation.announcement["eventhub"]["connection_string"];
        announced.as_str().expect("announced")
    }

    async fn start(&self, pipeline: &Pipeline) -> anyhow::Result<Process> {
        let environment = [("TAPLINE_TEST_HUB", self.connection_string())];
        pipeline.start(&environment).await
    }

    /// What the ledger says was streamed so far.
    fn streamed(&self) -> anyhow::Result<HashSet<String>> {
        let versions = ledger::read(&self.ledger)?.into_iter();
        let streamed = versions.filter(|version| version.kind.starts_with("hunting."));
        Ok(streamed.map(|version| version.uid).collect())
    }

    /// Waits until nothing that was streamed is missing; returns how much that is.
    async fn all_arrived(&self, events: usize) -> anyhow::Result<usize> {
        wait_for("all are made", 120, async || {
            let made = ledger::read(&self.ledger).ok()?;
            (made.len() == events).then_some(())
        })
        .await;
        let streamed = self.streamed()?;
        wait_for("everything streamed is in kafka", 240, async || {
            let arrived = self.arrivals.by_uid();
            streamed
                .iter()
                .all(|uid| arrived.contains_key(uid))
                .then_some(())
        })
        .await;
        self.arrivals.quiet().await;
        Ok(streamed.len())
    }
}

/// How often connections and links were made anew, by reason.
async fn reconnects(pipeline: &Pipeline) -> String {
    let text = pipeline.get("/metrics").await.unwrap_or_default();
    let series = text.lines().filter(|line| line.starts_with(RECONNECTS));
    let counted = series.filter_map(|line| {
        let (_, rest) = line.split_once("reason=\"")?;
        let (reason, count) = rest.split_once("\"} ")?;
        (count != "0").then(|| format!("{reason} {count}"))
    });
    counted.collect::<Vec<_>>().join(", ")
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_goes_wrong_with_the_hub_nothing_is_lost_or_repeated() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    const EVENTS: usize = 3_000;
    const FAULTS: &str = "hub_detach=0.03,hub_busy=0.001,hub_drop=0.01,hub_slow=0.02,hub_cut_off=0.01,\
                          hub_token_expired=0.01,hub_token_refused=0.1,hub_form=0.3";
    let scene = Scene::new(EVENTS, 400, FAULTS).await?;
    let pipeline = scene.pipeline("out.owner", "")?;
    let mut process = scene.start(&pipeline).await?;
    let streamed = scene.all_arrived(EVENTS).await?;
    let reconnects = reconnects(&pipeline).await;
    pipeline.stop(&mut process);

    let repeats = scene.arrivals.repeats();
    eprintln!("{streamed} records, {repeats} repeats; made anew: {reconnects}");
    assert_eq!(repeats, 0, "nothing is repeated without a restart");
    assert!(!reconnects.is_empty(), "the faults do strike");
    assert_eq!(pipeline.dead_letters(), Vec::<serde_json::Value>::new());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_and_robbed_of_its_links_the_program_loses_nothing() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    const EVENTS: usize = 3_000;
    let scene = Scene::new(EVENTS, 250, "hub_detach=0.01,hub_drop=0.005,hub_form=0.3").await?;
    let pipeline = scene.pipeline("out.owner", "")?;
    let mut process = scene.start(&pipeline).await?;
    wait_for("some have arrived", 60, async || {
        (scene.arrivals.count() > 200).then_some(())
    })
    .await;

    scene.arrivals.caught_up().await;
    let durable = scene.arrivals.count();
    tokio::time::sleep(COMMIT).await;
    let in_flight = pipeline
        .metric(IN_FLIGHT, "component_kind=\"source\"")
        .await;
    process.kill();
    let mut process = scene.start(&pipeline).await?;
    scene.arrivals.caught_up().await;
    let unsettled = in_flight as usize + scene.arrivals.count() - durable;

    let thief = scene.pipeline("out.thief", "owner_level: 1\n      start_at: latest")?;
    let mut robbing = scene.start(&thief).await?;
    wait_for(
        "the thief reads them all, and the owner knows",
        60,
        async || {
            let reads = (
                thief.metric(READ, "").await,
                pipeline.metric(READ, "").await,
            );
            (reads == (4.0, 0.0)).then_some(())
        },
    )
    .await;
    wait_for("the thief brings something", 60, async || {
        (thief.metric(SENT, "component_kind=\"sink\"").await > 0.0).then_some(())
    })
    .await;
    thief.stop(&mut robbing);
    let streamed = scene.all_arrived(EVENTS).await?;
    let reconnects = reconnects(&pipeline).await;
    pipeline.stop(&mut process);

    let records = scene.arrivals.records();
    let robbed = records.iter().filter(|record| record.topic == "out.thief");
    let (repeats, robbed) = (scene.arrivals.repeats(), robbed.count());
    eprintln!(
        "{streamed} records, {repeats} repeats: at most {unsettled} unsettled at the kill, {robbed} brought by the thief; made anew: {reconnects}"
    );
    assert!(
        repeats <= unsettled + robbed,
        "more is repeated than can be"
    );
    assert!(reconnects.contains("stolen"), "{reconnects}");
    let loud = pipeline.log();
    assert!(
        loud.contains("another process reads the partition"),
        "{loud}"
    );
    Ok(())
}
