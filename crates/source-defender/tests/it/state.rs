//! What is durable, and what a restart or a rewind makes of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tapline_core::{SourceConfig, StreamIdentity};
use tapline_simulators::Row;
use tapline_testkit::{Settling, eventually};

use crate::rig::{Rig, ago, alert, put_alerts};

#[tokio::test]
async fn the_starting_point_is_durable_before_the_first_read() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", [ago(5000)]);
    rig.host.set_settling(Settling::Stuck);
    let running = rig.run("graph_alerts", json!({"initial_lookback_secs": 3600}));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(rig.graph().requests().is_empty(), "nothing is read before");
    rig.host.set_settling(Settling::AtOnce);
    rig.expect_once(&ids).await;
    running.stop().await;
    let first = rig.host.recorded().remove(0);
    assert!(first.events.is_empty() && !first.after.is_empty());
}

#[tokio::test]
async fn what_a_crash_left_unsettled_is_read_again_and_nothing_else() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", (0..30).map(|row| ago(3000 + row * 1000)));
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    rig.host.set_settling(Settling::Held);
    put_alerts(&rig.graph(), "b", (0..3).map(|row| ago(1500 + row)));
    rig.host.wait_for_events(33).await;
    running.kill().await;
    rig.host.set_settling(Settling::AtOnce);
    let running = rig.run("graph_alerts", json!({}));
    rig.host.wait_for_events(36).await;
    running.stop().await;
    // A polite stop in between repeats nothing.
    let running = rig.run("graph_alerts", json!({}));
    let polls = || rig.metric(&["source_polls_total", "ok"]);
    let before = polls();
    rig.host.wait_for("a poll", |_| polls() > before).await;
    running.stop().await;
    assert_eq!(rig.host.settled().len(), 33);
    assert_eq!(rig.ids().len(), 36);
}

#[tokio::test]
async fn nothing_older_than_the_starting_point_is_read() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "new", [ago(5000)]);
    put_alerts(&rig.graph(), "old", [ago(60_000)]);
    let running = rig.run(
        "graph_alerts",
        json!({"initial_lookback_secs": 30, "reread_interval_secs": 1}),
    );
    rig.expect_once(&ids).await;
    let polls = || rig.metric(&["source_polls_total", "ok"]);
    rig.host.wait_for("more polls", |_| polls() >= 4.0).await;
    running.stop().await;
    assert_eq!(rig.ids().len(), 1);
}

#[tokio::test]
async fn records_later_than_the_overlap_are_found_and_counted() {
    let rig = Rig::scripted().await;
    let mut ids = put_alerts(&rig.graph(), "a", [ago(3000)]);
    let late = alert("late", &ago(60_000));
    let late = Row::from(late).visible_after(Duration::from_millis(1500));
    rig.graph().put_alert(late);
    let settings = json!({"overlap_secs": 5, "reread_interval_secs": 1});
    let running = rig.run("graph_alerts", settings);
    ids.insert("late".to_owned());
    rig.expect_once(&ids).await;
    running.stop().await;
    assert_eq!(rig.metric(&["source_late_events_total"]), 1.0);
}

#[tokio::test]
async fn late_records_are_found_also_when_each_poll_takes_longer_than_the_interval() {
    let rig = Rig::scripted().await;
    rig.graph().set_page_clamp(1);
    let mut ids = put_alerts(&rig.graph(), "a", (0..4).map(|row| ago(3000 + row)));
    let late = alert("late", &ago(60_000));
    rig.graph()
        .put_alert(Row::from(late).visible_after(Duration::from_secs(8)));
    // A page a second once the first burst is used up, and four pages a poll.
    let settings = json!({"overlap_secs": 5, "reread_interval_secs": 1, "requests_per_minute": 60});
    let running = rig.run("graph_alerts", settings);
    ids.insert("late".to_owned());
    rig.expect_once(&ids).await;
    running.stop().await;
}

#[tokio::test]
async fn a_lost_batch_is_read_again_with_the_table_of_what_was_seen() {
    let rig = Rig::scripted().await;
    rig.graph().set_page_clamp(10);
    let ids = put_alerts(&rig.graph(), "a", (0..30).map(|row| ago(3000 + row * 1000)));
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    rig.host.set_settling(Settling::Held);
    let more = put_alerts(&rig.graph(), "b", [ago(1500)]);
    rig.host.wait_for_events(31).await;
    rig.host.lose(&rig.partition("graph_alerts")).await;
    rig.host.set_settling(Settling::AtOnce);
    rig.host.wait_for_events(32).await;
    running.stop().await;
    let settled: BTreeSet<_> = rig
        .host
        .settled()
        .iter()
        .map(|it| it.meta().id.to_string())
        .collect();
    assert_eq!(settled, &ids | &more);
    assert_eq!(rig.ids().len(), 32, "only what was lost comes again");
}

#[tokio::test]
async fn several_tenants_have_cursors_of_their_own() {
    let rig = Rig::scripted().await;
    let tenants = ["tenant-b.example", "tenant-c.example"];
    let mut ids = put_alerts(&rig.graph(), "a", [ago(3000)]);
    for tenant in tenants {
        rig.simulation.login().add_tenant(tenant);
        ids.extend(put_alerts(
            &rig.graph().for_tenant(tenant),
            tenant,
            [ago(3000)],
        ));
    }
    let identities: Vec<_> = tenants.iter().map(|tenant| rig.identity(tenant)).collect();
    let running = rig.run("graph_alerts", json!({"identities": identities}));
    rig.expect_once(&ids).await;
    running.stop().await;
    assert_eq!(rig.host.partitions().len(), 3);
    for event in rig.host.events() {
        let meta = event.meta();
        let own = tenants.iter().find(|tenant| meta.id.starts_with(**tenant));
        assert!(own.is_none_or(|tenant| meta.tenant == *tenant));
    }
    assert!(
        !rig.host
            .checkpoint("tenant-b.example/graph_alerts")
            .cursor
            .is_empty()
    );
}

#[tokio::test]
async fn a_tenant_that_fails_does_not_hold_up_the_others() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", [ago(3000)]);
    let identities = [rig.identity("nobody.example")];
    let running = rig.run("graph_alerts", json!({"identities": identities}));
    rig.expect_once(&ids).await;
    eventually("the failure is counted", || {
        rig.metric(&["errors_total", "token"]) >= 1.0
    })
    .await;
    running.stop().await;
}

#[tokio::test]
async fn a_checkpoint_of_another_stream_is_refused() {
    let rig = Rig::scripted().await;
    let partition = rig.partition("graph_alerts");
    rig.host
        .put_checkpoint(&partition, StreamIdentity::default(), Default::default());
    let mut source = rig
        .config("graph_alerts", json!({}))
        .build(&rig.cx)
        .expect("builds");
    let error = source.run(rig.host.context()).await.expect_err("refused");
    assert!(error.to_string().contains("checkpoint"), "{error}");
}
