//! The contract of sources: nothing is lost, whatever becomes of what they send.

use std::collections::BTreeSet;
use std::time::Duration;

use tapline_core::Source;

use crate::{PATIENCE, RecordingHost, Settling, uids};

/// Proves that a source loses nothing: when all is well, when batches are lost and rewound, when
/// it is killed with batches unsettled, when the receiver is slow or stuck, and across a stop.
///
/// `make` builds the source anew, always against the same remote side, which holds exactly the
/// records of the `expected` identities and changes none of them meanwhile.
///
/// # Panics
/// With a sentence that says which promise was broken.
pub async fn check_source(make: impl Fn() -> Box<dyn Source>, expected: &BTreeSet<String>) {
    reads_everything_once_and_goes_on_after_a_stop(&make, expected).await;
    reads_again_what_was_lost(&make, expected).await;
    reads_again_what_a_crash_left_unsettled(&make, expected).await;
    waits_for_a_slow_receiver(&make, expected).await;
    stops_although_nobody_takes_its_batches(&make).await;
}

async fn reads_everything_once_and_goes_on_after_a_stop(
    make: &impl Fn() -> Box<dyn Source>,
    expected: &BTreeSet<String>,
) {
    let host = RecordingHost::new();
    let running = host.run(make());
    wait_for_all(&host, expected, "everything is read").await;
    running.stop().await;
    let before = host.events().len();
    assert_eq!(before, expected.len(), "a first reading repeats nothing");

    let running = host.run(make());
    // Long enough for a first poll on loopback; a repeat that comes later is not seen.
    tokio::time::sleep(Duration::from_millis(300)).await;
    running.stop().await;
    assert_eq!(host.events().len(), before, "a polite stop repeats nothing");
}

async fn reads_again_what_was_lost(
    make: &impl Fn() -> Box<dyn Source>,
    expected: &BTreeSet<String>,
) {
    let host = RecordingHost::new();
    host.set_settling(Settling::Held);
    let running = host.run(make());
    host.wait_for_events(1).await;
    for partition in host.partitions() {
        host.lose(&partition).await;
    }
    host.set_settling(Settling::AtOnce);
    wait_for_all(&host, expected, "what was lost is read again").await;
    running.stop().await;
}

async fn reads_again_what_a_crash_left_unsettled(
    make: &impl Fn() -> Box<dyn Source>,
    expected: &BTreeSet<String>,
) {
    let host = RecordingHost::new();
    host.set_settling(Settling::Held);
    let running = host.run(make());
    host.wait_for_events(1).await;
    running.kill().await;
    host.set_settling(Settling::AtOnce);
    let running = host.run(make());
    wait_for_all(&host, expected, "what was unsettled is read again").await;
    running.stop().await;
}

async fn waits_for_a_slow_receiver(
    make: &impl Fn() -> Box<dyn Source>,
    expected: &BTreeSet<String>,
) {
    let host = RecordingHost::new();
    host.set_delay(Duration::from_millis(20));
    let running = host.run(make());
    wait_for_all(&host, expected, "a slow receiver gets everything").await;
    running.stop().await;
}

async fn stops_although_nobody_takes_its_batches(make: &impl Fn() -> Box<dyn Source>) {
    let host = RecordingHost::new();
    host.set_settling(Settling::Stuck);
    let running = host.run(make());
    tokio::time::sleep(Duration::from_millis(100)).await;
    let stopping = tokio::time::timeout(PATIENCE, running.stop());
    stopping.await.expect("a source stops under backpressure");
}

async fn wait_for_all(host: &RecordingHost, expected: &BTreeSet<String>, promise: &str) {
    host.wait_for(promise, |host| uids(&host.settled()).is_superset(expected))
        .await;
    let settled = uids(&host.settled());
    let strange: Vec<_> = settled.difference(expected).collect();
    assert!(strange.is_empty(), "{promise}: nobody expected {strange:?}");
}
