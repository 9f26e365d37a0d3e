//! A broker that is away, lacks a topic, or finds a record too large.

use std::time::Duration;

use serde_json::json;
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::{enabled, wait_for};
use tapline_simulators::Simulation;

use super::scene::{alert, alert_with, degraded, ends_well, logged, source};

fn to_kafka(microsoft: &Simulation, kafka: &Kafka) -> String {
    let broker = kafka.address();
    format!(
        r#"{}transforms:
  ocsf: {{ type: normalize, inputs: [alerts], config: {{ to: ocsf }} }}
sinks:
  lake: {{ type: kafka, inputs: [ocsf], config: {{ brokers: ["{broker}"], topic: big }} }}
  small: {{ type: kafka, inputs: [ocsf], config: {{ brokers: ["{broker}"], topic: small }} }}
  late: {{ type: kafka, inputs: [ocsf], config: {{ brokers: ["{broker}"], topic: late }} }}
"#,
        source(microsoft)
    )
}

/// The ids that arrived in a topic, in order.
fn ids(arrivals: &Arrivals, topic: &str) -> Vec<String> {
    let mut records = arrivals.records();
    records.retain(|record| record.topic == topic);
    records.sort_by_key(|record| record.place);
    records
        .into_iter()
        .map(|mut record| record.headers.remove("id").expect("id"))
        .collect()
}

async fn arrive(arrivals: &Arrivals, topic: &str, wanted: &[&str]) {
    wait_for(&format!("{wanted:?} in {topic}"), 60, async || {
        let ids = ids(arrivals, topic);
        wanted
            .iter()
            .all(|id| ids.iter().any(|seen| seen == id))
            .then_some(())
    })
    .await;
    assert_eq!(
        ids(arrivals, topic).len(),
        wanted.len(),
        "{topic} holds repeats or others"
    );
}

/// Letters of a sink: the ids and why.
fn letters(pipeline: &Pipeline, sink: &str) -> Vec<(String, String)> {
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
    let letters = pipeline.dead_letters().into_iter();
    let letters = letters.filter(|letter| letter["component"] == sink);
    letters
        .map(|letter| (text(&letter["id"]), text(&letter["why"])))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_broker_cannot_take_now_arrives_later_and_what_it_never_takes_is_kept()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let mut kafka = Kafka::start_with(&["auto.create.topics.enable=false"]).await?;
    kafka.create_topic("big", &[]).await?;
    kafka
        .create_topic("small", &[("max.message.bytes", "20000")])
        .await?;
    let arrivals = Arrivals::of_any(&kafka, &["big", "small", "late"])?;
    kafka.kill();

    let microsoft = Simulation::scripted().await?;
    let graph = microsoft.graph();
    let long = |bytes: usize| {
        // Not compressible, so that it is as large on the wire.
        let letters = (0..bytes).map(|_| char::from(rand::random_range(b'a'..=b'z')));
        json!({"description": letters.collect::<String>()})
    };
    graph.put_alert(alert("before", -62));
    graph.put_alert(alert_with("huge", -61, long(2_000_000)));
    graph.put_alert(alert_with("medium", -60, long(50_000)));
    graph.put_alert(alert("behind", -59));

    let pipeline = Pipeline::new(&to_kafka(&microsoft, &kafka))?;
    let secret = microsoft.announcement().client_secret;
    let mut process = pipeline.start(&[("TAPLINE_TEST_SECRET", &secret)]).await?;
    logged(&pipeline, &["kafka", &kafka.address(), "refused"]).await;
    degraded(&pipeline, "lake", &["confirmed"]).await;
    tokio::time::sleep(Duration::from_secs(6)).await;
    let lines = pipeline.log().lines().count();
    assert!(lines < 40, "{lines} lines:\n{}", pipeline.log());

    kafka.restart().await?;
    arrive(&arrivals, "big", &["before", "medium", "behind"]).await;
    arrive(&arrivals, "small", &["before", "behind"]).await;
    degraded(&pipeline, "late", &["topic late", "create it"]).await;
    wait_for("the letters", 60, async || {
        let kept = letters(&pipeline, "lake").len() + letters(&pipeline, "small").len();
        (kept == 3).then_some(())
    })
    .await;
    for (sink, expected) in [("lake", &["huge"][..]), ("small", &["huge", "medium"])] {
        let letters = letters(&pipeline, sink);
        let ids: Vec<_> = letters.iter().map(|(id, _)| id.as_str()).collect();
        assert_eq!(ids, expected, "{letters:?}");
        assert!(letters[0].1.contains("max.message.bytes"), "{letters:?}");
    }

    kafka.create_topic("late", &[]).await?;
    arrive(&arrivals, "late", &["before", "medium", "behind"]).await;
    wait_for("all is settled", 60, async || {
        let unsettled = pipeline
            .metric("tapline_component_in_flight_events", "alerts")
            .await;
        (unsettled == 0.0).then_some(())
    })
    .await;
    ends_well(&pipeline, &mut process, &[&secret]).await
}
