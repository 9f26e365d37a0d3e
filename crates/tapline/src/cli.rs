//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// 2 the file is wrong; 3 another process took our place, do not restart.
    Run(PipelineFile),
    /// Check a pipeline file without connecting anywhere.
    Validate(PipelineFile),
    /// Normalize events from standard input to standard output, one line each.
    Normalize(Normalize),
    /// Run Microsoft's side alone, on loopback, until SIGTERM.
    Simulate(Simulate),
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
pub(crate) struct Normalize {
    /// Take every event as this kind instead of recognizing it, such as graph.alert.
    #[arg(long)]
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
}

#[derive(Args)]
pub(crate) struct Simulate {
    /// The same seed makes the same records in the same order.
    #[arg(long, default_value_t = 0)]
    pub(crate) seed: u64,
    /// Versions per second, all kinds together.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) rate: f64,
    /// Make so many versions, then only serve.
    #[arg(long)]
    pub(crate) events: Option<u64>,
    /// Append to this file a line for every version before it can be read.
    #[arg(long, value_name = "FILE")]
    pub(crate) ledger: Option<PathBuf>,
    /// none, mild, harsh, or NAME=PROBABILITY,..
    #[arg(long, default_value = "none", value_name = "SPEC")]
    pub(crate) faults: String,
    /// Use the records in this folder as templates.
    #[arg(long, value_name = "DIR")]
    pub(crate) samples: Option<PathBuf>,
}

#[derive(Args)]
pub(crate) struct Demo {
    /// Make exactly so many versions, and end when all have arrived at both places.
    #[arg(long)]
    pub(crate) events: Option<u64>,
}
