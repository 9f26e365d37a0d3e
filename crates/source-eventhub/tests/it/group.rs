//! Several replicas share the partitions of a hub.

use std::collections::BTreeSet;

use serde_json::json;
use tapline_testkit::{RecordingHost, eventually, uids};

use crate::rig::{Rig, repeats};

fn read_by(hosts: &[&RecordingHost]) -> BTreeSet<String> {
    hosts.iter().flat_map(|host| uids(&host.events())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_replica_takes_over_some_partitions_and_nothing_is_lost_or_repeated() {
    let rig = Rig::new();
    let second = RecordingHost::new();
    let mut expected = rig.fill(30, 0).await;
    let first_runs = rig.run(json!({}));
    rig.host.wait_for_events(60).await;
    // The mock refuses commits while it balances a group, and Apache Kafka does not: what settles
    // just before a hand-over is a test with that one.
    eventually("the group knows what is settled", || {
        rig.committed("tapline") == rig.ends()
    })
    .await;

    let second_runs = second.run(rig.source(json!({})));
    second
        .wait_for("it has partitions", |host| !host.partitions().is_empty())
        .await;
    expected.extend(rig.fill(60, 30).await);
    let both = [&rig.host, &second];
    eventually("everything is read", || read_by(&both) == expected).await;
    assert!(!second.events().is_empty(), "the second one reads some");

    first_runs.stop().await;
    expected.extend(rig.fill(30, 90).await);
    eventually("the second one reads the rest", || {
        read_by(&both) == expected
    })
    .await;
    second_runs.stop().await;
    let all: Vec<_> = both.iter().flat_map(|host| host.events()).collect();
    assert_eq!(repeats(&all), 0, "what was settled is not read again");
    assert_eq!(rig.committed("tapline"), rig.ends());
}

#[tokio::test(flavor = "multi_thread")]
async fn offsets_are_committed_only_for_what_is_settled() {
    let rig = Rig::new();
    rig.host.set_settling(tapline_testkit::Settling::Held);
    rig.fill(30, 0).await;
    let running = rig.run(json!({}));
    rig.host.wait_for_events(60).await;
    eventually("the start is committed", || {
        rig.committed("tapline") == [Some(0); 3]
    })
    .await;
    rig.host.settle_all();
    eventually("what is settled is committed", || {
        rig.committed("tapline") == rig.ends()
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_after_the_brokers_were_away() {
    let rig = Rig::new();
    let mut expected = rig.fill(30, 0).await;
    let running = rig.run(json!({}));
    rig.host.wait_for_events(60).await;
    rig.cluster.broker_down(1).expect("goes down");
    rig.host
        .wait_for("it is told", |host| {
            host.healths()
                .iter()
                .any(|(_, health)| matches!(health, tapline_core::Health::Degraded(_)))
        })
        .await;
    rig.cluster.broker_up(1).expect("comes up");
    expected.extend(rig.fill(30, 30).await);
    rig.host
        .wait_for("everything is read", |host| {
            uids(&host.events()) == expected
        })
        .await;
    let broken = r#"type="eventhub",reason="disconnected"}"#;
    eventually("the broken connections are counted", || {
        let text = rig.metrics();
        let mut counts = text.lines().filter_map(|line| line.split_once(broken));
        counts.any(|(_, count)| count.trim() != "0")
    })
    .await;
    running.stop().await;
    assert_eq!(repeats(&rig.host.events()), 0);
}
