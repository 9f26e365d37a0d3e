//! Event Hubs over both transports, killed at random moments.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use rand::Rng;
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;

use super::scene::{Scene, first_commit, moments};
use crate::eventhub_kafka::hub::{self, HUB, RECORDS};

const MESSAGES: usize = 600;

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_read_over_amqp_is_in_kafka_once() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    const EVENTS: usize = 4000;
    let scene = Scene::new("250", &EVENTS.to_string()).await?;
    let announced = &scene.simulation.announcement["eventhub"]["connection_string"];
    let environment = [("TAPLINE_TEST_HUB", announced.as_str().expect("announced"))];
    let pipeline = Pipeline::new(&format!(
        "sources:\n  hunting:\n    type: eventhub\n    config:\n      transport: amqp\n      tables: all\n      consumer_group: \"$Default\"\n      auth: {{ connection_string: {{ env: TAPLINE_TEST_HUB }} }}\n{}",
        scene.sink("hunting"),
    ))?;
    let mut process = pipeline.start(&environment).await?;
    for _ in 0..moments(3) {
        // Whoever starts when all are made may have nothing left to commit.
        if scene.made()?.len() == EVENTS {
            break;
        }
        first_commit(&pipeline, Instant::now()).await;
        let moment = rand::rng().random_range(300..2000);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        process.kill();
        process = pipeline.start(&environment).await?;
    }
    wait_for("all are made", 180, async || {
        (scene.made().ok()?.len() == EVENTS).then_some(())
    })
    .await;
    let made = scene.made()?.into_iter();
    let streamed = made.filter(|version| version.kind.starts_with("hunting."));
    let streamed: HashSet<_> = streamed.map(|version| version.uid).collect();
    scene.arrive_once(&streamed).await;
    pipeline.stop(&mut process);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_read_over_its_kafka_endpoint_is_in_kafka_once() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let kafka = Kafka::start().await?;
    kafka.create_topic_of(HUB, 4, &[]).await?;
    let components = hub::source(&kafka, "tapline", "").replace(
        "topic: \"out.{kind}\"",
        "topic: \"out.{kind}\", exactly_once: true",
    );
    assert!(components.contains("exactly_once"));
    let pipeline = Pipeline::new(&components)?;
    let arrivals = Arrivals::of(&kafka, "out.")?;
    let kills = moments(3);
    // Some are left for each start.
    let part = MESSAGES / (kills + 1);
    hub::fill(&kafka, 0..part).await?;
    let mut process = pipeline.start(&[]).await?;
    for kill in 0..kills {
        first_commit(&pipeline, Instant::now()).await;
        let moment = rand::rng().random_range(100..1500);
        tokio::time::sleep(Duration::from_millis(moment)).await;
        process.kill();
        process = pipeline.start(&[]).await?;
        let filled = part * (kill + 1);
        let end = if kill + 1 == kills {
            MESSAGES
        } else {
            filled + part
        };
        hub::fill(&kafka, filled..end).await?;
    }
    hub::wait_for_records(&arrivals, MESSAGES * RECORDS).await;
    arrivals.quiet().await;
    let arrived = hub::arrived(&arrivals);
    assert_eq!(arrived.len(), MESSAGES * RECORDS, "all are there");
    assert!(arrived.values().all(|times| *times == 1), "none twice");
    pipeline.stop(&mut process);
    Ok(())
}
