//! A simulated tenant, a broker, and pipelines between them with `exactly_once`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::ledger::{self, Version};
use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::process::Process;
use tapline_e2e::program::Simulation;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;
use tempfile::TempDir;

/// How many disturbances, where the default is too few.
pub(super) fn moments(default: usize) -> usize {
    let asked = std::env::var("TAPLINE_ONCE_MOMENTS").ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// Ends in this order: clients do not end without their broker.
pub(super) struct Scene {
    pub(super) arrivals: Arrivals,
    pub(super) kafka: Kafka,
    pub(super) simulation: Simulation,
    /// Where the pipelines find the broker.
    address: String,
    ledger: PathBuf,
    _folder: TempDir,
}

impl Scene {
    pub(super) async fn new(rate: &str, events: &str) -> anyhow::Result<Self> {
        let kafka = Kafka::start().await?;
        let address = kafka.address();
        Self::with(kafka, address, rate, events)
    }

    pub(super) fn with(
        kafka: Kafka,
        address: String,
        rate: &str,
        events: &str,
    ) -> anyhow::Result<Self> {
        let folder = TempDir::new()?;
        let ledger = folder.path().join("ledger.ndjson");
        let path = ledger.to_str().expect("UTF-8");
        let arguments = ["--rate", rate, "--events", events, "--ledger", path];
        Ok(Self {
            arrivals: Arrivals::of(&kafka, "defender.")?,
            simulation: Simulation::start(&arguments, &folder.path().join("simulate.log"))?,
            kafka,
            address,
            ledger,
            _folder: folder,
        })
    }

    /// A pipeline that polls everything, with a data folder of its own.
    pub(super) fn pipeline(&self) -> anyhow::Result<Pipeline> {
        Pipeline::new(&format!(
            "{}transforms:\n  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}\n{}",
            pipeline::sources(&self.simulation),
            self.sink("ocsf"),
        ))
    }

    pub(super) fn sink(&self, input: &str) -> String {
        format!(
            "sinks:\n  lake:\n    type: kafka\n    inputs: [{input}]\n    config: {{ brokers: [\"{}\"], topic: \"defender.{{kind}}\", exactly_once: true }}\n",
            self.address,
        )
    }

    pub(super) async fn start(&self, pipeline: &Pipeline) -> anyhow::Result<Process> {
        let environment = pipeline::environment(&self.simulation);
        pipeline.start(&environment).await
    }

    pub(super) fn made(&self) -> anyhow::Result<Vec<Version>> {
        ledger::read(&self.ledger)
    }

    /// Waits until the simulator has made everything, and for the newest version of each polled
    /// record to be in Kafka; then nothing may be there twice.
    pub(super) async fn everything_arrives_once(&self, events: usize) -> anyhow::Result<usize> {
        wait_for("all are made", 180, async || {
            (self.made().ok()?.len() == events).then_some(())
        })
        .await;
        let promised: HashSet<String> = ledger::polled(self.made()?)
            .into_iter()
            .filter(|version| version.superseded_after_ms.is_none())
            .map(|version| version.uid)
            .collect();
        self.arrive_once(&promised).await;
        Ok(promised.len())
    }

    pub(super) async fn arrive_once(&self, promised: &HashSet<String>) {
        wait_for("every promised version is in kafka", 180, async || {
            let arrived = self.arrivals.by_uid();
            let mut all = promised.iter();
            all.all(|uid| arrived.contains_key(uid)).then_some(())
        })
        .await;
        self.arrivals.quiet().await;
        let repeated = self.arrivals.repeated();
        assert!(
            repeated.is_empty(),
            "{} are there twice, such as {:?}",
            repeated.len(),
            &repeated[..repeated.len().min(20)]
        );
    }
}

/// How long a process that was started just then takes to its first transaction.
pub(super) async fn first_commit(pipeline: &Pipeline, since: Instant) -> Duration {
    wait_for("a transaction", 60, async || {
        (committed(pipeline).await > 0.0).then_some(())
    })
    .await;
    since.elapsed()
}

/// Transactions of the process so far.
pub(super) async fn committed(pipeline: &Pipeline) -> f64 {
    let name = "tapline_sink_transactions_total";
    pipeline.metric(name, "outcome=\"committed\"").await
}
