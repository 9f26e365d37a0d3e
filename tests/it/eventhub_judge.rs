//! Microsoft's own client reads from our simulator of Event Hubs what the ledger says, and is refused what it must be.

use std::path::{Path, PathBuf};
use std::process::Command;

use tapline_e2e::program::Simulation;
use tapline_e2e::{ledger, wait_for};

/// Makes so many versions, half of them streamed, and lets the judge look when all are there.
async fn judge(events: usize, further: &[&str], judged: &[&str]) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let ledger = folder.path().join("ledger.ndjson");
    let events_text = events.to_string();
    let path = ledger.to_str().expect("UTF-8");
    let arguments = ["--events", &events_text, "--rate", "2000", "--ledger", path];
    let simulation = Simulation::start(
        &[&arguments[..], further].concat(),
        &folder.path().join("simulate.log"),
    )?;
    wait_for("all are made", 60, async || {
        let made = ledger::read(&ledger).ok()?;
        (made.len() == events).then_some(())
    })
    .await;
    let said = Command::new(python())
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("eventhub/judge.py"))
        .arg(simulation.announcement.to_string())
        .arg(&ledger)
        .args(judged)
        .output()?;
    let text =
        String::from_utf8_lossy(&said.stdout).into_owned() + &String::from_utf8_lossy(&said.stderr);
    eprintln!("{text}");
    assert!(said.status.success(), "{text}");
    Ok(())
}

fn python() -> PathBuf {
    let services = std::env::var_os("TAPLINE_SERVICES").map(PathBuf::from);
    let services =
        services.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../.services"));
    services.join("venv/bin/python")
}

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_client_reads_what_the_ledger_says() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    judge(6_000, &[], &[]).await
}

/// The faults here are those of the messages themselves; the client recovers from the others by reading again.
#[tokio::test(flavor = "multi_thread")]
async fn microsofts_client_reads_every_form_of_message() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let faults = ["--faults", "hub_form=0.5,hub_repeat=0.05,hub_expired=0.02"];
    judge(3_000, &faults, &["--repeats"]).await
}

#[tokio::test(flavor = "multi_thread")]
async fn microsofts_client_reads_over_tls_and_in_a_web_socket() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    for transport in ["tls", "websocket"] {
        let judged = ["--only-reading", "--transport", transport];
        judge(1_000, &[], &judged).await?;
    }
    Ok(())
}
