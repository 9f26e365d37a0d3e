//! The `tapline` program: streams Microsoft Defender detections to Kafka and syslog receivers.

mod cli;
mod commands;
mod demo;
mod plugins;
mod reload;
mod service;
mod view;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

// Frees from other threads than the allocating one are the rule here: pages are read by a
// source's task and given back by a sink's. It serves librdkafka too, and gives memory back after
// a second (`.cargo/config.toml`): after a backlog of 100,000 alerts 40 MB stay
// resident, with mimalloc 53 to 130 by its options, with the system's 66 to 84 (measured,
// November 2026, under memory budgets of 8 to 32 MiB).
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a command ends with; the numbers are part of the contract with supervisors.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Exit {
    /// Everything is settled.
    Ok = 0,
    /// It could not start, or the drain ran out of time.
    Failed = 1,
    /// The file is wrong.
    Mistakes = 2,
    /// Another process took our place: do not restart.
    Fenced = 3,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        say("tapline: a TLS provider was installed before ours");
    }
    let exit = match run(cli.command) {
        Ok(exit) => exit,
        Err(error) => {
            say(format_args!("tapline: {error:#}"));
            Exit::Failed
        }
    };
    ExitCode::from(exit as u8)
}

/// Writes a line to standard error. Whoever closed that does not want to know, and is no reason to
/// end otherwise than without it.
pub(crate) fn say(line: impl Display) {
    let _closed = writeln!(std::io::stderr(), "{line}");
}

fn run(command: Command) -> anyhow::Result<Exit> {
    match command {
        Command::Run(arguments) => commands::run::run(&arguments),
        Command::Validate(arguments) => commands::validate::run(&arguments),
        Command::DeadLetters(arguments) => commands::dead_letters::run(&arguments),
        Command::State(arguments) => commands::state::run(&arguments),
        Command::Normalize(arguments) => commands::normalize::run(&arguments),
        Command::Simulate(arguments) => commands::simulate::run(*arguments),
        Command::Demo(arguments) => demo::run(&arguments),
    }
}
