//! `tapline demo`: a simulated Microsoft, an embedded Kafka, and a syslog receiver around the
//! real pipeline, to watch detections arrive.

mod broker;
mod pipeline;
mod progress;
mod receiver;
mod tally;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use tapline_runtime::telemetry::{self, TelemetryConfig};
use tapline_simulators::{Settings, Simulation};
use tokio::task::JoinSet;

use crate::Exit;
use crate::cli::Demo;
use crate::commands::{block_on, hang_up, stop_signal, validate};
use crate::service::{FLUSH_LIMIT, Service};
use broker::Broker;
use progress::Progress;
use receiver::Receiver;
use tally::Arrivals;

/// Versions per second when there is no end.
const RATE: f64 = 10.0;

/// A demo with an end makes its versions in about so many seconds.
const MAKING_SECS: f64 = 10.0;

/// Without an arrival for so long, what is missing will not come.
const PATIENCE: Duration = Duration::from_secs(20);

/// How often progress is told.
const INTERVAL: Duration = Duration::from_millis(500);

pub(crate) fn run(arguments: &Demo) -> anyhow::Result<Exit> {
    block_on(demo(arguments.events))?
}

async fn demo(events: Option<u64>) -> anyhow::Result<Exit> {
    let telemetry = telemetry::init(&TelemetryConfig {
        service_name: "tapline-demo".to_owned(),
        ..TelemetryConfig::default()
    })?;
    let folder = tempfile::Builder::new()
        .prefix("tapline-demo-")
        .tempdir()
        .context("making a folder for the demo")?;
    let stage = Stage::set(folder.path(), events).await?;
    let exit = stage.play(events).await;
    telemetry.shutdown(FLUSH_LIMIT).await;
    exit
}

/// Everything that runs during the demo.
struct Stage {
    /// The consumer and the receiver; they end before what they read from.
    readers: JoinSet<()>,
    simulation: Simulation,
    /// Kept alive: dropping it ends the embedded Kafka.
    _broker: Broker,
    service: Service,
    arrivals: Arrivals,
    progress: Progress,
    ledger: PathBuf,
}

impl Stage {
    async fn set(folder: &Path, events: Option<u64>) -> anyhow::Result<Self> {
        let ledger = folder.join("ledger.ndjson");
        let simulation = Simulation::start(Settings {
            rate: events.map_or(RATE, |events| (events as f64 / MAKING_SECS).max(RATE)),
            events,
            ledger: Some(ledger.clone()),
            hub: true,
            ..Settings::default()
        })
        .await
        .context("starting the simulated Microsoft")?;
        let broker = Broker::start()?;
        let receiver = Receiver::bind().await?;
        let arrivals = Arrivals::new();
        let file = pipeline::write(
            folder,
            &pipeline::Addresses {
                microsoft: &simulation.announcement(),
                kafka: &broker.address(),
                syslog: &receiver.address()?,
            },
        )
        .context("writing the pipeline file of the demo")?;
        let mut readers = JoinSet::new();
        readers.spawn(broker.consume(arrivals.clone())?);
        readers.spawn(receiver.serve(arrivals.clone()));
        let pipeline = validate::load(&file).context("the pipeline file of the demo")?;
        let service = Service::start(pipeline, None).await?;
        let progress = Progress::new(&service, &file);
        Ok(Self {
            readers,
            simulation,
            _broker: broker,
            service,
            arrivals,
            progress,
            ledger,
        })
    }

    async fn play(mut self, events: Option<u64>) -> anyhow::Result<Exit> {
        tokio::select! {
            signal = stop_signal() => signal?,
            closed = hang_up() => closed?,
            () = watch(&mut self.progress, &self.arrivals, &self.simulation, events) => {}
        }
        self.service.stop().await;
        self.simulation.stop().await;
        self.readers.shutdown().await;
        self.progress.end();
        let verdict = self.arrivals.judge(&self.ledger)?;
        let snapshot = self.arrivals.snapshot();
        match events {
            None => {
                self.progress.summary(&snapshot);
                Ok(Exit::Ok)
            }
            Some(events) => Ok(self.progress.judgement(events, &snapshot, &verdict)),
        }
    }
}

/// Tells progress until all `events` have arrived at both places, or nothing comes any more.
async fn watch(
    progress: &mut Progress,
    arrivals: &Arrivals,
    simulation: &Simulation,
    events: Option<u64>,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let snapshot = arrivals.snapshot();
        progress.tell(simulation.made(), &snapshot);
        let all = events.is_some_and(|all| snapshot.kafka >= all && snapshot.syslog >= all);
        let none_comes = events.is_some() && arrivals.last().elapsed() > PATIENCE;
        if all || none_comes {
            return;
        }
    }
}
