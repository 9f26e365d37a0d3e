//! Tokens of the identity platform, which the broker checks against its public keys.

use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::services::kafka::{HubProof, Kafka};
use tapline_e2e::wait_for;
use tapline_simulators::{Announcement, Simulation};

use super::hub::{HUB, NAMESPACE, RECORDS, arrived, fill, wait_for_records};

const SECRET: &str = "TAPLINE_TEST_SECRET";
/// Life of a token in seconds: as short as entra-auth can renew in time on a busy machine.
const LIFE: u64 = 15;

fn components(
    at: &Announcement,
    kafka: &Kafka,
    endpoint: u16,
    certificates: &Certificates,
) -> String {
    format!(
        r#"sources:
  hunting:
    type: eventhub
    config:
      namespace: {NAMESPACE}
      hubs: [{HUB}]
      auth:
        identity: {{ tenant_id: {tenant}, client_id: {client}, client_secret: {{ env: {SECRET} }} }}
      tls: {{ ca: "{ca}" }}
      endpoints: {{ login: "{login}", kafka: "localhost:{endpoint}" }}
sinks:
  lake: {{ type: kafka, inputs: [hunting], config: {{ brokers: ["{lake}"], topic: "out.{{kind}}" }} }}
"#,
        tenant = at.tenant_id,
        client = at.client_id,
        login = at.login,
        ca = certificates.ca().display(),
        lake = kafka.address(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_forged_token_is_refused_and_right_ones_are_renewed_without_a_repeat()
-> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let simulation = Simulation::scripted().await?;
    let at = simulation.announcement();
    let certificates = Certificates::new()?;
    let proof = HubProof::Token {
        keys: &format!("{}/{}/discovery/keys", at.login, at.tenant_id),
        audience: &format!("https://{NAMESPACE}"),
    };
    let (kafka, endpoint) = Kafka::start_as_hub(&certificates.server()?, proof, &[]).await?;
    kafka.create_topic(HUB, &[]).await?;
    fill(&kafka, 0..10).await?;
    let arrivals = Arrivals::of(&kafka, "out.")?;

    simulation.login().set_expires_in(LIFE);
    simulation.login().set_forged(true);
    let pipeline = Pipeline::new(&components(&at, &kafka, endpoint, &certificates))?;
    let mut process = pipeline.spawn(&[(SECRET, &at.client_secret)])?;
    wait_for("the refusal is told", 90, async || {
        let status = pipeline.get("/api/v1/status").await.ok()?;
        let is_told = status.contains("refuses the token") && status.contains("degraded");
        is_told.then_some(())
    })
    .await;
    assert_eq!(arrivals.count(), 0, "a forged token opens nothing");

    simulation.login().set_forged(false);
    wait_for_records(&arrivals, 10 * RECORDS).await;
    let refreshes = async || {
        pipeline
            .metric("tapline_token_refreshes_total", r#"outcome="ok""#)
            .await
    };
    let (before, mut filled) = (refreshes().await, 10);
    wait_for("the token is renewed twice", 120, async || {
        fill(&kafka, filled..filled + 1).await.ok()?;
        filled += 1;
        (refreshes().await >= before + 2.0).then_some(())
    })
    .await;
    wait_for_records(&arrivals, filled * RECORDS).await;
    pipeline.stop(&mut process);
    arrivals.quiet().await;
    let arrived = arrived(&arrivals);
    assert_eq!(arrived.len(), filled * RECORDS, "nothing is lost");
    assert!(
        arrived.values().all(|times| *times == 1),
        "nothing is repeated"
    );
    assert!(
        !pipeline.log().contains(&at.client_secret),
        "the log shows the secret"
    );
    Ok(())
}
