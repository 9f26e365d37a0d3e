//! The mappings to CEF, on synthetic records.

use tapline_core::{Kind, Metadata};

use super::{CefMappings, CefOptions, CefWriter, Losses, TooLong};
use crate::engine::Scratch;
use crate::json::Tape;
use crate::mapping::Files;

/// The program's own mappings.
pub(super) fn mappings(options: &CefOptions) -> CefMappings {
    CefMappings::load(&Files::embedded(), options)
        .unwrap_or_else(|problems| panic!("{problems:#?}"))
}

/// What a record becomes.
pub(super) fn write(
    mappings: &CefMappings,
    kind: &str,
    record: &str,
) -> Result<(String, Losses), TooLong> {
    let plan = mappings.plan(kind);
    let meta = Metadata::new(Kind::new(kind), "unknown", "id", "1");
    let (mut tape, mut scratch) = (Tape::default(), Scratch::default());
    tape.read(record).expect("test records are JSON");
    let mut run = plan.run(record, &meta, &mut tape, &mut scratch);
    let mut writer = CefWriter::default();
    let line = writer.write(plan, &mut run)?;
    Ok((
        String::from_utf8(line.to_vec()).expect("text"),
        writer.losses(),
    ))
}

fn line(kind: &str, record: &str, options: &CefOptions) -> String {
    write(&mappings(options), kind, record).expect("fits").0
}

/// Checks that a record's line has (or lacks, with `!`) each of these parts.
fn check(kind: &str, record: &str, options: &CefOptions, parts: &[&str]) {
    let line = format!("{} ", line(kind, record, options));
    for part in parts {
        let (part, wanted) = match part.strip_prefix('!') {
            Some(part) => (part, false),
            None => (*part, true),
        };
        assert_eq!(line.contains(part), wanted, "{part} in {line}");
    }
}

fn alert(members: &str) -> String {
    format!(
        r#"{{"id":"da1_1","title":"T","serviceSource":"microsoftDefenderForIdentity","category":"Malware",{members}}}"#
    )
}

fn evidence(kind: &str, members: &str) -> String {
    format!(r##""evidence":[{{"@odata.type":"#microsoft.graph.security.{kind}",{members}}}]"##)
}

#[test]
fn every_mapping_loads_for_both_versions() {
    for (version_one, schema) in [(false, "cef/0"), (true, "cef/1")] {
        let options = CefOptions {
            version_one,
            ..CefOptions::default()
        };
        assert_eq!(mappings(&options).schema(), schema);
    }
}

#[test]
fn a_legacy_detection_stands_in_its_historic_positions() {
    let record = r#"{"AlertTime":"2025-03-04T10:11:12.1234567Z","ComputerDnsName":"pc7.corp.example",
        "AlertTitle":"Test|detection","Category":"Malware","Severity":"High","AlertId":"da638_-12345",
        "Actor":"GROUP","LinkToWDATP":"https://old.example/da638","Sha1":"aa01","Sha256":"aa02","Md5":"aa03",
        "FileName":"a.exe","FilePath":"C:\\t","IpAddress":"198.51.100.7","Url":"http://x.example/?a=b",
        "IoaDefinitiondId":"00000000-0000-0000-0000-000000000001","UserName":"liz","UserDomain":"CORP",
        "LogOnUsers":"CORP\\liz;CORP\\bob","ThreatName":"Eicar","ThreatFamily":"Test","RemediationAction":"Quarantine",
        "RemediationIsSuccess":true,"WasExecutingWhileDetected":false,"Source":"EDR","MachineDomain":"corp.example",
        "MachineName":"pc7","InternalIPv4List":"192.0.2.10, 192.0.2.11","InternalIPv6List":"fe80::1;fe80::2",
        "DeviceID":"00aa","Description":"one\ntwo","CommandLine":"a.exe /x","LinkToMTP":"https://new.example/da638",
        "LastProcessedTimeUtc":"2025-03-04T10:13:00.0000001Z"}"#;
    let expected = concat!(
        r"CEF:0|Microsoft|Microsoft Defender ATP|2.0|00000000-0000-0000-0000-000000000001|Test\|detection|8|",
        r"rt=1741083072123 externalId=da638_-12345 cat=Malware sourceServiceName=EDR act=Quarantine shost=pc7 ",
        r"sourceDnsDomain=corp.example dvchost=pc7.corp.example deviceExternalId=00aa dvc=192.0.2.10 ",
        r"c6a1Label=Device IPv6 Address c6a1=fe80::1 sntdom=CORP suser=liz suid=CORP\\liz;CORP\\bob fname=a.exe ",
        r"filePath=C:\\t fileHash=aa01 src=198.51.100.7 request=http://x.example/?a\=b cs1Label=ThreatName cs1=Eicar ",
        r"cs2Label=ThreatFamily cs2=Test cs3Label=CommandLine cs3=a.exe /x cs4Label=Actor cs4=GROUP cs5Label=Md5 cs5=aa03 ",
        r"cs6Label=Sha256 cs6=aa02 cn1Label=WasExecutingWhileDetected cn1=0 cn2Label=RemediationIsSuccess cn2=1 ",
        r"deviceCustomDate1Label=LastProcessedTimeUtc deviceCustomDate1=1741083180000 ",
        r"flexString1Label=LinkToWDATP flexString1=https://old.example/da638 ",
        r"flexString2Label=LinkToMTP flexString2=https://new.example/da638 msg=one\ntwo",
    );
    assert_eq!(
        line("siem.detection", record, &CefOptions::default()),
        expected
    );
}

#[test]
fn severities_of_both_generations_become_numbers() {
    let words = [
        ("High", 8),
        ("medium", 5),
        ("LOW", 3),
        ("Informational", 1),
        ("critical", 10),
        ("odd", 0),
    ];
    for (word, number) in words {
        let record = alert(&format!(r#""severity":"{word}""#));
        check(
            "graph.alert",
            &record,
            &CefOptions::default(),
            &[&format!("|T|{number}|")],
        );
    }
    check(
        "graph.alert",
        &alert(r#""severity":null"#),
        &CefOptions::default(),
        &["|T|0|"],
    );
    check(
        "graph.alert",
        &alert(r#""severity":["high"]"#),
        &CefOptions::default(),
        &["|T|0|"],
    );
}

#[test]
fn an_alert_without_detector_is_named_by_product_and_category() {
    let default = CefOptions::default();
    check(
        "graph.alert",
        &alert(r#""detectorId":"d-1""#),
        &default,
        &["|1.0|d-1|T|"],
    );
    check(
        "graph.alert",
        &alert(r#""detectorId":{}"#),
        &default,
        &["|1.0|microsoftDefenderForIdentity:Malware|T|"],
    );
    check(
        "graph.alert",
        r#"{"id":"x","evidence":[]}"#,
        &default,
        &["|1.0|graph.alert|graph.alert|0|externalId=x "],
    );
}

#[test]
fn an_address_is_source_or_destination_by_role_and_then_by_product() {
    let endpoint = "microsoftDefenderForEndpoint";
    let table = [
        ("192.0.2.1", "destination", "x", " dst=192.0.2.1 "),
        ("192.0.2.1", "commandAndControl", "x", " dst=192.0.2.1 "),
        ("192.0.2.1", "attacked", "x", " dst=192.0.2.1 "),
        ("192.0.2.1", "attacker", endpoint, " src=192.0.2.1 "),
        ("192.0.2.1", "source", endpoint, " src=192.0.2.1 "),
        ("192.0.2.1", "contextual", endpoint, " dst=192.0.2.1 "),
        ("192.0.2.1", "contextual", "x", " src=192.0.2.1 "),
        (
            "2001:db8::1",
            "source",
            "x",
            " c6a2Label=Source IPv6 Address c6a2=2001:db8::1 ",
        ),
        (
            "2001:db8::1",
            "attacked",
            "x",
            " c6a3Label=Destination IPv6 Address c6a3=2001:db8::1 ",
        ),
        ("::ffff:192.0.2.1", "source", "x", " src=192.0.2.1 "),
    ];
    for (address, role, product, expected) in table {
        let ip = evidence(
            "ipEvidence",
            &format!(r#""ipAddress":"{address}","roles":["{role}"]"#),
        );
        let record = format!(r#"{{"id":"x","serviceSource":"{product}",{ip}}}"#);
        check("graph.alert", &record, &CefOptions::default(), &[expected]);
    }
}

#[test]
fn a_primary_device_goes_before_the_first_one() {
    let record = r##"{"id":"x","evidence":[
        {"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"first","ipInterfaces":["192.0.2.1"]},
        {"@odata.type":"#microsoft.graph.security.deviceEvidence","deviceDnsName":"main","detailedRoles":["PrimaryDevice"],
         "mdeDeviceId":"aa","lastIpAddress":"fe80::1","ipInterfaces":["fe80::2","192.0.2.2"]}]}"##;
    let parts = [
        " shost=main dvchost=main ",
        " deviceExternalId=aa ",
        " dvc=192.0.2.2 ",
        " c6a1=fe80::1 ",
    ];
    check("graph.alert", record, &CefOptions::default(), &parts);
}

#[test]
fn what_does_not_fit_its_key_goes_where_it_does() {
    let default = CefOptions::default();
    let file = |size: &str| {
        alert(&evidence(
            "fileEvidence",
            &format!(r#""fileDetails":{{"fileSize":{size}}}"#),
        ))
    };
    check(
        "graph.alert",
        &file("2147483647"),
        &default,
        &[" fsize=2147483647 ", "!cn1"],
    );
    check(
        "graph.alert",
        &file("2147483648"),
        &default,
        &["!fsize", " cn1Label=FileSize cn1=2147483648 "],
    );
    check(
        "graph.alert",
        &file("9007199254740993"),
        &default,
        &[" cn1=9007199254740993 "],
    );
    check(
        "graph.alert",
        &file("18446744073709551616"),
        &default,
        &["!fsize", "!cn1"],
    );
    check(
        "graph.alert",
        &alert(r#""incidentId":"42""#),
        &default,
        &[
            " cn3Label=IncidentId cn3=42 ",
            "!MicrosoftDefenderIncidentId",
        ],
    );
    check(
        "graph.alert",
        &alert(r#""incidentId":"a""#),
        &default,
        &["!cn3", " MicrosoftDefenderIncidentId=a "],
    );
    let long = format!(r#"{{"id":"{}","evidence":[]}}"#, "a".repeat(41));
    let whole = format!(" MicrosoftDefenderAlertId={} ", "a".repeat(41));
    check(
        "graph.alert",
        &long,
        &default,
        &[&format!(" externalId={} ", "a".repeat(40)), &whole].map(|part| part.trim_start()),
    );
}

#[test]
fn a_mail_alert_tells_sender_recipient_and_subject() {
    let mail = r#""subject":"Hi","recipientEmailAddress":"ada@b.example","p2Sender":{"emailAddress":"eve@c.example"}"#;
    let parts = [" suser=eve@c.example duser=ada@b.example cs3Label=EmailSubject cs3=Hi "];
    check(
        "graph.alert",
        &alert(&evidence("analyzedMessageEvidence", mail)),
        &CefOptions::default(),
        &parts,
    );
}

#[test]
fn status_and_verdict_are_told_in_words() {
    let table = [
        (r#""status":"new""#, " act=Create "),
        (r#""status":"InProgress""#, " act=Update "),
        (r#""status":"resolved""#, " act=Close "),
        (r#""status":"brandNew""#, " act=brandNew "),
        (
            r#""classification":"truePositive","determination":"malware""#,
            " outcome=True Positive reason=truePositive/malware ",
        ),
        (
            r#""classification":"truePositive","determination":"securityTesting""#,
            " outcome=Test ",
        ),
        (
            r#""classification":"informationalExpectedActivity""#,
            " outcome=Benign reason=informationalExpectedActivity ",
        ),
        (r#""classification":null"#, "!outcome"),
    ];
    for (members, expected) in table {
        check(
            "graph.alert",
            &alert(members),
            &CefOptions::default(),
            &[expected],
        );
    }
}

#[test]
fn an_incident_tells_its_tags_alerts_and_priority() {
    let record = r#"{"id":"42","displayName":"I","incidentWebUrl":"https://x.example","status":"resolved","severity":"low",
        "createdDateTime":"2026-01-02T03:04:05Z","lastUpdateDateTime":"2026-01-02T03:05:05Z","priorityScore":80,
        "customTags":["a","b"],"systemTags":["c"],"alerts":[{"id":"1"},{"id":"2"}],"summary":"s","redirectIncidentId":"7"}"#;
    let parts = [
        "|1.0|incident|I|3|rt=1767323105000 externalId=42 cat=Incident act=Close ",
        " start=1767323045000 end=1767323105000 ",
        " cn1Label=PriorityScore cn1=80 cn2Label=AlertCount cn2=2 cs1Label=Tags cs1=a,b,c ",
        " cs2Label=RedirectIncidentId cs2=7 flexString1Label=IncidentLink flexString1=https://x.example msg=s ",
    ];
    check("graph.incident", record, &CefOptions::default(), &parts);
    check(
        "graph.incident",
        r#"{"id":"1","alerts":[]}"#,
        &CefOptions::default(),
        &["!cn2", "!cs1"],
    );
}

#[test]
fn a_row_without_mapping_keeps_what_all_tables_share() {
    let record = r#"{"time":"2026-01-02T03:04:05Z","tenantId":"t","category":"AdvancedHunting-NewTable","properties":{
        "Timestamp":"2026-01-02T03:04:04.5Z","ActionType":"Done","DeviceId":"aa","DeviceName":"pc","ReportId":7,"Other":"x"}}"#;
    let expected = concat!(
        "CEF:0|Microsoft|Microsoft Defender XDR|1.0|NewTable:Done|Done|1|rt=1767323044500 externalId=7 cat=NewTable ",
        "act=Done deviceExternalId=aa dvchost=pc MicrosoftDefenderTenantId=t",
    );
    assert_eq!(
        line("hunting.unknown", record, &CefOptions::default()),
        expected
    );
    assert_eq!(
        line("hunting.NewTable", record, &CefOptions::default()),
        expected
    );
}

#[test]
fn the_operators_choices_are_followed() {
    let record = r#"{"id":"x","serviceSource":"s","threatDisplayName":"T=1","mitreTechniques":["T1059","T1"]}"#;
    let options = CefOptions {
        version_one: true,
        product: Some("Windows|ATP".into()),
        product_version: Some("2.0".into()),
        raw_as: Some("MicrosoftDefenderRaw".into()),
        drop: vec!["cs2".into()],
        ..CefOptions::default()
    };
    let raw = " MicrosoftDefenderRaw={\"id\":\"x\",\"serviceSource\":\"s\",\"threatDisplayName\":\"T\\=1\",\"mitreTechniques\":[\"T1059\",\"T1\"]} ";
    let parts = [
        r"CEF:1|Microsoft|Windows\|ATP|2.0|",
        " frameworkName=MITRE ATT&CK threatAttackID=T1059 ",
        r" cs1Label=ThreatName cs1=T\=1 ",
        raw,
        "!cs2",
    ];
    check("graph.alert", record, &options, &parts);
    check(
        "graph.alert",
        record,
        &CefOptions::default(),
        &["!frameworkName", "cs2=T1059,T1", "!Raw"],
    );
}

#[test]
fn a_record_too_long_for_its_receiver_loses_the_raw_record_first_and_its_identity_never() {
    let long = "=".repeat(900);
    let record = format!(
        r#"{{"id":"da1","serviceSource":"s","title":"T","description":"{long}","threatDisplayName":"{long}"}}"#
    );
    let lossy = |max_bytes, raw_as: Option<&str>| {
        let options = CefOptions {
            max_bytes,
            raw_as: raw_as.map(str::to_owned),
            ..CefOptions::default()
        };
        write(&mappings(&options), "graph.alert", &record)
    };
    let check = |max_bytes, raw_as, expected: &[&str], dropped| {
        let (line, losses) = lossy(max_bytes, raw_as).expect("fits");
        assert!(
            line.len() <= max_bytes && losses.dropped == dropped,
            "{line}"
        );
        expected
            .iter()
            .for_each(|part| assert!(line.contains(part), "{part} in {line}"));
        assert_eq!(line.contains("MicrosoftDefenderTruncated=1"), dropped > 0);
    };
    check(
        9000,
        Some("MicrosoftDefenderRaw"),
        &["MicrosoftDefenderRaw="],
        0,
    );
    check(6000, Some("MicrosoftDefenderRaw"), &["msg=", "cs1="], 1);
    check(
        3000,
        Some("MicrosoftDefenderRaw"),
        &["cs1=", "externalId=da1"],
        2,
    );
    check(1000, None, &["externalId=da1"], 2);
    assert!(lossy(60, None).is_err());
}

#[test]
fn a_record_of_wrong_types_becomes_a_line_all_the_same() {
    let record = r#"{"id":7,"title":{"a":1},"severity":3,"createdDateTime":[1],"evidence":{"@odata.type":1},"mitreTechniques":"T1",
        "description":["a",{"b":1},[true,null]],"incidentId":1e400,"systemTags":3}"#;
    let (text, losses) =
        write(&mappings(&CefOptions::default()), "graph.alert", record).expect("fits");
    assert_eq!(
        text,
        "CEF:0|Microsoft|Microsoft Defender XDR|1.0|graph.alert|graph.alert|0|externalId=7 cs2Label=MitreTechniques cs2=T1 \
         MicrosoftDefenderIncidentId=1e400 msg=a,true"
    );
    assert_eq!((losses.unfit, losses.cut, losses.dropped), (2, 0, 0));
}
