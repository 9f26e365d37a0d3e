//! What is read, from where, and what is told when that is not possible.

use serde_json::json;
use tapline_core::{Checkpoint, Cursor, StreamIdentity};
use tapline_testkit::{LogCapture, eventually, uids};

use crate::rig::{HUB, Rig, record, uid};

fn identity(partition: i32) -> StreamIdentity {
    let parts = [
        ("namespace", "contoso.servicebus.windows.net".to_owned()),
        ("hub", HUB.to_owned()),
        ("group", "tapline".to_owned()),
        ("partition", partition.to_string()),
    ];
    StreamIdentity {
        source: "eventhub".to_owned(),
        parts: parts.map(|(name, value)| (name.to_owned(), value)).to_vec(),
    }
}

fn put_checkpoint(rig: &Rig, partition: i32, sequence: i64) {
    let cursor = Cursor::new(json!({"sequence": sequence}).to_string());
    let checkpoint = Checkpoint {
        cursor,
        ..Checkpoint::default()
    };
    rig.host.put_checkpoint(
        &format!("{HUB}/{partition}"),
        identity(partition),
        checkpoint,
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_record_comes_once_and_a_broken_one_goes_to_the_dead_letters_with_its_place() {
    let rig = Rig::new();
    rig.put(
        1,
        format!(
            r#"[{},7,{}]"#,
            record("AlertInfo", "a"),
            record("Brandnew", "b")
        ),
    )
    .await;
    rig.put(1, "").await;
    rig.put(
        1,
        format!(
            "{}\n{{\"records\":[{}",
            record("DeviceInfo", "c"),
            record("AlertInfo", "d")
        ),
    )
    .await;
    let running = rig.run(json!({}));
    rig.host
        .wait_for("both are refused", |host| host.rejected().len() == 2)
        .await;
    running.stop().await;
    let expected = [
        uid("AlertInfo", "a"),
        uid("unknown", "b"),
        uid("DeviceInfo", "c"),
        uid("AlertInfo", "d"),
    ];
    let read = uids(&rig.host.events());
    assert_eq!(read.len(), 4);
    for uid in [&expected[0], &expected[2], &expected[3]] {
        assert!(read.contains(uid), "{uid}");
    }
    let refused = rig.host.rejected();
    assert!(
        refused[0]
            .why
            .contains("hub defender, partition 1, offset 0"),
        "{}",
        refused[0].why
    );
    assert_eq!(
        (refused[1].reason, refused[1].why.contains("offset 2")),
        ("truncated", true)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_group_begins_where_it_is_told_to() {
    let rig = Rig::new();
    rig.fill(3, 0).await;
    let running = rig.run(json!({"start_at": "latest"}));
    rig.host
        .wait_for("the start is durable", |host| {
            host.partitions().len() == 3
                && host
                    .partitions()
                    .iter()
                    .all(|name| !host.checkpoint(name).cursor.is_empty())
        })
        .await;
    let new = rig.fill(3, 3).await;
    rig.host.wait_for_events(6).await;
    running.stop().await;
    assert_eq!(uids(&rig.host.events()), new);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_one_of_checkpoint_and_group_wins() {
    let rig = Rig::new();
    rig.fill(30, 0).await;
    let running = rig.run(json!({}));
    rig.host.wait_for_events(60).await;
    running.stop().await;
    assert_eq!(rig.committed("tapline"), rig.ends());

    // A replica with a store of its own goes on where the group stands, whatever that holds.
    let mut replica = rig;
    replica.host = tapline_testkit::RecordingHost::new();
    put_checkpoint(&replica, 0, 3);
    put_checkpoint(&replica, 1, 12);
    let new = replica.fill(12, 30).await;
    let running = replica.run(json!({}));
    // Of partition 1 the checkpoint says that three of the four new messages are settled.
    replica.host.wait_for_events(2 * (4 + 1 + 4)).await;
    running.stop().await;
    let read = uids(&replica.host.events());
    assert!(read.is_subset(&new));
    assert_eq!(read.len(), 18);
}

#[tokio::test]
async fn an_offset_that_the_hub_does_not_have_is_told_and_reading_goes_on() {
    let logs = LogCapture::start();
    let rig = Rig::new();
    let expected = rig.fill(30, 0).await;
    put_checkpoint(&rig, 2, 1000);
    let running = rig.run(json!({}));
    rig.host
        .wait_for("everything is read", |host| {
            uids(&host.events()) == expected
        })
        .await;
    rig.host
        .wait_for("the checkpoint follows", |host| {
            host.checkpoint("defender/2")
                .cursor
                .as_bytes()
                .starts_with(br#"{"sequence":9,"#)
        })
        .await;
    running.stop().await;
    assert!(logs.text().contains("made anew"), "{}", logs.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn backlog_and_lag_are_shown_for_each_partition() {
    let rig = Rig::new();
    rig.fill(30, 0).await;
    rig.host.set_settling(tapline_testkit::Settling::Held);
    let running = rig.run(json!({}));
    let backlog = r#"tapline_source_backlog_events{component_id="hunting",component_kind="source",component_type="eventhub",partition="defender/0"}"#;
    eventually("ten messages are not settled", || {
        rig.metrics().contains(&format!("{backlog} 10"))
    })
    .await;
    rig.host.set_settling(tapline_testkit::Settling::AtOnce);
    eventually("all are settled", || {
        rig.metrics().contains(&format!("{backlog} 0"))
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hubs_are_read_side_by_side() {
    let rig = Rig::new();
    rig.cluster.create_topic("second", 1, 1).expect("a topic");
    let mut expected = rig.fill(9, 0).await;
    rig.put_into("second", 0, record("DeviceInfo", "other"))
        .await;
    expected.insert(uid("DeviceInfo", "other"));
    let running = rig.run(json!({"hubs": [HUB, "second"]}));
    rig.host
        .wait_for("everything is read", |host| {
            uids(&host.events()) == expected
        })
        .await;
    assert_eq!(
        rig.host.partitions(),
        ["defender/0", "defender/1", "defender/2", "second/0"]
    );
    running.stop().await;
}
