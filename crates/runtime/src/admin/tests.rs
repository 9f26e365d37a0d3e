//! The admin HTTP as clients see it, on a port of the system's choice.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tapline_core::{ComponentKind, ComponentName, Secret, SecretSource};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::status::State;

struct Answer {
    status: u16,
    head: String,
    body: String,
}

async fn server(config: AdminConfig) -> (AdminServer, StatusBoard) {
    let board = StatusBoard::new("tapline");
    let metrics = Metrics::new().expect("the table is right");
    let dir = Path::new(".");
    let server =
        AdminServer::start(&config, dir, metrics, board.clone(), Operator::default()).await;
    (server.expect("starts"), board)
}

/// Asks with the given lines of header and reads the whole answer.
async fn ask_over(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    path: &str,
    headers: &str,
) -> Answer {
    let request = format!("GET {path} HTTP/1.1\r\n{headers}connection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut text = String::new();
    stream.read_to_string(&mut text).await.expect("answered");
    let (head, body) = text.split_once("\r\n\r\n").expect("head and body");
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Answer {
        status: status.expect("status"),
        head: head.to_lowercase(),
        body: body.to_owned(),
    }
}

async fn ask(server: &AdminServer, path: &str, headers: &str) -> Answer {
    let stream = TcpStream::connect(server.address())
        .await
        .expect("connected");
    ask_over(stream, path, headers).await
}

const LOCAL: &str = "host: localhost:9599\r\n";

#[tokio::test]
async fn ready_means_that_the_pipeline_runs_and_live_that_the_process_answers() {
    let (server, board) = server(AdminConfig::loopback(0)).await;
    assert_eq!(ask(&server, "/health/live", LOCAL).await.status, 200);
    for (state, status, word) in [
        (State::Starting, 503, "the pipeline is starting"),
        (State::Running, 200, "ready"),
        (State::Draining, 503, "the pipeline is draining"),
    ] {
        board.pipeline(state);
        let answer = ask(&server, "/health/ready", LOCAL).await;
        assert_eq!(answer.status, status, "{state:?}");
        assert!(answer.body.contains(word), "{}", answer.body);
    }
    server.stop().await;
}

#[tokio::test]
async fn metrics_and_status_are_served_in_their_formats() {
    let (server, board) = server(AdminConfig::loopback(0)).await;
    let name = ComponentName {
        kind: ComponentKind::Source,
        type_name: "defender",
        id: "alerts".into(),
    };
    board.add(&name, &[]);
    let metrics = ask(&server, "/metrics", LOCAL).await;
    assert!(
        metrics
            .head
            .contains("content-type: text/plain; version=0.0.4"),
        "{}",
        metrics.head
    );
    assert!(
        metrics.body.contains("process_start_time_seconds"),
        "{}",
        metrics.body
    );
    let status = ask(&server, "/api/v1/status", LOCAL).await;
    let status: serde_json::Value = serde_json::from_str(&status.body).expect("JSON");
    assert_eq!(status["components"]["alerts"]["type"], "defender");
    assert_eq!(ask(&server, "/nothing", LOCAL).await.status, 404);
    server.stop().await;
}

#[tokio::test]
async fn the_page_needs_nothing_from_elsewhere_and_every_answer_says_so() {
    let (server, _board) = server(AdminConfig::loopback(0)).await;
    for path in ["/", "/page.js", "/page.css", "/health/live", "/nothing"] {
        let answer = ask(&server, path, LOCAL).await;
        assert!(
            answer
                .head
                .contains("content-security-policy: default-src 'none'"),
            "{path}"
        );
        assert!(
            answer.head.contains("x-content-type-options: nosniff"),
            "{path}"
        );
        assert!(
            !answer.body.contains("http://") && !answer.body.contains("https://"),
            "{path}"
        );
    }
    server.stop().await;
}

#[tokio::test]
async fn foreign_hosts_and_origins_are_refused() {
    let (server, _board) = server(AdminConfig::loopback(0)).await;
    for (headers, expected) in [
        ("host: 127.0.0.1:1\r\n", 200),
        ("host: [::1]:1\r\n", 200),
        ("host: LocalHost\r\n", 200),
        ("host: rebound.example\r\n", 421),
        ("host: 127.0.0.1.rebound.example\r\n", 421),
        ("host: a b\r\n", 421),
        ("", 421),
        ("host: localhost\r\norigin: http://localhost\r\n", 200),
        ("host: localhost\r\norigin: http://localhost:1\r\n", 403),
        (
            "host: localhost\r\norigin: https://elsewhere.example\r\n",
            403,
        ),
        ("host: localhost\r\norigin: null\r\n", 403),
    ] {
        let answer = ask(&server, "/api/v1/status", headers).await;
        assert_eq!(answer.status, expected, "{headers}");
    }
    server.stop().await;
}

#[tokio::test]
async fn a_configured_token_is_needed_for_all_but_probes_and_the_empty_page() {
    let config = AdminConfig {
        token: Some(SecretSource::Literal(Secret::new("open sesame"))),
        ..AdminConfig::loopback(0)
    };
    let (server, board) = server(config).await;
    board.pipeline(State::Running);
    let with = |token: &str| format!("{LOCAL}authorization: Bearer {token}\r\n");
    for (path, headers, expected) in [
        ("/health/ready", LOCAL.to_owned(), 200),
        ("/", LOCAL.to_owned(), 200),
        ("/metrics", LOCAL.to_owned(), 401),
        ("/metrics", with("open sesam"), 401),
        ("/metrics", with("open sesame2"), 401),
        ("/metrics", with("open sesame"), 200),
        ("/api/v1/status", LOCAL.to_owned(), 401),
    ] {
        let answer = ask(&server, path, &headers).await;
        assert_eq!(answer.status, expected, "{path} {headers}");
        assert!(!answer.body.contains("sesame"), "{}", answer.body);
    }
    server.stop().await;
}

#[tokio::test]
async fn a_port_in_use_is_said_plainly() {
    let (server, _board) = server(AdminConfig::loopback(0)).await;
    let config = AdminConfig::loopback(server.address().port());
    let metrics = Metrics::new().expect("the table is right");
    let second = AdminServer::start(
        &config,
        Path::new("."),
        metrics,
        StatusBoard::new("b"),
        Operator::default(),
    )
    .await;
    let error = second.expect_err("refused").to_string();
    let port = server.address().port();
    assert_eq!(
        error,
        format!("admin.listen: port {port} is already in use by another process")
    );
    server.stop().await;
}

#[tokio::test]
async fn tls_is_served_with_the_configured_certificate() {
    let folder = tempfile::tempdir().expect("folder");
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("made");
    let (cert, key) = (
        folder.path().join("cert.pem"),
        folder.path().join("key.pem"),
    );
    std::fs::write(&cert, made.cert.pem()).expect("written");
    std::fs::write(&key, made.signing_key.serialize_pem()).expect("written");
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&key, private).expect("permissions");
    let config = AdminConfig {
        tls: Some(AdminTls {
            cert: cert.clone(),
            key,
        }),
        ..AdminConfig::loopback(0)
    };
    let (server, _board) = server(config).await;

    // One that never begins its handshake holds up nobody.
    let _silent = TcpStream::connect(server.address())
        .await
        .expect("connected");
    let mut roots = rustls::RootCertStore::empty();
    let trusted = CertificateDer::from_pem_file(&cert).expect("certificate");
    roots.add(trusted).expect("added");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.address())
        .await
        .expect("connected");
    let name = ServerName::try_from("localhost").expect("name");
    let connector = tokio_rustls::TlsConnector::from(Arc::new(client));
    let stream = connector.connect(name, stream).await.expect("handshake");
    assert_eq!(ask_over(stream, "/health/live", LOCAL).await.status, 200);
    server.stop().await;
}

#[tokio::test]
async fn certificates_that_cannot_be_used_say_which() {
    let folder = tempfile::tempdir().expect("folder");
    let cert = folder.path().join("cert.pem");
    std::fs::write(&cert, "nothing").expect("written");
    let config = AdminConfig {
        tls: Some(AdminTls {
            cert: cert.clone(),
            key: cert.clone(),
        }),
        ..AdminConfig::loopback(0)
    };
    let metrics = Metrics::new().expect("the table is right");
    let result = AdminServer::start(
        &config,
        Path::new("."),
        metrics,
        StatusBoard::new("b"),
        Operator::default(),
    )
    .await;
    let error = match result.expect_err("refused") {
        AdminError::Tls(error) => error.to_string(),
        other => panic!("{other}"),
    };
    assert_eq!(error, format!("{} holds no certificate", cert.display()));
}
