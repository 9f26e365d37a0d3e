//! The syslog sink against rsyslog and syslog-ng: what it sends comes back byte for byte.

use std::path::Path;

use serde_json::{Value, json};
use tapline_core::{ComponentKind, Delivery, Event, Fault, Sink, SinkConfig};
use tapline_e2e::services::certificates::{CertificateFiles, Certificates};
use tapline_e2e::services::rsyslog::Rsyslog;
use tapline_e2e::services::syslog_ng::SyslogNg;
use tapline_e2e::services::syslog_output::Received;
use tapline_sink_syslog::SyslogConfig;
use tapline_testkit::{build_context, event};

/// Bodies as the normalizer makes them of text that tries to forge fields and messages.
const ATTACKS: [&str; 8] = [
    r"CEF:0|Microsoft|Microsoft Defender|1|a|plain|5|msg=nothing special",
    r"CEF:0|Micro\|soft|Defender \\|1|a\|b|name \| with pipes|5|msg=a \= b \\ c | d",
    r"CEF:0|M|D|1|a|n|5|msg=first line\nsecond line\r\n<0>1 - - - - - - forged",
    r"CEF:0|M|D|1|a|n|5|msg=<134>1 2026-01-02T03:04:05Z root su - - - forged",
    r#"CEF:0|M|D|1|a|n|5|msg="quoted" [sd@1 a="b"] %msg% $MSG ${MSG} #012 \x0a"#,
    "CEF:0|M|D|1|a|n|5|msg=ünïcödé 検知 \u{202e}turned\u{202c} \u{feff}mark 🛡",
    "CEF:0|M|D|1|a|n|5|msg=101 <0>looks like a count",
    "CEF:0|M|D|1|a|n|5|msg=ends with spaces and a backslash   \\\\",
];

/// As many bytes with the header as rsyslog takes by default.
const LONGEST: usize = 8096;

fn attacks() -> Vec<Event> {
    let mut events: Vec<_> = ATTACKS.iter().map(message).collect();
    events.push(message(
        "CEF:0|M|D|1|a|n|5|msg=".to_owned() + &"x".repeat(7900),
    ));
    events
}

fn message(body: impl AsRef<[u8]>) -> Event {
    event("graph.alert", "da1", "v1", body)
}

fn settings(endpoint: &str, ca: &Path, client: Option<&CertificateFiles>) -> Value {
    let mut tls = json!({"ca": ca});
    if let Some(client) = client {
        tls["cert"] = json!(client.cert);
        tls["key"] = json!(client.key);
    }
    json!({"endpoint": endpoint, "tls": tls})
}

fn sink(settings: Value) -> anyhow::Result<Box<dyn Sink>> {
    let config: SyslogConfig = serde_json::from_value(settings)?;
    let cx = build_context(ComponentKind::Sink, "syslog", "siem", Path::new("."));
    Ok(config.build(&cx)?)
}

async fn deliver_all(settings: Value, events: &[Event]) -> anyhow::Result<()> {
    let sink = sink(settings)?;
    let delivery = sink.deliver(events).await;
    assert_eq!(delivery.exceptions, []);
    sink.close().await;
    Ok(())
}

fn assert_same(received: &[Received], events: &[Event]) {
    assert_eq!(received.len(), events.len(), "each message is one message");
    for (received, event) in received.iter().zip(events) {
        let message = String::from_utf8_lossy(&received.message);
        assert_eq!(message, String::from_utf8_lossy(event.body()));
        assert_eq!(received.message, **event.body());
        assert!(received.raw.ends_with(event.body()), "{received:?}");
        assert!(received.raw.starts_with(b"<134>1 "), "{received:?}");
        assert!(received.raw.len() <= LONGEST);
    }
}

/// The reason of the only exception, if a human must act.
fn denied(delivery: &Delivery) -> &'static str {
    match &delivery.exceptions[..] {
        [(0, Fault::Denied { reason, .. })] => reason,
        other => panic!("expected one refusal, got {other:?}"),
    }
}

#[tokio::test]
async fn lines_come_back_from_rsyslog_over_tls_byte_for_byte() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let client = certificates.client("tapline")?;
    let events = attacks();
    for framing in ["octet_counting", "newline"] {
        let rsyslog = Rsyslog::start(&certificates).await?;
        let mut settings = settings(&rsyslog.tls(), &certificates.ca(), Some(&client));
        settings["framing"] = json!(framing);
        deliver_all(settings, &events).await?;
        assert_same(&rsyslog.received(events.len()).await, &events);
    }
    Ok(())
}

#[tokio::test]
async fn lines_come_back_from_syslog_ng_over_tls_byte_for_byte() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let client = certificates.client("tapline")?;
    let syslog_ng = SyslogNg::start(&certificates).await?;
    let events = attacks();
    let settings = settings(&syslog_ng.tls(), &certificates.ca(), Some(&client));
    deliver_all(settings, &events).await?;
    assert_same(&syslog_ng.received(events.len()).await, &events);
    Ok(())
}

#[tokio::test]
async fn lines_come_back_over_tcp_and_udp() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let events = attacks();
    let rsyslog = Rsyslog::start(&certificates).await?;
    deliver_all(json!({"endpoint": rsyslog.tcp()}), &events).await?;
    let received = rsyslog.received(events.len()).await;
    assert_same(&received, &events);

    let short = &events[..ATTACKS.len()];
    deliver_all(json!({"endpoint": rsyslog.udp()}), short).await?;
    let received = rsyslog.received(events.len() + short.len()).await;
    assert_same(&received[events.len()..], short);

    let syslog_ng = SyslogNg::start(&certificates).await?;
    deliver_all(json!({"endpoint": syslog_ng.tcp()}), &events).await?;
    assert_same(&syslog_ng.received(events.len()).await, &events);
    Ok(())
}

#[tokio::test]
async fn a_line_break_inside_an_octet_counted_message_stays_inside_it() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let client = certificates.client("tapline")?;
    let events = [
        message("first\n<0>1 - - - - - - forged\r\nlast"),
        message("next"),
    ];
    let rsyslog = Rsyslog::start(&certificates).await?;
    let syslog_ng = SyslogNg::start(&certificates).await?;
    for endpoint in [rsyslog.tls(), syslog_ng.tls()] {
        let settings = settings(&endpoint, &certificates.ca(), Some(&client));
        deliver_all(settings, &events).await?;
    }
    assert_same(&rsyslog.received(2).await, &events);
    assert_same(&syslog_ng.received(2).await, &events);
    Ok(())
}

#[tokio::test]
async fn whoever_is_not_trusted_is_refused_and_a_human_is_told() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let (ours, other) = (Certificates::new()?, Certificates::new()?);
    let rsyslog = Rsyslog::start(&ours).await?;
    let syslog_ng = SyslogNg::start(&ours).await?;
    let (client, stranger) = (ours.client("tapline")?, other.client("stranger")?);
    for endpoint in [rsyslog.tls(), syslog_ng.tls()] {
        let cases = [
            (
                settings(&endpoint, &other.ca(), Some(&client)),
                "tls_untrusted",
            ),
            (
                settings(&endpoint, &ours.ca(), None),
                "tls_client_certificate",
            ),
            (
                settings(&endpoint, &ours.ca(), Some(&stranger)),
                "tls_client_certificate",
            ),
        ];
        for (settings, expected) in cases {
            let delivery = sink(settings)?.deliver(&[message("for no stranger")]).await;
            assert_eq!(denied(&delivery), expected, "{endpoint}");
        }
        let settings = settings(&endpoint, &ours.ca(), Some(&client));
        deliver_all(settings, &[message("for a friend")]).await?;
    }
    for received in [rsyslog.received(1).await, syslog_ng.received(1).await] {
        assert_same(&received, &[message("for a friend")]);
    }
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_crashes_and_comes_back_gets_the_rest() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let client = certificates.client("tapline")?;
    let mut rsyslog = Rsyslog::start(&certificates).await?;
    let sink = sink(settings(&rsyslog.tls(), &certificates.ca(), Some(&client)))?;
    let (before, after) = ([message("before")], [message("after")]);
    assert_eq!(sink.deliver(&before).await.exceptions, []);
    rsyslog.received(1).await;
    rsyslog.kill();
    let away = sink.deliver(&after).await;
    assert!(
        matches!(away.exceptions[..], [(0, Fault::Retry { .. })]),
        "{away:?}"
    );
    rsyslog.restart().await?;
    assert_eq!(sink.deliver(&after).await.exceptions, []);
    let received = rsyslog.received(2).await;
    assert_same(&received, &[message("before"), message("after")]);
    Ok(())
}
