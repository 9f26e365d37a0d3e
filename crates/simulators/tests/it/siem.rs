use crate::client::Client;
use serde_json::json;
use tapline_simulators::Simulation;

async fn with_detections() -> (Simulation, Client) {
    let simulation = Simulation::scripted().await.unwrap();
    for hour in 1..5 {
        simulation.siem().put(json!({
            "FullId": format!("d{hour}"), "LastProcessedTimeUtc": format!("2026-01-02T0{hour}:00:00.0000001Z"),
            "MachineGroup": if hour < 3 { "A" } else { "B" }, "DeviceCreatedMachineTags": "x", "CloudCreatedMachineTags": "y; z",
        }));
    }
    let client = Client::of_siem(&simulation).await;
    (simulation, client)
}

#[tokio::test]
async fn every_parameter_narrows_the_array() {
    let (_simulation, client) = with_detections().await;
    let all = "?sinceTimeUtc=2026-01-02T00:00:00.000&untilTimeUtc=2026-01-02T09:00:00Z";
    let check = async |query: String, expected: &[&str]| {
        assert_eq!(
            client.siem(&query).await.column("FullId"),
            expected,
            "{query}"
        );
    };
    check(all.to_owned(), &["d1", "d2", "d3", "d4"]).await;
    check(
        "?sinceTimeUtc=2026-01-02T02:00:00.0000001Z&untilTimeUtc=2026-01-02T03:00:00.0000001Z"
            .into(),
        &["d2", "d3"],
    )
    .await;
    check(
        "?sinceTimeUtc=2026-01-02T02:00:00.0000002Z".into(),
        &["d3", "d4"],
    )
    .await;
    check(format!("{all}&limit=2"), &["d3", "d4"]).await;
    check(format!("{all}&machinegroups=A"), &["d1", "d2"]).await;
    check(
        format!("{all}&machinegroups=A&machinegroups=B"),
        &["d1", "d2", "d3", "d4"],
    )
    .await;
    check(
        format!("{all}&DeviceCreatedMachineTags=x&CloudCreatedMachineTags=z&limit=1"),
        &["d4"],
    )
    .await;
    check(format!("{all}&CloudCreatedMachineTags=q"), &[]).await;
}

#[tokio::test]
async fn without_parameters_the_last_two_hours_are_given() {
    let (simulation, client) = with_detections().await;
    assert_eq!(client.siem("").await.body, b"[]");
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let time = |ago: u64| {
        jiff::Timestamp::from_second((now - ago) as i64)
            .unwrap()
            .to_string()
    };
    simulation
        .siem()
        .put(json!({"FullId": "young", "LastProcessedTimeUtc": time(3_600)}));
    simulation
        .siem()
        .put(json!({"FullId": "old", "LastProcessedTimeUtc": time(3 * 3_600)}));
    assert_eq!(client.siem("").await.column("FullId"), ["young"]);
    assert_eq!(
        client.siem("?ago=PT4H").await.column("FullId"),
        ["old", "young"]
    );
    assert_eq!(client.siem("?ago=PT10M").await.body, b"[]");
}

#[tokio::test]
async fn the_path_is_taken_in_any_case_and_with_a_trailing_slash() {
    let (_simulation, client) = with_detections().await;
    for (path, status) in [
        ("/api/Alerts/", 200),
        ("/API/alerts", 200),
        ("/api/alert", 404),
        ("/", 404),
    ] {
        let got = client
            .try_get(&format!(
                "{}{path}?sinceTimeUtc=2026-01-02T00:00:00",
                client.at.siem
            ))
            .await
            .unwrap();
        assert_eq!(got.status, status, "{path}");
    }
}

#[tokio::test]
async fn a_malformed_request_is_refused_as_documented() {
    let (_simulation, client) = with_detections().await;
    for query in ["?sinceTimeUtc=yesterday", "?ago=10m", "?limit=-1"] {
        assert_eq!(client.siem(query).await.status, 401, "{query}");
    }
}

#[tokio::test]
async fn a_token_opens_only_the_service_that_it_was_made_for() {
    let (simulation, siem) = with_detections().await;
    let graph = Client::of_graph(&simulation).await;
    let refused = siem.graph("alerts_v2").await;
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].as_str()),
        (401, Some("InvalidAuthenticationToken"))
    );
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
    let refused = graph.siem("").await;
    assert_eq!(refused.status, 401);
    assert!(refused.header("www-authenticate").starts_with("Bearer"));
}
