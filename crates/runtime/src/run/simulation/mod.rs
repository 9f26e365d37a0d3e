//! Random schedules of the whole way of events: reading, memory, transforms, siblings with lanes,
//! dead letters, checkpoints, crashes.
//!
//! Everything that decides is the real thing: settling in its ledger, lanes, tickets, the budget,
//! the flow of transforms. Played are Microsoft, the destinations, the disk, and the scheduler: a
//! seed says which part makes its next small step, and what goes wrong. After each step [`book`]
//! checks what must hold.
//!
//! `TAPLINE_SIMULATION_SEED=N` plays one schedule again, `TAPLINE_SIMULATION_SEEDS=N` plays so many.

mod book;
mod disk;
mod intake;
mod life;
mod microsoft;
mod reader;
mod scenery;
mod sink;
mod world;

use scenery::Scenery;
use world::{Tally, World};

const SEEDS: u64 = 3_000;

/// What is wrong, for a human.
type Broken = String;

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

#[test]
fn no_schedule_of_faults_and_crashes_loses_reorders_or_repeats_what_was_settled() {
    let seeds = match number("TAPLINE_SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TAPLINE_SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let scenery = Scenery::new();
    let mut tally = Tally::default();
    for seed in seeds.clone() {
        let mut world = World::new(seed, &scenery);
        if let Err(broken) = world.run() {
            panic!("TAPLINE_SIMULATION_SEED={seed}: {broken}");
        }
        tally.add(&world.tally());
    }
    eprintln!("{seeds:?}: {tally:?}");
    if seeds.end - seeds.start >= 100 {
        tally.check();
    }
}
