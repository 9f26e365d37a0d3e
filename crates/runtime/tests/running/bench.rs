//! What the shell itself costs per event.

use std::time::Instant;

use crate::fakes::{Counting, Told, line, start};

/// Run with `cargo test --release -p tapline-runtime --test running -- --ignored --nocapture`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_the_shell() {
    const EVENTS: u64 = 1_000_000;
    let folder = tempfile::tempdir().expect("a folder");
    let mut numbers = Counting::to(EVENTS);
    numbers.per_batch = 1000;
    let lake = Told::takes_all();
    let begin = Instant::now();
    let running = start(folder.path(), line(&numbers, &lake)).await;
    lake.has(EVENTS as usize).await;
    running.stop().await;
    let each = begin.elapsed().as_nanos() / u128::from(EVENTS);
    eprintln!("{each} ns per event, fake source and sink included");
}
