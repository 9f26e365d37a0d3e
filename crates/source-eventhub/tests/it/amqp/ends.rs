//! Whatever becomes of links, sessions, and connections, nothing is lost and nothing repeated.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use tapline_simulators::{HUB_CONDITIONS, HubError, HubFault};
use tapline_testkit::Settling;

use super::Hub;
use crate::rig::{record, uid};

#[tokio::test(flavor = "multi_thread")]
async fn after_every_kind_of_end_reading_goes_on_after_the_last_message_received() {
    let hub = Hub::scripted().await;
    let mut expected = hub.fill(0..20);
    let error = || HubError::new("amqp:link:detach-forced");
    let running = hub.run();
    hub.expect(&expected).await;
    let faults = [
        HubFault::Detach {
            after: 2,
            error: error(),
        },
        HubFault::EndSession {
            after: 2,
            error: error(),
        },
        HubFault::CloseConnection {
            after: 2,
            error: HubError::new("amqp:connection:forced"),
        },
        HubFault::Drop { after: 2 },
        HubFault::CutOff { after: 2 },
        HubFault::RefuseAttach(HubError::new("com.microsoft:timeout")),
    ];
    for (round, fault) in faults.into_iter().enumerate() {
        hub.hub().fail_next_of(0, fault);
        let from = 20 + round * 20;
        expected.extend(hub.fill(from..from + 20));
        hub.expect(&expected).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_flight_when_a_link_ends_is_not_read_again() {
    let hub = Hub::scripted().await;
    hub.host.set_settling(Settling::Held);
    let mut expected = hub.fill(0..20);
    let running = hub.run();
    hub.expect(&expected).await;
    let error = HubError::new("amqp:link:detach-forced");
    let fault = HubFault::Detach { after: 2, error };
    hub.hub().fail_next_of(0, fault);
    expected.extend(hub.fill(20..40));
    hub.expect(&expected).await;
    hub.host.settle_all();
    running.stop().await;
}

/// The conditions after which it takes half a minute or more to try again.
const SLOW: [&str; 3] = [
    "amqp:link:stolen",
    "amqp:not-found",
    "amqp:resource-limit-exceeded",
];

#[tokio::test(flavor = "multi_thread")]
async fn after_every_condition_reading_goes_on_after_the_last_message_received() {
    let hub = Hub::scripted().await;
    let quick = HUB_CONDITIONS
        .iter()
        .filter(|(condition, _)| !SLOW.contains(condition));
    let conditions: Vec<_> = quick.collect();
    hub.hub().grow_to(conditions.len());
    for (partition, (condition, _)) in conditions.iter().enumerate() {
        let error = HubError::new(condition);
        let fault = HubFault::Detach { after: 2, error };
        hub.hub().fail_next_of(partition, fault);
    }
    let mut expected = BTreeSet::new();
    for number in 0..5 * conditions.len() {
        let name = number.to_string();
        let partition = number % conditions.len();
        hub.hub()
            .put(partition, record("AlertInfo", &name).as_str());
        expected.insert(uid("AlertInfo", &name));
    }
    let running = hub.run();
    hub.expect(&expected).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waits_for_room_is_received_again_when_the_connection_ends() {
    let hub = Hub::scripted().await;
    hub.host.set_delay(Duration::from_millis(50));
    let mut expected = BTreeSet::new();
    // Each message is a batch of its own, so that there is always one that waits.
    let filler = " ".repeat(300_000);
    for number in 0..60 {
        let name = number.to_string();
        let message = format!("{}{filler}", record("AlertInfo", &name));
        hub.hub().put(number % 3, message.as_str());
        expected.insert(uid("AlertInfo", &name));
    }
    let running = hub.run();
    for count in [6, 20, 40] {
        hub.host.wait_for_events(count).await;
        hub.hub().drop_connections();
    }
    hub.expect(&expected).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_is_given_time_and_that_is_counted() {
    let hub = Hub::scripted().await;
    let busy = || HubFault::RefuseAttach(HubError::new("com.microsoft:server-busy"));
    hub.hub().fail_next_of(0, busy());
    let expected = hub.fill(0..4);
    let running = hub.run();
    hub.expect(&expected).await;
    let waited = hub.metric("tapline_source_wait_seconds_total", "stream=\"defender/0\"");
    assert!(waited >= 4.0, "{waited}");
    let reconnects = hub.metric("tapline_source_reconnects_total", "reason=\"throttled\"");
    assert_eq!(reconnects, 1.0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_an_interval_messages_are_read_in_turns_and_none_is_missed() {
    let hub = Hub::scripted().await;
    let mut expected = hub.fill(0..10);
    let running = hub.host.run(hub.source(json!({"poll_interval_secs": 1})));
    hub.expect(&expected).await;
    for round in 1..4 {
        expected.extend(hub.fill(round * 10..round * 10 + 10));
        hub.expect(&expected).await;
    }
    running.stop().await;
    let attaches = hub.hub().attaches();
    let first = attaches
        .iter()
        .filter(|it| it.partition.as_deref() == Some("0"));
    assert!(first.count() >= 4, "one link for each turn");
}
