//! The Elastic Common Schema as users see it: whole events, and mapping files that are refused.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};

fn event(record: &Value) -> Value {
    let record = record.to_string();
    let mappings = Mappings::load(&NormalizeConfig::new(To::Ecs), Path::new("."));
    let mut normalizer = Normalizer::new(Arc::new(mappings.expect("ours are right")));
    let meta = Recognizer::default().metadata(record.as_bytes(), None);
    let mut out = Vec::new();
    let meta = meta.expect("it is JSON");
    normalizer
        .normalize(&meta, record.as_bytes(), &mut out)
        .expect("it is JSON");
    assert_eq!(normalizer.schema(), "ecs/8.11");
    serde_json::from_slice(&out).expect("it is JSON")
}

#[test]
fn an_alert_says_what_ecs_has_places_for_and_keeps_the_rest() {
    let made = event(&json!({
        "id": "da1_1", "title": "Tool seen", "severity": "high", "alertWebUrl": "https://x.example",
        "tenantId": "t", "category": "Execution", "mitreTechniques": ["T1059.001", "T1003"],
        "lastUpdateDateTime": "2026-03-04T05:06:07.1234567Z", "status": "new",
        "evidence": [
            {"@odata.type": "#microsoft.graph.security.processEvidence", "processId": 12,
             "processCommandLine": "a -b", "imageFile": {"fileName": "a.exe", "filePath": "C:\\x"}},
            {"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "192.0.2.1",
             "roles": ["attacker"]},
        ],
    }));
    for (pointer, expected) in [
        ("/ecs/version", json!("8.11.0")),
        ("/@timestamp", json!("2026-03-04T05:06:07.1234567Z")),
        ("/event/kind", json!("alert")),
        ("/event/severity", json!(73)),
        ("/event/category", json!(["network", "process"])),
        ("/log/level", json!("high")),
        ("/rule/name", json!("Tool seen")),
        ("/threat/tactic/name", json!(["Execution"])),
        ("/threat/technique/id", json!(["T1059", "T1003"])),
        ("/threat/technique/subtechnique/id", json!(["T1059.001"])),
        ("/process/executable", json!("C:\\x\\a.exe")),
        ("/process/pid", json!(12)),
        ("/source/ip", json!("192.0.2.1")),
        ("/cloud/account/id", json!("t")),
        ("/microsoft/defender/status", json!("new")),
        ("/microsoft/defender/evidence/1/roles", json!(["attacker"])),
    ] {
        assert_eq!(
            made.pointer(pointer),
            Some(&expected),
            "{pointer} of {made:#}"
        );
    }
}

#[test]
fn whoever_began_a_connection_is_its_source() {
    let row = |action: &str| {
        event(&json!({
            "category": "AdvancedHunting-DeviceNetworkEvents", "tenantId": "t",
            "properties": {
                "Timestamp": "2026-03-04 05:06:07", "ActionType": action, "DeviceName": "pc.corp",
                "LocalIP": "192.0.2.1", "LocalPort": 5000, "RemoteIP": "198.51.100.7", "RemotePort": 443,
                "RemoteUrl": "https://host.example/a", "Protocol": "Tcp",
            },
        }))
    };
    let out = row("ConnectionSuccess");
    assert_eq!(out["@timestamp"], "2026-03-04T05:06:07Z");
    assert_eq!(out["event"]["type"], json!(["end"]));
    assert_eq!(out["source"]["ip"], "192.0.2.1");
    assert_eq!(out["destination"]["domain"], "host.example");
    assert_eq!(out["network"]["direction"], "egress");
    let inbound = row("InboundConnectionAccepted");
    assert_eq!(inbound["source"]["ip"], "198.51.100.7");
    assert_eq!(inbound["destination"]["port"], 5000);
    assert_eq!(inbound["event"]["type"], json!(["allowed"]));
}

#[test]
fn any_json_becomes_an_event() {
    for record in [
        json!({}),
        json!({"a": [1, {"b": null}], "Timestamp": 5}),
        json!([1]),
    ] {
        let made = event(&record);
        assert!(made["@timestamp"].is_string(), "{made}");
        assert_eq!(made["event"]["kind"], "event");
    }
}

#[test]
fn a_mapping_that_ecs_has_no_place_for_is_refused_with_its_line() {
    let start = "event:\n  \"@timestamp\": createdDateTime\n";
    for (lines, line, words) in [
        ("  proces: { pid: p }\n", 3, "did you mean \"process\""),
        ("  event: { kind: { const: party } }\n", 3, "alert, asset"),
        ("  event: { kind: status }\n", 3, "const: word"),
        ("  host: { ip: [{ const: here }] }\n", 3, "does not fit"),
        ("  user: name\n", 3, "expected the attributes of user"),
    ] {
        let told = refused(&format!("{start}{lines}"));
        let at = format!("ecs/graph/alert.yaml:{line}:");
        assert!(told.contains(&at) && told.contains(words), "{told}");
    }
    assert!(refused("class: event\nevent: {}\n").contains("no classes"));
    assert!(refused("event: { message: title }\n").contains("\"@timestamp\" is missing"));
}

/// What is said of a mapping file of the user's.
fn refused(text: &str) -> String {
    let folder = tempfile::tempdir().expect("temporary folder");
    std::fs::create_dir_all(folder.path().join("ecs/graph")).expect("made");
    std::fs::write(folder.path().join("ecs/graph/alert.yaml"), text).expect("written");
    let config = NormalizeConfig {
        mappings: Some(folder.path().to_owned()),
        ..NormalizeConfig::new(To::Ecs)
    };
    Mappings::load(&config, Path::new("."))
        .expect_err("wrong")
        .to_string()
}
