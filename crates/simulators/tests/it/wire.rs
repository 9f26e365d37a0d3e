use crate::client::Client;
use serde_json::json;
use std::time::{Duration, Instant};
use tapline_simulators::{Fault, Faults, Settings, Simulation};

async fn client() -> (Simulation, Client) {
    let simulation = Simulation::scripted().await.unwrap();
    simulation
        .graph()
        .put_alert(json!({"id": "a", "lastUpdateDateTime": "2026-01-02T03:04:05Z"}));
    let client = Client::of_graph(&simulation).await;
    (simulation, client)
}

#[tokio::test]
async fn each_fault_spoils_one_request_in_its_own_way() {
    let (simulation, client) = client().await;
    let (graph, url) = (
        simulation.graph(),
        format!("{}/v1.0/security/alerts_v2", client.at.graph),
    );
    graph.fail_next(Fault::status(429).retry_after("2.128"));
    let got = client.try_get(&url).await.unwrap();
    assert_eq!((got.status, got.header("retry-after")), (429, "2.128"));
    assert_eq!(got.json()["error"]["innerError"]["status"], "429");
    for fault in [
        Fault::Truncated,
        Fault::InvalidJson,
        Fault::Html,
        Fault::Body("[".into()),
    ] {
        graph.fail_next(fault.clone());
        let got = client.try_get(&url).await.unwrap();
        assert_eq!(got.status, 200, "{fault:?}");
        assert!(
            serde_json::from_slice::<serde_json::Value>(&got.body).is_err(),
            "{fault:?}"
        );
    }
    for fault in [Fault::CutOff, Fault::Drop] {
        // a client repeats a request once by itself when a kept connection closes: new connections only
        let url = format!("{}/v1.0/security/alerts_v2", client.at.graph);
        graph.fail_next(fault.clone());
        graph.fail_next(fault.clone());
        assert!(client.try_get(&url).await.is_err(), "{fault:?}");
        while client.try_get(&url).await.is_err() {}
    }
    let start = Instant::now();
    graph.fail_next(Fault::SlowBody(Duration::from_millis(200)));
    assert_eq!(client.try_get(&url).await.unwrap().column("id"), ["a"]);
    assert!(start.elapsed() >= Duration::from_millis(190));
    assert_eq!(client.try_get(&url).await.unwrap().column("id"), ["a"]);
}

#[tokio::test]
async fn a_401_in_mid_flight_ends_the_token_that_was_shown() {
    let (simulation, client) = client().await;
    simulation.graph().fail_next(Fault::status(401));
    assert_eq!(client.graph("alerts_v2").await.status, 401);
    assert_eq!(client.graph("alerts_v2").await.status, 401);
    assert_eq!(
        Client::of_graph(&simulation)
            .await
            .graph("alerts_v2")
            .await
            .status,
        200
    );
}

#[tokio::test]
async fn the_clock_of_a_server_can_be_wrong() {
    let (simulation, client) = client().await;
    simulation.graph().set_clock_offset(-300);
    let got = client.graph("alerts_v2").await;
    let date = jiff::fmt::rfc2822::parse(got.header("date"))
        .unwrap()
        .timestamp();
    let behind = jiff::Timestamp::now().as_second() - date.as_second();
    assert!((299..=305).contains(&behind), "{behind}");
}

#[tokio::test]
async fn requests_are_recorded() {
    let (simulation, client) = client().await;
    client.graph("alerts_v2?$top=7").await;
    let seen = simulation.graph().requests().pop().unwrap();
    assert_eq!(
        (seen.path.as_str(), seen.query_value("$top").as_deref()),
        ("/v1.0/security/alerts_v2", Some("7"))
    );
    assert_eq!(seen.header("prefer"), Some("include-unknown-enum-members"));
}

#[tokio::test]
async fn nothing_answers_after_a_stop() {
    let (simulation, client) = client().await;
    assert_eq!(client.graph("alerts_v2").await.status, 200);
    simulation.stop().await;
    assert!(
        client
            .try_get(&format!("{}/v1.0/security/alerts_v2", client.at.graph))
            .await
            .is_err()
    );
}

async fn made(faults: &str) -> (Simulation, Client) {
    let settings = Settings {
        rate: 1e9,
        events: Some(2_000),
        faults: Faults::parse(faults).unwrap(),
        ..Settings::default()
    };
    let simulation = Simulation::start(settings).await.unwrap();
    let client = Client::of_graph(&simulation).await;
    while simulation.made() < 1_500 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    (simulation, client)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_mild_faults_pages_are_clamped_and_lead_nowhere() {
    let (_simulation, client) = made("mild").await;
    let got = client.graph("alerts_v2?$top=500").await;
    assert_eq!(got.column("id").len(), 50);
    assert!(got.json().get("@odata.nextLink").is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn under_harsh_faults_the_order_is_ignored_and_the_first_incident_never_expands() {
    let (_simulation, client) = made("harsh").await;
    let times = client
        .graph("alerts_v2?$orderby=lastUpdateDateTime%20asc")
        .await
        .column("lastUpdateDateTime");
    assert!(times.first() > times.last());
    assert_eq!(
        client.graph("incidents/40001?$expand=alerts").await.status,
        500
    );
    assert_eq!(client.graph("incidents/40001").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_151st_request_within_a_minute_must_wait() {
    let (_simulation, client) = made("rate_limit=1").await;
    for _ in 0..150 {
        assert_eq!(client.graph("alerts_v2?$top=1").await.status, 200);
    }
    let got = client.graph("alerts_v2?$top=1").await;
    assert_eq!(got.status, 429);
    assert!((1.0..61.0).contains(&got.header("retry-after").parse::<f64>().unwrap()));
}
