//! Microsoft's side, tapline, Apache Kafka, and rsyslog, as processes, with cables between.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rand::rngs::StdRng;
use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::cable::{Cable, NoTap};
use tapline_e2e::clock::Clock;
use tapline_e2e::disk::SmallDisk;
use tapline_e2e::ledger::{self, Version};
use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::process::Process;
use tapline_e2e::program::Simulation;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::services::rsyslog::Rsyslog;
use tempfile::TempDir;

use super::Mode;
use super::faults::{Fault, Repeats};
use super::identities::{Identities, identity};
use super::report::{Destination, Report};

/// Versions per second, of all kinds.
const RATE: &str = "40";
const SETTLE: Duration = Duration::from_secs(1);
const POLL: Duration = Duration::from_secs(1);
/// A fault of Microsoft's is over within 2 s, a retry backs off as long again, and a page may meet
/// several.
const TOLD_TO_WAIT: Duration = Duration::from_secs(10);
/// A transaction that nobody ends is given up after 15 s, and so is a member that says nothing.
const GIVEN_UP: Duration = Duration::from_secs(30);
/// How long the last ones may take after the last fault: an outage, however it ends, and not a loss.
const LAST: Duration = Duration::from_secs(300);
/// What was delivered so long ago has its checkpoint, on a busy machine too, unless something is in
/// flight before it.
const COMMIT: Duration = Duration::from_secs(2);
const IN_FLIGHT: &str = "tapline_component_in_flight_events";
const SPOOLED: &str = "component_id=\"siem:spooled\"";

/// Ends in this order: clients do not end without their servers, and the disk goes last.
pub(super) struct Scene {
    pub(super) mode: Mode,
    pub(super) process: Process,
    arrivals: Arrivals,
    pub(super) microsoft: Simulation,
    pub(super) kafka: Kafka,
    pub(super) rsyslog: Rsyslog,
    pub(super) to_kafka: Cable,
    pub(super) to_rsyslog: Cable,
    identities: Identities,
    pub(super) disk: Option<SmallDisk>,
    pub(super) clock: Clock,
    pub(super) pipeline: Pipeline,
    ledger: PathBuf,
    seed: u64,
    began: Instant,
    faults: BTreeMap<Fault, usize>,
    impossible: Vec<(Fault, String)>,
    longest: Duration,
    /// What may be repeated, at Kafka and at the receiver.
    bounds: [usize; 2],
    _certificates: Certificates,
    _folder: TempDir,
}

/// What is not settled at some moment, and what had arrived before.
struct Moment {
    /// Not settled by the sources, and by the spool.
    open: [usize; 2],
    /// Arrived [`COMMIT`] before.
    arrived: [usize; 2],
}

impl Scene {
    pub(super) async fn new(mode: Mode, seed: u64) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let ledger = folder.path().join("ledger.ndjson");
        let identities = Identities::default();
        let to_kafka = Cable::lay(|| NoTap).await?;
        let tapped = identities.clone();
        let to_rsyslog = Cable::lay(move || tapped.tap()).await?;
        let (kafka, inner) = Kafka::start_behind(to_kafka.port()).await?;
        to_kafka.lead_to(inner);
        let certificates = Certificates::new()?;
        let rsyslog = Rsyslog::start(&certificates).await?;
        to_rsyslog.lead_to(rsyslog.tcp_port());
        let microsoft = Simulation::start(
            &[
                "--faults",
                "mild",
                "--rate",
                RATE,
                "--seed",
                &seed.to_string(),
                "--ledger",
                ledger.to_str().expect("UTF-8"),
            ],
            &folder.path().join("simulate.log"),
        )?;
        let pipeline = Pipeline::new(&components(mode, &microsoft, &to_kafka, &to_rsyslog))?;
        let mut impossible = Vec::new();
        let disk = SmallDisk::mount(&pipeline.folder().join("data"));
        let disk = disk
            .map_err(|error| impossible.push((Fault::FullDisk, error.to_string())))
            .ok();
        let arrivals = Arrivals::of(&kafka, "defender.")?;
        let clock = Clock::new(folder.path())?;
        let process = pipeline.start(&environment(&microsoft, &clock)).await?;
        Ok(Self {
            mode,
            process,
            arrivals,
            microsoft,
            kafka,
            rsyslog,
            to_kafka,
            to_rsyslog,
            identities,
            disk,
            clock,
            pipeline,
            ledger,
            seed,
            began: Instant::now(),
            faults: BTreeMap::new(),
            impossible,
            longest: Duration::ZERO,
            bounds: [0; 2],
            _certificates: certificates,
            _folder: folder,
        })
    }

    pub(super) async fn start(&mut self) -> anyhow::Result<()> {
        let environment = environment(&self.microsoft, &self.clock);
        self.process = self.pipeline.start(&environment).await?;
        Ok(())
    }

    /// One fault, and what it may repeat.
    pub(super) async fn suffer(&mut self, fault: Fault, random: &mut StdRng) -> anyhow::Result<()> {
        if self.impossible.iter().any(|(it, _)| *it == fault) {
            return Ok(());
        }
        let log = || self.pipeline.log();
        ensure!(self.process.is_running(), "tapline ended:\n{}", log());
        let begin = Instant::now();
        let may_repeat = fault == Fault::RestartTapline || fault.repeats() != Repeats::Nobody;
        let before = match self.mode {
            Mode::AtLeastOnce if may_repeat => Some(self.moment().await),
            _ => None,
        };
        let repeats = self.inject(fault, random).await?;
        if let Some(before) = before {
            self.allow(repeats, &before).await;
        }
        *self.faults.entry(fault).or_default() += 1;
        self.longest = self.longest.max(begin.elapsed());
        eprintln!(
            "{} {}: {:.1} s",
            jiff::Timestamp::now().strftime("%H:%M:%S"),
            fault.name(),
            begin.elapsed().as_secs_f64()
        );
        Ok(())
    }

    async fn moment(&self) -> Moment {
        let arrived = self.arrived().await;
        tokio::time::sleep(COMMIT).await;
        let metric = async |labels: &str| self.pipeline.metric(IN_FLIGHT, labels).await as usize;
        let spooled = metric(SPOOLED).await;
        let sources = metric("component_kind=\"source\"")
            .await
            .saturating_sub(spooled);
        Moment {
            open: [sources, spooled],
            arrived,
        }
    }

    async fn arrived(&self) -> [usize; 2] {
        self.arrivals.caught_up().await;
        [self.arrivals.count(), self.identities.count()]
    }

    /// What was open, and what arrived since shortly before.
    async fn allow(&mut self, repeats: Repeats, before: &Moment) {
        let now = self.arrived().await;
        let unsettled = |at: usize| before.open[at] + now[at] - before.arrived[at];
        let (sources, spooled) = (unsettled(0), unsettled(1));
        match repeats {
            Repeats::Nobody => {}
            Repeats::Receiver => self.bounds[1] += spooled,
            Repeats::Everybody => {
                self.bounds[0] += sources;
                // What the source reads again goes into the spool again.
                self.bounds[1] += sources + spooled;
            }
        }
    }

    /// Fails at once, and not only at the end, when something came again that was settled.
    pub(super) fn repeats_so_far_are_allowed(&self) -> anyhow::Result<()> {
        let places = self.arrivals.repeated();
        let repeats: usize = places.iter().map(|(_, places)| places.len() - 1).sum();
        let first = &places[..places.len().min(10)];
        ensure!(
            repeats <= self.bounds[0],
            "{repeats} repeats in kafka, at most {} allowed, such as {first:?}\n{}",
            self.bounds[0],
            self.pipeline.log()
        );
        Ok(())
    }

    /// Waits for everything that is promised, and counts.
    pub(super) async fn end(mut self) -> anyhow::Result<Report> {
        let lasted = self.began.elapsed();
        self.microsoft.process().signal("STOP");
        let made = ledger::read(&self.ledger)?;
        self.microsoft.process().signal("CONT");
        let mut limit = SETTLE + 2 * POLL + 2 * self.longest + TOLD_TO_WAIT;
        if self.mode == Mode::ExactlyOnce {
            limit += GIVEN_UP;
        }
        self.all_arrived(&made, limit).await?;
        let promised = ledger::promised(&self.ledger, &made, limit)?;
        self.pipeline.stop(&mut self.process);
        self.arrivals.quiet().await;
        self.order_is_kept(&made);
        let [kafka, receiver] = self.bounds;
        let mut destinations = vec![Destination::new(
            "Apache Kafka",
            &self.arrivals.by_uid(),
            &made,
            &promised,
            kafka,
        )];
        let mut unwritten = None;
        if self.mode == Mode::AtLeastOnce {
            unwritten = Some(self.unwritten().await);
            let handed = self.identities.by_uid();
            let name = "syslog with a spool";
            destinations.push(Destination::new(name, &handed, &made, &promised, receiver));
        }
        Ok(Report {
            mode: self.mode,
            seed: self.seed,
            lasted,
            faults: self.faults,
            impossible: self.impossible,
            made: made.len(),
            promised: promised.len(),
            destinations,
            unwritten,
        })
    }

    /// Waits for everything that is promised; says what is missing if it does not come.
    async fn all_arrived(&self, made: &[Version], limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + LAST;
        loop {
            let promised = ledger::promised(&self.ledger, made, limit)?;
            let mut arrived = vec![self.arrivals.by_uid()];
            if self.mode == Mode::AtLeastOnce {
                arrived.push(self.identities.by_uid());
            }
            let missing = arrived.iter().map(|arrived| {
                let missing = promised.iter().filter(|uid| !arrived.contains_key(*uid));
                missing.collect::<Vec<_>>()
            });
            let missing: Vec<_> = missing.collect();
            if missing.iter().all(Vec::is_empty) {
                return Ok(());
            }
            if Instant::now() < deadline {
                tokio::time::sleep(Duration::from_millis(250)).await;
                continue;
            }
            bail!(
                "missing in kafka, and with the receiver: {missing:?}\n{}\ndead letters: {:?}\n{}",
                self.second_look(&missing[0]).await?,
                self.pipeline
                    .dead_letters()
                    .iter()
                    .map(|it| it["reason"].clone())
                    .collect::<Vec<_>>(),
                self.pipeline.log(),
            );
        }
    }

    /// What another reader of Kafka finds of them, and when they were made.
    async fn second_look(&self, missing: &[&String]) -> anyhow::Result<String> {
        let again = Arrivals::of(&self.kafka, "defender.")?;
        if self.mode == Mode::AtLeastOnce {
            again.caught_up().await;
        }
        let found = again.by_uid();
        let found: Vec<_> = missing
            .iter()
            .filter(|uid| found.contains_key(**uid))
            .collect();
        let ledger = std::fs::read_to_string(&self.ledger)?;
        let is_missing = |line: &&str| {
            let id = |uid: &&String| uid.rsplit(':').nth(1).map(str::to_owned);
            missing.iter().filter_map(id).any(|id| line.contains(&id))
        };
        let made: Vec<&str> = ledger.lines().filter(is_missing).take(20).collect();
        let status = self.pipeline.get("/api/v1/status").await?;
        Ok(format!(
            "another reader finds {found:?}\nmade: {made:#?}\n{status}"
        ))
    }

    /// What was handed over and is not in rsyslog's file.
    async fn unwritten(&self) -> usize {
        let handed = self.identities.by_uid();
        let mut missing = usize::MAX;
        // It writes in its own time.
        for _ in 0..20 {
            let written = self.rsyslog.received(0).await;
            let written: HashSet<String> =
                written.iter().filter_map(|it| identity(&it.raw)).collect();
            missing = handed.keys().filter(|uid| !written.contains(*uid)).count();
            if missing == 0 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        missing
    }

    /// The first arrivals of a record's versions come in the order in which they were made.
    fn order_is_kept(&self, made: &[Version]) {
        let broken = self.arrivals.overtaken(made);
        assert!(broken.is_empty(), "overtaken: {broken:?}");
    }
}

fn environment<'a>(microsoft: &'a Simulation, clock: &'a Clock) -> Vec<(&'static str, &'a str)> {
    let mut environment = pipeline::environment(microsoft);
    let hub = microsoft.announcement["eventhub"]["connection_string"].as_str();
    environment.push(("TAPLINE_TEST_HUB", hub.expect("announced")));
    environment.extend(clock.environment());
    environment
}

fn components(mode: Mode, microsoft: &Simulation, to_kafka: &Cable, to_rsyslog: &Cable) -> String {
    let sources = pipeline::sources(microsoft);
    let (kafka, rsyslog) = (to_kafka.port(), to_rsyslog.port());
    let inputs = "[alerts, incidents, legacy, hunting]";
    let once = mode == Mode::ExactlyOnce;
    let mut components = format!(
        r#"{sources}  hunting:
    type: eventhub
    config:
      transport: amqp
      tables: all
      consumer_group: "$Default"
      auth: {{ connection_string: {{ env: TAPLINE_TEST_HUB }} }}
sinks:
  lake:
    type: kafka
    inputs: [ocsf]
    config: {{ brokers: ["127.0.0.1:{kafka}"], topic: "defender.{{kind}}", exactly_once: {once} }}
"#
    );
    if mode == Mode::AtLeastOnce {
        components.push_str(&format!(
            r#"  siem:
    type: syslog
    inputs: [cef]
    config: {{ endpoint: "tcp://127.0.0.1:{rsyslog}", framing: octet_counting, structured_data: {{ enterprise_number: 32473 }} }}
    spool: {{ max_bytes: 33554432 }}
"#
        ));
    }
    components.push_str(&format!(
        "transforms:\n  ocsf: {{ type: normalize, inputs: {inputs}, config: {{ to: ocsf }} }}\n"
    ));
    if mode == Mode::AtLeastOnce {
        components.push_str(&format!(
            "  cef: {{ type: normalize, inputs: {inputs}, config: {{ to: cef, max_bytes: 7000 }} }}\n"
        ));
    }
    components
}
