//! Every record is read, whatever the service does with pages.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tapline_simulators::NextLinkMode;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;

use crate::rig::{Rig, ago, alert, put_alerts};

fn spread(count: u64, step_millis: u64) -> impl Iterator<Item = String> {
    (1..=count)
        .rev()
        .map(move |row| ago(2000 + row * step_millis))
}

#[tokio::test]
async fn an_overlap_that_holds_more_than_a_page_does_not_stall_the_cursor() {
    let rig = Rig::scripted().await;
    rig.graph().set_page_clamp(50);
    rig.graph().set_next_link(NextLinkMode::Never);
    let mut ids = put_alerts(&rig.graph(), "a", spread(200, 2000));
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    // Everything so far lies inside the overlap of the polls that must find these.
    ids.extend(put_alerts(&rig.graph(), "b", spread(120, 1)));
    ids.extend(put_alerts(&rig.graph(), "late", spread(60, 1500)));
    rig.expect_once(&ids).await;
    running.stop().await;
}

#[tokio::test]
async fn many_records_of_one_time_are_read_once_each() {
    for ignore_orderby in [false, true] {
        let rig = Rig::scripted().await;
        rig.graph().set_page_clamp(50);
        rig.graph().set_next_link(NextLinkMode::Never);
        rig.graph().set_ignore_orderby(ignore_orderby);
        let time = ago(5000);
        let mut ids = put_alerts(&rig.graph(), "tied", vec![time; 130]);
        ids.extend(put_alerts(&rig.graph(), "old", spread(20, 60_000)));
        let running = rig.run("graph_alerts", json!({}));
        rig.expect_once(&ids).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn records_are_read_although_the_order_is_ignored() {
    let rig = Rig::scripted().await;
    rig.graph().set_page_clamp(50);
    rig.graph().set_next_link(NextLinkMode::Never);
    rig.graph().set_ignore_orderby(true);
    let ids = put_alerts(&rig.graph(), "a", spread(200, 10));
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    assert!(rig.metric(&["errors_total", "order_ignored"]) >= 1.0);
}

#[tokio::test]
async fn links_are_followed_as_sent_and_done_without_when_they_fail() {
    for mode in [
        NextLinkMode::Always,
        NextLinkMode::Broken,
        NextLinkMode::OnlyWithoutTop,
    ] {
        let rig = Rig::scripted().await;
        rig.graph().set_page_clamp(30);
        rig.graph().set_next_link(mode.clone());
        let ids = put_alerts(&rig.graph(), "a", spread(100, 1000));
        let running = rig.run("graph_alerts", json!({}));
        rig.expect_once(&ids).await;
        running.stop().await;
        let broken = rig.metric(&["errors_total", "broken_link"]);
        assert_eq!(broken >= 1.0, mode == NextLinkMode::Broken, "{mode:?}");
    }
}

#[tokio::test]
async fn a_link_to_another_host_is_never_followed() {
    let foreign = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = foreign.local_addr().expect("bound");
    let rig = Rig::scripted().await;
    rig.graph().set_page_clamp(30);
    rig.graph()
        .set_next_link(NextLinkMode::ForeignHost(format!("http://{address}")));
    let ids = put_alerts(&rig.graph(), "a", spread(100, 1000));
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    assert!(rig.metric(&["errors_total", "foreign_link"]) >= 1.0);
    let visit = async {
        let (mut visitor, _) = foreign.accept().await.expect("accepts");
        let mut token = Vec::new();
        visitor.read_to_end(&mut token).await.map(|_| token)
    };
    let visited = tokio::time::timeout(Duration::from_millis(100), visit).await;
    assert!(
        visited.is_err(),
        "somebody asked the other host: {visited:?}"
    );
}

#[tokio::test]
async fn each_version_is_sent_and_an_update_between_pages_loses_nothing() {
    let rig = Rig::scripted().await;
    rig.graph().set_page_clamp(10);
    let ids = put_alerts(&rig.graph(), "a", spread(40, 1000));
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    let updated = ago(1500);
    rig.graph().put_alert(alert("a00000", &updated));
    rig.host.wait_for_events(41).await;
    running.stop().await;
    let event = rig.host.events().pop().expect("the update");
    assert_eq!(event.meta().version, updated.as_str());
}

#[tokio::test]
async fn requests_say_what_the_documentation_asks_for() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", spread(3, 1000));
    let running = rig.run("graph_alerts", json!({"labels": {"customer": "contoso"}}));
    rig.expect_once(&ids).await;
    running.stop().await;
    for request in rig.graph().requests() {
        let header = |name: &str| {
            let value = request.headers.get(name).expect(name);
            value.to_str().expect("text").to_owned()
        };
        assert_eq!(header("prefer"), "include-unknown-enum-members");
        assert_eq!(header("client-request-id").len(), 36);
        assert!(header("authorization").starts_with("Bearer "));
        assert_eq!(
            request.query_value("$orderby").as_deref(),
            Some("lastUpdateDateTime asc")
        );
    }
    let events = rig.host.events();
    let meta = events[0].meta();
    assert_eq!(
        meta.tenant,
        rig.simulation.announcement().tenant_id.as_str()
    );
    assert_eq!(meta.device.as_deref(), Some("pc7.corp.example"));
    assert_eq!(
        meta.labels.get("customer").map(String::as_str),
        Some("contoso")
    );
    assert_eq!(meta.kind.as_str(), "graph.alert");
    assert_eq!(ids.first().cloned(), rig.ids().first().cloned());
    assert_eq!(BTreeSet::from_iter(rig.ids()), ids);
}
