//! Several readers want the same partitions.

use std::time::Instant;

use serde_json::json;
use tapline_simulators::{HubError, HubFault};
use tapline_testkit::{LogCapture, RecordingHost, eventually, uids};

use super::Hub;
use crate::rig::{record, repeats, uid};

#[tokio::test]
async fn a_stolen_link_is_told_once_costs_nothing_and_comes_back_slowly() {
    let logs = LogCapture::start();
    let hub = Hub::scripted().await;
    let mut expected = hub.fill(0..8);
    let running = hub.run();
    hub.expect(&expected).await;
    hub.hub().steal("$Default", 0, 7);
    hub.told("another process reads the partition").await;
    let tries = || {
        let attaches = hub.hub().attaches();
        let mut of = attaches.into_iter().filter_map(|it| it.partition);
        of.by_ref().filter(|id| id == "0").count()
    };
    // The other partitions go on, and there is no hurry with this one.
    let (before, began) = (tries(), Instant::now());
    for round in 0..5 {
        for partition in 1..4 {
            let name = format!("{round} {partition}");
            hub.hub()
                .put(partition, record("AlertInfo", &name).as_str());
            expected.insert(uid("AlertInfo", &name));
        }
        hub.expect(&expected).await;
    }
    let due = began.elapsed().as_secs() / 30;
    assert!((tries() - before) as u64 <= due, "a try every 30 s at most");
    let read = || hub.metric("tapline_source_partitions", "");
    assert_eq!(read(), 3.0);
    running.stop().await;
    let text = logs.text();
    let loud = text.lines().filter(|line| line.contains("another process"));
    assert_eq!(loud.count(), 1, "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_higher_owner_level_wins_and_both_together_lose_nothing() {
    let hub = Hub::scripted().await;
    let mut expected = hub.fill(0..8);
    let running = hub.run();
    hub.expect(&expected).await;
    let other = RecordingHost::new();
    let higher = other.run(hub.source(json!({"owner_level": 3, "start_at": "latest"})));
    hub.told("another process reads the partition").await;
    eventually("the other one has them all", || {
        let attaches = hub.hub().attaches();
        let has = |id: &str| {
            let mut of = attaches.iter().filter(|it| it.epoch == Some(3));
            of.any(|it| it.partition.as_deref() == Some(id))
        };
        ["0", "1", "2", "3"].into_iter().all(has)
    })
    .await;
    expected.extend(hub.fill(8..20));
    let both = || {
        let mut events = hub.host.events();
        events.extend(other.events());
        events
    };
    eventually("all is read", || uids(&both()) == expected).await;
    assert_eq!(repeats(&both()), 0);
    higher.stop().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_readers_and_what_does_not_exist_are_told_with_what_to_do() {
    let hub = Hub::scripted().await;
    let full = HubError::new("amqp:resource-limit-exceeded");
    hub.hub().fail_next_of(0, HubFault::RefuseAttach(full));
    let running = hub.run();
    hub.told("five readers of a consumer group").await;
    running.stop().await;
    let hub = Hub::scripted().await;
    let elsewhere = hub.source(json!({"consumer_group": "nobody"}));
    let running = hub.host.run(elsewhere);
    hub.told("the only consumer group is $Default").await;
    running.stop().await;
}
