//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use jiff::Timestamp;
use tapline_core::Span;
use tapline_simulators::{Faults, FaultsError};

/// Streams Microsoft Defender detections to Kafka and syslog receivers, without losing one.
#[derive(Parser)]
#[command(name = "tapline", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Subcommand)]
pub(crate) enum Command {
    /// Run a pipeline until SIGINT or SIGTERM, then drain.
    ///
    /// Exit code: 0 everything settled; 1 could not start, or the drain ran out of time;
    /// 2 the file is wrong; 3 another process took our place, do not restart. SIGHUP applies a
    /// changed file, and restarts only what changed.
    Run(Run),
    /// Check a pipeline file without connecting anywhere.
    Validate(PipelineFile),
    /// List, show, send again, or delete the events that components rejected.
    DeadLetters(DeadLetters),
    /// Show where the reading of every partition stands, or move it.
    ///
    /// While a process works on the data folder, this goes through its admin HTTP.
    State(State),
    /// Normalize events from standard input to standard output, one line each.
    Normalize(Normalize),
    /// Run Microsoft's side alone, on loopback, until SIGTERM.
    Simulate(Box<Simulate>),
    /// Watch simulated detections arrive in Kafka and at a syslog receiver.
    Demo(Demo),
}

#[derive(Args)]
pub(crate) struct PipelineFile {
    /// The pipeline file.
    #[arg(short, long = "config", value_name = "FILE")]
    pub(crate) config: PathBuf,
}

#[derive(Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) file: PipelineFile,
    /// Read this span of the past instead of the live streams, whose cursors stay where they are;
    /// ends once all of it is delivered. What was interrupted goes on where it was.
    #[arg(long, value_name = "FROM..TO", value_parser = span)]
    pub(crate) backfill: Option<Span>,
    /// Only this source is read.
    #[arg(long, value_name = "ID", requires = "backfill")]
    pub(crate) source: Option<String>,
}

#[derive(Args)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    pub(crate) action: DeadLettersAction,
}

#[derive(Subcommand)]
pub(crate) enum DeadLettersAction {
    /// Count them by component and reason.
    List(Letters),
    /// Print them, one JSON object per line.
    Show(Letters),
    /// Hand them to the components that rejected them, while the pipeline runs or when it starts.
    Replay(Letters),
    /// Delete them.
    Purge(Letters),
}

#[derive(Args)]
pub(crate) struct Letters {
    #[command(flatten)]
    pub(crate) file: PipelineFile,
    /// Only those that this component rejected.
    #[arg(long, value_name = "ID")]
    pub(crate) component: Option<String>,
    /// Only those that were rejected for this reason.
    #[arg(long)]
    pub(crate) reason: Option<String>,
    /// Only events of this kind, such as graph.alert.
    #[arg(long)]
    pub(crate) kind: Option<String>,
}

#[derive(Args)]
pub(crate) struct State {
    #[command(subcommand)]
    pub(crate) action: StateAction,
}

#[derive(Subcommand)]
pub(crate) enum StateAction {
    /// Print where every partition stands.
    Show {
        #[command(flatten)]
        file: PipelineFile,
        /// As a JSON array, cursors as they are stored.
        #[arg(long)]
        json: bool,
    },
    /// Put a cursor, as `show --json` prints it, in place of a partition's own.
    Set {
        #[command(flatten)]
        file: PipelineFile,
        /// Id of the source.
        #[arg(long, value_name = "ID")]
        component: String,
        /// The partition, as `show` names it.
        #[arg(long, value_name = "NAME")]
        partition: String,
        /// The cursor.
        cursor: String,
    },
    /// Deliver everything since a time again.
    Rewind {
        #[command(flatten)]
        file: PipelineFile,
        /// The time, such as 2026-01-02T03:04:05Z.
        #[arg(long, value_name = "TIME")]
        to: Timestamp,
        /// Only this source.
        #[arg(long, value_name = "ID")]
        component: Option<String>,
        /// Only this partition.
        #[arg(long, value_name = "NAME")]
        partition: Option<String>,
    },
    /// Print everything as one JSON document.
    Export(PipelineFile),
    /// Take a document in, from a file or from standard input: all of it, or nothing.
    Import {
        #[command(flatten)]
        file: PipelineFile,
        /// The document; standard input if it is left out.
        #[arg(value_name = "DOCUMENT")]
        document: Option<PathBuf>,
    },
}

impl StateAction {
    pub(crate) fn file(&self) -> &PipelineFile {
        match self {
            Self::Show { file, .. }
            | Self::Set { file, .. }
            | Self::Rewind { file, .. }
            | Self::Export(file)
            | Self::Import { file, .. } => file,
        }
    }
}

#[derive(Args)]
pub(crate) struct Normalize {
    /// Take every event as this kind instead of recognizing it, such as graph.alert.
    #[arg(long, value_parser = kind)]
    pub(crate) kind: Option<String>,
    /// What to normalize to.
    #[arg(long, value_enum, default_value_t = Target::Ocsf)]
    pub(crate) to: Target,
    /// Print to standard error which input fields were mapped, kept unmapped, or are new.
    #[arg(long)]
    pub(crate) coverage: bool,
}

#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Target {
    /// OCSF 1.8.0, as JSON.
    Ocsf,
    /// ArcSight's Common Event Format.
    Cef,
    /// QRadar's Log Event Extended Format 2.0.
    Leef,
    /// Elastic Common Schema 8.11, as JSON.
    Ecs,
}

#[derive(Args)]
pub(crate) struct Simulate {
    /// The same seed makes the same records in the same order.
    #[arg(long, default_value_t = 0, allow_negative_numbers = true)]
    pub(crate) seed: u64,
    /// Versions per second, all kinds together.
    #[arg(long, default_value_t = 10.0, value_parser = rate, allow_hyphen_values = true)]
    pub(crate) rate: f64,
    /// Make so many versions, then only serve.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) events: Option<u64>,
    /// Append to this file a line for every version before it can be read.
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
    /// none, mild, harsh, or NAME=PROBABILITY,..
    #[arg(long, default_value = "none", value_name = "SPEC", value_parser = faults)]
    pub(crate) faults: Faults,
    /// Use the records in this folder as templates.
    #[arg(long, value_name = "DIR")]
    pub(crate) samples: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Make exactly so many versions, and end when all have arrived at both places.
    #[arg(long, allow_negative_numbers = true)]
    pub(crate) events: Option<u64>,
}

/// Kinds of records with one source each; the others are tables of hunting.
const KINDS: [&str; 4] = [
    "graph.alert",
    "graph.incident",
    "siem.detection",
    "endpoint.alert",
];

fn kind(text: &str) -> Result<String, String> {
    let is_table = text
        .strip_prefix("hunting.")
        .is_some_and(|table| !table.is_empty());
    match is_table || KINDS.contains(&text) {
        true => Ok(text.to_owned()),
        false => Err(format!("known are {}, hunting.<Table>", KINDS.join(", "))),
    }
}

fn span(text: &str) -> Result<Span, String> {
    const EXPECTED: &str = "expected two times, such as 2026-01-02T00:00:00Z..2026-01-03T00:00:00Z";
    let times = text.split_once("..");
    let times = times.and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    let (from, to): (Timestamp, Timestamp) = times.ok_or(EXPECTED)?;
    match () {
        () if from >= to => Err("the end has to come after the beginning".to_owned()),
        () if to > Timestamp::now() => Err(format!("{to} is in the future")),
        () => Ok(Span { from, to }),
    }
}

fn rate(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate| *rate > 0.0);
    rate.ok_or("expected a number above zero")
}

fn faults(text: &str) -> Result<Faults, FaultsError> {
    Faults::parse(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(arguments: &[&str], expected: Option<&str>) {
        let parsed = Cli::try_parse_from(["tapline"].iter().chain(arguments));
        let told = parsed.err().map(|error| error.to_string());
        match (told, expected) {
            (None, None) => {}
            (Some(told), Some(expected)) => assert!(told.contains(expected), "{told}"),
            (told, _) => panic!("{arguments:?}: {told:?}"),
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_does() {
        for rate in ["0", "-1", "nan", "-inf", "fast"] {
            check(&["simulate", "--rate", rate], Some("a number above zero"));
        }
        check(&["simulate", "--rate", "0.5"], None);
        check(&["simulate", "--seed", "-1"], Some("invalid value '-1'"));
        check(&["simulate", "--faults", "nonsense"], Some("mild, harsh"));
        check(&["simulate", "--faults", "drop=2"], Some("from 0 to 1"));
        check(&["demo", "--events", "-5"], Some("invalid value '-5'"));
        check(&["run", "-c", "f", "--source", "a"], Some("--backfill"));
        for (span, expected) in [
            ("yesterday", Some("expected two times")),
            ("2026-01-02T00:00:00Z..", Some("expected two times")),
            (
                "2026-01-03T00:00:00Z..2026-01-02T00:00:00Z",
                Some("has to come after"),
            ),
            ("2026-01-02T00:00:00Z..9000-01-02T00:00:00Z", Some("future")),
            ("2026-01-02T00:00:00Z..2026-01-03T00:00:00Z", None),
        ] {
            check(&["run", "-c", "f", "--backfill", span], expected);
        }
        check(
            &["state", "rewind", "-c", "f", "--to", "noon"],
            Some("invalid value 'noon'"),
        );
        check(&["normalize", "--kind", "alert"], Some("graph.alert"));
        check(&["normalize", "--kind", "hunting.AlertInfo"], None);
    }
}
