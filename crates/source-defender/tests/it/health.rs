//! What a person is told of a partition, and what is finished before a stop.

use std::time::Duration;

use serde_json::json;
use tapline_core::Health;
use tapline_simulators::Fault;
use tapline_testkit::{Settling, eventually};

use crate::rig::{Rig, ago, put_alerts};

#[tokio::test]
async fn what_fails_is_told_once_and_so_is_that_it_works_again() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", [ago(5000)]);
    for _ in 0..2 {
        rig.graph().fail_next(Fault::status(503).retry_after("0.1"));
    }
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    let healths = rig.host.healths();
    let [(partition, Health::Degraded(detail)), (again, Health::Good)] = &healths[..] else {
        panic!("{healths:?}");
    };
    assert_eq!(
        (partition, again),
        (&rig.partition("graph_alerts"), partition)
    );
    assert!(detail.contains("503"), "{detail}");
}

#[tokio::test]
async fn an_expired_secret_is_told_with_its_code_and_without_the_secret() {
    let rig = Rig::scripted().await;
    rig.simulation.login().set_secret_expired(true);
    let running = rig.run("graph_alerts", json!({}));
    eventually("the refusal is told", || !rig.host.healths().is_empty()).await;
    running.stop().await;
    let healths = rig.host.healths();
    let [(_, Health::Degraded(detail))] = &healths[..] else {
        panic!("{healths:?}");
    };
    assert!(detail.contains("AADSTS7000222"), "{detail}");
    let secret = rig.simulation.announcement().client_secret;
    assert!(!detail.contains(&*secret), "{detail}");
}

#[tokio::test]
async fn a_refresh_token_on_its_way_is_kept_before_the_source_ends() {
    let rig = Rig::scripted().await;
    let login = rig.simulation.login();
    let it = rig.simulation.announcement();
    let identity = json!({
        "tenant_id": it.tenant_id, "client_id": it.client_id,
        "client_secret": it.client_secret, "refresh_token": login.issue_refresh_token(),
    });
    login.fail_next(Fault::SlowBody(Duration::from_millis(500)));
    let running = rig.run("graph_alerts", json!({"identity": identity}));
    eventually("the token is asked for", || {
        !login.token_requests().is_empty()
    })
    .await;
    let folder = rig.cx.data_dir.join("tokens");
    let kept = || std::fs::read_dir(&folder).map_or(0, Iterator::count);
    assert_eq!(kept(), 0, "its answer is still on its way");
    running.stop().await;
    assert_eq!(kept(), 1);
}

#[tokio::test]
async fn lag_grows_while_nothing_settles_though_polls_go_on() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", [ago(600_000)]);
    let running = rig.run("graph_alerts", json!({}));
    let lag = || rig.metric(&["source_lag_seconds"]);
    let polls = || rig.metric(&["source_polls_total", "ok"]);
    rig.expect_once(&ids).await;
    eventually("what is settled is no lag", || lag() < 60.0).await;
    rig.host.set_settling(Settling::Held);
    put_alerts(&rig.graph(), "b", [ago(120_000)]);
    rig.host.wait_for_events(2).await;
    let before = polls();
    rig.host
        .wait_for("polls", |_| polls() >= before + 2.0)
        .await;
    assert!((120.0..600.0).contains(&lag()), "{}", lag());
    rig.host.set_settling(Settling::AtOnce);
    eventually("it is settled", || lag() < 60.0).await;
    running.stop().await;
}
