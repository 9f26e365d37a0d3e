//! The ways to a hub: TLS, directly and through a proxy.

use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use serde_json::{Value, json};
use tapline_testkit::{LogCapture, Proxy, ProxyBehaviour};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Hub;

/// A name that is reached through a proxy only: nobody but the proxy of a test knows it.
const FAR: &str = "hub.contoso.example";

/// A certificate for the far name and for this machine, and whom to trust for it, as PEM.
fn certificate() -> (TlsAcceptor, String) {
    let key = || KeyPair::generate().expect("random numbers");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key()).expect("signs");
    let names = vec![FAR.to_owned(), "localhost".to_owned()];
    let params = CertificateParams::new(names).expect("names");
    let own = key();
    let chain = params.signed_by(&own, &authority).expect("signs");
    let key = rustls::pki_types::PrivateKeyDer::try_from(own.serialize_der()).expect("a key");
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(vec![chain.der().clone()], key)
        .expect("a certificate");
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

/// A door with TLS before a hub; closed when the tasks are dropped.
async fn door(hub: &Hub) -> (u16, JoinSet<()>) {
    let (acceptor, authority) = certificate();
    fs::write(hub.folder.path().join("ca.pem"), authority).expect("written");
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
    let listener = listener.expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let (inner, mut tasks) = (hub.hub().port(), JoinSet::new());
    tasks.spawn(async move {
        let mut guests = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            guests.spawn(async move {
                let mut near = acceptor.accept(stream).await.ok()?;
                let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, inner))
                    .await
                    .ok()?;
                copy_bidirectional(&mut near, &mut far).await.ok()
            });
        }
    });
    (port, tasks)
}

/// What a source needs to read through the door.
fn by(host: &str, port: u16) -> Value {
    json!({"endpoints": {"amqp": format!("{host}:{port}")}, "tls": {"ca": "ca.pem"}})
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_read_over_tls_and_through_a_proxy_with_and_without_a_password() {
    let hub = Hub::scripted().await;
    let (port, _open) = door(&hub).await;
    let mut expected = hub.fill(0..20);
    let running = hub.host.run(hub.source(by("localhost", port)));
    hub.expect(&expected).await;
    running.stop().await;
    let asking = ProxyBehaviour::asking_for("me", "hunter2");
    for (round, behaviour) in [ProxyBehaviour::Open, asking].into_iter().enumerate() {
        let proxy = Proxy::to(port, behaviour).await;
        let mut config = by(FAR, port);
        config["proxy"] = json!({"https": proxy.address_for("me", "hunter2")});
        let running = hub.host.run(hub.source(config));
        let from = 20 + round * 10;
        expected.extend(hub.fill(from..from + 10));
        hub.expect(&expected).await;
        running.stop().await;
        assert_eq!(proxy.asked(), [format!("{FAR}:{port}")]);
    }
}

#[tokio::test]
async fn a_way_that_does_not_lead_there_is_told_with_what_to_do() {
    let logs = LogCapture::start();
    let hub = Hub::scripted().await;
    let (port, _open) = door(&hub).await;
    let told = async |config: Value, words: &str| {
        let running = hub.host.run(hub.source(config));
        hub.told(words).await;
        running.stop().await;
    };
    let mut untrusted = by("localhost", port);
    untrusted["tls"] = json!(null);
    told(untrusted, "name the CA of a proxy in between under tls").await;
    let misnamed = by("127.0.0.1", port);
    told(misnamed, "no trusted TLS connection to 127.0.0.1").await;
    let mut no_socket = by("localhost", port);
    no_socket["transport"] = json!("amqp_websocket");
    told(no_socket, "makes no WebSocket of it").await;
    let closed = by("localhost", 1);
    told(closed, "is port 1 open, or a proxy needed?").await;
    let proxy = Proxy::to(port, ProxyBehaviour::asking_for("me", "other")).await;
    let mut refused = by(FAR, port);
    refused["proxy"] = json!({"https": proxy.address_for("me", "hunter2")});
    told(refused, "wants a user name and password").await;
    logs.assert_absent(&["hunter2"]);
}
