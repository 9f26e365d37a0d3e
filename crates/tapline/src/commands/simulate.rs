//! `tapline simulate`: Microsoft's side alone.

use std::io::Write;

use anyhow::Context;
use tapline_simulators::{Settings, Simulation};

use crate::cli::Simulate;
use crate::commands::{block_on, stop_signal};
use crate::{Exit, say};

pub(crate) fn run(arguments: Simulate) -> anyhow::Result<Exit> {
    let settings = Settings {
        seed: arguments.seed,
        rate: arguments.rate,
        events: arguments.events,
        ledger: arguments.ledger,
        faults: arguments.faults,
        samples: arguments.samples,
        hub: true,
        hub_certificate: None,
    };
    block_on(serve(settings))?
}

async fn serve(settings: Settings) -> anyhow::Result<Exit> {
    let simulation = Simulation::start(settings).await?;
    announce(&simulation).context("writing the announcement to standard output")?;
    say("simulating Microsoft Defender on loopback; stop with Ctrl-C or SIGTERM");
    stop_signal().await?;
    simulation.stop().await;
    Ok(Exit::Ok)
}

/// Prints the one line of standard output.
fn announce(simulation: &Simulation) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(&simulation.announcement())?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()?;
    Ok(())
}
