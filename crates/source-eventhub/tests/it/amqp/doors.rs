//! The ways to a hub: TLS, WebSocket, each also through a proxy.

use std::fs;

use serde_json::{Value, json};
use tapline_simulators::{HubCertificate, Settings, Simulation};
use tapline_testkit::{Proxy, ProxyBehaviour};

use super::Hub;

/// A name that is reached through a proxy only: nobody but the proxy of a test knows it.
const FAR: &str = "hub.contoso.example";

/// A certificate for the far name and for this machine.
fn certificate() -> HubCertificate {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let key = || KeyPair::generate().expect("random numbers");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, key()).expect("signs");
    let names = vec![FAR.to_owned(), "localhost".to_owned()];
    let params = CertificateParams::new(names).expect("names");
    let own = key();
    let chain = params.signed_by(&own, &authority).expect("signs").pem();
    HubCertificate {
        chain,
        key: own.serialize_pem(),
        authority: authority.pem(),
    }
}

async fn hub() -> Hub {
    let settings = Settings {
        hub_certificate: Some(certificate()),
        ..Settings::default()
    };
    let hub = Hub::of(Simulation::scripted_with(settings).await.expect("starts"));
    let ca = hub.folder.path().join("ca.pem");
    fs::write(ca, hub.hub().authority()).expect("written");
    hub
}

impl Hub {
    /// What a source needs to read over one of the ways.
    fn by(&self, transport: &str, host: &str, port: u16) -> Value {
        json!({
            "transport": transport, "endpoints": {"amqp": format!("{host}:{port}")},
            "auth": {"connection_string": self.hub().tls_connection_string()},
            "tls": {"ca": "ca.pem"},
        })
    }

    fn ways(&self) -> [(&'static str, u16); 2] {
        let hub = self.hub();
        [
            ("amqp", hub.tls_port()),
            ("amqp_websocket", hub.websocket_port()),
        ]
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_read_over_tls_and_in_a_websocket() {
    let hub = hub().await;
    let mut expected = hub.fill(0..20);
    for (round, (transport, port)) in hub.ways().into_iter().enumerate() {
        expected.extend(hub.fill(20 + round * 10..30 + round * 10));
        let source = hub.source(hub.by(transport, "localhost", port));
        let running = hub.host.run(source);
        hub.expect(&expected).await;
        // Large messages, and links that end, are no different there.
        hub.hub().drop_connections();
        let from = 100 + round * 10;
        expected.extend(hub.fill(from..from + 10));
        hub.expect(&expected).await;
        running.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_is_read_through_a_proxy_with_and_without_a_password() {
    let hub = hub().await;
    let mut expected = hub.fill(0..20);
    let mut from = 20;
    for (transport, port) in hub.ways() {
        for behaviour in [
            ProxyBehaviour::Open,
            ProxyBehaviour::asking_for("me", "hunter2"),
        ] {
            let proxy = Proxy::to(port, behaviour).await;
            let address = proxy.address_for("me", "hunter2");
            let mut config = hub.by(transport, FAR, port);
            config["proxy"] = json!({"https": address});
            let running = hub.host.run(hub.source(config));
            expected.extend(hub.fill(from..from + 10));
            from += 10;
            hub.expect(&expected).await;
            running.stop().await;
            assert_eq!(proxy.asked(), [format!("{FAR}:{port}")]);
        }
    }
}

#[tokio::test]
async fn a_way_that_does_not_lead_there_is_told_with_what_to_do() {
    let logs = tapline_testkit::LogCapture::start();
    let hub = hub().await;
    let port = hub.hub().tls_port();
    let told = async |config: Value, words: &str| {
        let running = hub.host.run(hub.source(config));
        hub.told(words).await;
        running.stop().await;
    };
    let mut untrusted = hub.by("amqp", "localhost", port);
    untrusted["tls"] = json!(null);
    told(untrusted, "name the CA of a proxy in between under tls").await;
    let misnamed = hub.by("amqp", "127.0.0.1", port);
    told(misnamed, "no trusted TLS connection to 127.0.0.1").await;
    let no_socket = hub.by("amqp_websocket", "localhost", port);
    told(no_socket, "makes no WebSocket of it").await;
    let closed = hub.by("amqp", "localhost", 1);
    told(closed, "is port 1 open, or a proxy needed?").await;
    let proxy = Proxy::to(port, ProxyBehaviour::asking_for("me", "other")).await;
    let mut refused = hub.by("amqp", FAR, port);
    refused["proxy"] = json!({"https": proxy.address_for("me", "hunter2")});
    told(refused, "wants a user name and password").await;
    logs.assert_absent(&["hunter2"]);
}
