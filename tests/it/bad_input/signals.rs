//! Signals of impatient people.

use std::time::{Duration, Instant};

use tapline_e2e::enabled;

use super::scene::{Scene, alert};

#[tokio::test(flavor = "multi_thread")]
async fn a_second_interrupt_ends_the_drain_at_once_and_loses_nothing() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let mut scene = Scene::start().await?;
    scene.receiver.shut().await;
    scene.microsoft.graph().put_alert(alert("a1", -60));
    scene.degraded("siem", &["takes nothing"]).await;
    scene.process.signal("HUP");
    scene.logged(&["the changed pipeline runs"]).await;

    scene.process.signal("INT");
    scene.logged(&["draining"]).await;
    let begin = Instant::now();
    scene.process.signal("INT");
    let status = scene.process.wait(Duration::from_secs(8));
    let log = scene.pipeline.log();
    assert_eq!(status.and_then(|status| status.code()), Some(1), "{log}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "{:?}",
        begin.elapsed()
    );
    assert!(log.contains("read again"), "{log}");

    scene.receiver.open().await?;
    let secret = scene.microsoft.announcement().client_secret;
    let environment = [("TAPLINE_TEST_SECRET", secret.as_str())];
    scene.process = scene.pipeline.start(&environment).await?;
    scene.arrived_once(&["a1"]).await;
    scene.ends_well().await
}
