//! Text of an attacker who wants to add fields to a CEF line, or messages to a syslog stream.

use serde_json::json;
use tapline_e2e::enabled;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::services::rsyslog::Rsyslog;
use tapline_simulators::Simulation;

use super::scene::{alert, alert_with, ends_well, source};

const ATTACKS: [&str; 10] = [
    "plain\n<13>1 2026-01-02T03:04:05Z root su - - - forged",
    "plain\r\n<13>Jan  2 03:04:05 root su: forged\r\n",
    "name|Evil|1|forged|forged|10|act=forged",
    "x act=forged cs1=forged outcome=forged",
    "x\\=y \\| \\\\ \\n \\",
    "ends with a backslash \\",
    "zero\u{0}one\u{1}escape\u{1b}[31mdelete\u{7f}next\u{85}line\u{2028}line\u{2029}end",
    "55 <13>1 - - - - - - forged",
    "CEF:0|Evil|Evil|1|1|forged|10|act=forged",
    "\u{202e}turned\u{202c} \u{feff}mark \u{fffe} \u{10ffff}",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_text_forges_a_field_or_a_message() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    let graph = microsoft.graph();
    graph.put_alert(alert("plain", -60));
    for (n, text) in ATTACKS.iter().enumerate() {
        let everywhere = json!({
            "title": text, "description": text, "category": text, "severity": text,
            "status": text, "serviceSource": text, "assignedTo": text, "detectorId": text,
            "alertWebUrl": text, "incidentId": text, "actorDisplayName": text,
            "mitreTechniques": [text], "productName": text, "determination": text,
            "evidence": [
                {"@odata.type": "#microsoft.graph.security.deviceEvidence", "deviceDnsName": text, "hostName": text},
                {"@odata.type": "#microsoft.graph.security.userEvidence", "userAccount": {"accountName": text, "domainName": text}},
                {"@odata.type": "#microsoft.graph.security.fileEvidence", "fileDetails": {"fileName": text, "filePath": text, "sha1": text}},
                {"@odata.type": format!("#microsoft.graph.security.{text}"), "x": text},
            ],
        });
        graph.put_alert(alert_with(&format!("a{n} {text}"), -50, everywhere));
    }
    let rsyslog = Rsyslog::start(&Certificates::new()?).await?;
    let pipeline = Pipeline::new(&cef_twice(&microsoft, &rsyslog))?;
    let secret = microsoft.announcement().client_secret;
    let mut process = pipeline.start(&[("TAPLINE_TEST_SECRET", &secret)]).await?;
    let expected = 2 * (ATTACKS.len() + 1);
    rsyslog.received(expected).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let received = rsyslog.received(expected).await;
    ends_well(&pipeline, &mut process, &[&secret]).await?;

    assert_eq!(
        received.len(),
        expected,
        "each alert is one message of each sink"
    );
    for message in &received {
        let text = String::from_utf8(message.message.clone())?;
        check_cef(text.trim_start());
        let raw = String::from_utf8(message.raw.clone())?;
        let header = raw.strip_suffix(&text).expect("the message ends it");
        assert!(!header.chars().any(|c| c.is_ascii_control()), "{raw:?}");
        // Receivers that search a line for the start of CEF find ours.
        assert!(
            header.contains("[tapline@") || !header.contains("CEF:0|"),
            "{raw:?}"
        );
    }
    Ok(())
}

/// Both framings at once: with newlines a forged line would show, with counts a wrong count.
fn cef_twice(microsoft: &Simulation, rsyslog: &Rsyslog) -> String {
    let endpoint = rsyslog.tcp();
    format!(
        r#"{}transforms:
  cef: {{ type: normalize, inputs: [alerts], config: {{ to: cef }} }}
sinks:
  lines: {{ type: syslog, inputs: [cef], config: {{ endpoint: "{endpoint}", hostname: device, framing: newline }} }}
  counted: {{ type: syslog, inputs: [cef], config: {{ endpoint: "{endpoint}", framing: octet_counting, structured_data: {{}} }} }}
"#,
        source(microsoft)
    )
}

/// Seven pipes, no ASCII control characters, and no key or value but our own.
fn check_cef(line: &str) {
    assert!(!line.chars().any(|c| c.is_ascii_control()), "{line:?}");
    let header = unescaped(line, '|');
    assert!(header.len() >= 7, "{line:?}");
    assert_eq!(&header[..2], ["CEF:0", "Microsoft"], "{line:?}");
    let severity: u8 = header[6].parse().expect("a number");
    assert!(severity <= 10, "{line:?}");
    let start: usize = header[..7].iter().map(|part| part.len() + 1).sum();
    let extension = &line[start..];
    let mut keys: Vec<&str> = unescaped(extension, '=')
        .iter()
        .map(|part| part.rsplit(' ').next().unwrap_or_default())
        .collect();
    keys.pop();
    let found = keys.len();
    assert!(
        keys.iter()
            .all(|key| key.chars().all(|c| c.is_ascii_alphanumeric())),
        "{keys:?}"
    );
    keys.sort_unstable();
    keys.dedup();
    assert_eq!(keys.len(), found, "a key stands twice: {line:?}");
    for forged in [" act=forged", " cs1=forged", " outcome=forged"] {
        assert!(!extension.contains(forged), "{line:?}");
    }
}

/// Splits at every `separator` that no backslash escapes.
fn unescaped(text: &str, separator: char) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, letter) in text.char_indices() {
        match letter {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            letter if letter == separator => {
                parts.push(&text[start..at]);
                start = at + letter.len_utf8();
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}
