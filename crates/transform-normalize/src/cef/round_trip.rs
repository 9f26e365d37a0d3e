//! Whatever stands in a record, a reader of CEF gets it back, and nothing else.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::tests::{mappings, write};
use super::{CefMappings, CefOptions};

static MAPPINGS: LazyLock<CefMappings> = LazyLock::new(|| mappings(&CefOptions::default()));

/// Fields of a legacy detection, the keys they go to, and their lengths.
const FIELDS: [(&str, &str, usize); 8] = [
    ("Category", "cat", 1023),
    ("MachineName", "shost", 1023),
    ("UserDomain", "sntdom", 255),
    ("ThreatName", "cs1", 4000),
    ("Url", "request", 1023),
    ("AlertId", "externalId", 40),
    ("Source", "sourceServiceName", 1023),
    ("Description", "msg", 1023),
];

/// Header fields and keys of a line, by the rules of the standard and nothing of ours.
fn read(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut header = vec![String::new()];
    let mut chars = line.chars();
    while header.len() < 8 {
        match chars.next().expect("seven pipes") {
            '\\' => header.last_mut().expect("not empty").extend(chars.next()),
            '|' => header.push(String::new()),
            other => header.last_mut().expect("not empty").push(other),
        }
    }
    header.pop();
    (header, read_extension(chars.as_str()))
}

fn read_extension(text: &str) -> BTreeMap<String, String> {
    let mut keys = BTreeMap::new();
    let (mut key, mut value) = (String::new(), String::new());
    let mut chars = text.chars();
    while let Some(next) = chars.next() {
        match next {
            '\\' => value.push(match chars.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            }),
            '=' => {
                let (before, next_key) = value.rsplit_once(' ').unwrap_or(("", &value));
                let (before, next_key) = (before.to_owned(), next_key.to_owned());
                keys.insert(std::mem::replace(&mut key, next_key), before);
                value.clear();
            }
            other => value.push(other),
        }
    }
    keys.insert(key, value);
    keys.remove("");
    keys
}

/// What is promised of a text: one blank per control character but line ends, trimmed, cut.
fn promised(text: &str, max_bytes: usize) -> String {
    let blank = |c: char| {
        if c.is_ascii_control() && !"\r\n".contains(c) {
            ' '
        } else {
            c
        }
    };
    let text: String = text.chars().map(blank).collect();
    let text = text.trim();
    text[..text.floor_char_boundary(max_bytes)]
        .trim_end()
        .to_owned()
}

fn hostile() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        Just("|".to_owned()),
        Just("=".to_owned()),
        Just("\\".to_owned()),
        Just(" cs1=x".to_owned()),
        Just("\r\n".to_owned()),
        Just("|8|act=y".to_owned()),
        Just("9007199254740993".to_owned()),
        "[\\x00-\\x7f]{0,6}",
        "\\PC{0,6}",
        "[a-z ]{0,60}",
    ];
    prop::collection::vec(pieces, 0..12).prop_map(|pieces| pieces.concat())
}

/// Any JSON, with the texts that a mapping looks at among the others.
fn any_json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<u64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        hostile().prop_map(Into::into),
        prop::sample::select(vec!["new", "2026-01-02T03:04:05Z", "::1", "192.0.2.1", "T1059", "1e400"]).prop_map(Into::into),
        prop::sample::select(vec!["file", "process", "ip", "device", "user", "url", "networkConnection"])
            .prop_map(|kind| serde_json::json!({"@odata.type": format!("#microsoft.graph.security.{kind}Evidence")})),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        let name = prop::sample::select(vec![
            "@odata.type",
            "roles",
            "ipAddress",
            "fileDetails",
            "fileSize",
            "fileName",
            "userAccount",
            "accountName",
            "processId",
            "imageFile",
            "lastIpAddress",
            "ipInterfaces",
            "url",
            "x",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(name, inner, 0..6).prop_map(|members| {
                members
                    .into_iter()
                    .map(|(name, value)| (name.to_owned(), value))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            }),
        ]
    })
}

proptest! {
    #[test]
    fn a_record_of_any_shape_becomes_one_line_within_the_limit(values in prop::collection::vec(any_json(), 12)) {
        let names = [
            "id", "title", "severity", "status", "createdDateTime", "evidence", "mitreTechniques", "description", "incidentId",
            "detectorId", "alertWebUrl", "displayName",
        ];
        let record: serde_json::Map<_, _> = names.map(str::to_owned).into_iter().zip(values).collect();
        let record = serde_json::Value::from(record).to_string();
        for kind in ["graph.alert", "graph.incident", "hunting.unknown"] {
            let (line, _) = write(&MAPPINGS, kind, &record).expect("fits");
            prop_assert!(line.len() <= CefOptions::default().max_bytes);
            prop_assert!(!line.contains(|c: char| c.is_ascii_control()), "{line:?}");
            prop_assert_eq!(read(&line).0.len(), 7);
        }
    }

    #[test]
    fn a_reader_gets_every_field_back(texts in prop::array::uniform8(hostile()), title in hostile()) {
        let mut record = serde_json::Map::new();
        record.insert("AlertTitle".into(), title.clone().into());
        for ((field, _, _), text) in FIELDS.iter().zip(&texts) {
            record.insert((*field).to_owned(), text.clone().into());
        }
        let record = serde_json::Value::from(record).to_string();
        let kind = "siem.detection";
        let (line, _) = write(&MAPPINGS, kind, &record).expect("fits");
        prop_assert!(!line.contains(|c: char| c.is_ascii_control()), "{line:?}");
        let (header, mut keys) = read(&line);
        let name = promised(&title.replace(['\r', '\n'], " "), 512);
        prop_assert_eq!(&header[5], if name.is_empty() { kind } else { &name });
        for ((_, key, max_bytes), text) in FIELDS.iter().zip(&texts) {
            let expected = promised(text, *max_bytes);
            prop_assert_eq!(keys.remove(*key).unwrap_or_default(), expected, "{}", key);
        }
        keys.retain(|key, _| !["cs1Label", "MicrosoftDefenderAlertId"].contains(&key.as_str()));
        prop_assert!(keys.is_empty(), "forged: {keys:?}");
    }
}
