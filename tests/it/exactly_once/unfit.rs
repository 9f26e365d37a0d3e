//! Events that Kafka never takes go aside in the same transaction, and what cannot hold is refused.

use std::time::Instant;

use rand::distr::{Alphanumeric, SampleString};
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::program::tapline;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;

use super::scene::first_commit;
use crate::eventhub_kafka::hub::{self, HUB};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_no_topic_takes_goes_aside_and_the_others_go_on() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let kafka = Kafka::start().await?;
    kafka
        .create_topic_of(HUB, 1, &[("max.message.bytes", "2000000")])
        .await?;
    // Larger than this topic takes, and one that is larger than our producer takes.
    let settings = [("max.message.bytes", "20000")];
    kafka
        .create_topic("out.hunting.AlertInfo", &settings)
        .await?;
    let components = hub::source(&kafka, "tapline", "").replace(
        "topic: \"out.{kind}\"",
        "topic: \"out.{kind}\", exactly_once: true",
    );
    let pipeline = Pipeline::new(&components)?;
    let arrivals = Arrivals::of(&kafka, "out.")?;
    let letters = Arrivals::of(&kafka, "e2e.lake.dead-letters")?;
    let producer = hub::producer(&kafka)?;
    // A topic's limit holds for what is compressed, so this must not become much smaller.
    let large = |name: &str, bytes: usize| {
        let random = Alphanumeric.sample_string(&mut rand::rng(), bytes);
        hub::record(&format!("{name}{random}"))
    };
    for number in 0..20 {
        hub::put(&producer, &hub::record(&format!("small-{number}"))).await?;
    }
    hub::put(&producer, &large("topic", 40_000)).await?;
    hub::put(&producer, &large("producer", 1_200_000)).await?;
    hub::put(&producer, &hub::record("last")).await?;
    let mut process = pipeline.start(&[]).await?;
    first_commit(&pipeline, Instant::now()).await;
    hub::wait_for_records(&arrivals, 21).await;
    wait_for("three records of two letters", 60, async || {
        (letters.count() >= 3).then_some(())
    })
    .await;
    arrivals.quiet().await;
    assert_eq!(arrivals.count(), 21, "each small one once");
    let parts: Vec<_> = letters.records();
    assert!(parts.iter().all(|it| it.headers["reason"] == "too_large"));
    let bytes: usize = parts.iter().map(|it| it.body.len()).sum();
    assert!(bytes > 1_240_000, "all of their bytes are kept: {bytes}");
    pipeline.stop(&mut process);
    Ok(())
}

#[test]
fn what_cannot_hold_is_refused_by_name() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let source = "sources:\n  hunting:\n    type: eventhub\n    config:\n      namespace: contoso.servicebus.windows.net\n      hubs: [defender]\n      auth: { sas: { policy: listen, key: \"a2V5\" } }\n";
    let sink = |id: &str, more: &str, config: &str| {
        format!(
            "  {id}:\n    type: kafka\n    inputs: [hunting]\n{more}    config: {{ brokers: [\"b:9092\"], topic: out, exactly_once: true{config} }}\n"
        )
    };
    let refused = |sinks: &str, expected: &str| -> anyhow::Result<()> {
        let pipeline = Pipeline::new(&format!("{source}sinks:\n{sinks}"))?;
        let file = pipeline.file();
        let said = tapline(&["validate", "-c", file.to_str().expect("UTF-8")]).output()?;
        let text = String::from_utf8_lossy(&said.stdout) + String::from_utf8_lossy(&said.stderr);
        assert_eq!(said.status.code(), Some(2), "{text}");
        assert!(text.contains(expected), "{text}");
        Ok(())
    };
    refused(
        &(sink("lake", "", "") + &sink("pond", "", "")),
        "sinks.pond: source hunting leads to two sinks with exactly_once, the other is lake",
    )?;
    refused(
        &sink("lake", "    spool: { max_bytes: 1073741824 }\n", ""),
        "sinks.lake: exactly_once and spool exclude each other",
    )?;
    refused(
        &sink("lake", "", ", transaction_interval_ms: 0"),
        "transaction_interval_ms: expected 1 to 5000",
    )?;
    refused(
        &sink("lake", "", ", librdkafka: { transaction.timeout.ms: 9 }"),
        "librdkafka.transaction.timeout.ms: is set by tapline",
    )?;
    Ok(())
}

#[test]
fn what_is_kept_in_kafka_is_told_by_the_commands_that_do_not_reach_it() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let pipeline = Pipeline::new(
        "sources:\n  hunting:\n    type: eventhub\n    config:\n      namespace: contoso.servicebus.windows.net\n      hubs: [defender]\n      auth: { sas: { policy: listen, key: \"a2V5\" } }\nsinks:\n  lake: { type: kafka, inputs: [hunting], config: { brokers: [\"b:9092\"], topic: out, exactly_once: true } }\n",
    )?;
    let file = pipeline.file();
    let file = file.to_str().expect("UTF-8");
    let rewind = [
        "state",
        "rewind",
        "-c",
        file,
        "--to",
        "2026-01-02T03:04:05Z",
    ];
    let said = tapline(&rewind).output()?;
    let text = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(1), "{text}");
    assert!(
        text.contains("e2e.lake.cursors, which this does not reach; nothing was changed"),
        "{text}"
    );
    let said = tapline(&["state", "show", "-c", file]).output()?;
    let text = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(0), "{text}");
    assert!(
        text.contains("e2e.lake.cursors, and not part of this"),
        "{text}"
    );
    let said = tapline(&["dead-letters", "list", "-c", file]).output()?;
    let text = String::from_utf8_lossy(&said.stderr);
    assert_eq!(said.status.code(), Some(0), "{text}");
    assert!(
        text.contains("e2e.lake.dead-letters, and not part of this"),
        "{text}"
    );
    Ok(())
}
