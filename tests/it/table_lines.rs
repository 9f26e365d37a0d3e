//! Lines of the tables of advanced hunting, made by the program, against rsyslog.

use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;

use anyhow::Context;
use serde_json::{Value, json};
use tapline_core::{ComponentKind, Event, SinkConfig, hunting_tables};
use tapline_e2e::program::tapline;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::services::rsyslog::Rsyslog;
use tapline_sink_syslog::SyslogConfig;
use tapline_testkit::{build_context, event};

/// What tries to forge fields, keys, and messages; JSON brings it as it is.
const ATTACK: &str = "first\nsecond\r\n<0>1 - - - forged |8|act=x =a\\ \tsev=10 \u{1f} ünïcödé ";

/// A row with a text for every column that a mapping is likely to ask for.
fn row(table: &str) -> Value {
    let texts = [
        "ActionType",
        "DeviceName",
        "DeviceId",
        "FileName",
        "FolderPath",
        "ProcessCommandLine",
        "InitiatingProcessFileName",
        "InitiatingProcessCommandLine",
        "InitiatingProcessFolderPath",
        "AccountName",
        "AccountDomain",
        "AccountUpn",
        "RegistryKey",
        "RegistryValueName",
        "RegistryValueData",
        "SenderFromAddress",
        "RecipientEmailAddress",
        "Subject",
        "NetworkMessageId",
        "Url",
        "RemoteUrl",
        "Title",
        "AlertId",
        "ServiceSource",
        "Application",
        "Query",
        "QueryTarget",
        "AdditionalFields",
        "ThreatTypes",
        "FailureReason",
        "LogonType",
        "UserAgent",
        "ObjectName",
        "Description",
    ];
    let mut row: serde_json::Map<String, Value> = texts
        .into_iter()
        .map(|name| (name.to_owned(), Value::from(ATTACK)))
        .collect();
    for name in ["LocalIP", "RemoteIP", "IPAddress"] {
        row.insert(name.to_owned(), "192.0.2.1".into());
    }
    row.insert("ReportId".to_owned(), 639_199_803_770_463_703_i64.into());
    row.insert(
        "Timestamp".to_owned(),
        "2026-05-01T09:53:10.7654321Z".into(),
    );
    let category = format!("AdvancedHunting-{table}");
    json!({"time": "2026-05-01T09:55:00Z", "tenantId": "t1", "category": category, "properties": row})
}

/// What `tapline normalize` makes of a row of every table and of one that nobody knows.
fn lines(to: &str) -> anyhow::Result<Vec<Vec<u8>>> {
    let tables = hunting_tables().iter().chain([&"BrandNewEvents"]);
    let input: String = tables.map(|table| format!("{}\n", row(table))).collect();
    let mut child = tapline(&["normalize", "--to", to])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("piped")?;
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    writer.join().expect("no panic")?;
    assert!(output.status.success(), "{:?}", output.status);
    let lines = output.stdout.split(|byte| *byte == b'\n');
    Ok(lines
        .filter(|line| !line.is_empty())
        .map(<[u8]>::to_vec)
        .collect())
}

#[tokio::test]
async fn lines_of_every_table_come_back_from_rsyslog_byte_for_byte() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let rsyslog = Rsyslog::start(&certificates).await?;
    let mut events: Vec<Event> = Vec::new();
    for to in ["cef", "leef"] {
        let lines = lines(to)?;
        assert_eq!(lines.len(), hunting_tables().len() + 1, "one line per row");
        events.extend(
            lines
                .into_iter()
                .map(|line| event("hunting.unknown", "r1", "1", line)),
        );
    }
    let config: SyslogConfig = serde_json::from_value(json!({"endpoint": rsyslog.tcp()}))?;
    let sink = config.build(&build_context(
        ComponentKind::Sink,
        "syslog",
        "siem",
        Path::new("."),
    ))?;
    assert_eq!(sink.deliver(&events).await.exceptions, []);
    sink.close().await;
    let received = rsyslog.received(events.len()).await;
    assert_eq!(received.len(), events.len(), "each message is one message");
    for (received, event) in received.iter().zip(&events) {
        let message = String::from_utf8_lossy(&received.message);
        assert_eq!(message, String::from_utf8_lossy(event.body()));
    }
    Ok(())
}
