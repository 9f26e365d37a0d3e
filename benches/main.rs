//! Measures the `tapline` program as a process: `bench` prints a table, `soak` watches memory.
//!
//! Simulator and broker are processes of their own, so that every figure is tapline's alone.

mod backlog;
mod machine;
mod normalizer;
mod process;
mod rig;
mod soak;
mod start;
mod table;

use std::process::ExitCode;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    match std::env::args().nth(1).as_deref() {
        Some("bench") => bench().await,
        Some("soak") => soak::run().await,
        other => anyhow::bail!("expected bench or soak, not {other:?}"),
    }
}

async fn bench() -> anyhow::Result<ExitCode> {
    let mut table = table::Table::new(&machine::name());
    normalizer::measure(&mut table)?;
    start::measure(&mut table)?;
    backlog::measure(&mut table).await?;
    table.print()?;
    Ok(ExitCode::SUCCESS)
}
