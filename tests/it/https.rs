//! Microsoft behind TLS with a certificate of one's own, and behind a proxy that asks for a password.

use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::program::Simulation;
use tapline_e2e::receiver::Receiver;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::tls_front::TlsFront;
use tapline_e2e::wait_for;
use tapline_testkit::{Proxy, ProxyBehaviour};

fn port_of(base: &str) -> u16 {
    let port = base.rsplit(':').next().and_then(|port| port.parse().ok());
    port.expect("a base ends with its port")
}

/// Hosts that only the proxy knows how to reach.
const HOSTS: [&str; 2] = ["login.test", "graph.test"];

fn components(microsoft: &Simulation, receiver: &Receiver) -> String {
    let [login, graph] = HOSTS;
    let tenant = microsoft.text("tenant_id");
    let client = microsoft.text("client_id");
    format!(
        r#"sources:
  alerts:
    type: defender
    config:
      api: graph_alerts
      identity: {{ tenant_id: {tenant}, client_id: {client}, client_secret: {{ env: TAPLINE_TEST_SECRET }} }}
      endpoints: {{ login: "https://{login}", graph: "https://{graph}" }}
      poll_interval_secs: 1
      settle_secs: 1
sinks:
  siem: {{ type: syslog, inputs: [alerts], config: {{ endpoint: "{}", format: none, framing: octet_counting }} }}
"#,
        receiver.endpoint()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn token_and_alerts_come_over_https_through_a_proxy_with_a_password() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let microsoft = Simulation::start(
        &["--events", "60", "--rate", "60"],
        &folder.path().join("simulate.log"),
    )?;
    let certificates = Certificates::new()?;
    let [login, graph] = ["login", "graph"].map(|name| port_of(microsoft.text(name)));
    let route = move |request: &str| match request.contains("/oauth2/") {
        true => login,
        false => graph,
    };
    let front = TlsFront::start(&certificates.server_of(&HOSTS)?, route).await?;
    let behaviour = ProxyBehaviour::asking_for("tapline", "pass word");
    let proxy = Proxy::to(front.port(), behaviour).await;
    let receiver = Receiver::start().await?;
    let address = proxy.address_for("tapline", "pass%20word");
    let components = components(&microsoft, &receiver);
    let components = format!("proxy: {{ https: \"{address}\" }}\n{components}");
    let environment = pipeline::environment(&microsoft);

    let untrusting = Pipeline::new(&components)?;
    let mut process = untrusting.spawn(&environment)?;
    wait_for("the certificate is not trusted", 30, async || {
        untrusting.log().contains("certificate").then_some(())
    })
    .await;
    process.kill();
    assert!(receiver.received().is_empty());

    let ca = certificates.ca();
    let trusting = format!("tls: {{ ca: \"{}\" }}\n{components}", ca.display());
    let pipeline = Pipeline::new(&trusting)?;
    let mut process = pipeline.start(&environment).await?;
    wait_for("alerts arrive", 30, async || {
        (!receiver.received().is_empty()).then_some(())
    })
    .await;
    let asked = proxy.asked();
    for host in HOSTS {
        let target = format!("{host}:443");
        assert!(asked.contains(&target), "{target} is not in {asked:?}");
    }
    pipeline.stop(&mut process);
    let log = pipeline.log();
    assert!(
        !log.contains("pass%20word") && !log.contains("pass word"),
        "{log}"
    );
    Ok(())
}
