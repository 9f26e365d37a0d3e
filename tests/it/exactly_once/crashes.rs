//! Killed at random moments, and started again at once.

use std::time::{Duration, Instant};

use rand::Rng;

use super::scene::{Scene, first_commit, moments};

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_random_moments_nothing_is_lost_and_nothing_is_there_twice() -> anyhow::Result<()>
{
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let kills = moments(6);
    let events = 2000 + 600 * kills;
    let scene = Scene::new("150", &events.to_string()).await?;
    let pipeline = scene.pipeline()?;
    let mut process = scene.start(&pipeline).await?;
    let first = first_commit(&pipeline, Instant::now()).await;
    let mut after_kills = Vec::new();
    for _ in 0..kills {
        let moment = rand::rng().random_range(300..2500);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        process.kill();
        let begun = Instant::now();
        process = scene.start(&pipeline).await?;
        after_kills.push(first_commit(&pipeline, begun).await);
    }
    let promised = scene.everything_arrives_once(events).await?;
    pipeline.stop(&mut process);
    after_kills.sort_unstable();
    eprintln!(
        "{promised} promised, none twice; first commit {first:?} after the first start, after kills {after_kills:?}"
    );
    assert!(
        after_kills[kills / 2] < Duration::from_secs(5),
        "half of the restarts take over within 5 s"
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_polite_stop_commits_what_was_read() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let scene = Scene::new("200", "3000").await?;
    let pipeline = scene.pipeline()?;
    for _ in 0..3 {
        let mut process = scene.start(&pipeline).await?;
        first_commit(&pipeline, Instant::now()).await;
        pipeline.stop(&mut process);
    }
    let mut process = scene.start(&pipeline).await?;
    scene.everything_arrives_once(3000).await?;
    pipeline.stop(&mut process);
    Ok(())
}
