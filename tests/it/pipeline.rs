//! The main job: Defender's APIs, normalized, into Kafka.

use std::process::{Command, Stdio};

use serde_json::Value;
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::program::Simulation;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::{ledger, wait_for};

/// Into Kafka as OCSF, one topic per kind.
fn to_kafka(simulation: &Simulation, kafka: &Kafka) -> String {
    format!(
        r#"{}transforms:
  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}
sinks:
  lake:
    type: kafka
    inputs: [ocsf]
    config: {{ brokers: ["{}"], topic: "defender.{{kind}}" }}
"#,
        pipeline::sources(simulation),
        kafka.address(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn every_version_made_arrives_once_in_kafka_as_ocsf() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.ndjson");
    let kafka = Kafka::start().await?;
    let simulation = Simulation::start(
        &[
            "--events",
            "1200",
            "--rate",
            "600",
            "--ledger",
            ledger.to_str().expect("UTF-8"),
        ],
        &folder.path().join("simulate.log"),
    )?;
    let pipeline = Pipeline::new(&to_kafka(&simulation, &kafka))?;
    let arrivals = Arrivals::of(&kafka, "defender.")?;
    let mut process = pipeline.start(&pipeline::environment(&simulation)).await?;

    wait_for("600 records in kafka", 60, async || {
        (arrivals.count() >= 600).then_some(())
    })
    .await;
    metrics_are_right(&pipeline).await?;
    pipeline.stop(&mut process);
    arrivals.quiet().await;

    let made = ledger::read(&ledger)?;
    assert_eq!(made.len(), 1200);
    let made = ledger::polled(made);
    let arrived = arrivals.by_uid();
    assert_eq!(made.len(), 600);
    for version in &made {
        assert_eq!(arrived.get(&version.uid), Some(&1), "{}", version.uid);
    }
    for record in arrivals.records() {
        let body: Value = serde_json::from_slice(&record.body)?;
        assert_eq!(body["metadata"]["uid"], record.uid());
        assert_eq!(record.headers["schema"], "ocsf/1.8.0");
        assert_eq!(record.key, Some(record.record_key()));
        assert_eq!(record.topic, format!("defender.{}", record.headers["kind"]));
    }
    nothing_secret_was_logged(&pipeline, &simulation);

    let mut process = pipeline.start(&pipeline::environment(&simulation)).await?;
    wait_for("two polls after the restart", 60, async || {
        let polls = pipeline
            .metric("tapline_source_polls_total", "outcome=\"ok\"")
            .await;
        (polls >= 6.0).then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    arrivals.quiet().await;
    assert_eq!(arrivals.count(), 600, "a polite stop leaves no repeats");
    Ok(())
}

/// Prometheus's own checker accepts the page, and the counts on it are the true ones.
async fn metrics_are_right(pipeline: &Pipeline) -> anyhow::Result<()> {
    wait_for("600 events counted as sent", 10, async || {
        let sent = pipeline
            .metric(
                "tapline_component_sent_events_total",
                "component_id=\"lake\"",
            )
            .await;
        (sent == 600.0).then_some(())
    })
    .await;
    let page = pipeline.get("/metrics").await?;
    for name in [
        "tapline_source_lag_seconds",
        "tapline_token_refreshes_total",
        "tapline_token_expiry_timestamp_seconds",
        "tapline_component_received_events_total",
    ] {
        assert!(page.contains(name), "{name} is not on /metrics");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    std::io::Write::write_all(&mut promtool.stdin.take().expect("piped"), page.as_bytes())?;
    let judged = promtool.wait_with_output()?;
    let said = String::from_utf8_lossy(&judged.stderr).into_owned();
    assert!(
        judged.status.success() && said.is_empty(),
        "promtool: {said}"
    );
    Ok(())
}

fn nothing_secret_was_logged(pipeline: &Pipeline, simulation: &Simulation) {
    let log = pipeline.log();
    for name in ["client_secret", "refresh_token"] {
        assert!(
            !log.contains(simulation.text(name)),
            "the log shows the {name}"
        );
    }
    assert!(!log.contains("Bearer "), "the log shows a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_is_away_costs_time_and_nothing_else() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.ndjson");
    let mut kafka = Kafka::start().await?;
    let simulation = Simulation::start(
        &[
            "--events",
            "800",
            "--rate",
            "40",
            "--ledger",
            ledger.to_str().expect("UTF-8"),
        ],
        &folder.path().join("simulate.log"),
    )?;
    let pipeline = Pipeline::new(&to_kafka(&simulation, &kafka))?;
    let arrivals = Arrivals::of(&kafka, "defender.")?;
    kafka.kill();
    let mut process = pipeline.start(&pipeline::environment(&simulation)).await?;
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    kafka.restart().await?;
    wait_for("the first records", 60, async || {
        (arrivals.count() > 50).then_some(())
    })
    .await;
    kafka.kill();
    tokio::time::sleep(std::time::Duration::from_secs(3)).await;
    kafka.restart().await?;

    let made = wait_for("all are made", 60, async || {
        ledger::read(&ledger).ok().filter(|made| made.len() == 800)
    })
    .await;
    let made = ledger::polled(made);
    wait_for("all are in kafka", 60, async || {
        let arrived = arrivals.by_uid();
        made.iter()
            .all(|version| arrived.contains_key(&version.uid))
            .then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    assert_eq!(
        arrivals.repeats(),
        0,
        "an idempotent producer repeats nothing"
    );
    Ok(())
}
