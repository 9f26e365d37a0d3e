//! Keys of a policy: wrong, put right while reading, and through a crash of the broker.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::services::kafka::{HubProof, Kafka};
use tapline_e2e::wait_for;

use super::hub::{HUB, fill, wait_for_records};

fn connection_string(key: &str) -> String {
    format!(
        "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=listen;SharedAccessKey={key}"
    )
}

fn put_secret(file: &Path, key: &str) -> anyhow::Result<()> {
    fs::write(file, connection_string(key))?;
    fs::set_permissions(file, Permissions::from_mode(0o600))?;
    Ok(())
}

fn components(kafka: &Kafka, endpoint: u16, secret: &Path, ca: &Path) -> String {
    format!(
        r#"sources:
  hunting:
    type: eventhub
    config:
      hubs: [{HUB}]
      auth: {{ connection_string: {{ file: "{}" }} }}
      tls: {{ ca: "{}" }}
      endpoints: {{ kafka: "localhost:{endpoint}" }}
sinks:
  lake: {{ type: kafka, inputs: [hunting], config: {{ brokers: ["{}"], topic: "out.{{kind}}" }} }}
"#,
        secret.display(),
        ca.display(),
        kafka.address(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_key_is_told_and_a_right_one_is_found_without_a_restart() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let right = connection_string("cmlnaHQ=");
    let proof = HubProof::ConnectionString(&right);
    let (mut kafka, endpoint) = Kafka::start_as_hub(&certificates.server()?, proof, &[]).await?;
    kafka.create_topic(HUB, &[]).await?;
    fill(&kafka, 0..50).await?;
    let arrivals = Arrivals::of(&kafka, "out.")?;

    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("connection-string");
    put_secret(&secret, "d3Jvbmc=")?;
    let file = components(&kafka, endpoint, &secret, &certificates.ca());
    let pipeline = Pipeline::new(&file)?;
    let mut process = pipeline.spawn(&[])?;
    wait_for("the refusal is told", 90, async || {
        pipeline
            .log()
            .contains("refuses the key of policy listen")
            .then_some(())
    })
    .await;

    put_secret(&secret, "cmlnaHQ=")?;
    wait_for_records(&arrivals, 500).await;

    kafka.kill();
    kafka.restart().await?;
    fill(&kafka, 50..100).await?;
    wait_for_records(&arrivals, 1000).await;
    pipeline.stop(&mut process);
    fill(&kafka, 100..120).await?;
    let mut process = pipeline.spawn(&[])?;
    wait_for_records(&arrivals, 1200).await;
    pipeline.stop(&mut process);
    arrivals.quiet().await;

    let arrived = arrivals.by_uid();
    assert_eq!(arrived.len(), 1200, "nothing is lost");
    let repeated: BTreeSet<_> = arrived.iter().filter(|(_, count)| **count > 1).collect();
    assert!(repeated.is_empty(), "nothing is repeated: {repeated:?}");
    assert!(
        arrived
            .keys()
            .all(|uid| uid.starts_with("t-1:hunting.AlertInfo:"))
    );
    for secret in ["cmlnaHQ=", "d3Jvbmc="] {
        assert!(!pipeline.log().contains(secret), "the log shows a key");
    }
    Ok(())
}
