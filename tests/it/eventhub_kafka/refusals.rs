//! What the service refuses, and strings that it would.

use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::services::kafka::{HubProof, Kafka};
use tapline_e2e::wait_for;

use super::hub::{HUB, RECORDS, fill, wait_for_records};

const GOOD: &str = "Endpoint=sb://contoso.servicebus.windows.net/;SharedAccessKeyName=listen;SharedAccessKey=cmlnaHQ=";
const STRING: &str = "TAPLINE_TEST_STRING";

fn components(kafka: &str, hubs: &str, more: &str) -> String {
    format!(
        r#"sources:
  hunting:
    type: eventhub
    config:
      hubs: [{hubs}]
      auth: {{ connection_string: {{ env: {STRING} }} }}
{more}sinks:
  lake: {{ type: kafka, inputs: [hunting], config: {{ brokers: ["{kafka}"], topic: "out.{{kind}}" }} }}
"#
    )
}

/// A broker whose access rules know nobody but those who come in clear text.
const RULES: [&str; 2] = [
    "authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users=User:ANONYMOUS",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_without_listen_and_a_hub_that_is_not_there_are_told_by_name_until_they_are_mended()
-> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let certificates = Certificates::new()?;
    let proof = HubProof::ConnectionString(GOOD);
    let (kafka, endpoint) = Kafka::start_as_hub(&certificates.server()?, proof, &RULES).await?;
    kafka.create_topic(HUB, &[]).await?;
    fill(&kafka, 0..5).await?;
    let arrivals = Arrivals::of(&kafka, "out.")?;
    let more = format!(
        r#"      tls: {{ ca: "{}" }}
      endpoints: {{ kafka: "localhost:{endpoint}" }}
      librdkafka: {{ topic.metadata.refresh.interval.ms: 1000 }}
"#,
        certificates.ca().display()
    );
    let pipeline = Pipeline::new(&components(&kafka.address(), "defender, later", &more))?;
    let mut process = pipeline.spawn(&[(STRING, GOOD)])?;
    let told = async |what: &str| {
        wait_for(what, 90, async || {
            let status = pipeline.get("/api/v1/status").await.ok()?;
            status.contains(what).then_some(())
        })
        .await;
    };
    told("does not allow reading defender").await;
    told("Basic tier, which has no Kafka endpoint").await;
    assert_eq!(arrivals.count(), 0);

    let principal = "User:$ConnectionString";
    let rule = [
        "--add",
        "--allow-principal",
        principal,
        "--operation",
        "All",
    ];
    let everything = ["--topic", "*", "--group", "*"];
    let arguments = [&rule[..], &everything].concat();
    kafka.tool("org.apache.kafka.tools.AclCommand", &arguments)?;
    wait_for_records(&arrivals, 5 * RECORDS).await;
    told("has no hub of this name: later").await;
    kafka.create_topic("later", &[]).await?;
    wait_for("the second hub is read", 90, async || {
        (pipeline.metric("tapline_source_partitions", "").await == 2.0).then_some(())
    })
    .await;
    wait_for("nothing is wrong any more", 90, async || {
        let status = pipeline.get("/api/v1/status").await.ok()?;
        (!status.contains("degraded")).then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    Ok(())
}

/// The program ends at once, and says which part is wrong, and never the key.
fn check_refused(string: &str, expected: &str) -> anyhow::Result<()> {
    let pipeline = Pipeline::new(&components("127.0.0.1:9", HUB, ""))?;
    let mut process = pipeline.spawn(&[(STRING, string)])?;
    let status = process.wait(std::time::Duration::from_secs(60));
    let log = pipeline.log();
    assert!(
        status.is_some_and(|status| !status.success()),
        "{string}: {status:?}: {log}"
    );
    assert!(log.contains(expected), "{expected:?} is not in {log}");
    assert!(log.contains("auth.connection_string"), "{log}");
    assert!(!log.contains("cmlnaHQ"), "the log shows a key: {log}");
    Ok(())
}

#[test]
fn a_connection_string_with_a_mistake_ends_the_start_and_the_part_is_named() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let without_key = GOOD.replace(";SharedAccessKey=cmlnaHQ=", "");
    check_refused(&without_key, "has no SharedAccessKey")?;
    check_refused(
        &format!("{GOOD};SharedAccessKey=cmlnaHQ="),
        "names SharedAccessKey twice",
    )?;
    check_refused(
        &GOOD.replace("cmlnaHQ=", "cmlnaHQ%3D"),
        "SharedAccessKey of the connection string holds %",
    )?;
    check_refused(
        &GOOD.replace("sb://", ""),
        "Endpoint of the connection string is not an address",
    )?;
    check_refused(
        &format!("{GOOD};EntityPath=other"),
        "is of the hub other alone",
    )
}
