//! A sink with a spool: a dead receiver stops nobody else, and gets everything later.

use std::collections::HashSet;

use serde_json::Value;
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::receiver::Receiver;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::{enabled, wait_for};
use tapline_simulators::Simulation;

use crate::bad_input::scene::{alert, source};

const ALERTS: usize = 300;

fn file(microsoft: &Simulation, kafka: &Kafka, receiver: &Receiver) -> String {
    format!(
        r#"{}transforms:
  ocsf: {{ type: normalize, inputs: [alerts], config: {{ to: ocsf }} }}
sinks:
  lake: {{ type: kafka, inputs: [ocsf], config: {{ brokers: ["{}"], topic: lake }} }}
  siem:
    type: syslog
    inputs: [ocsf]
    config: {{ endpoint: "{}", format: none, framing: octet_counting }}
    spool: {{ max_bytes: 16777216 }}
"#,
        source(microsoft),
        kafka.address(),
        receiver.endpoint(),
    )
}

fn ids(receiver: &Receiver) -> Vec<String> {
    let id = |message: &Vec<u8>| {
        let event: Value = serde_json::from_slice(message).expect("JSON arrives");
        let id = event["metadata"]["original_event_uid"].as_str();
        id.expect("an id").to_owned()
    };
    receiver.received().iter().map(id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_away_stops_no_other_and_gets_everything_in_order_also_after_a_kill()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let kafka = Kafka::start().await?;
    let microsoft = Simulation::scripted().await?;
    let mut receiver = Receiver::start().await?;
    receiver.shut().await;
    let made: Vec<String> = (0..ALERTS).map(|n| format!("a{n:03}")).collect();
    for (n, id) in made.iter().enumerate() {
        let seconds = n as i64 - 2000;
        microsoft.graph().put_alert(alert(id, seconds));
    }
    let pipeline = Pipeline::new(&file(&microsoft, &kafka, &receiver))?;
    let arrivals = Arrivals::of(&kafka, "lake")?;
    let secret = microsoft.announcement().client_secret;
    let environment = [("TAPLINE_TEST_SECRET", secret.as_str())];
    let mut process = pipeline.start(&environment).await?;

    wait_for("all are in kafka", 60, async || {
        (arrivals.count() == ALERTS).then_some(())
    })
    .await;
    wait_for("all are in the spool", 60, async || {
        let waiting = pipeline.metric("tapline_spool_events", "siem").await;
        (waiting as usize == ALERTS).then_some(())
    })
    .await;
    process.kill();
    receiver.open().await?;
    process = pipeline.start(&environment).await?;
    wait_for("all are at the receiver", 60, async || {
        let arrived: HashSet<String> = ids(&receiver).into_iter().collect();
        (arrived.len() == ALERTS).then_some(())
    })
    .await;
    wait_for("the spool is empty", 60, async || {
        let waiting = pipeline
            .metric("tapline_spool_events", "siem:spooled")
            .await;
        (waiting == 0.0).then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    assert_eq!(ids(&receiver), made, "once each, in order");
    microsoft.stop().await;
    Ok(())
}
