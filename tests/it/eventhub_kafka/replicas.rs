//! Three replicas share a hub, while some of them, and the broker, come and go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::producer::{FutureProducer, FutureRecord};
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::process::Process;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval};

use super::hub::{HUB, RECORDS, arrived, message, names, producer, source};

const PARTITIONS: i32 = 12;
/// Nothing is ever put into this one.
const EMPTY: i32 = PARTITIONS - 1;
const GROUP: &str = "shared";
/// Between two messages.
const PACE: Duration = Duration::from_millis(20);
/// How many minutes of disturbances, one every half minute; without it each comes once.
const MINUTES: &str = "TAPLINE_REPLICAS_MINUTES";

/// Puts messages into the hub until stopped, and remembers what the broker has taken.
struct Filling {
    taken: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Filling {
    fn start(kafka: &Kafka) -> anyhow::Result<Self> {
        let (producer, taken) = (producer(kafka)?, Arc::<Mutex<Vec<String>>>::default());
        let task = tokio::spawn(fill(producer, Arc::clone(&taken)));
        Ok(Self { taken, task })
    }

    fn taken(&self) -> Vec<String> {
        self.taken.lock().expect("not poisoned").clone()
    }

    /// What is under way may still be taken; only what is known to be counts.
    fn stop(&self) {
        self.task.abort();
    }
}

async fn fill(producer: FutureProducer, taken: Arc<Mutex<Vec<String>>>) {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for number in 0.. {
        ticks.tick().await;
        let partition = i32::try_from(number).expect("not so many") % EMPTY;
        let message = message(number);
        let record = FutureRecord::<(), _>::to(HUB)
            .partition(partition)
            .payload(&message);
        let sent = producer.send(record, Duration::from_secs(120)).await;
        sent.expect("the broker comes back");
        taken.lock().expect("not poisoned").extend(names(number));
    }
}

/// One process of the group; none while it is down.
struct Replica {
    pipeline: Pipeline,
    process: Option<Process>,
}

impl Replica {
    fn new(kafka: &Kafka) -> anyhow::Result<Self> {
        let timeouts =
            "      librdkafka: { session.timeout.ms: 6000, heartbeat.interval.ms: 1000 }\n";
        let components = source(kafka, GROUP, timeouts);
        Ok(Self {
            pipeline: Pipeline::new(&components)?,
            process: None,
        })
    }

    async fn metric(&self, name: &str, labels: &str) -> f64 {
        self.pipeline.metric(name, labels).await
    }
}

/// The group, its hub, and what leaves it.
///
/// Ends in this order: clients do not end without their broker.
struct Scene {
    filling: Filling,
    arrivals: Arrivals,
    replicas: Vec<Replica>,
    kafka: Kafka,
    /// Records that were not settled, as far as the group knew, when something crashed.
    unsettled: i64,
}

impl Scene {
    async fn new() -> anyhow::Result<Self> {
        let kafka = Kafka::start().await?;
        kafka.create_topic_of(HUB, PARTITIONS, &[]).await?;
        let replicas = (0..3)
            .map(|_| Replica::new(&kafka))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            filling: Filling::start(&kafka)?,
            arrivals: Arrivals::of(&kafka, "out.")?,
            kafka,
            replicas,
            unsettled: 0,
        })
    }

    fn start(&mut self, replica: usize) -> anyhow::Result<()> {
        let replica = &mut self.replicas[replica];
        replica.process = Some(replica.pipeline.spawn(&[])?);
        Ok(())
    }

    fn stop(&mut self, replica: usize) {
        let replica = &mut self.replicas[replica];
        let mut process = replica.process.take().expect("it runs");
        replica.pipeline.stop(&mut process);
    }

    /// Every partition has one owner, and every process that runs has some.
    async fn shared(&self, when: &str) {
        wait_for(
            &format!("the partitions are shared {when}"),
            120,
            async || {
                let mut owned = Vec::new();
                for replica in self.replicas.iter().filter(|it| it.process.is_some()) {
                    owned.push(replica.metric("tapline_source_partitions", "").await);
                }
                let all: f64 = owned.iter().sum();
                (all == f64::from(PARTITIONS) && owned.iter().all(|own| *own > 0.0)).then_some(())
            },
        )
        .await;
    }

    /// Waits until everything that was put in before has come out.
    async fn caught_up(&self, when: &str) {
        let taken = self.filling.taken();
        wait_for(&format!("nothing is missing {when}"), 120, async || {
            let arrived = arrived(&self.arrivals);
            taken
                .iter()
                .all(|name| arrived.contains_key(name))
                .then_some(())
        })
        .await;
    }

    /// Does what may repeat whatever the group does not know to be settled, and adds that up.
    async fn crash(
        &mut self,
        what: impl AsyncFnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let consumer: BaseConsumer = self.kafka.client().set("group.id", GROUP).create()?;
        let before = committed(&consumer)?;
        what(self).await?;
        let messages = ends(&consumer)? - before;
        self.unsettled += messages * i64::try_from(RECORDS)?;
        Ok(())
    }

    async fn crash_replica(&mut self, replica: usize) -> anyhow::Result<()> {
        self.crash(async |scene| {
            scene.replicas[replica]
                .process
                .take()
                .expect("it runs")
                .kill();
            Ok(())
        })
        .await?;
        self.shared("after a crash").await;
        self.start(replica)?;
        self.shared("when it is back").await;
        self.report("a replica crashed");
        Ok(())
    }

    async fn crash_broker(&mut self) -> anyhow::Result<()> {
        self.crash(async |scene| {
            scene.kafka.kill();
            scene.kafka.restart().await?;
            scene.shared("when the broker is back").await;
            scene.caught_up("after the broker's crash").await;
            Ok(())
        })
        .await?;
        self.report("the broker crashed");
        Ok(())
    }

    async fn restart_politely(&mut self, replica: usize) -> anyhow::Result<()> {
        self.stop(replica);
        self.shared("when one has left").await;
        self.start(replica)?;
        self.shared("when it is back").await;
        self.report("a replica was stopped and started");
        Ok(())
    }

    fn report(&self, what: &str) {
        let (arrived, repeats) = (self.arrivals.count(), self.arrivals.repeats());
        let unsettled = self.unsettled;
        eprintln!("{what}: {arrived} arrived, {repeats} repeats, {unsettled} unsettled at crashes");
    }

    /// Backlog and lag are shown of what is owned now, each by its owner alone.
    async fn check_metrics(&self) {
        wait_for("backlog and lag are right", 60, async || {
            let (mut shown, mut records) = (BTreeMap::new(), 0.0);
            for replica in &self.replicas {
                let text = replica.pipeline.get("/metrics").await.ok()?;
                let backlogs = series(&text, "tapline_source_backlog_events", "partition");
                let lags = series(&text, "tapline_source_lag_seconds", "stream");
                if lags.keys().ne(backlogs.keys()) || lags.values().any(|lag| *lag > 10.0) {
                    return None;
                }
                for (partition, backlog) in backlogs {
                    if shown.insert(partition, backlog).is_some() {
                        return None;
                    }
                }
                let table = "tapline_source_table_records_total";
                records += replica.metric(table, r#"table="AlertInfo""#).await;
            }
            let is_right = shown.len() == PARTITIONS as usize
                && shown[&format!("{HUB}/{EMPTY}")] == 0.0
                && records > 0.0;
            is_right.then_some(())
        })
        .await;
    }

    async fn end(mut self) -> anyhow::Result<()> {
        self.filling.stop();
        self.caught_up("at the end").await;
        for replica in 0..self.replicas.len() {
            self.stop(replica);
        }
        self.arrivals.caught_up().await;
        self.report("all replicas were stopped");
        let (taken, arrived) = (self.filling.taken(), arrived(&self.arrivals));
        let missing: Vec<_> = taken
            .iter()
            .filter(|name| !arrived.contains_key(*name))
            .collect();
        assert!(missing.is_empty(), "missing: {missing:?}");
        let repeats = i64::try_from(self.arrivals.repeats())?;
        assert!(
            repeats <= self.unsettled,
            "{repeats} repeats of {} unsettled",
            self.unsettled
        );
        Ok(())
    }
}

/// The values of a metric by one of its labels.
fn series(text: &str, metric: &str, label: &str) -> BTreeMap<String, f64> {
    let lines = text
        .lines()
        .filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{'));
    let values = lines.filter_map(|line| {
        let (_, rest) = line.split_once(&format!("{label}=\""))?;
        let (value, _) = rest.split_once('"')?;
        Some((value.to_owned(), line.rsplit(' ').next()?.parse().ok()?))
    });
    values.collect()
}

fn committed(consumer: &BaseConsumer) -> anyhow::Result<i64> {
    let mut asked = TopicPartitionList::new();
    asked.add_partition_range(HUB, 0, PARTITIONS - 1);
    let answer = consumer.committed_offsets(asked, Duration::from_secs(30))?;
    let offsets = answer
        .elements()
        .into_iter()
        .filter_map(|it| it.offset().to_raw());
    Ok(offsets.map(|offset| offset.max(0)).sum())
}

fn ends(consumer: &BaseConsumer) -> anyhow::Result<i64> {
    let mut sum = 0;
    for partition in 0..PARTITIONS {
        sum += consumer
            .fetch_watermarks(HUB, partition, Duration::from_secs(30))?
            .1;
    }
    Ok(sum)
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_and_broker_come_and_go_and_nothing_is_lost_or_repeated_but_what_was_unsettled()
-> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let mut scene = Scene::new().await?;
    for replica in 0..3 {
        scene.start(replica)?;
        scene.shared("when one more has started").await;
    }
    scene.restart_politely(1).await?;
    scene.caught_up("after rebalances").await;
    assert_eq!(
        scene.arrivals.repeats(),
        0,
        "a rebalance repeats nothing that was settled"
    );
    scene.check_metrics().await;
    scene.crash_replica(2).await?;
    scene.crash_broker().await?;
    keep_disturbing(&mut scene).await?;
    scene.end().await
}

/// The longer form.
async fn keep_disturbing(scene: &mut Scene) -> anyhow::Result<()> {
    let minutes = std::env::var(MINUTES)
        .ok()
        .and_then(|text| text.parse::<u64>().ok());
    let end = Instant::now() + Duration::from_secs(60 * minutes.unwrap_or_default());
    let mut ticks = interval(Duration::from_secs(30));
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        ticks.tick().await;
        scene.crash_broker().await?;
        match round % 3 {
            0 => scene.restart_politely(round / 3 % 3).await?,
            1 => scene.crash_replica(round / 3 % 3).await?,
            _ => {}
        }
    }
    Ok(())
}
