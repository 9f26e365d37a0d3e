//! Messages in every form, of every size, and broken ones.

use std::collections::BTreeSet;

use serde_json::Value;
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;
use tapline_simulators::Simulation;

use super::hub::{HUB, NAMESPACE, arrived_in, producer, put, record, wait_for_records};

/// Records of a message that is as large as the service takes.
const MANY: usize = 2000;

/// A message of nearly 1 MB.
fn large() -> String {
    let filler = "x".repeat(350);
    let row = |row: usize| {
        let row = record(&format!("large-{row}"));
        row.replace(
            r#"{"AlertId""#,
            &format!(r#"{{"Title":"{filler}","AlertId""#),
        )
    };
    let rows: Vec<_> = (0..MANY).map(row).collect();
    format!(r#"{{"records":[{}]}}"#, rows.join(","))
}

/// Places of the two messages that are broken somewhere.
const BROKEN: [usize; 2] = [5, 6];
/// Small records in all messages together.
const SMALL: usize = 11;

fn messages() -> [String; 9] {
    let [a, b, c, d, e, f, g, h, i, j, k] = std::array::from_fn(|at| record(&format!("r{at}")));
    let large = large();
    let size = large.len();
    assert!((950_000..1_000_000).contains(&size), "{size} bytes");
    [
        format!(r#"{{"records":[{a},{b}]}}"#),
        format!("[{c},{d}]"),
        e,
        format!("{f}\n{g}\n"),
        String::new(),
        format!(r#"{{"records":[{h},{{"time":"2026-03-04T05:"#),
        format!(r#"{{"records":[{i},{{"category" 5}},{j}]}}"#),
        large,
        k,
    ]
}

/// The same hub over both transports.
fn components(kafka: &Kafka, connection_string: &str) -> String {
    let address = kafka.address();
    format!(
        r#"sources:
  by_kafka:
    type: eventhub
    config:
      namespace: {NAMESPACE}
      hubs: [{HUB}]
      auth: {{ sas: {{ policy: listen, key: "a2V5" }} }}
      endpoints: {{ kafka: "plaintext://{address}" }}
  by_amqp:
    type: eventhub
    config:
      transport: amqp
      consumer_group: "$Default"
      auth: {{ connection_string: "{connection_string}" }}
sinks:
  lake: {{ type: kafka, inputs: [by_kafka, by_amqp], config: {{ brokers: ["{address}"], topic: "out.{{component}}" }} }}
"#
    )
}

/// Every record came once, and both broken messages are in the dead letters with their offset.
fn check(component: &str, offsets: [&str; 2], arrivals: &Arrivals, letters: &[Value]) {
    let topic = format!("out.{component}");
    let arrived = arrived_in(arrivals, &topic);
    let small = (0..SMALL).map(|at| format!("r{at}"));
    let large = (0..MANY).map(|row| format!("large-{row}"));
    let expected: BTreeSet<_> = small.chain(large).collect();
    let names: BTreeSet<_> = arrived.keys().cloned().collect();
    assert_eq!(names, expected, "{component}");
    let is_once = arrived.values().all(|times| *times == 1);
    assert!(is_once, "{component}: nothing is repeated");
    let own = letters
        .iter()
        .filter(|letter| letter["component"] == component);
    let told: Vec<_> = own
        .map(|letter| letter["why"].as_str().expect("text"))
        .collect();
    assert_eq!(told.len(), BROKEN.len(), "{told:?}");
    for (why, offset) in told.iter().zip(offsets) {
        let place = format!("hub {HUB}, partition 0, offset {offset}, ");
        assert!(why.contains(&place), "{place:?} is not in {why}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_and_size_is_read_over_both_transports_and_what_is_broken_is_kept_with_its_place()
-> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let kafka = Kafka::start().await?;
    let simulation = Simulation::scripted().await?;
    kafka.create_topic(HUB, &[]).await?;
    let producer = producer(&kafka)?;
    let mut amqp = Vec::new();
    for message in messages() {
        put(&producer, &message).await?;
        amqp.push(simulation.hub().put(0, message.as_str()).offset);
    }
    let arrivals = Arrivals::of(&kafka, "out.")?;
    let string = simulation.hub().connection_string();
    let pipeline = Pipeline::new(&components(&kafka, &string))?;
    let mut process = pipeline.spawn(&[])?;
    wait_for_records(&arrivals, 2 * (SMALL + MANY)).await;
    wait_for("four dead letters", 60, async || {
        (pipeline.dead_letters().len() == 4).then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    arrivals.quiet().await;
    let letters = pipeline.dead_letters();
    check("by_kafka", ["5", "6"], &arrivals, &letters);
    check("by_amqp", BROKEN.map(|at| &*amqp[at]), &arrivals, &letters);
    Ok(())
}
