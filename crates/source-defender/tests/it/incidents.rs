//! Incidents, with and without their alerts.

use serde_json::{Value, json};
use tapline_simulators::Fault;

use crate::rig::{Rig, ago, alert};

fn incident(id: &str) -> Value {
    json!({"id": id, "displayName": "Synthetic", "lastUpdateDateTime": ago(4000), "createdDateTime": ago(5000),
        "severity": "medium", "status": "active", "incidentWebUrl": "https://security.example/incidents/1"})
}

/// Three incidents with one alert each.
async fn rig() -> Rig {
    let rig = Rig::scripted().await;
    for id in ["1", "2", "3"] {
        rig.graph().put_incident(incident(id));
        let mut alert = alert(&format!("da{id}"), &ago(4000));
        alert["incidentId"] = json!(id);
        rig.graph().put_alert(alert);
    }
    rig
}

fn ids() -> std::collections::BTreeSet<String> {
    ["1", "2", "3"].map(str::to_owned).into()
}

/// The ids of the incidents that arrived with alerts.
fn expanded(rig: &Rig) -> Vec<String> {
    let events = rig.host.events();
    let with_alerts = events.iter().filter(|event| {
        let body: Value = serde_json::from_slice(event.body()).expect("JSON");
        body["alerts"]
            .as_array()
            .is_some_and(|alerts| !alerts.is_empty())
    });
    let mut ids: Vec<_> = with_alerts
        .map(|event| event.meta().id.to_string())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn incidents_come_as_listed_unless_expansion_is_wanted() {
    let rig = rig().await;
    let running = rig.run("graph_incidents", json!({}));
    rig.expect_once(&ids()).await;
    running.stop().await;
    assert!(expanded(&rig).is_empty());
    assert_eq!(rig.host.events()[0].meta().kind.as_str(), "graph.incident");

    let rig = self::rig().await;
    let running = rig.run("graph_incidents", json!({"expand_alerts": true}));
    rig.expect_once(&ids()).await;
    running.stop().await;
    assert_eq!(expanded(&rig), ["1", "2", "3"]);
}

#[tokio::test]
async fn an_incident_that_cannot_be_expanded_is_sent_without_alerts_and_the_others_with() {
    let rig = rig().await;
    rig.graph().fail_expand_of("2");
    let running = rig.run("graph_incidents", json!({"expand_alerts": true}));
    rig.expect_once(&ids()).await;
    running.stop().await;
    assert_eq!(expanded(&rig), ["1", "3"]);
    assert!(rig.metric(&["errors_total", "expand_failed"]) >= 1.0);
}

#[tokio::test]
async fn a_failure_that_passes_does_not_end_the_expansion_of_lists() {
    let rig = rig().await;
    rig.graph()
        .fail_next(Fault::Body(br#"{"value":[]}"#.as_slice().into()));
    rig.graph().fail_next(Fault::status(500));
    let running = rig.run("graph_incidents", json!({"expand_alerts": true}));
    rig.expect_once(&ids()).await;
    running.stop().await;
    assert_eq!(expanded(&rig), ["1", "2", "3"]);
    assert!(
        rig.graph()
            .requests()
            .iter()
            .all(|it| it.path.ends_with("/incidents"))
    );
}
