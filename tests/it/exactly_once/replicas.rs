//! Two replicas, each with a data folder of its own, share what is to be read.

use std::time::{Duration, Instant};

use tapline_e2e::wait_for;
use tokio::time::sleep;

use super::scene::{Scene, first_commit, moments};

const OWNED: &str = "tapline_sink_owned_partitions";

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_come_and_go_lose_nothing_and_repeat_nothing() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let scene = Scene::new("120", "8000").await?;
    let (first, second) = (scene.pipeline()?, scene.pipeline()?);
    let mut one = scene.start(&first).await?;
    first_commit(&first, Instant::now()).await;
    let mut two = scene.start(&second).await?;
    let share = async || {
        wait_for("both have half of it", 60, async || {
            let owned = (
                first.metric(OWNED, "").await,
                second.metric(OWNED, "").await,
            );
            (owned == (32.0, 32.0)).then_some(())
        })
        .await;
    };
    share().await;
    for _ in 0..moments(2) {
        sleep(Duration::from_secs(2)).await;
        two.kill();
        two = scene.start(&second).await?;
        share().await;
    }
    // For good: the other one takes over once the group has given it up.
    two.kill();
    wait_for("the other one takes over", 90, async || {
        (first.metric(OWNED, "").await == 64.0).then_some(())
    })
    .await;
    scene.everything_arrives_once(8000).await?;
    first.stop(&mut one);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_comes_to_itself_after_another_took_over_makes_nothing_visible()
-> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let scene = Scene::new("120", "6000").await?;
    let (first, second) = (scene.pipeline()?, scene.pipeline()?);
    let mut one = scene.start(&first).await?;
    first_commit(&first, Instant::now()).await;
    let mut two = scene.start(&second).await?;
    wait_for("both have half of it", 60, async || {
        (second.metric(OWNED, "").await == 32.0).then_some(())
    })
    .await;
    one.signal("STOP");
    wait_for("the other one takes over", 90, async || {
        (second.metric(OWNED, "").await == 64.0).then_some(())
    })
    .await;
    sleep(Duration::from_secs(2)).await;
    one.signal("CONT");
    scene.everything_arrives_once(6000).await?;
    for (process, pipeline) in [(&mut one, &first), (&mut two, &second)] {
        assert!(process.is_running(), "{}", pipeline.log());
        pipeline.stop(process);
    }
    Ok(())
}
