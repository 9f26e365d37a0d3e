//! Where reading begins: after a restart, at a time, in partitions that are new or made anew.

use std::collections::BTreeSet;

use serde_json::json;
use tapline_core::{Checkpoint, Cursor, StreamIdentity};
use tapline_simulators::{HubError, HubFault, HubMessage};
use tapline_testkit::{LogCapture, Settling, eventually, uids};

use super::Hub;
use crate::rig::{record, uid};

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_reading_goes_on_after_what_is_settled_whatever_the_offsets_are() {
    let hub = Hub::scripted().await;
    for (number, offset) in ["a", "b/c", "not a number"].into_iter().enumerate() {
        let message = HubMessage::from(record("AlertInfo", &number.to_string()).as_str());
        hub.hub().put(0, message.offset(offset));
    }
    let running = hub.run();
    hub.host.wait_for_events(3).await;
    running.stop().await;
    let expected = hub.fill(0..2);
    let running = hub.run();
    hub.expect(&expected).await;
    running.stop().await;
    assert_eq!(hub.host.events().len(), 3 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_messages_are_counted_and_reading_goes_on() {
    let hub = Hub::scripted().await;
    hub.fill(0..4);
    let running = hub.run();
    hub.host.wait_for_events(8).await;
    running.stop().await;
    hub.fill(4..24);
    hub.hub().expire_before(0, 10);
    let running = hub.run();
    // Of partition 0 messages 2 to 9 are gone.
    hub.host.wait_for_events(8 + 20 + 4).await;
    let counted = r#"tapline_source_missed_events_total{component_id="hunting",component_kind="source",component_type="eventhub",partition="defender/0"} 8"#;
    eventually("the gap is counted", || {
        String::from_utf8_lossy(&hub.cx.metrics.process().render()).contains(counted)
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_dropped_over_amqp_too_and_after_a_restart() {
    let hub = Hub::scripted().await;
    let dropping = || hub.source(json!({"drop_repeats": {"within_secs": 3600}}));
    let mut expected = hub.fill(0..4);
    let running = hub.host.run(dropping());
    hub.expect(&expected).await;
    running.stop().await;
    hub.fill(0..4);
    let running = hub.host.run(dropping());
    expected.extend(hub.fill(4..6));
    hub.expect(&expected).await;
    running.stop().await;
    assert_eq!(hub.host.events().len(), expected.len());
}

/// A message at the beginning of a second of 2026-08-01, and what it is.
fn put_at(hub: &Hub, partition: usize, name: &str, second: i64) -> String {
    const MIDNIGHT_MS: i64 = 1_785_542_400_000;
    let message = HubMessage::from(record("AlertInfo", name).as_str());
    let message = message.enqueued_ms(MIDNIGHT_MS + second * 1000);
    hub.hub().put(partition, message);
    uid("AlertInfo", name)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_at_a_time_is_kept_before_the_first_event_is_settled() {
    let hub = Hub::scripted().await;
    put_at(&hub, 0, "before", 9);
    let expected: BTreeSet<_> = [10, 11]
        .map(|at| put_at(&hub, 0, &format!("{at}"), at))
        .into();
    put_at(&hub, 1, "also before", 9);
    hub.host.set_settling(Settling::Held);
    let at_time = json!({"start_at": "2026-08-01T00:00:10Z"});
    let running = hub.host.run(hub.source(at_time));
    hub.expect(&expected).await;
    running.kill().await;
    // Neither what was in flight nor what comes where nothing was is left out by another start.
    let late = put_at(&hub, 1, "late", 20);
    hub.host.set_settling(Settling::AtOnce);
    let running = hub.host.run(hub.source(json!({"start_at": "latest"})));
    let all = expected
        .iter()
        .cloned()
        .chain([late])
        .collect::<BTreeSet<_>>();
    hub.host
        .wait_for("all is settled", |host| uids(&host.settled()) == all)
        .await;
    running.stop().await;
    assert_eq!(uids(&hub.host.events()), all);
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_without_a_restart() {
    let hub = Hub::scripted().await;
    let mut expected = hub.fill(0..4);
    let running = hub.host.run(hub.source(json!({"start_at": "latest"})));
    hub.host
        .wait_for("the start is durable", |host| {
            let names = host.partitions();
            let is_durable = |name: &String| !host.checkpoint(name).cursor.is_empty();
            names.len() == 4 && names.iter().all(is_durable)
        })
        .await;
    expected.clear();
    hub.hub().grow_to(6);
    for partition in [4, 5] {
        let name = format!("in {partition}");
        hub.hub()
            .put(partition, record("AlertInfo", &name).as_str());
        expected.insert(uid("AlertInfo", &name));
    }
    // A new connection counts too, so that nobody has to wait for the next time.
    hub.hub().drop_connections();
    hub.expect(&expected).await;
    running.stop().await;
    assert_eq!(uids(&hub.host.events()), expected);
}

fn put_checkpoint(hub: &Hub, cursor: serde_json::Value) {
    let parts = [
        ("namespace", "localhost"),
        ("hub", "defender"),
        ("group", "$Default"),
        ("partition", "0"),
    ];
    let identity = StreamIdentity {
        source: "eventhub".to_owned(),
        parts: parts
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .to_vec(),
    };
    let checkpoint = Checkpoint {
        cursor: Cursor::new(cursor.to_string()),
        ..Checkpoint::default()
    };
    hub.host.put_checkpoint("defender/0", identity, checkpoint);
}

#[tokio::test]
async fn a_hub_that_was_made_anew_is_read_from_its_beginning() {
    let logs = LogCapture::start();
    let hub = Hub::scripted().await;
    let expected = hub.fill(0..10);
    put_checkpoint(&hub, json!({"sequence": 1000, "offset": "52000"}));
    let running = hub.run();
    hub.expect(&expected).await;
    running.stop().await;
    assert!(logs.text().contains("made anew"), "{}", logs.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_offset_that_the_service_no_longer_takes_is_replaced_by_the_sequence_number() {
    let hub = Hub::scripted().await;
    let mut expected = hub.fill(0..10);
    let running = hub.run();
    hub.expect(&expected).await;
    running.stop().await;
    let refused = HubError::new("com.microsoft:argument-error");
    hub.hub().fail_next_of(0, HubFault::RefuseAttach(refused));
    expected.extend(hub.fill(10..20));
    let running = hub.run();
    hub.expect(&expected).await;
    running.stop().await;
    let attaches = hub.hub().attaches();
    let last = attaches
        .iter()
        .rfind(|it| it.partition.as_deref() == Some("0"));
    let filter = last.and_then(|it| it.filter.clone());
    assert_eq!(
        filter.as_deref(),
        Some("amqp.annotation.x-opt-sequence-number > '4'")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn backlog_and_lag_are_right_for_full_empty_and_expired_partitions_whether_read_or_not() {
    let hub = Hub::scripted().await;
    hub.fill(0..20);
    hub.host.set_settling(Settling::Held);
    let running = hub.run();
    let backlog = |partition: usize| {
        let label = format!("partition=\"defender/{partition}\"");
        hub.metric("tapline_source_backlog_events", &label)
    };
    eventually("ten messages are not settled", || backlog(0) == 10.0).await;
    assert_eq!((backlog(1), backlog(2)), (10.0, 0.0));
    assert_eq!(hub.metric("tapline_source_partitions", ""), 4.0);
    hub.host.set_settling(Settling::AtOnce);
    eventually("all are settled", || backlog(0) + backlog(1) == 0.0).await;
    running.stop().await;

    // All of partition 1 has expired, and some that were never read.
    hub.fill(20..40);
    hub.hub().expire_before(1, 20);
    let refused = || HubFault::RefuseAttach(HubError::new("amqp:not-found"));
    hub.hub().fail_next_of(0, refused());
    hub.hub().fail_next_of(1, refused());
    let running = hub.run();
    eventually("what cannot be read is known", || backlog(0) == 10.0).await;
    assert_eq!(backlog(1), 0.0, "nothing is left there to read");
    let lag = || hub.metric("tapline_source_lag_seconds", "stream=\"defender/0\"");
    eventually("what cannot be read does not look caught up", || {
        lag() > 2.0
    })
    .await;
    assert_eq!(hub.metric("tapline_source_partitions", ""), 2.0);
    running.stop().await;
}
