//! Measures the `tapline` program as a process: `bench` prints a table, `soak` watches memory.
//!
//! Simulator and broker are processes of their own, so that every figure is tapline's alone.

mod backlog;
mod hunting;
mod latency;
mod load;
mod machine;
mod normalizer;
mod once;
mod process;
mod rig;
mod rows;
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
    // A part by its name, to look at one thing; all of them without.
    let only = std::env::args().nth(2);
    let wanted = |part: &str| only.as_deref().is_none_or(|only| only == part);
    if wanted("normalizer") {
        normalizer::measure(&mut table)?;
    }
    if wanted("start") {
        start::measure(&mut table)?;
    }
    if wanted("backlog") {
        backlog::measure(&mut table).await?;
    }
    if wanted("hunting") {
        hunting::by_kafka(&mut table).await?;
    }
    if wanted("amqp") {
        hunting::by_amqp(&mut table).await?;
    }
    if wanted("latency") {
        latency::measure(&mut table).await?;
    }
    if wanted("once") {
        once::throughput(&mut table).await?;
        once::latency(&mut table).await?;
    }
    table.print()?;
    Ok(ExitCode::SUCCESS)
}
