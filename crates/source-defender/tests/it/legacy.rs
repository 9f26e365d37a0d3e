//! The legacy SIEM API: windows in place of pages.

use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::{Value, json};
use tapline_simulators::{Fault, Row};
use tapline_testkit::eventually;

use crate::rig::{Rig, ago};

fn detection(number: u64, age_millis: u64) -> Value {
    let time = ago(age_millis);
    json!({"AlertTime": time, "AlertTitle": "Synthetic", "Severity": "High", "AlertId": format!("da{number}_-1"),
        "FullId": format!("da{number}_-1:AAAA"), "LastProcessedTimeUtc": time, "ComputerDnsName": "pc7.corp.example",
        "RemediationIsSuccess": null, "IoaDefinitionId": "x"})
}

fn put(rig: &Rig, count: u64) -> BTreeSet<String> {
    for number in 0..count {
        rig.siem().put(detection(number, 3000 + number * 60_000));
    }
    (0..count)
        .map(|number| format!("da{number}_-1:AAAA"))
        .collect()
}

#[tokio::test]
async fn detections_are_read_in_windows_without_a_limit() {
    let rig = Rig::scripted().await;
    let ids = put(&rig, 500);
    let running = rig.run("siem", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    let mut since = Vec::new();
    for request in rig.siem().requests() {
        assert_eq!(request.query_value("limit"), None);
        assert!(request.query_value("untilTimeUtc").is_some());
        since.extend(request.query_value("sinceTimeUtc"));
    }
    assert!(since.len() > 4, "a day is more than one window");
    let events = rig.host.events();
    let meta = events[0].meta();
    assert_eq!(meta.kind.as_str(), "siem.detection");
    assert_eq!(meta.device.as_deref(), Some("pc7.corp.example"));
}

#[tokio::test]
async fn a_window_whose_answer_is_too_large_is_halved() {
    let rig = Rig::scripted().await;
    let ids = put(&rig, 50);
    rig.siem().fail_next(Fault::Body(Bytes::from_static(b"[]")));
    rig.siem()
        .fail_next(Fault::Body(vec![b' '; 17 << 20].into()));
    let running = rig.run("siem", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    assert_eq!(rig.metric(&["errors_total", "too_large"]), 1.0);
}

#[tokio::test]
async fn both_generations_of_detections_and_the_bare_object_are_read() {
    let rig = Rig::scripted().await;
    let time = ago(3000);
    let old = format!(
        r#"{{"AlertId":"636_-1","AlertTitle":"x","Actor":null,"IoaDefinitiondId":"y","FullId":"636_-1:B","LastProcessedTimeUtc":"{time}"}}"#
    );
    rig.siem().put(Row::raw("636_-1:B", time, old.clone()));
    let bare = br#" {"AlertId":"bare_1","AlertTitle":"x","FullId":null} "#;
    rig.siem().fail_next(Fault::Body(Bytes::from_static(b"[]")));
    rig.siem().fail_next(Fault::Body(Bytes::from_static(bare)));
    let running = rig.run("siem", json!({}));
    let ids = ["636_-1:B", "bare_1"].map(str::to_owned).into();
    rig.expect_once(&ids).await;
    running.stop().await;
    let events = rig.host.events();
    let of = |id: &str| {
        events
            .iter()
            .find(|event| event.meta().id == id)
            .expect("arrived")
    };
    assert_eq!(of("636_-1:B").body(), old.as_bytes());
    assert_eq!(of("bare_1").body(), bare.trim_ascii());
    assert_eq!(of("bare_1").meta().version, "1");
}

#[tokio::test]
async fn a_service_that_was_switched_off_is_told_apart_from_an_outage() {
    for code in [404, 410] {
        let rig = Rig::scripted().await;
        rig.siem().fail_next(Fault::status(code));
        let running = rig.run("siem", json!({}));
        let counted = || rig.metric(&["errors_total", "switched_off"]) >= 1.0;
        eventually("the reason is counted", counted).await;
        running.stop().await;
    }
    let rig = Rig::scripted().await;
    let login = rig.simulation.announcement().login;
    let endpoints = json!({"login": login, "siem": "https://no-such-host.invalid"});
    let running = rig.run("siem", json!({"endpoints": endpoints}));
    let counted = || rig.metric(&["errors_total", "switched_off"]) >= 1.0;
    eventually("an unknown host counts as switched off", counted).await;
    running.stop().await;
}

#[tokio::test]
async fn tokens_are_asked_for_the_resource_that_is_configured() {
    let rig = Rig::scripted().await;
    let ids = put(&rig, 1);
    let resource = "https://WDATPAlertExport.Seville.onmicrosoft.com";
    let running = rig.run("siem", json!({"resource": resource}));
    rig.expect_once(&ids).await;
    running.stop().await;
    let asked = rig.simulation.login().token_requests();
    assert_eq!(asked[0].form_value("resource").as_deref(), Some(resource));
}
