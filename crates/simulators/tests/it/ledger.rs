use crate::client::Client;
use serde_json::Value;
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;
use tapline_simulators::{Faults, Settings, Simulation};

fn lines(ledger: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(ledger).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

async fn finished(simulation: &Simulation) {
    for _ in 0..3_000 {
        if simulation.finished() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("only {} versions were made", simulation.made());
}

fn identity(line: &Value) -> (String, String, String) {
    let text = |name: &str| line[name].as_str().unwrap().to_owned();
    (text("kind"), text("id"), text("version"))
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_wanted_number_is_made_in_equal_thirds_and_every_one_is_in_the_ledger() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.ndjson");
    let settings = Settings {
        rate: 1e9,
        events: Some(3_000),
        ledger: Some(ledger.clone()),
        ..Settings::default()
    };
    let simulation = Simulation::start(settings).await.unwrap();
    finished(&simulation).await;
    let mut kinds = HashMap::<String, usize>::new();
    let mut identities = HashSet::new();
    for line in lines(&ledger) {
        assert_eq!(line["superseded_after_ms"], Value::Null);
        assert_eq!(line["tenant"], simulation.announcement().tenant_id);
        *kinds
            .entry(line["kind"].as_str().unwrap().to_owned())
            .or_default() += 1;
        assert!(identities.insert(identity(&line)), "{line}");
    }
    let equal =
        ["graph.alert", "graph.incident", "siem.detection"].map(|kind| (kind.to_owned(), 1_000));
    assert_eq!(kinds, HashMap::from(equal));
    assert_eq!(simulation.made(), 3_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_can_be_read_is_in_the_ledger_already() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.ndjson");
    let faults = Faults::parse("update=0.3,late=0.05,tie=0.001").unwrap();
    let settings = Settings {
        rate: 3_000.0,
        events: Some(4_000),
        ledger: Some(ledger.clone()),
        faults,
        ..Settings::default()
    };
    let simulation = Simulation::start(settings).await.unwrap();
    let client = Client::of_graph(&simulation).await;
    for _ in 0..30 {
        let page = client.graph("alerts_v2?$top=1000").await;
        let known: HashSet<_> = lines(&ledger).iter().map(identity).collect();
        for (id, version) in page
            .column("id")
            .into_iter()
            .zip(page.column("lastUpdateDateTime"))
        {
            assert!(known.contains(&("graph.alert".to_owned(), id, version)));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replaced_version_gets_one_amended_line_and_a_current_one_none() {
    let folder = tempfile::tempdir().unwrap();
    let ledger = folder.path().join("ledger.ndjson");
    let faults = Faults::parse("update=0.5,tie=0.002").unwrap();
    let settings = Settings {
        rate: 1e9,
        events: Some(3_000),
        ledger: Some(ledger.clone()),
        faults,
        ..Settings::default()
    };
    let simulation = Simulation::start(settings).await.unwrap();
    finished(&simulation).await;
    let mut current = HashMap::new();
    let mut seen = HashSet::new();
    for line in lines(&ledger) {
        let (kind, id, version) = identity(&line);
        if line["superseded_after_ms"].is_null() {
            assert!(
                seen.insert((kind.clone(), id.clone(), version.clone())),
                "twice: {line}"
            );
            assert!(
                current.insert((kind, id), version).is_none(),
                "not amended before {line}"
            );
        } else {
            assert_eq!(current.remove(&(kind, id)), Some(version), "{line}");
        }
    }
    assert_eq!(seen.len(), 3_000);
    assert!(
        current.len() < 2_500,
        "a third and more of the Graph versions are updates: {}",
        current.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backlog_of_a_hundred_thousand_is_made_within_seconds() {
    let settings = Settings {
        rate: 1e9,
        events: Some(100_000),
        ..Settings::default()
    };
    let start = std::time::Instant::now();
    let simulation = Simulation::start(settings).await.unwrap();
    finished(&simulation).await;
    assert!(
        start.elapsed() < Duration::from_secs(30),
        "{:?}",
        start.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rate_is_kept() {
    let simulation = Simulation::start(Settings {
        rate: 500.0,
        ..Settings::default()
    })
    .await
    .unwrap();
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_secs(1) {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (made, wanted) = (
        simulation.made() as f64,
        start.elapsed().as_secs_f64() * 500.0,
    );
    assert!(
        (wanted * 0.6..wanted * 1.2).contains(&made),
        "{made} made, {wanted} wanted"
    );
}

#[tokio::test]
async fn a_ledger_that_cannot_be_opened_and_a_rate_that_is_none_stop_the_start() {
    let settings = Settings {
        ledger: Some("/nowhere/at/all".into()),
        ..Settings::default()
    };
    assert!(
        Simulation::start(settings)
            .await
            .unwrap_err()
            .to_string()
            .contains("/nowhere/at/all")
    );
    for rate in [0.0, -1.0, f64::NAN] {
        assert!(
            Simulation::start(Settings {
                rate,
                ..Settings::default()
            })
            .await
            .is_err()
        );
    }
}
