//! Everything at once, for as long as asked: processes are killed and stopped at random moments,
//! the network is cut and slow, the disk is full, clocks jump, and Microsoft has its own faults. Nothing may be
//! lost, and nothing repeated that was settled.
//!
//! `TAPLINE_TORTURE_MINUTES` says how long (without it about half a minute), `TAPLINE_TORTURE_SEED`
//! which faults come in which order.

mod faults;
mod identities;
mod report;
mod scene;

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};

use faults::Fault;
use scene::Scene;

/// Enough for each kind of fault once or twice.
const SHORT: Duration = Duration::from_secs(30);

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|text| !text.is_empty())
}

fn number(name: &str) -> Option<u64> {
    variable(name).map(|text| text.parse().expect("a number"))
}

/// What the destinations are promised.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    /// Kafka, and a syslog receiver behind a spool.
    AtLeastOnce,
    /// Kafka, by transactions.
    ExactlyOnce,
}

#[tokio::test(flavor = "multi_thread")]
async fn tortured_for_as_long_as_asked_nothing_is_lost_and_nothing_settled_is_repeated()
-> anyhow::Result<()> {
    torture(Mode::AtLeastOnce).await
}

#[tokio::test(flavor = "multi_thread")]
async fn tortured_for_as_long_as_asked_nothing_is_lost_and_nothing_is_there_twice()
-> anyhow::Result<()> {
    torture(Mode::ExactlyOnce).await
}

async fn torture(mode: Mode) -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let seed = number("TAPLINE_TORTURE_SEED").unwrap_or_else(rand::random);
    let minutes = number("TAPLINE_TORTURE_MINUTES");
    let length = minutes.map_or(SHORT, |minutes| Duration::from_secs(60 * minutes));
    eprintln!(
        "{mode:?}: TAPLINE_TORTURE_SEED={seed}, {} s of faults",
        length.as_secs()
    );
    let mut random = StdRng::seed_from_u64(seed);
    let mut scene = Scene::new(mode, seed).await?;
    let end = Instant::now() + length;
    let mut order: Vec<Fault> = Vec::new();
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(random.random_range(300..2000))).await;
        if order.is_empty() {
            scene.repeats_so_far_are_allowed()?;
            order = Fault::shuffled(mode, minutes.is_some(), &mut random);
        }
        if let Some(fault) = order.pop() {
            scene.suffer(fault, &mut random).await?;
        }
    }
    let report = scene.end().await?;
    eprintln!("{report}");
    report.check();
    Ok(())
}
