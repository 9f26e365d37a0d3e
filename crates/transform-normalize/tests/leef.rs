//! What users of the crate rely on when they turn records into LEEF.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use proptest::prelude::*;
use serde_json::{Value, json};
use tapline_core::TransformConfig;
use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};

static MAPPINGS: LazyLock<Arc<Mappings>> = LazyLock::new(|| {
    let config = NormalizeConfig::new(To::Leef);
    Arc::new(Mappings::load(&config, Path::new(".")).expect("ours are right"))
});

fn line(record: &str) -> String {
    let meta = Recognizer::default().metadata(record.as_bytes(), None);
    let (line, _) = Normalizer::new(Arc::clone(&MAPPINGS))
        .event(&meta.expect("JSON"), record.as_bytes())
        .expect("fits");
    String::from_utf8(line.to_vec()).expect("text")
}

/// The event id and the keys of a line, by the rules of the format and nothing of ours.
fn read(line: &str) -> (String, BTreeMap<String, String>) {
    let parts: Vec<&str> = line.splitn(7, '|').collect();
    assert_eq!(
        parts[..4],
        ["LEEF:2.0", "Microsoft", "Defender XDR", "1.0"],
        "{line}"
    );
    assert_eq!((parts.len(), parts[5]), (7, "x09"), "{line}");
    let mut keys = BTreeMap::new();
    for pair in parts[6].split('\t').filter(|pair| !pair.is_empty()) {
        let (key, value) = pair
            .split_once('=')
            .unwrap_or_else(|| panic!("{pair:?} in {line:?}"));
        let before = keys.insert(key.to_owned(), value.to_owned());
        assert_eq!(before, None, "{key} stands twice in {line:?}");
    }
    (parts[4].to_owned(), keys)
}

fn streamed(table: &str, row: &Value) -> String {
    let category = format!("AdvancedHunting-{table}");
    json!({"time": "2026-05-01T09:55:00Z", "tenantId": "t1", "category": category, "properties": row}).to_string()
}

fn check(record: &str, event_id: &str, expected: &[(&str, &str)]) {
    let (found, keys) = read(&line(record));
    assert_eq!(found, event_id);
    for (key, value) in expected {
        let found = keys.get(*key).map(String::as_str);
        assert_eq!(
            found,
            Some(*value).filter(|value| !value.is_empty()),
            "{key} in {keys:?}"
        );
    }
}

#[test]
fn an_alert_says_when_who_and_where() {
    let alert = json!({
        "id": "da1_1", "title": "a|b", "severity": "high", "serviceSource": "microsoftDefenderForEndpoint", "category": "Execution",
        "createdDateTime": "2026-03-04T05:06:07.1234567Z", "status": "inProgress", "incidentId": "7", "tenantId": "t",
        "mitreTechniques": ["T1059", "T1003"], "alertWebUrl": "https://x.example/a?b=c",
        "evidence": [
            {"@odata.type": "#microsoft.graph.security.ipEvidence", "ipAddress": "2001:db8::1"},
            {"@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": {"accountName": "u", "domainName": "d"}},
            {"@odata.type": "#microsoft.graph.security.deviceEvidence", "deviceDnsName": "pc1", "mdeDeviceId": "d1"},
        ],
    });
    let expected = [
        ("cat", "Execution"),
        ("sev", "8"),
        ("devTime", "Mar 04 2026 05:06:07.123 GMT"),
        ("devTimeFormat", "MMM dd yyyy HH:mm:ss.SSS z"),
        ("dst", "2001:db8::1"),
        ("src", ""),
        ("usrName", "u"),
        ("domain", "d"),
        ("identHostName", "pc1"),
        ("resource", "d1"),
        ("alertId", "da1_1"),
        ("incidentId", "7"),
        ("title", "a|b"),
        ("alertUrl", "https://x.example/a?b=c"),
        ("action", "Update"),
        ("techniques", "T1059,T1003"),
        ("tenantId", "t"),
    ];
    check(
        &alert.to_string(),
        "microsoftDefenderForEndpoint:Execution",
        &expected,
    );
}

#[test]
fn rows_of_all_tables_use_the_same_keys() {
    let row = json!({"Timestamp": "2026-05-01T09:53:10.7654321Z", "ActionType": "ConnectionSuccess", "DeviceName": "pc1", "DeviceId": "d1",
        "LocalIP": "10.0.0.1", "LocalPort": 70000, "RemoteIP": "192.0.2.1", "RemotePort": 443, "Protocol": "TcpV4", "ReportId": 639199803770463703_i64,
        "InitiatingProcessAccountName": "u", "InitiatingProcessFileName": "a.exe", "InitiatingProcessId": 7});
    let expected = [
        ("cat", "DeviceNetworkEvents"),
        ("sev", "1"),
        ("devTime", "May 01 2026 09:53:10.765 GMT"),
        ("src", "10.0.0.1"),
        ("srcPort", ""),
        ("dst", "192.0.2.1"),
        ("dstPort", "443"),
        ("proto", "TCP"),
        ("usrName", "u"),
        ("processName", "a.exe"),
        ("processId", "7"),
        ("reportId", "639199803770463703"),
        ("outcome", "success"),
        ("tenantId", "t1"),
    ];
    check(
        &streamed("DeviceNetworkEvents", &row),
        "DeviceNetworkEvents:ConnectionSuccess",
        &expected,
    );
    let row = json!({"ActionType": "LogonFailed", "AccountName": "v", "InitiatingProcessAccountName": "system", "RemoteIP": "192.0.2.1"});
    let expected = [
        ("usrName", "v"),
        ("src", "192.0.2.1"),
        ("outcome", "failure"),
    ];
    check(
        &streamed("DeviceLogonEvents", &row),
        "DeviceLogonEvents:LogonFailed",
        &expected,
    );
    let row =
        json!({"AlertId": "da1", "Severity": "Medium", "Category": "Impact", "ServiceSource": "S"});
    check(
        &streamed("AlertInfo", &row),
        "S:Impact",
        &[("cat", "Impact"), ("sev", "5"), ("alertId", "da1")],
    );
    check(
        &streamed("BrandNew|Events", &json!({"ReportId": 7})),
        "BrandNew/Events",
        &[("cat", "BrandNew|Events"), ("reportId", "7")],
    );
}

#[test]
fn incidents_and_legacy_detections_have_their_own_lines() {
    let incident = json!({"id": "9", "displayName": "I", "incidentWebUrl": "https://x.example", "severity": "low", "customTags": ["a", "b"]});
    check(
        &incident.to_string(),
        "incident",
        &[
            ("incidentId", "9"),
            ("sev", "3"),
            ("tags", "a,b"),
            ("url", "https://x.example"),
        ],
    );
    let detection = json!({"AlertId": "da2", "AlertTitle": "T", "AlertTime": "2026-01-02T03:04:05Z", "IpAddress": "192.0.2.7", "Category": "Malware"});
    check(
        &detection.to_string(),
        "Malware",
        &[("alertId", "da2"), ("src", "192.0.2.7"), ("sev", "1")],
    );
}

#[test]
fn a_line_too_long_loses_whole_keys_and_never_its_identity() {
    let config = NormalizeConfig {
        max_bytes: Some(700),
        ..NormalizeConfig::new(To::Leef)
    };
    let mappings = Mappings::load(&config, Path::new(".")).expect("ours are right");
    let record = streamed(
        "DeviceProcessEvents",
        &json!({"ProcessCommandLine": "x".repeat(300), "FileName": "y".repeat(300), "ReportId": 7}),
    );
    let meta = Recognizer::default()
        .metadata(record.as_bytes(), None)
        .expect("JSON");
    let (line, _) = Normalizer::new(Arc::new(mappings))
        .event(&meta, record.as_bytes())
        .expect("fits");
    let line = std::str::from_utf8(&line).expect("text");
    let (_, keys) = read(line);
    assert!(
        line.len() <= 700 && keys["truncated"] == "1" && keys["reportId"] == "7",
        "{line}"
    );
    assert!(
        !keys.contains_key("cmdLine") && keys.contains_key("fileName"),
        "{line}"
    );
}

#[test]
fn wrong_settings_and_wrong_keys_are_refused_by_name() {
    let config = NormalizeConfig {
        cef_version: 1,
        max_bytes: Some(10),
        ..NormalizeConfig::new(To::Leef)
    };
    let paths: Vec<String> = config
        .problems()
        .into_iter()
        .map(|problem| problem.path)
        .collect();
    assert_eq!(paths, ["max_bytes", "cef_version"]);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir_all(folder.path().join("leef/graph")).expect("made");
    let refused = |rule: &str| {
        let text =
            format!("product: P\nversion: 1\nheader: {{ event_id: id }}\nkeys:\n  - {rule}\n");
        std::fs::write(folder.path().join("leef/graph/alert.yaml"), text).expect("written");
        let config = NormalizeConfig {
            mappings: Some(folder.path().to_owned()),
            ..NormalizeConfig::new(To::Leef)
        };
        let loaded = Mappings::load(&config, Path::new("."));
        loaded.map(|_| ()).map_err(|error| error.to_string())
    };
    for (rule, expected) in [
        ("{ usrname: id }", "did you mean `usrName`"),
        ("{ isLoginEvent: true }", "not for mappings to write"),
        ("{ \"alert id\": id }", "no word"),
        ("{ sev: { table: { high: 11 }, from: s } }", "11"),
        ("{ src: { const: here } }", "an IP address"),
        ("{ alertId: id, label: Id }", "expected one key"),
    ] {
        let told = refused(rule).expect_err(rule);
        assert!(
            told.contains("leef/graph/alert.yaml:5:") && told.contains(expected),
            "{told}"
        );
    }
    assert_eq!(refused("{ alertId: id }"), Ok(()));
}

fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("|".to_owned()),
        Just("=".to_owned()),
        Just("\t".to_owned()),
        Just("\tsev=10".to_owned()),
        Just("\r\n".to_owned()),
        Just("|x09|cat=forged".to_owned()),
        Just("\\".to_owned()),
        "[\\x00-\\x7f]{0,6}",
        "\\PC{0,6}",
        "[a-z ]{0,40}",
    ];
    prop::collection::vec(pieces, 0..8).prop_map(|pieces| pieces.concat())
}

fn promised(text: &str) -> String {
    let blank = |c: char| if c.is_ascii_control() { ' ' } else { c };
    text.chars()
        .map(blank)
        .collect::<String>()
        .trim()
        .to_owned()
}

proptest! {
    #[test]
    fn a_reader_gets_every_field_back(texts in prop::array::uniform6(hostile()), action in hostile()) {
        const FIELDS: [(&str, &str); 6] = [("DeviceName", "identHostName"), ("FileName", "fileName"), ("FolderPath", "filePath"),
            ("ProcessCommandLine", "cmdLine"), ("AccountName", "usrName"), ("RegistryKey", "registryKey")];
        let mut row = serde_json::Map::new();
        row.insert("ActionType".into(), action.clone().into());
        for ((field, _), text) in FIELDS.iter().zip(&texts) {
            row.insert((*field).to_owned(), text.clone().into());
        }
        let line = line(&streamed("DeviceFileEvents", &row.into()));
        prop_assert!(!line.contains(|c: char| c.is_ascii_control() && c != '\t'), "{:?}", line);
        let (event_id, mut keys) = read(&line);
        let named = promised(&action).replace('|', "/");
        prop_assert!(event_id.starts_with("DeviceFileEvents") && event_id.ends_with(named.trim()), "{:?}", event_id);
        for ((_, key), text) in FIELDS.iter().zip(&texts) {
            prop_assert_eq!(keys.remove(*key).unwrap_or_default(), promised(text), "{}", key);
        }
        keys.retain(|key, _| !["cat", "sev", "devTime", "devTimeFormat", "action", "tenantId"].contains(&key.as_str()));
        prop_assert!(keys.is_empty(), "forged: {:?}", keys);
    }
}
