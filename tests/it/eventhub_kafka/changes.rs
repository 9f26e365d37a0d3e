//! What becomes of a hub while it is read, or is not.

use rdkafka::admin::{AdminOptions, NewPartitions};
use rdkafka::{Offset, TopicPartitionList};
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;

use super::hub::{HUB, RECORDS, fill, source, wait_for_records};

#[tokio::test(flavor = "multi_thread")]
async fn expired_messages_are_counted_new_partitions_are_read_and_throttling_is_shown()
-> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let kafka = Kafka::start().await?;
    kafka.create_topic(HUB, &[]).await?;
    fill(&kafka, 0..5).await?;
    let arrivals = Arrivals::of(&kafka, "out.")?;
    let more = "      librdkafka: { topic.metadata.refresh.interval.ms: 1000 }\n";
    let pipeline = Pipeline::new(&source(&kafka, "tapline", more))?;
    let mut process = pipeline.spawn(&[])?;
    wait_for_records(&arrivals, 5 * RECORDS).await;
    pipeline.stop(&mut process);

    // Of what comes while nobody reads, eleven messages expire.
    fill(&kafka, 5..20).await?;
    let mut before = TopicPartitionList::new();
    before.add_partition_offset(HUB, 0, Offset::Offset(16))?;
    let admin = kafka.admin()?;
    admin.delete_records(&before, &AdminOptions::new()).await?;
    let mut process = pipeline.spawn(&[])?;
    wait_for_records(&arrivals, 9 * RECORDS).await;
    let missed = async || {
        pipeline
            .metric("tapline_source_missed_events_total", "")
            .await
    };
    wait_for("the gap is counted", 60, async || {
        (missed().await == 11.0).then_some(())
    })
    .await;
    wait_for("it is told", 60, async || {
        pipeline.log().contains("messages are gone").then_some(())
    })
    .await;

    let grown = NewPartitions::new(HUB, 4);
    for result in admin
        .create_partitions([&grown], &AdminOptions::new())
        .await?
    {
        result.map_err(|(hub, code)| anyhow::anyhow!("{hub}: {code}"))?;
    }
    fill(&kafka, 20..40).await?;
    wait_for_records(&arrivals, 29 * RECORDS).await;
    assert_eq!(pipeline.metric("tapline_source_partitions", "").await, 4.0);

    let throttled = async || {
        let reason = r#"reason="throttled""#;
        pipeline
            .metric("tapline_source_wait_seconds_total", reason)
            .await
    };
    assert_eq!(throttled().await, 0.0);
    let quota = ["--add-config", "consumer_byte_rate=2000"];
    let whom = [
        "--alter",
        "--entity-type",
        "clients",
        "--entity-name",
        "tapline",
    ];
    kafka.tool("kafka.admin.ConfigCommand", &[&whom[..], &quota].concat())?;
    fill(&kafka, 40..60).await?;
    wait_for("throttling is shown", 60, async || {
        (throttled().await > 0.0).then_some(())
    })
    .await;
    wait_for_records(&arrivals, 49 * RECORDS).await;
    pipeline.stop(&mut process);
    arrivals.quiet().await;
    assert_eq!(arrivals.repeats(), 0);
    Ok(())
}
