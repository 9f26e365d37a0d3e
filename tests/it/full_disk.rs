//! A data folder without room: what needs it stands still, says so, and goes on by itself.

use std::collections::HashMap;

use tapline_e2e::disk::SmallDisk;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::receiver::Receiver;
use tapline_e2e::{enabled, wait_for};
use tapline_simulators::Simulation;

use crate::bad_input::scene::{alert, degraded, id, logged, to_receiver};

const ALERTS: usize = 500;

#[tokio::test(flavor = "multi_thread")]
async fn checkpoints_are_kept_again_as_soon_as_there_is_room_without_a_restart()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    let receiver = Receiver::start().await?;
    let pipeline = Pipeline::new(&to_receiver(&microsoft, &receiver))?;
    let Some(disk) = small_disk(&pipeline) else {
        return Ok(());
    };
    let secret = microsoft.announcement().client_secret;
    let environment = [("TAPLINE_TEST_SECRET", secret.as_str())];
    let mut process = pipeline.start(&environment).await?;

    let full = disk.fill()?;
    let ids = make(&microsoft);
    degraded(
        &pipeline,
        "alerts",
        &["checkpoint not kept", "No space left"],
    )
    .await;
    drop(full);
    logged(&pipeline, &["checkpoints are kept again"]).await;
    arrive(&receiver, &ids).await;
    pipeline.stop(&mut process);

    microsoft.graph().put_alert(alert("behind", 0));
    process = pipeline.start(&environment).await?;
    arrive(&receiver, &["behind".to_owned()]).await;
    let counts = counts(&receiver);
    let repeated: Vec<_> = counts.iter().filter(|(_, times)| **times > 1).collect();
    assert!(repeated.is_empty(), "{repeated:?}");
    pipeline.stop(&mut process);
    microsoft.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_without_room_confirms_nothing_and_loses_nothing() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    let mut receiver = Receiver::start().await?;
    receiver.shut().await;
    let spooled = to_receiver(&microsoft, &receiver) + "    spool: { max_bytes: 67108864 }\n";
    let pipeline = Pipeline::new(&spooled)?;
    let Some(disk) = small_disk(&pipeline) else {
        return Ok(());
    };
    let secret = microsoft.announcement().client_secret;
    let mut process = pipeline.start(&[("TAPLINE_TEST_SECRET", &secret)]).await?;

    let full = disk.fill()?;
    let ids = make(&microsoft);
    degraded(&pipeline, "siem:spool", &["refused", "No space left"]).await;
    let spooled = pipeline.metric("tapline_spool_events", "siem").await;
    assert!(spooled < ALERTS as f64, "{spooled} found room");
    drop(full);
    wait_for("all are in the spool", 60, async || {
        let spooled = pipeline.metric("tapline_spool_events", "siem").await;
        (spooled >= ALERTS as f64).then_some(())
    })
    .await;
    process.kill();
    receiver.open().await?;
    process = pipeline.start(&[("TAPLINE_TEST_SECRET", &secret)]).await?;
    arrive(&receiver, &ids).await;
    pipeline.stop(&mut process);
    microsoft.stop().await;
    Ok(())
}

/// Under the data folder; none where that is not allowed.
fn small_disk(pipeline: &Pipeline) -> Option<SmallDisk> {
    let disk = SmallDisk::mount(&pipeline.folder().join("data"));
    disk.inspect_err(|error| eprintln!("skipped: mounting is not allowed: {error}"))
        .ok()
}

fn make(microsoft: &Simulation) -> Vec<String> {
    let ids: Vec<String> = (0..ALERTS).map(|n| format!("a{n:03}")).collect();
    for id in &ids {
        microsoft.graph().put_alert(alert(id, 0));
    }
    ids
}

async fn arrive(receiver: &Receiver, ids: &[String]) {
    wait_for("all have arrived", 60, async || {
        let counts = counts(receiver);
        ids.iter().all(|id| counts.contains_key(id)).then_some(())
    })
    .await;
}

fn counts(receiver: &Receiver) -> HashMap<String, usize> {
    let mut counts = HashMap::new();
    for message in receiver.received() {
        *counts.entry(id(&message)).or_default() += 1;
    }
    counts
}
