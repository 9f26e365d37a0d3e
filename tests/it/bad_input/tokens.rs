//! The identity platform refuses, answers nonsense, or has another time.

use tapline_e2e::enabled;
use tapline_simulators::{Fault, Simulation};

use super::scene::{Scene, alert};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_endpoint_that_answers_html_is_named_and_asked_again() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    microsoft.graph().put_alert(alert("a1", -60));
    for _ in 0..2 {
        microsoft.login().fail_next(Fault::Html);
    }
    let host = microsoft.announcement().login;
    let scene = Scene::start_with(microsoft).await?;
    scene
        .degraded("alerts", &["token", "text/html", &host])
        .await;
    scene.arrived_once(&["a1"]).await;
    scene.works("alerts").await;
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_with_what_to_do_and_the_right_one_delivers() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    microsoft.graph().put_alert(alert("a1", -60));
    let right = microsoft.announcement().client_secret;
    let mut scene = Scene::start_by(microsoft, "hunter2-hunter2").await?;
    let words = [
        "AADSTS7000215",
        "client secret is wrong",
        "value, not its id",
    ];
    scene.degraded("alerts", &words).await;
    scene.logged(&words).await;
    let asked = scene.microsoft.login().token_requests().len();
    assert!(asked <= 2, "a refused secret was tried {asked} times");
    assert!(scene.ids().is_empty());

    scene.pipeline.stop(&mut scene.process);
    let environment = [("TAPLINE_TEST_SECRET", right.as_str())];
    scene.process = scene.pipeline.start(&environment).await?;
    scene.arrived_once(&["a1"]).await;
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_secret_is_told_with_where_to_make_a_new_one() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    microsoft.login().set_secret_expired(true);
    let scene = Scene::start_with(microsoft).await?;
    let words = ["AADSTS7000222", "secret expired", "Certificates & secrets"];
    scene.degraded("alerts", &words).await;
    scene.logged(&words).await;
    scene.ends_well().await
}

/// Microsoft's clock is off ours by so many seconds, and it stamps its alerts with its own.
async fn check_clock(offset: i64) -> anyhow::Result<()> {
    let microsoft = Simulation::scripted().await?;
    microsoft.login().set_clock_offset(offset);
    microsoft.graph().set_clock_offset(offset);
    microsoft.graph().put_alert(alert("old", offset - 3600));
    microsoft.graph().put_alert(alert("new", offset - 5));
    let scene = Scene::start_with(microsoft).await?;
    scene.arrived_once(&["old", "new"]).await;
    scene
        .microsoft
        .graph()
        .put_alert(alert("newer", offset - 2));
    scene.arrived_once(&["newer"]).await;
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_five_minutes_off_loses_and_delays_nothing() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let (ahead, behind) = tokio::join!(check_clock(300), check_clock(-300));
    ahead.and(behind)
}
