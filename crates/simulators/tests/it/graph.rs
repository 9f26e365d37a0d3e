use crate::client::Client;
use serde_json::{Value, json};
use std::time::Duration;
use tapline_simulators::{NextLinkMode, Row, Simulation};

fn alert(id: &str, second: u32) -> Value {
    json!({
        "id": id, "incidentId": "7", "severity": if second.is_multiple_of(2) { "high" } else { "low" }, "status": "new",
        "serviceSource": "microsoftSentinel", "createdDateTime": format!("2026-01-02T00:00:{:02}Z", 59 - second),
        "lastUpdateDateTime": format!("2026-01-02T03:04:{second:02}.1234567Z"),
    })
}

async fn with_alerts(count: u32) -> (Simulation, Client) {
    let simulation = Simulation::scripted().await.unwrap();
    for second in 0..count {
        simulation
            .graph()
            .put_alert(alert(&format!("a{second}"), second));
    }
    let client = Client::of_graph(&simulation).await;
    (simulation, client)
}

const ASCENDING: &str = "alerts_v2?$orderby=lastUpdateDateTime%20asc";

#[tokio::test]
async fn the_most_recent_alert_comes_first_unless_asked_otherwise() {
    let (_simulation, client) = with_alerts(3).await;
    assert_eq!(
        client.graph("alerts_v2").await.column("id"),
        ["a2", "a1", "a0"]
    );
    assert_eq!(
        client.graph(ASCENDING).await.column("id"),
        ["a0", "a1", "a2"]
    );
    assert_eq!(
        client
            .graph("alerts_v2?$orderby=createdDateTime")
            .await
            .column("id"),
        ["a2", "a1", "a0"]
    );
}

#[tokio::test]
async fn a_filter_picks_rows_by_time_and_by_member() {
    let (_simulation, client) = with_alerts(6).await;
    let window = "$filter=lastUpdateDateTime%20ge%202026-01-02T03:04:01.1234567Z%20and%20lastUpdateDateTime%20lt%202026-01-02T03:04:04.1234567Z";
    assert_eq!(
        client
            .graph(&format!("{ASCENDING}&{window}"))
            .await
            .column("id"),
        ["a1", "a2", "a3"]
    );
    let severe = format!("{ASCENDING}&{window}%20and%20severity%20eq%20'high'&$count=true");
    let got = client.graph(&severe).await;
    assert_eq!(got.column("id"), ["a2"]);
    assert_eq!(got.json()["@odata.count"], 1);
}

#[tokio::test]
async fn links_lead_through_all_rows_once_in_either_direction() {
    let (_simulation, client) = with_alerts(7).await;
    for (query, first) in [
        ("alerts_v2?$top=3", "a6"),
        ("alerts_v2?$top=3&$orderby=lastUpdateDateTime%20asc", "a0"),
        ("alerts_v2?$top=3&$orderby=createdDateTime%20desc", "a0"),
        ("incidents/7/alerts?$top=3", "a6"),
    ] {
        let (mut seen, mut got) = (Vec::new(), client.graph(query).await);
        loop {
            seen.extend(got.column("id"));
            let Some(link) = got.json()["@odata.nextLink"].as_str().map(str::to_owned) else {
                break;
            };
            got = client.try_get(&link).await.unwrap();
        }
        assert_eq!(
            (seen.len(), seen[0].as_str()),
            (7, first),
            "{query}: {seen:?}"
        );
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 7, "{query}");
    }
}

#[tokio::test]
async fn next_links_come_as_the_mode_says() {
    let (simulation, client) = with_alerts(4).await;
    simulation.graph().set_page_clamp(2);
    let link = async |query: &str| {
        client.graph(query).await.json()["@odata.nextLink"]
            .as_str()
            .map(str::to_owned)
    };
    simulation
        .graph()
        .set_next_link(NextLinkMode::OnlyWithoutTop);
    assert!(link("alerts_v2").await.is_some());
    assert!(link("alerts_v2?$top=3").await.is_none());
    simulation.graph().set_next_link(NextLinkMode::Never);
    assert!(link("alerts_v2").await.is_none());
    simulation
        .graph()
        .set_next_link(NextLinkMode::ForeignHost("http://127.0.0.1:1".into()));
    assert!(
        link("alerts_v2")
            .await
            .unwrap()
            .starts_with("http://127.0.0.1:1/v1.0/security/alerts_v2?")
    );
    simulation.graph().set_next_link(NextLinkMode::Broken);
    let broken = link("alerts_v2").await.unwrap();
    assert_eq!(client.try_get(&broken).await.unwrap().status, 400);
}

#[tokio::test]
async fn a_page_is_clamped_silently() {
    let simulation = Simulation::scripted().await.unwrap();
    for n in 0..1_100 {
        simulation.graph().put_incident(Row::raw(
            format!("{n:04}"),
            "2026-01-02T03:04:05Z",
            format!("{{\"id\":\"{n}\"}}"),
        ));
        simulation.graph().put_alert(Row::raw(
            format!("{n:04}"),
            "2026-01-02T03:04:05Z",
            format!("{{\"id\":\"{n}\"}}"),
        ));
    }
    let client = Client::of_graph(&simulation).await;
    for (query, rows) in [
        ("alerts_v2", 1_000),
        ("alerts_v2?$top=2000", 1_000),
        ("incidents", 50),
        ("incidents?$top=51", 50),
    ] {
        assert_eq!(
            client.graph(query).await.column("id").len(),
            rows,
            "{query}"
        );
    }
    simulation.graph().set_page_clamp(50);
    assert_eq!(
        client.graph("alerts_v2?$top=500").await.column("id").len(),
        50
    );
}

#[tokio::test]
async fn rows_of_one_time_are_all_reached_by_skip() {
    let simulation = Simulation::scripted().await.unwrap();
    for n in 0..120 {
        simulation.graph().put_alert(
            json!({"id": format!("{n:03}"), "lastUpdateDateTime": "2026-01-02T03:04:05.1Z"}),
        );
    }
    simulation.graph().set_page_clamp(50);
    simulation.graph().set_next_link(NextLinkMode::Never);
    let client = Client::of_graph(&simulation).await;
    let mut seen = Vec::new();
    for skip in [0, 50, 100, 150] {
        let query = format!(
            "{ASCENDING}&$filter=lastUpdateDateTime%20ge%202026-01-02T03:04:05.1Z&$skip={skip}"
        );
        seen.extend(client.graph(&query).await.column("id"));
    }
    assert_eq!(seen.len(), 120);
    seen.dedup();
    assert_eq!(seen.len(), 120);
}

#[tokio::test]
async fn what_the_real_service_refuses_is_refused() {
    let (_simulation, client) = with_alerts(1).await;
    let check = async |path: &str, status: u16| {
        let got = client.graph(path).await;
        assert_eq!(got.status, status, "{path}");
        assert!(
            got.json()["error"]["innerError"]["request-id"].is_string(),
            "{path}"
        );
    };
    check("alerts_v2?$skip=501", 400).await;
    check(
        "alerts_v2?$filter=lastUpdateDateTime%20ge%20'2026-01-02T03:04:05Z'",
        400,
    )
    .await;
    check("alerts_v2?$expand=alerts", 400).await;
    check("alerts", 400).await;
    check("alerts_v2/none", 404).await;
    let skipped = client.graph("alerts_v2?$skip=600").await.json();
    assert_eq!(
        (&skipped["error"]["code"], &skipped["error"]["message"]),
        (&json!(""), &json!("$skip=600 cannot exceed 500"))
    );
}

#[tokio::test]
async fn orderby_can_be_ignored() {
    let (simulation, client) = with_alerts(3).await;
    simulation.graph().set_ignore_orderby(true);
    assert_eq!(
        client.graph(ASCENDING).await.column("id"),
        ["a2", "a1", "a0"]
    );
}

#[tokio::test]
async fn new_enum_members_reach_only_clients_that_ask_for_them() {
    let (_simulation, client) = with_alerts(1).await;
    assert_eq!(
        client.graph("alerts_v2").await.column("serviceSource"),
        ["microsoftSentinel"]
    );
    let plain = client
        .get_plain(&format!("{}/v1.0/security/alerts_v2", client.at.graph))
        .await;
    assert_eq!(plain.column("serviceSource"), ["unknownFutureValue"]);
}

#[tokio::test]
async fn an_incident_brings_its_alerts_only_when_expanded() {
    let (simulation, client) = with_alerts(2).await;
    simulation
        .graph()
        .put_incident(json!({"id": "7", "lastUpdateDateTime": "2026-01-02T03:04:05Z"}));
    assert!(
        client
            .graph("incidents/7")
            .await
            .json()
            .get("alerts")
            .is_none()
    );
    assert_eq!(
        client.graph("incidents/7?$expand=alerts").await.json()["alerts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        client.graph("incidents?$expand=alerts").await.json()["value"][0]["alerts"]
            .as_array()
            .unwrap()
            .len(),
        2
    );
    assert_eq!(
        client.graph("incidents/7/alerts").await.column("id"),
        ["a1", "a0"]
    );
}

#[tokio::test]
async fn a_poisoned_incident_fails_whenever_it_is_expanded_and_never_otherwise() {
    let (simulation, client) = with_alerts(2).await;
    simulation
        .graph()
        .put_incident(json!({"id": "7", "lastUpdateDateTime": "2026-01-02T03:04:05Z"}));
    simulation.graph().fail_expand_of("7");
    for (path, status) in [
        ("incidents?$expand=alerts", 500),
        ("incidents/7?$expand=alerts", 500),
        ("incidents", 200),
        ("incidents/7", 200),
        ("incidents/7/alerts", 200),
    ] {
        assert_eq!(client.graph(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn an_incident_of_very_many_alerts_expands_alone_but_not_in_a_list() {
    let simulation = Simulation::scripted().await.unwrap();
    simulation
        .graph()
        .put_incident(json!({"id": "7", "lastUpdateDateTime": "2026-01-02T03:04:05Z"}));
    for n in 0..101 {
        simulation
            .graph()
            .put_alert(Row::raw(n.to_string(), "2026-01-02T03:04:05Z", "{}").of_incident("7"));
    }
    let client = Client::of_graph(&simulation).await;
    assert_eq!(client.graph("incidents?$expand=alerts").await.status, 500);
    assert_eq!(client.graph("incidents/7?$expand=alerts").await.status, 200);
}

#[tokio::test]
async fn a_newer_version_replaces_the_older_one_when_it_comes_into_sight() {
    let (simulation, client) = with_alerts(1).await;
    let newer = Row::from(alert("a0", 9)).visible_after(Duration::from_millis(300));
    simulation.graph().put_alert(newer);
    assert_eq!(
        client.graph("alerts_v2").await.column("lastUpdateDateTime"),
        ["2026-01-02T03:04:00.1234567Z"]
    );
    for _ in 0..100 {
        if client.graph("alerts_v2").await.column("lastUpdateDateTime")
            == ["2026-01-02T03:04:09.1234567Z"]
        {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the newer version never came");
}

#[tokio::test]
async fn tenants_see_their_own_rows_only() {
    let (simulation, mut client) = with_alerts(1).await;
    simulation
        .login()
        .add_tenant("11111111-0000-0000-0000-000000000001");
    simulation
        .graph()
        .for_tenant("11111111-0000-0000-0000-000000000001")
        .put_alert(alert("other", 1));
    assert_eq!(client.graph("alerts_v2").await.column("id"), ["a0"]);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_id", client.at.client_id.as_str()),
        ("client_secret", client.at.client_secret.as_str()),
        ("scope", "https://graph.microsoft.us/.default"),
    ];
    let got = client
        .post(
            "/11111111-0000-0000-0000-000000000001/oauth2/v2.0/token",
            &form,
        )
        .await
        .unwrap();
    client.token = got.json()["access_token"].as_str().unwrap().to_owned();
    assert_eq!(client.graph("alerts_v2").await.column("id"), ["other"]);
}
