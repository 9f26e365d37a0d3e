use serde_json::json;

use crate::fixtures::{alert, evidence};
use crate::ocsf;

/// Checks what stands at paths of the event, as JSON pointers; `null` for nothing.
fn check(record: &str, expected: &[(&str, serde_json::Value)]) {
    let event = ocsf(record);
    for (pointer, value) in expected {
        let found = event.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found, *value, "{pointer} in {event:#}");
    }
}

#[test]
fn the_status_of_an_alert_decides_activity_time_and_whether_it_is_one() {
    for (status, activity, time, is_alert) in [
        ("new", 1, 1_772_600_767_123_i64, true),
        ("inProgress", 2, 1_772_604_367_123, true),
        ("Resolved", 3, 1_772_608_000_000, false),
        ("somethingNew", 1, 1_772_600_767_123, true),
    ] {
        let members = format!(r#""status":"{status}","resolvedDateTime":"2026-03-04T07:06:40Z""#);
        check(
            &alert(&members, ""),
            &[
                ("/activity_id", json!(activity)),
                ("/type_uid", json!(200_400 + activity)),
                ("/time", json!(time)),
                ("/is_alert", json!(is_alert)),
            ],
        );
    }
}

#[test]
fn a_device_stands_in_evidence_resources_and_at_the_top() {
    let first = evidence("deviceEvidence", r#""mdeDeviceId":"d1","hostName":"pc1""#);
    let main = evidence(
        "deviceEvidence",
        r#""mdeDeviceId":"d2","deviceDnsName":"pc2.corp","osPlatform":"Windows11","osBuild":22631,"detailedRoles":["PrimaryDevice"],"lastIpAddress":"::ffff:10.1.2.3","healthStatus":"active","ipInterfaces":["10.1.2.3","not an address"]"#,
    );
    check(
        &alert("", &format!("{first},{main}")),
        &[
            ("/device/uid", json!("d2")),
            (
                "/device/os",
                json!({"name":"Windows11","type_id":100,"type":"Windows","build":"22631"}),
            ),
            ("/evidences/0/device/hostname", json!("pc1")),
            ("/evidences/1/device/ip", json!("10.1.2.3")),
            (
                "/evidences/1/device/network_interfaces",
                json!([{"ip":"10.1.2.3"}]),
            ),
            ("/evidences/1/data/ipInterfaces", json!(["not an address"])),
            ("/evidences/1/data/healthStatus", json!("active")),
            (
                "/resources/1",
                json!({"uid":"d2","name":"pc2.corp","type":"device","role_id":3,"role":"Affected"}),
            ),
            ("/unmapped/evidence", json!(null)),
        ],
    );
}

#[test]
fn an_evidence_of_an_unknown_kind_keeps_its_data() {
    let new = evidence(
        "brandNewEvidence",
        r#""displayName":"x","big":123456789012345678901234567890"#,
    );
    let event = crate::event(
        &mut crate::normalizer(&tapline_transform_normalize::NormalizeConfig::new(
            tapline_transform_normalize::To::Ocsf,
        )),
        &alert("", &new),
    );
    assert!(
        event.contains(r#""big":123456789012345678901234567890"#),
        "{event}"
    );
    check(
        &alert("", &new),
        &[
            ("/evidences/0/name", json!("brandNewEvidence")),
            ("/evidences/0/data/displayName", json!("x")),
            ("/resources/0/name", json!("x")),
            ("/resources/0/type", json!("brandNew")),
        ],
    );
}

#[test]
fn words_that_nobody_knows_become_99_and_wrong_types_stay_as_they_came() {
    check(
        &alert(
            r#""severity":"dire","status":7,"classification":{"a":1},"title":["x"]"#,
            "",
        ),
        &[
            ("/severity_id", json!(99)),
            ("/severity", json!("dire")),
            ("/status", json!("7")),
            ("/unmapped/classification", json!({"a":1})),
            ("/unmapped/title", json!(["x"])),
        ],
    );
}

#[test]
fn a_record_without_what_its_class_must_have_becomes_a_base_event() {
    check(
        r#"{"id":null,"evidence":[],"title":"t"}"#,
        &[
            ("/class_uid", json!(0)),
            ("/activity_name", json!("hunting.unknown")),
        ],
    );
    check(
        r##"{"@odata.type":"#microsoft.graph.security.alert","title":"t"}"##,
        &[
            ("/class_uid", json!(0)),
            ("/activity_name", json!("graph.alert")),
            ("/message", json!("t")),
        ],
    );
}
