//! A changed pipeline file is applied while events flow.

use std::time::Duration;

use serde_json::Value;
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::ledger;
use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::program::Simulation;
use tapline_e2e::receiver::Receiver;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::{enabled, wait_for};

use crate::bad_input::scene::logged;

const EVENTS: &str = "1200";
/// A version that is current for so long is read, also beside a reload on a machine with much to do.
const STAYS: Duration = Duration::from_secs(10);

fn file(
    simulation: &Simulation,
    kafka: &Kafka,
    receiver: &Receiver,
    topic: &str,
    least: &str,
) -> String {
    format!(
        r#"{}transforms:
  serious: {{ type: filter, inputs: [alerts], config: {{ severity: {{ at_least: {least} }} }} }}
  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}
sinks:
  lake:
    type: kafka
    inputs: [ocsf]
    config: {{ brokers: ["{}"], topic: "{topic}" }}
  siem:
    type: syslog
    inputs: [serious]
    config: {{ endpoint: "{}", format: none, framing: octet_counting, max_message_bytes: 1000000 }}
"#,
        pipeline::sources(simulation),
        kafka.address(),
        receiver.endpoint(),
    )
}

fn is_serious(message: &[u8]) -> bool {
    let alert: Value = serde_json::from_slice(message).expect("JSON");
    alert["severity"] == "high"
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_filter_and_topic_count_from_then_on_and_nothing_is_lost_or_repeated()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let kafka = Kafka::start().await?;
    let receiver = Receiver::start().await?;
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.ndjson");
    let simulation = Simulation::start(
        &[
            "--rate",
            "60",
            "--events",
            EVENTS,
            "--ledger",
            ledger.to_str().expect("UTF-8"),
        ],
        &folder.path().join("simulate.log"),
    )?;
    let write = |topic: &str, least: &str| file(&simulation, &kafka, &receiver, topic, least);
    let pipeline = Pipeline::guarded(&write("before.{kind}", "informational"))?;
    let environment = pipeline::environment(&simulation);
    let (before, after) = (
        Arrivals::of(&kafka, "before.")?,
        Arrivals::of(&kafka, "after.")?,
    );
    let mut process = pipeline.start(&environment).await?;
    wait_for("some arrive", 60, async || {
        (before.count() > 50).then_some(())
    })
    .await;

    pipeline.rewrite("sources: {}\nsinks: { lake: { type: kafk, inputs: [nobody] } }\n")?;
    process.signal("HUP");
    logged(&pipeline, &["not applied", "did you mean kafka?"]).await;
    logged(&pipeline, &["not applied", "no component is named nobody"]).await;
    let (status, _) = pipeline.post("/api/v1/reload", false).await?;
    assert_eq!(status, 401);
    let (status, said) = pipeline.post("/api/v1/reload", true).await?;
    assert_eq!(status, 422, "{said}");
    assert!(said["mistakes"].to_string().contains("kafk"), "{said}");
    let shown: Value = serde_json::from_str(&pipeline.get("/api/v1/status").await?)?;
    assert_eq!(shown["reload"]["applied"], false, "{shown}");

    pipeline.rewrite(&write("after.{kind}", "high"))?;
    let received = receiver.received().len();
    process.signal("HUP");
    logged(
        &pipeline,
        &["the changed file runs", "replaced: sinks.lake"],
    )
    .await;
    logged(&pipeline, &["the changed file runs", "sources.legacy"]).await;
    let settled = receiver.received().len();
    assert!(process.is_running());
    let promised = wait_for(
        "all is made, and what is promised in kafka",
        180,
        async || {
            let made = ledger::read(&ledger).ok()?;
            if made.len() < EVENTS.parse::<usize>().expect("a number") {
                return None;
            }
            let promised = ledger::promised(&ledger, &ledger::polled(made), STAYS).ok()?;
            let (old, new) = (before.by_uid(), after.by_uid());
            let arrived = |uid: &String| old.contains_key(uid) || new.contains_key(uid);
            promised.iter().all(arrived).then_some(promised)
        },
    )
    .await;
    before.quiet().await;
    after.quiet().await;
    pipeline.stop(&mut process);
    let made = ledger::polled(ledger::read(&ledger)?);
    let (old, new) = (before.by_uid(), after.by_uid());
    assert!(!new.is_empty(), "it was changed in the middle");
    for version in &made {
        let times = old.get(&version.uid).copied().unwrap_or_default()
            + new.get(&version.uid).copied().unwrap_or_default();
        let fits = times == 1 || (times == 0 && !promised.contains(&version.uid));
        assert!(fits, "{} came {times} times", version.uid);
    }
    let messages = receiver.received();
    assert!(
        !messages[..received].iter().all(|it| is_serious(it)),
        "all passed before"
    );
    assert!(
        messages[settled..].iter().all(|it| is_serious(it)),
        "only serious ones pass after"
    );
    assert!(messages.len() > settled, "some did");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_change_while_it_runs_is_refused_with_its_name() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = tapline_simulators::Simulation::scripted().await?;
    let receiver = Receiver::start().await?;
    let body = crate::bad_input::scene::to_receiver(&microsoft, &receiver);
    let pipeline = Pipeline::new(&body)?;
    let secret = microsoft.announcement().client_secret;
    let mut process = pipeline
        .start(&[("TAPLINE_TEST_SECRET", secret.as_str())])
        .await?;
    let text = std::fs::read_to_string(pipeline.file())?;
    let changed = text
        .replace("name: e2e", "name: other")
        .replace("/data\n", "/elsewhere\n");
    std::fs::write(pipeline.file(), changed)?;
    process.signal("HUP");
    logged(&pipeline, &["not applied", "name cannot change"]).await;
    logged(&pipeline, &["not applied", "data_dir cannot change"]).await;
    std::fs::write(pipeline.file(), text)?;
    process.signal("HUP");
    logged(
        &pipeline,
        &["the changed file runs", "kept: sinks.siem, sources.alerts"],
    )
    .await;
    pipeline.stop(&mut process);
    microsoft.stop().await;
    Ok(())
}
