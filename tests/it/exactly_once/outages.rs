//! Brokers that go away, networks that are cut, and processes that are stopped for a while.

use std::time::{Duration, Instant};

use tapline_e2e::cable::{Cable, NoTap, Weather};
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;
use tokio::time::sleep;

use super::scene::{Scene, committed, first_commit};

/// Longer than a transaction may last and a member may be silent: both have been given up by then.
const LONG: Duration = Duration::from_secs(22);

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_that_crashes_costs_time_and_nothing_else() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let mut scene = Scene::new("150", "4000").await?;
    let pipeline = scene.pipeline()?;
    let mut process = scene.start(&pipeline).await?;
    first_commit(&pipeline, Instant::now()).await;
    sleep(Duration::from_secs(2)).await;
    scene.kafka.kill();
    sleep(Duration::from_secs(3)).await;
    scene.kafka.restart().await?;
    scene.everything_arrives_once(4000).await?;
    assert!(process.is_running(), "{}", pipeline.log());
    pipeline.stop(&mut process);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_network_that_was_cut_for_long_is_no_copy() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let cable = Cable::lay(|| NoTap).await?;
    let (kafka, inner) = Kafka::start_behind(cable.port()).await?;
    cable.lead_to(inner);
    let address = format!("127.0.0.1:{}", cable.port());
    let scene = Scene::with(kafka, address, "100", "5000")?;
    let pipeline = scene.pipeline()?;
    let mut process = scene.start(&pipeline).await?;
    first_commit(&pipeline, Instant::now()).await;
    sleep(Duration::from_secs(2)).await;
    cable.set(Weather::Cut);
    sleep(LONG).await;
    cable.set(Weather::Fine);
    let before = committed(&pipeline).await;
    wait_for("transactions go on", 120, async || {
        assert!(process.is_running(), "{}", pipeline.log());
        (committed(&pipeline).await > before).then_some(())
    })
    .await;
    scene.everything_arrives_once(5000).await?;
    pipeline.stop(&mut process);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_for_long_is_no_copy() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let scene = Scene::new("100", "4000").await?;
    let pipeline = scene.pipeline()?;
    let mut process = scene.start(&pipeline).await?;
    first_commit(&pipeline, Instant::now()).await;
    sleep(Duration::from_secs(2)).await;
    process.signal("STOP");
    sleep(LONG).await;
    process.signal("CONT");
    scene.everything_arrives_once(4000).await?;
    assert!(process.is_running(), "{}", pipeline.log());
    pipeline.stop(&mut process);
    Ok(())
}
