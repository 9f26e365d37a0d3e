//! The contract of every source, and a service that fails all the time.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};
use tapline_core::metrics;
use tapline_simulators::{Faults, Settings, Simulation};
use tapline_testkit::{assert_metrics, check_source};

use crate::rig::{Rig, ago, put_alerts};

#[tokio::test]
async fn the_source_keeps_the_contract_of_sources() {
    let rig = Rig::scripted().await;
    rig.graph().set_page_clamp(20);
    let tenant = rig.simulation.announcement().tenant_id;
    let mut expected = std::collections::BTreeSet::new();
    for number in 0..60u64 {
        let time = ago(5000 + number * 5000);
        let ids = put_alerts(&rig.graph(), &format!("a{number}-"), [time.clone()]);
        expected.extend(
            ids.iter()
                .map(|id| format!("{tenant}:graph.alert:{id}:{time}")),
        );
    }
    check_source(|| rig.source("graph_alerts", json!({})), &expected).await;
}

#[tokio::test]
async fn every_required_metric_is_there_from_the_start() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", [ago(5000)]);
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    assert_metrics(
        &rig.cx,
        &[
            metrics::ERRORS,
            metrics::SOURCE_LAG_SECONDS,
            metrics::SOURCE_LAST_SUCCESS,
            metrics::SOURCE_POLLS,
            metrics::SOURCE_REQUESTS,
            metrics::SOURCE_WAIT_SECONDS,
            metrics::SOURCE_LATE_EVENTS,
            metrics::SOURCE_REPEATED_EVENTS,
            metrics::TOKEN_REFRESHES,
        ],
    );
}

#[tokio::test]
async fn under_mild_faults_the_newest_version_of_everything_arrives() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let ledger = folder.path().join("ledger.ndjson");
    let settings = Settings {
        rate: 150.0,
        events: Some(450),
        ledger: Some(ledger.clone()),
        faults: Faults::mild(),
        ..Settings::default()
    };
    let rig = Rig::with(Simulation::start(settings).await.expect("starts"));
    let apis = ["graph_alerts", "graph_incidents", "siem"];
    let sources = apis.map(|api| rig.host.run(rig.source(api, json!({}))));
    let complete = || rig.simulation.finished() && missing(&rig, &newest(&ledger)).is_empty();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(50);
    while !complete() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    for source in sources {
        source.stop().await;
    }
    assert_eq!(missing(&rig, &newest(&ledger)), Vec::<String>::new());
    let uids = tapline_testkit::uids(&rig.host.events());
    assert_eq!(uids.len(), rig.host.events().len(), "nothing comes twice");
}

/// The newest version of each record that the ledger names, by `tenant:kind:id`.
fn newest(ledger: &std::path::Path) -> HashMap<String, String> {
    let text = std::fs::read_to_string(ledger).unwrap_or_default();
    let mut newest = HashMap::new();
    for line in text.lines() {
        let line: Value = serde_json::from_str(line).expect("the ledger is JSON");
        let text = |key: &str| line[key].as_str().expect("text").to_owned();
        let key = format!("{}:{}:{}", text("tenant"), text("kind"), text("id"));
        if line["superseded_after_ms"].is_null() {
            newest.insert(key, text("version"));
        }
    }
    newest
}

fn missing(rig: &Rig, newest: &HashMap<String, String>) -> Vec<String> {
    let arrived = tapline_testkit::uids(&rig.host.events());
    let wanted = newest
        .iter()
        .map(|(key, version)| format!("{key}:{version}"));
    wanted.filter(|uid| !arrived.contains(uid)).collect()
}
