//! What becomes of rows of advanced hunting as CEF.

use std::path::Path;
use std::sync::Arc;

use tapline_core::Kind;
use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};

fn line(body: &str, kind: Option<&str>) -> String {
    let mappings = Mappings::load(&NormalizeConfig::new(To::Cef), Path::new("."));
    let mut normalizer = Normalizer::new(Arc::new(mappings.expect("ours are right")));
    let kind = kind.map(Kind::new);
    let meta = Recognizer::default().metadata(body.as_bytes(), kind.as_ref());
    let (line, _) = normalizer
        .event(&meta.expect("JSON"), body.as_bytes())
        .expect("fits");
    String::from_utf8(line.to_vec()).expect("text")
}

fn streamed(table: &str, row: &str) -> String {
    format!(
        r#"{{"time":"2026-05-01T09:55:00Z","tenantId":"t1","category":"AdvancedHunting-{table}","properties":{{{row}}}}}"#
    )
}

/// Each of the parts stands in the line, between blanks or at its end.
fn check(table: &str, row: &str, parts: &[&str]) {
    let line = line(&streamed(table, row), None) + " ";
    for part in parts {
        let found = line.contains(&format!(" {part} ")) || line.contains(&format!("|{part} "));
        assert!(found, "{part} in {line}");
    }
}

#[test]
fn the_header_names_table_and_action_and_the_row_brings_device_and_time() {
    let row = r#""Timestamp":"2026-05-01T09:53:10.7654321Z","ActionType":"FileCreated","DeviceId":"d1","DeviceName":"pc1","ReportId":639199803770463703"#;
    let expected = "CEF:0|Microsoft|Microsoft Defender XDR|1.0|DeviceFileEvents:FileCreated|FileCreated|1|rt=1777629190765 externalId=639199803770463703 cat=DeviceFileEvents act=FileCreated deviceExternalId=d1 dvchost=pc1 MicrosoftDefenderTenantId=t1";
    assert_eq!(line(&streamed("DeviceFileEvents", row), None), expected);
}

#[test]
fn a_bare_row_of_a_query_is_written_like_a_streamed_one() {
    let row = r#""Timestamp":"2026-05-01T09:53:10Z","AlertId":"da1","Title":"T","Category":"Execution","Severity":"High","ServiceSource":"S""#;
    let bare = line(&format!("{{{row}}}"), Some("hunting.AlertInfo"));
    let streamed = line(&streamed("AlertInfo", row), None);
    assert_eq!(
        Some(&*bare),
        streamed.strip_suffix(" MicrosoftDefenderTenantId=t1")
    );
    assert!(
        bare.contains("|S:Execution|T|8|externalId=da1 cat=Execution"),
        "{bare}"
    );
}

#[test]
fn a_table_that_nobody_knows_is_named_in_the_header() {
    check(
        "BrandNewEvents",
        r#""ActionType":"Done","ReportId":7,"DeviceName":"pc1""#,
        &[
            "Done|1|rt=1777629300000",
            "externalId=7",
            "cat=BrandNewEvents",
            "dvchost=pc1",
        ],
    );
}

#[test]
fn the_direction_of_a_connection_says_which_end_is_the_source() {
    let row = |action: &str| {
        format!(
            r#""ActionType":"{action}","LocalIP":"10.0.0.1","LocalPort":445,"RemoteIP":"2001:db8::1","RemotePort":50000,"RemoteUrl":"https://a.example/x","Protocol":"TcpV4""#
        )
    };
    check(
        "DeviceNetworkEvents",
        &row("ConnectionSuccess"),
        &[
            "src=10.0.0.1",
            "spt=445",
            "c6a3=2001:db8::1",
            "dpt=50000",
            "dhost=a.example",
            "deviceDirection=1",
            "proto=TCP",
            "outcome=success",
        ],
    );
    check(
        "DeviceNetworkEvents",
        &row("InboundConnectionBlocked"),
        &[
            "dst=10.0.0.1",
            "dpt=445",
            "c6a2=2001:db8::1",
            "spt=50000",
            "shost=a.example",
            "deviceDirection=0",
            "outcome=failure",
        ],
    );
    let by_sensor = row("Other") + r#","AdditionalFields":"{\"direction\":\"In\"}""#;
    check(
        "DeviceNetworkEvents",
        &by_sensor,
        &["dst=10.0.0.1", "deviceDirection=0"],
    );
}

#[test]
fn every_table_puts_what_it_is_about_into_the_keys_of_the_standard() {
    for (table, row, parts) in [
        (
            "DeviceProcessEvents",
            r#""FileName":"a.exe","ProcessId":7,"ProcessCommandLine":"a -b","FileSize":3000000000,"SHA1":"AA","InitiatingProcessFileName":"b.exe","InitiatingProcessId":8,"InitiatingProcessAccountName":"u""#,
            &[
                "dproc=a.exe",
                "dpid=7",
                "cs3=a -b",
                "cn3=3000000000",
                "fileHash=AA",
                "sproc=b.exe",
                "spid=8",
                "suser=u",
            ][..],
        ),
        (
            "DeviceRegistryEvents",
            r#""RegistryKey":"HKLM\\A","RegistryValueName":"n","RegistryValueData":"a=b","PreviousRegistryValueData":"c""#,
            &[r"filePath=HKLM\\A", "fname=n", r"cs3=a\=b", "cs5=c"],
        ),
        (
            "DeviceLogonEvents",
            r#""ActionType":"LogonFailed","AccountName":"u","AccountSid":"S-1","RemoteIP":"192.0.2.1","DeviceName":"pc1","Protocol":"NTLM","InitiatingProcessId":0"#,
            &[
                "duser=u",
                "duid=S-1",
                "src=192.0.2.1",
                "dhost=pc1",
                "app=NTLM",
                "outcome=failure",
            ],
        ),
        (
            "DeviceEvents",
            r#""ActionType":"FirewallInboundConnectionBlocked","AdditionalFields":"{\"a\":1}","LocalIP":"10.0.0.1","RemoteIP":"192.0.2.1""#,
            &[r#"cs3={"a":1}"#, "dst=10.0.0.1", "src=192.0.2.1"],
        ),
        (
            "DeviceNetworkInfo",
            r#""MacAddress":"000D3A9EC781","IPAddresses":"[{\"IPAddress\":\"10.0.0.1\"},{\"IPAddress\":\"fe80::1\"}]""#,
            &["smac=00:0D:3A:9E:C7:81", "dvc=10.0.0.1", "c6a1=fe80::1"],
        ),
        (
            "EmailEvents",
            r#""SenderFromAddress":"a@x.example","RecipientEmailAddress":"b@y.example","DeliveryAction":"Blocked","EmailDirection":"Outbound","Subject":"s","AuthenticationDetails":"{\"SPF\":\"pass\",\"DMARC\":\"none\"}""#,
            &[
                "suser=a@x.example",
                "duser=b@y.example",
                "act=Blocked",
                "outcome=failure",
                "deviceDirection=1",
                "cs1=s",
                r"cs6=SPF\=pass DMARC\=none",
            ],
        ),
        (
            "EmailPostDeliveryEvents",
            r#""Action":"Moved","ActionTrigger":"ZAP","ActionResult":"Success","NetworkMessageId":"n""#,
            &["act=Moved", "reason=ZAP", "outcome=Success", "cs3=n"],
        ),
        (
            "UrlClickEvents",
            r#""Url":"https://a.example/?q=1","AccountUpn":"u@x.example","IPAddress":"2001:db8::2","Workload":"Email""#,
            &[
                r"request=https://a.example/?q\=1",
                "suser=u@x.example",
                "c6a2=2001:db8::2",
                "sourceServiceName=Email",
            ],
        ),
        (
            "IdentityQueryEvents",
            r#""Query":"q","QueryTarget":"t","AccountUpn":"u","TargetAccountUpn":"v","IPAddress":"192.0.2.1","DestinationDeviceName":"dc1""#,
            &[
                "cs3=q",
                "cs2=t",
                "suser=u",
                "duser=v",
                "src=192.0.2.1",
                "dhost=dc1",
            ],
        ),
        (
            "CloudAppEvents",
            r#""AccountDisplayName":"n","AccountObjectId":"o","Application":"A","UserAgent":"U","CountryCode":"FR""#,
            &[
                "suser=n",
                "suid=o",
                "destinationServiceName=A",
                "requestClientApplication=U",
                "cs3=FR",
            ],
        ),
        (
            "AlertEvidence",
            r#""AlertId":"da1","Categories":"[\"Execution\",\"Impact\"]","EntityType":"Process","FileName":"a.exe","AdditionalFields":"{\"ProcessId\":77}","ServiceSource":"S""#,
            &[
                "externalId=da1",
                "cat=Execution,Impact",
                "sproc=a.exe",
                "spid=77",
                "cs4=Process",
                "deviceFacility=S",
            ],
        ),
    ] {
        check(table, row, parts);
    }
}
