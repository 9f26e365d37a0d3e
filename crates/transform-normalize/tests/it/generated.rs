//! Records made by chance: in the shapes of Graph with everything wrong that can be, and any JSON.

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config, TestRng, TestRunner};
use serde_json::{Value, json};
use tapline_core::{Kind, Metadata};
use tapline_transform_normalize::{NormalizeConfig, Normalizer, Recognizer, To};

/// The 48 kinds of evidence of Graph v1.0 (August 2026), and one that nobody knows.
const EVIDENCE: [&str; 49] = [
    "userEvidence",
    "urlEvidence",
    "teamsMessageEvidence",
    "fileEvidence",
    "submissionMailEvidence",
    "servicePrincipalEvidence",
    "securityGroupEvidence",
    "sasTokenEvidence",
    "azureResourceEvidence",
    "registryValueEvidence",
    "registryKeyEvidence",
    "processEvidence",
    "oauthApplicationEvidence",
    "nicEvidence",
    "ipEvidence",
    "networkConnectionEvidence",
    "malwareEvidence",
    "mailClusterEvidence",
    "mailboxEvidence",
    "mailboxConfigurationEvidence",
    "kubernetesServiceEvidence",
    "kubernetesNamespaceEvidence",
    "kubernetesClusterEvidence",
    "kubernetesServiceAccountEvidence",
    "kubernetesSecretEvidence",
    "kubernetesPodEvidence",
    "containerEvidence",
    "containerImageEvidence",
    "containerRegistryEvidence",
    "kubernetesControllerEvidence",
    "ioTDeviceEvidence",
    "hostLogonSessionEvidence",
    "deviceEvidence",
    "googleCloudResourceEvidence",
    "gitHubUserEvidence",
    "gitHubRepoEvidence",
    "gitHubOrganizationEvidence",
    "fileHashEvidence",
    "dnsEvidence",
    "cloudLogonSessionEvidence",
    "cloudLogonRequestEvidence",
    "cloudApplicationEvidence",
    "blobEvidence",
    "blobContainerEvidence",
    "analyzedMessageEvidence",
    "amazonResourceEvidence",
    "aiAgentEvidence",
    "activeDirectoryDomainEvidence",
    "brandNewEvidence",
];

/// Names that mappings ask for, so that wrong types meet rules and not only the residue.
const MEMBERS: &[&str] = &[
    "verdict",
    "roles",
    "detailedRoles",
    "mdeDeviceId",
    "deviceDnsName",
    "hostName",
    "osPlatform",
    "osBuild",
    "ipInterfaces",
    "lastIpAddress",
    "rbacGroupName",
    "riskScore",
    "firstSeenDateTime",
    "userAccount",
    "processId",
    "processCommandLine",
    "imageFile",
    "parentProcessId",
    "parentProcessImageFile",
    "processCreationDateTime",
    "fileDetails",
    "ipAddress",
    "location",
    "countryLetterCode",
    "url",
    "domainName",
    "registryHive",
    "registryKey",
    "registryValue",
    "registryValueName",
    "p1Sender",
    "p2Sender",
    "recipientEmailAddress",
    "senderIp",
    "subject",
    "urls",
    "sender",
    "recipient",
    "recipients",
    "sourceAddress",
    "destinationAddress",
    "sourcePort",
    "destinationPort",
    "protocol",
    "displayName",
    "appId",
    "resourceId",
    "resourceName",
    "name",
    "primaryAddress",
    "upn",
    "tags",
    "accountName",
    "userSid",
    "azureAdUserId",
    "userPrincipalName",
    "fileName",
    "filePath",
    "sha1",
    "sha256",
    "md5",
    "fileSize",
    "emailAddress",
    "city",
    "latitude",
];

const TOP: &[&str] = &[
    "status",
    "severity",
    "classification",
    "determination",
    "serviceSource",
    "detectionSource",
    "productName",
    "detectorId",
    "tenantId",
    "description",
    "recommendedActions",
    "category",
    "categories",
    "assignedTo",
    "mitreTechniques",
    "createdDateTime",
    "lastUpdateDateTime",
    "resolvedDateTime",
    "firstActivityDateTime",
    "comments",
    "systemTags",
    "customTags",
    "providerAlertId",
    "incidentId",
    "threatDisplayName",
    "priorityScore",
    "customDetails",
    "investigationState",
    "summary",
    "alerts",
    "redirectIncidentId",
    "resolvingComment",
    "AlertTime",
    "Severity",
    "AlertTitle",
    "Category",
    "InternalIPv4List",
    "InternalIPv6List",
    "RemediationAction",
    "RemediationIsSuccess",
    "UserName",
    "FileName",
    "FilePath",
    "Sha1",
    "DeviceID",
    "MachineName",
    "IpAddress",
    "Url",
    "DeviceCreatedMachineTags",
    "LastProcessedTimeUtc",
    "LinkToMTP",
    "category",
    "properties",
    "time",
];

fn scalar() -> impl Strategy<Value = Value> {
    let words = prop::sample::select(vec![
        "",
        "new",
        "resolved",
        "inProgress",
        "high",
        "weird",
        "truePositive",
        "malicious",
        "10.0.0.1",
        "::ffff:10.0.0.1",
        "fe80::1",
        "2026-01-02T03:04:05.1234567Z",
        "0001-01-01T00:00:00Z",
        "C:\\Windows\\a.exe",
        "/usr/bin/",
        "a@b.example",
        "T1059.001",
        "Name (T1059)",
        "Execution",
        "destination",
        "PrimaryDevice",
        "Windows10",
        "x;y,z",
        "a\n|=\u{0}\u{7f}ä😀",
        "7",
        "true",
        "resolved ",
        "S-1-5-21-1",
        "AA11",
        "Other",
        "unknown",
    ]);
    prop_oneof![
        6 => words.prop_map(|word| json!(word)),
        1 => ".{0,12}".prop_map(Value::from),
        1 => any::<bool>().prop_map(Value::from),
        1 => any::<i64>().prop_map(Value::from),
        1 => (-5_i64..70_000).prop_map(Value::from),
        1 => any::<f64>().prop_map(|number| json!(number)),
        1 => Just(Value::Null),
    ]
}

fn value() -> impl Strategy<Value = Value> {
    scalar().prop_recursive(3, 24, 5, |inner| {
        let member = (prop::sample::select(MEMBERS), inner.clone());
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(member, 0..5).prop_map(object),
        ]
    })
}

fn object(members: Vec<(&'static str, Value)>) -> Value {
    Value::Object(
        members
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value))
            .collect(),
    )
}

fn evidence() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(EVIDENCE.to_vec());
    let members = prop::collection::vec((prop::sample::select(MEMBERS), value()), 0..8);
    (kind, members).prop_map(|(kind, members)| {
        let mut evidence = object(members);
        evidence["@odata.type"] = json!(format!("#microsoft.graph.security.{kind}"));
        evidence
    })
}

/// A record of one of the kinds, with whatever types its members happen to have.
fn record() -> impl Strategy<Value = Value> {
    let members = prop::collection::vec((prop::sample::select(TOP), value()), 0..14);
    let start = prop::sample::select(vec![
        json!({"id": "da1", "alertWebUrl": "https://x.example", "title": "t"}),
        json!({"id": "7", "displayName": "n", "incidentWebUrl": "https://x.example"}),
        json!({"AlertTitle": "t", "AlertId": "a", "FullId": "a:b"}),
        json!({"something": "else"}),
    ]);
    (start, members, prop::collection::vec(evidence(), 0..4)).prop_map(
        |(start, members, evidence)| {
            let mut record = object(members);
            for (name, value) in start.as_object().into_iter().flatten() {
                record[name.as_str()] = value.clone();
            }
            record["evidence"] = Value::from(evidence);
            record
        },
    )
}

/// All texts and numbers below a value.
fn leaves(value: &Value, all: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|one| leaves(one, all)),
        Value::Object(members) => members.values().for_each(|one| leaves(one, all)),
        Value::String(text) if !text.is_empty() => all.push(text.clone()),
        Value::Number(number) => all.push(number.to_string()),
        _ => {}
    }
}

fn runner(cases: u32) -> TestRunner {
    let config = Config {
        cases,
        failure_persistence: None,
        ..Config::default()
    };
    let rng = TestRng::deterministic_rng(config.rng_algorithm);
    TestRunner::new_with_rng(config, rng)
}

#[test]
fn records_with_everything_wrong_become_valid_events() {
    let mut normalizer = crate::normalizer(&NormalizeConfig::new(To::Ocsf));
    let mut runner = runner(1);
    let mut events = String::new();
    for kind in EVIDENCE {
        let record = crate::fixtures::alert("", &crate::fixtures::evidence(kind, ""));
        events.push_str(&crate::event(&mut normalizer, &record));
        events.push('\n');
    }
    for _ in 0..10_000 {
        let record = record().new_tree(&mut runner).expect("a record").current();
        let event = crate::event(&mut normalizer, &record.to_string());
        assert!(
            serde_json::from_str::<Value>(&event).is_ok() && !event.contains('\n'),
            "{event}"
        );
        events.push_str(&event);
        events.push('\n');
    }
    crate::samples::validate(&events);
}

#[test]
fn no_text_and_no_number_of_a_record_is_lost() {
    let mut normalizer = crate::normalizer(&NormalizeConfig::new(To::Ocsf));
    let mut runner = runner(1);
    for _ in 0..3_000 {
        let record = record().new_tree(&mut runner).expect("a record").current();
        let event = crate::event(&mut normalizer, &record.to_string());
        let mut wanted = Vec::new();
        leaves(&record, &mut wanted);
        let found: Value = serde_json::from_str(&event).expect("JSON");
        let mut all = Vec::new();
        leaves(&found, &mut all);
        let all = all.join("\u{1}").to_lowercase();
        for leaf in wanted {
            assert!(
                all.contains(&leaf.to_lowercase()) || is_said_otherwise(&leaf),
                "{leaf:?} of {record:#} is not in {found:#}"
            );
        }
    }
}

/// Values that stand in an event in another form: ids for words, milliseconds for times, and so on.
fn is_said_otherwise(leaf: &str) -> bool {
    const WORDS: &[&str] = &[
        "new",
        "resolved",
        "inProgress",
        "high",
        "truePositive",
        "malicious",
        "unknown",
        "::ffff:10.0.0.1",
        "T1059.001",
        "Name (T1059)",
        "x;y,z",
        "C:\\Windows\\a.exe",
        "/usr/bin/",
        "true",
        "#microsoft.graph.security.",
    ];
    let time = leaf.starts_with("2026-01-02T");
    time || WORDS.contains(&leaf)
        || leaf.starts_with("#microsoft.graph.security.")
        || leaf.parse::<f64>().is_ok()
}

proptest! {
    #![proptest_config(Config { cases: 2_000, failure_persistence: None, ..Config::default() })]

    #[test]
    fn any_bytes_are_an_event_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut normalizer = shared_normalizer();
        let meta = Metadata::new(Kind::new("graph.alert"), "t", "i", "1");
        let valid = serde_json::from_slice::<serde::de::IgnoredAny>(&bytes).is_ok();
        prop_assert_eq!(normalizer.event(&meta, &bytes).is_ok(), valid);
    }

    #[test]
    fn any_json_of_any_kind_becomes_json(value in value(), kind in prop::sample::select(vec!["graph.alert", "graph.incident", "siem.detection", "hunting.unknown", "hunting.DeviceEvents", "hunting.AlertEvidence", "hunting.DeviceInfo"])) {
        let body = value.to_string();
        let meta = Metadata::new(Kind::new(kind), "t", "i", "1");
        let (event, _) = shared_normalizer().event(&meta, body.as_bytes()).expect("it is JSON");
        let event: Value = serde_json::from_slice(&event).expect("JSON");
        prop_assert_eq!(&event["metadata"]["uid"], &json!(format!("t:{kind}:i:1")));
        prop_assert!(Recognizer::default().metadata(body.as_bytes(), None).is_ok());
    }
}

fn shared_normalizer() -> Normalizer {
    use std::sync::{Arc, LazyLock};
    static MAPPINGS: LazyLock<Arc<tapline_transform_normalize::Mappings>> = LazyLock::new(|| {
        let config = NormalizeConfig::new(To::Ocsf);
        Arc::new(
            tapline_transform_normalize::Mappings::load(&config, std::path::Path::new("."))
                .expect("ours"),
        )
    });
    Normalizer::new(Arc::clone(&MAPPINGS))
}
