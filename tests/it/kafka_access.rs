//! A broker that asks for encryption and a password, as most do.

use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::program::Simulation;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::services::kafka::{HubProof, Kafka};
use tapline_e2e::wait_for;

/// The user that the test's broker knows is named as that of Event Hubs.
fn components(simulation: &Simulation, port: u16, ca: &str, password: &str, once: bool) -> String {
    format!(
        r#"tls: {{ ca: "{ca}" }}
{}sinks:
  lake:
    type: kafka
    inputs: [alerts, incidents, legacy]
    config:
      brokers: ["localhost:{port}"]
      topic: "lake-{once}.{{kind}}"
      exactly_once: {once}
      librdkafka:
        security.protocol: SASL_SSL
        sasl.mechanism: PLAIN
        sasl.username: "$ConnectionString"
        sasl.password: {{ env: {password} }}
"#,
        pipeline::sources(simulation),
    )
}

async fn arrives_over_tls_and_sasl(once: bool) -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let proof = HubProof::ConnectionString("a password");
    let (kafka, port) = Kafka::start_as_hub(&certificates.server()?, proof, &[]).await?;
    let folder = tempfile::tempdir()?;
    let simulation = Simulation::start(
        &["--events", "300", "--rate", "100"],
        &folder.path().join("simulate.log"),
    )?;
    let mut environment = pipeline::environment(&simulation);
    environment.extend([("RIGHT", "a password"), ("WRONG", "hunter2-hunter2")]);
    let ca = certificates.ca();
    let file = |password| {
        let ca = ca.to_str().expect("UTF-8");
        components(&simulation, port, ca, password, once)
    };

    let refused = Pipeline::new(&file("WRONG"))?;
    let mut process = refused.spawn(&environment)?;
    wait_for("the refusal is told", 60, async || {
        let log = refused.log();
        let is_told = log.contains("kafka is in trouble") && log.contains("uthentication");
        is_told.then_some(())
    })
    .await;
    process.kill();
    assert!(!refused.log().contains("hunter2"), "{}", refused.log());

    let pipeline = Pipeline::new(&file("RIGHT"))?;
    let arrivals = Arrivals::of(&kafka, "lake-")?;
    let mut process = pipeline.start(&environment).await?;
    wait_for("records arrive", 60, async || {
        (arrivals.count() >= 100).then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn records_arrive_over_tls_with_a_password_and_a_wrong_one_is_told() -> anyhow::Result<()> {
    arrives_over_tls_and_sasl(false).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_holds_exactly_once() -> anyhow::Result<()> {
    arrives_over_tls_and_sasl(true).await
}
