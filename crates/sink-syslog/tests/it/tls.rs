//! Over TLS: trust in both directions, and certificates that change.

use std::path::Path;

use rustls::SupportedProtocolVersion;
use rustls::version::{TLS12, TLS13};
use serde_json::{Value, json};
use tapline_core::Delivery;
use tapline_testkit::{LogCapture, WhileAway, check_sink, events};
use tempfile::{TempDir, tempdir};

use crate::certificates::{Authority, server};
use crate::receiver::Server;
use crate::{build, context, is_denied, messages, reasons};

const VERSIONS: [&SupportedProtocolVersion; 2] = [&TLS12, &TLS13];

fn folder_trusting(authority: &Authority) -> TempDir {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("ca.pem"), authority.pem()).unwrap();
    folder
}

async fn deliver(settings: Value, folder: &Path) -> Delivery {
    let sink = build(settings, &context(folder));
    sink.deliver(&messages(&["CEF:0|a|"])).await
}

#[tokio::test]
async fn a_tls_sink_keeps_the_contract() {
    let authority = Authority::new("ours");
    let certificate = authority.sign("127.0.0.1");
    let folder = folder_trusting(&authority);
    for version in VERSIONS {
        let server = Server::start_tls(server(&certificate, None, version)).await;
        let settings = json!({"endpoint": server.endpoint(), "format": "none",
            "framing": "newline", "tls": {"ca": "ca.pem"}});
        let sink = build(settings, &context(folder.path()));
        check_sink(&*sink, &server, WhileAway::Answers).await;
    }
}

#[tokio::test]
async fn octet_counting_is_the_default_over_tls() {
    let authority = Authority::new("ours");
    let server = Server::start_tls(server(&authority.sign("127.0.0.1"), None, &TLS13)).await;
    let folder = folder_trusting(&authority);
    let settings =
        json!({"endpoint": server.endpoint(), "format": "none", "tls": {"ca": "ca.pem"}});
    assert!(deliver(settings, folder.path()).await.exceptions.is_empty());
    server.wait_for(b"8 CEF:0|a|").await;
}

#[tokio::test]
async fn a_receiver_that_is_not_who_it_should_be_is_told_apart_and_gets_nothing() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let folder = folder_trusting(&ours);
    for (certificate, expected) in [
        (other.sign("127.0.0.1"), "tls_untrusted"),
        (ours.sign("elsewhere.example"), "tls_hostname"),
        (ours.sign_expired("127.0.0.1"), "tls_expired"),
    ] {
        let server = Server::start_tls(server(&certificate, None, &TLS13)).await;
        let settings = json!({"endpoint": server.endpoint(), "tls": {"ca": "ca.pem"}});
        let delivery = deliver(settings, folder.path()).await;
        assert_eq!(reasons(&delivery), [(0, expected)]);
        assert!(is_denied(&delivery), "{delivery:?}");
        assert_eq!(server.bytes(), b"");
    }
}

#[tokio::test]
async fn the_name_to_expect_can_be_configured() {
    let authority = Authority::new("ours");
    let certificate = authority.sign("siem.example");
    let server = Server::start_tls(server(&certificate, None, &TLS13)).await;
    let folder = folder_trusting(&authority);
    let settings = json!({"endpoint": server.endpoint(),
        "tls": {"ca": "ca.pem", "server_name": "siem.example"}});
    assert!(deliver(settings, folder.path()).await.exceptions.is_empty());
}

#[tokio::test]
async fn a_client_certificate_that_is_missing_or_strange_is_a_matter_for_a_human() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let certificate = ours.sign("127.0.0.1");
    for version in VERSIONS {
        let server = Server::start_tls(server(&certificate, Some(&ours), version)).await;
        let folder = folder_trusting(&ours);
        let without = json!({"endpoint": server.endpoint(), "tls": {"ca": "ca.pem"}});
        let with = json!({"endpoint": server.endpoint(),
            "tls": {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}});

        let delivery = deliver(without, folder.path()).await;
        assert_eq!(
            reasons(&delivery),
            [(0, "tls_client_certificate")],
            "{version:?}"
        );
        assert!(is_denied(&delivery));

        other.sign("client.example").write(folder.path());
        let delivery = deliver(with.clone(), folder.path()).await;
        assert_eq!(
            reasons(&delivery),
            [(0, "tls_client_certificate")],
            "{version:?}"
        );

        ours.sign("client.example").write(folder.path());
        let delivery = deliver(with, folder.path()).await;
        assert_eq!(reasons(&delivery), [], "{version:?}");
    }
}

#[tokio::test]
async fn a_new_client_certificate_is_used_without_a_restart() {
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    let certificate = ours.sign("127.0.0.1");
    let server = Server::start_tls(server(&certificate, Some(&ours), &TLS13)).await;
    let folder = folder_trusting(&ours);
    ours.sign("client.example").write(folder.path());
    let settings = json!({"endpoint": server.endpoint(), "format": "none",
        "tls": {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}});
    let sink = build(settings, &context(folder.path()));
    assert_eq!(reasons(&sink.deliver(&events(0, 1)).await), []);

    std::fs::write(folder.path().join("cert.pem"), "half a fi").unwrap();
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(
        reasons(&sink.deliver(&events(1, 1)).await),
        [],
        "the old one stays in use"
    );
    assert_eq!(server.connections().len(), 1);

    ours.sign("client.example").write(folder.path());
    let mut number = 2;
    while server.connections().len() < 2 {
        assert_eq!(reasons(&sink.deliver(&events(number, 1)).await), []);
        number += 1;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }

    other.sign("client.example").write(folder.path());
    let mut delivery = Delivery::all();
    while reasons(&delivery).is_empty() {
        delivery = sink.deliver(&events(number, 1)).await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(reasons(&delivery), [(0, "tls_client_certificate")]);
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    use tapline_core::SinkConfig;

    let ours = Authority::new("ours");
    let folder = folder_trusting(&ours);
    ours.sign("client.example").write(folder.path());
    let key = folder.path().join("key.pem");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let settings = json!({"endpoint": "tls://127.0.0.1:6514",
        "tls": {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}});
    let config: tapline_sink_syslog::SyslogConfig = serde_json::from_value(settings).unwrap();
    let error = config.build(&context(folder.path())).err().unwrap();
    assert_eq!(error.path, "tls.key");
    assert!(
        error.source.to_string().contains("chmod 600"),
        "{}",
        error.source
    );
}

#[tokio::test]
async fn neither_the_key_nor_a_message_is_logged() {
    let logs = LogCapture::start();
    let ours = Authority::new("ours");
    let certificate = ours.sign("127.0.0.1");
    let server = Server::start_tls(server(&certificate, Some(&ours), &TLS13)).await;
    let folder = folder_trusting(&ours);
    let client = ours.sign("client.example");
    client.write(folder.path());
    let settings = json!({"endpoint": server.endpoint(), "format": "none",
        "tls": {"ca": "ca.pem", "cert": "cert.pem", "key": "key.pem"}});
    let sink = build(settings, &context(folder.path()));
    let bodies = ["the body of an event", "one with a\nline break"];
    assert_eq!(reasons(&sink.deliver(&messages(&bodies)).await), []);
    server.end_connections().await;
    assert_eq!(reasons(&sink.deliver(&messages(&bodies)).await), []);
    let key = client.key.lines().nth(1).unwrap();
    logs.assert_absent(&[key, bodies[0], "one with a"]);
}
