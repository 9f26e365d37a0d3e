use serde_json::{Value, json};
use tapline_core::Kind;
use tapline_transform_normalize::{NormalizeConfig, Recognizer, To};

/// A row in the envelope of the stream.
fn streamed(table: &str, row: &str) -> String {
    format!(
        r#"{{"time":"2026-05-01T09:55:00.1234567Z","tenantId":"t1","operationName":"Publish","category":"AdvancedHunting-{table}","properties":{{{row}}},"Tenant":"DefaultTenant"}}"#
    )
}

fn check(event: &Value, expected: &[(&str, Value)]) {
    for (pointer, value) in expected {
        let found = event.pointer(pointer).cloned().unwrap_or_default();
        assert_eq!(found, *value, "{pointer} in {event:#}");
    }
}

const REGISTRY: &str = r#""Timestamp":"2026-05-01T09:53:10.7654321Z","DeviceId":"d1","DeviceName":"pc1.corp","ActionType":"RegistryValueSet","RegistryKey":"HKLM\\A","RegistryValueType":"Dword","RegistryValueName":"Enabled","RegistryValueData":"1","InitiatingProcessId":4242,"InitiatingProcessFileName":"setup.exe","InitiatingProcessFolderPath":"c:\\tmp\\setup.exe","InitiatingProcessTokenElevation":"TokenElevationTypeFull","ReportId":639199803770463703,"AppGuardContainerId":"""#;

#[test]
fn a_streamed_row_gets_its_class_and_its_envelope_the_metadata() {
    let event = crate::ocsf(&streamed("DeviceRegistryEvents", REGISTRY));
    check(
        &event,
        &[
            ("/type_uid", json!(20_100_202)),
            ("/metadata/logged_time", json!(1_777_629_300_123_i64)),
            ("/metadata/log_name", json!("DeviceRegistryEvents")),
            ("/metadata/tenant_uid", json!("t1")),
            (
                "/metadata/original_event_uid",
                json!("d1:639199803770463703"),
            ),
            (
                "/metadata/original_time",
                json!("2026-05-01T09:53:10.7654321Z"),
            ),
            ("/time", json!(1_777_629_190_765_i64)),
            ("/reg_value/reg_integer_data", json!(1)),
            ("/reg_value/type", json!("REG_DWORD")),
            ("/actor/process/file/parent_folder", json!("c:\\tmp")),
            (
                "/unmapped",
                json!({"InitiatingProcessTokenElevation":"TokenElevationTypeFull"}),
            ),
        ],
    );
}

#[test]
fn a_bare_row_of_a_query_is_read_like_a_streamed_one() {
    let row = format!("{{{REGISTRY}}}");
    let kind = Kind::new("hunting.DeviceRegistryEvents");
    let meta = Recognizer::default().metadata(row.as_bytes(), Some(&kind));
    let mut out = Vec::new();
    crate::normalizer(&NormalizeConfig::new(To::Ocsf))
        .normalize(&meta.expect("JSON"), row.as_bytes(), &mut out)
        .expect("JSON");
    let bare: Value = serde_json::from_slice(&out).expect("JSON");
    let mut streamed = crate::ocsf(&streamed("DeviceRegistryEvents", REGISTRY));
    for pointer in ["reg_value", "actor", "device", "type_uid", "unmapped"] {
        assert_eq!(bare[pointer], streamed[pointer].take(), "{pointer}");
    }
}

#[test]
fn json_in_text_is_told_as_json_and_what_was_taken_from_it_is_not_repeated() {
    let row = r#""DeviceId":"d1","ActionType":"PowerShellCommand","InitiatingProcessId":7,"AdditionalFields":"{\"Command\":\"say \\\"hi\\\"\",\"rest\":[1,{\"b\":639199803770463703}]}""#;
    check(
        &crate::ocsf(&streamed("DeviceEvents", row)),
        &[
            ("/class_uid", json!(1009)),
            ("/script/script_content/value", json!("say \"hi\"")),
            (
                "/unmapped/AdditionalFields",
                json!({"rest":[1,{"b":639_199_803_770_463_703_i64}]}),
            ),
        ],
    );
}

#[test]
fn text_that_is_not_json_stays_text() {
    let row = r#""DeviceId":"d1","ActionType":"New","AdditionalFields":"{\"broken\":""#;
    check(
        &crate::ocsf(&streamed("DeviceEvents", row)),
        &[
            ("/class_uid", json!(0)),
            ("/activity_name", json!("New")),
            ("/device/uid", json!("d1")),
            ("/unmapped/AdditionalFields", json!("{\"broken\":")),
        ],
    );
}

#[test]
fn an_unknown_table_keeps_all_of_its_columns() {
    check(
        &crate::ocsf(&streamed(
            "BrandNewEvents",
            r#""ActionType":"Done","New":{"a":[1]}"#,
        )),
        &[
            ("/class_uid", json!(0)),
            ("/metadata/log_name", json!("BrandNewEvents")),
            ("/activity_name", json!("Done")),
            ("/unmapped", json!({"New":{"a":[1]}})),
        ],
    );
}

#[test]
fn a_name_that_envelope_and_row_share_is_told_of_both() {
    let record =
        r#"{"category":"AdvancedHunting-New","properties":{"a":1,"same":2},"same":3,"b":4}"#;
    check(
        &crate::ocsf(record),
        &[("/unmapped", json!({"a":1,"same":2,"envelope.same":3,"b":4}))],
    );
}

#[test]
fn the_direction_of_a_connection_says_which_end_is_the_source() {
    let row = |action: &str| {
        format!(
            r#""DeviceId":"d1","ActionType":"{action}","LocalIP":"10.0.0.1","LocalPort":445,"RemoteIP":"::ffff:192.0.2.1","RemotePort":50000,"RemoteIPType":"Public","Protocol":"TcpV4","InitiatingProcessId":0"#
        )
    };
    for (action, activity, source, direction) in [
        ("ConnectionSuccess", 1, json!("10.0.0.1"), 2),
        ("InboundConnectionAccepted", 1, json!("192.0.2.1"), 1),
        ("ListeningConnectionCreated", 7, Value::Null, 4),
    ] {
        check(
            &crate::ocsf(&streamed("DeviceNetworkEvents", &row(action))),
            &[
                ("/activity_id", json!(activity)),
                ("/src_endpoint/ip", source),
                ("/connection_info/direction_id", json!(direction)),
                ("/connection_info/protocol_name", json!("tcp")),
                ("/actor/app_name", json!("Microsoft Defender for Endpoint")),
            ],
        );
    }
}

#[test]
fn a_part_of_an_alert_is_one_piece_of_evidence_with_the_rest_as_data() {
    let row = r#""AlertId":"da1","EntityType":"Process","EvidenceRole":"Related","FileName":"a.exe","FolderPath":"C:\\x","ProcessCommandLine":"a -b","AccountName":"u","DeviceId":"d1","AttackTechniques":"[\"Hidden Files (T1564.001)\"]","Categories":"[\"Execution\"]","AdditionalFields":"{\"ProcessId\":77,\"LastVerdict\":\"Suspicious\",\"x\":1}""#;
    check(
        &crate::ocsf(&streamed("AlertEvidence", row)),
        &[
            ("/metadata/correlation_uid", json!("da1")),
            ("/evidences/0/process/pid", json!(77)),
            ("/evidences/0/process/file/path", json!("C:\\x\\a.exe")),
            ("/evidences/0/verdict_id", json!(4)),
            (
                "/evidences/0/data",
                json!({"EvidenceRole":"Related","AdditionalFields":{"x":1}}),
            ),
            ("/attacks/0/tactic/uid", json!("TA0002")),
            ("/finding_info/types", json!(["Execution"])),
            ("/unmapped", Value::Null),
        ],
    );
}

#[test]
fn a_change_of_a_group_names_the_group_and_whether_somebody_came_or_went() {
    let check_change = |direction: &str, activity: i64| {
        let row = format!(
            r#""ActionType":"Group Membership changed","AccountUpn":"a@corp","TargetAccountUpn":"b@corp","AdditionalFields":{{"{direction}.GROUP":"Domain Admins","ARG.TASK":"none"}}"#
        );
        let event = crate::ocsf(&streamed("IdentityDirectoryEvents", &row));
        let expected = [
            ("/class_uid", json!(3006)),
            ("/activity_id", json!(activity)),
            ("/group/name", json!("Domain Admins")),
            ("/user/email_addr", json!("b@corp")),
            ("/unmapped/AdditionalFields", json!({"ARG.TASK":"none"})),
        ];
        check(&event, &expected);
    };
    check_change("TO", 3);
    check_change("FROM", 4);
}

#[test]
fn what_was_done_on_a_controller_is_no_change_of_an_account() {
    for action in [
        "Service creation",
        "Task scheduling",
        "PowerShell execution",
    ] {
        let row = format!(
            r#""ActionType":"{action}","AccountUpn":"a@corp","TargetAccountUpn":"b@corp","TargetDeviceName":"dc1""#
        );
        let event = crate::ocsf(&streamed("IdentityDirectoryEvents", &row));
        check(
            &event,
            &[("/class_uid", json!(0)), ("/activity_name", json!(action))],
        );
    }
}

#[test]
fn a_device_that_was_allowed_is_told_from_one_that_was_blocked() {
    for (action, id) in [("PnpDeviceAllowed", 1), ("PnpDeviceBlocked", 2)] {
        let row = format!(
            r#""ActionType":"{action}","DeviceId":"d1","DeviceName":"pc1","AdditionalFields":"{{\"ClassName\":\"Printer\",\"DeviceId\":\"usb1\"}}""#
        );
        let event = crate::ocsf(&streamed("DeviceEvents", &row));
        let expected = [
            ("/class_uid", json!(1010)),
            ("/action_id", json!(id)),
            ("/disposition_id", json!(id)),
        ];
        check(&event, &expected);
    }
}
