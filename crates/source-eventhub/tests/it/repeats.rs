//! Dropping what the service repeats.

use serde_json::{Value, json};
use tapline_testkit::{Settling, eventually, uids};

use crate::rig::{Rig, record, uid};

fn dropping() -> Value {
    json!({"drop_repeats": {"within_secs": 3600}})
}

/// How many repeats were dropped.
fn dropped(rig: &Rig) -> u64 {
    let text = rig.metrics();
    let name = "tapline_source_repeated_events_total{";
    let series = text.lines().filter(|line| line.starts_with(name));
    let values = series.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    values.sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_dropped_on_every_partition_and_after_a_restart() {
    let rig = Rig::new();
    let row = |name: &str| record("AlertInfo", name);
    rig.put(0, format!("[{0},{0}]", row("a"))).await;
    rig.put(1, row("b")).await;
    let running = rig.run(dropping());
    rig.host.wait_for_events(2).await;
    // What came first on one partition is known on the others once it was read.
    rig.put(2, row("a")).await;
    rig.put(1, format!("{}\n{}", row("b"), row("c"))).await;
    eventually("three repeats are dropped", || dropped(&rig) == 3).await;
    rig.host.wait_for_events(3).await;
    running.stop().await;

    let running = rig.run(dropping());
    rig.put(0, row("a")).await;
    rig.put(2, row("c")).await;
    eventually("two more are dropped", || dropped(&rig) == 5).await;
    rig.put(2, row("d")).await;
    rig.host.wait_for_events(4).await;
    running.stop().await;
    let expected = ["a", "b", "c", "d"].map(|name| uid("AlertInfo", name));
    assert_eq!(uids(&rig.host.events()), expected.into());
    assert_eq!(rig.host.events().len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_was_lost_is_no_repeat_when_it_is_read_again() {
    let rig = Rig::new();
    rig.host.set_settling(Settling::Held);
    rig.put(0, record("AlertInfo", "a")).await;
    let running = rig.run(dropping());
    rig.host.wait_for_events(1).await;
    rig.put(1, record("AlertInfo", "a")).await;
    eventually("the repeat is dropped", || dropped(&rig) == 1).await;
    rig.host.lose("defender/0").await;
    rig.host.wait_for_events(2).await;
    rig.host.settle_all();
    running.stop().await;
    let settled = uids(&rig.host.settled());
    assert_eq!(settled, [uid("AlertInfo", "a")].into());
}
