use crate::hub_client::{HubClient, Wish, bytes, next, signature};
use fe2o3_amqp_ws::WebSocketStream;
use fe2o3_amqp_ws::tokio_tungstenite::client_async;
use fe2o3_amqp_ws::tungstenite::Error;
use fe2o3_amqp_ws::tungstenite::client::IntoClientRequest;
use fe2o3_amqp_ws::tungstenite::http::HeaderValue;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use std::sync::Arc;
use tapline_simulators::{HubCertificate, HubHandle, Settings, Simulation};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A TLS stream to a port, for a client that trusts this authority.
async fn tls(
    port: u16,
    authority: &str,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).unwrap();
    roots.add(authority).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    connector
        .connect(ServerName::try_from(name).unwrap(), stream)
        .await
}

async fn trusting(port: u16, hub: &HubHandle) -> TlsStream<TcpStream> {
    tls(port, hub.authority(), "localhost").await.unwrap()
}

fn socket_url(hub: &HubHandle, path: &str) -> String {
    format!("wss://localhost:{}{path}", hub.websocket_port())
}

/// Small messages, and large ones between them.
fn bodies() -> Vec<Vec<u8>> {
    let size = |n: usize| if n % 50 == 49 { 1_000_000 } else { 300 + n };
    (0..200)
        .map(|n| (0..size(n)).map(|at| (n + at) as u8).collect())
        .collect()
}

async fn check_reads_all(hub: &HubHandle, mut client: HubClient) {
    client.show(&signature(hub, 3_600)).await.unwrap();
    let mut receiver = client.read(Wish::default()).await.unwrap();
    for expected in bodies() {
        let delivery = next(&mut receiver).await.unwrap();
        assert!(bytes(&delivery) == expected, "a body came as another");
        receiver.accept(&delivery).await.unwrap(); // which makes the client grant more
    }
    receiver.close().await.unwrap();
    client.close().await;
}

#[tokio::test]
async fn the_same_is_read_over_tls_and_in_a_web_socket_as_in_clear() {
    let simulation = Simulation::scripted().await.unwrap();
    let hub = simulation.hub();
    for body in bodies() {
        hub.put(0, body);
    }
    check_reads_all(&hub, HubClient::stranger(&hub).await).await;

    let over_tls = trusting(hub.tls_port(), &hub).await;
    check_reads_all(&hub, HubClient::over(&hub, over_tls).await).await;

    let over_tls = trusting(hub.websocket_port(), &hub).await;
    let url = socket_url(&hub, "/$servicebus/websocket");
    let socket = WebSocketStream::connect_with_stream(url, over_tls)
        .await
        .unwrap();
    check_reads_all(&hub, HubClient::over(&hub, socket).await).await;
    assert_eq!(hub.connections(), 3);
}

#[tokio::test]
async fn a_client_must_trust_the_authority_that_is_announced_and_ask_for_the_right_name() {
    let given = HubCertificate::of_loopback().unwrap();
    let settings = Settings {
        hub_certificate: Some(given.clone()),
        ..Settings::default()
    };
    let simulation = Simulation::scripted_with(settings).await.unwrap();
    let hub = simulation.hub();
    let announced = simulation.announcement().eventhub.unwrap();
    assert_eq!(announced.authority, given.authority);
    let other = HubCertificate::of_loopback().unwrap().authority;
    for port in [announced.tls_port, announced.websocket_port] {
        tls(port, &other, "localhost").await.unwrap_err();
        tls(port, hub.authority(), "hub.example").await.unwrap_err();
        tls(port, hub.authority(), "127.0.0.1").await.unwrap();
    }
    assert!(!format!("{given:?}").contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_web_socket_is_for_amqp_and_at_one_place() {
    let simulation = Simulation::scripted().await.unwrap();
    let hub = simulation.hub();
    for (path, protocol, expected) in [
        ("/$servicebus/websocket", Some("amqp"), Ok("amqp")),
        (
            "/$servicebus/websocket/",
            Some("AMQPWSB10"),
            Ok("AMQPWSB10"),
        ),
        ("/$servicebus/websocket", Some("mqtt, amqp"), Ok("amqp")),
        ("/$servicebus/websocket", Some("mqtt"), Err(400)),
        ("/$servicebus/websocket", None, Err(400)),
        ("/", Some("amqp"), Err(404)),
    ] {
        let mut request = socket_url(&hub, path).into_client_request().unwrap();
        if let Some(names) = protocol {
            let names = HeaderValue::from_static(names);
            request
                .headers_mut()
                .insert("sec-websocket-protocol", names);
        }
        let stream = trusting(hub.websocket_port(), &hub).await;
        let seen = match client_async(request, stream).await {
            Ok((_, response)) => Ok(response.headers()["sec-websocket-protocol"].clone()),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{path} {protocol:?}: {error}"),
        };
        assert_eq!(
            seen,
            expected.map(HeaderValue::from_static),
            "{path} {protocol:?}"
        );
    }
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_stops_the_start() {
    let mut certificate = HubCertificate::of_loopback().unwrap();
    certificate.key = HubCertificate::of_loopback().unwrap().key;
    let settings = Settings {
        hub_certificate: Some(certificate),
        ..Settings::default()
    };
    let error = Simulation::scripted_with(settings).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
}
