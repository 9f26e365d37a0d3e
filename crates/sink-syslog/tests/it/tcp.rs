//! Over TCP: what the receiver reads, and what becomes of a batch when it misbehaves.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use tapline_core::Delivery;
use tapline_testkit::{Receiver, WhileAway, assert_metrics, check_sink, events, eventually};

use crate::receiver::Server;
use crate::{build, context, message, messages, reasons, sink};

#[tokio::test]
async fn a_tcp_sink_keeps_the_contract() {
    let server = Server::start().await;
    let sink = sink(json!({"endpoint": server.endpoint(), "format": "none"}));
    check_sink(&*sink, &server, WhileAway::Answers).await;
}

#[tokio::test]
async fn newline_framing_is_the_default_and_each_line_is_one_message() {
    let server = Server::start().await;
    let sink = sink(json!({"endpoint": server.endpoint(), "hostname": "here", "app_name": "CEF"}));
    assert!(deliver_ok(
        sink.deliver(&messages(&["CEF:0|a|", "CEF:0|ä|"])).await
    ));
    let pid = std::process::id();
    let header = format!("<134>1 2026-01-02T03:04:05.123456Z here CEF {pid} graph.alert - ");
    let expected = format!("{header}CEF:0|a|\n{header}CEF:0|ä|\n");
    server.wait_for(expected.as_bytes()).await;
}

#[tokio::test]
async fn octet_counting_counts_bytes() {
    let server = Server::start().await;
    let settings =
        json!({"endpoint": server.endpoint(), "format": "none", "framing": "octet_counting"});
    let sink = sink(settings);
    assert!(deliver_ok(
        sink.deliver(&messages(&["ä", "two\nlines", ""])).await
    ));
    server.wait_for("2 ä9 two\nlines0 ".as_bytes()).await;
}

#[tokio::test]
async fn what_would_become_a_second_message_is_rejected_and_the_rest_delivered() {
    let server = Server::start().await;
    let sink = sink(json!({"endpoint": server.endpoint(), "format": "none"}));
    let attacks = [
        "one",
        "forged\n<0>1 - - - - - - root logged in",
        "carriage\r<0>return",
        "nul\0<0>byte",
        "escape \x1b[2J and \x7f stay",
    ];
    let delivery = sink.deliver(&messages(&attacks)).await;
    let expected = [(1, "line_break"), (2, "line_break"), (3, "line_break")];
    assert_eq!(reasons(&delivery), expected);
    server
        .wait_for(b"one\nescape \x1b[2J and \x7f stay\n")
        .await;
}

#[tokio::test]
async fn what_is_too_long_is_rejected_whole_and_the_rest_delivered() {
    let server = Server::start().await;
    let settings =
        json!({"endpoint": server.endpoint(), "format": "none", "max_message_bytes": 480});
    let sink = sink(settings);
    let batch = [
        message("x".repeat(480)),
        message("x".repeat(481)),
        message("end"),
    ];
    assert_eq!(reasons(&sink.deliver(&batch).await), [(1, "too_long")]);
    let expected = format!("{}\nend\n", "x".repeat(480));
    server.wait_for(expected.as_bytes()).await;
}

#[tokio::test]
async fn a_batch_larger_than_any_buffer_arrives_whole() {
    let server = Server::start().await;
    let settings =
        json!({"endpoint": server.endpoint(), "format": "none", "max_message_bytes": 20_000});
    let sink = sink(settings);
    let batch: Vec<_> = (0..1000).map(|n| message(format!("{n:010000}"))).collect();
    assert!(deliver_ok(sink.deliver(&batch).await));
    let bodies = batch
        .iter()
        .map(|event| event.body().to_vec())
        .collect::<Vec<_>>();
    eventually("the batch arrives", || server.bodies() == bodies).await;
}

#[tokio::test]
async fn a_receiver_that_closed_silently_between_batches_loses_nothing() {
    let server = Server::start().await;
    let sink = sink(json!({"endpoint": server.endpoint(), "format": "none"}));
    for round in 0..5 {
        let batch = events(round * 10, 10);
        assert!(deliver_ok(sink.deliver(&batch).await), "round {round}");
        // What its kernel has taken and it has not read is gone with the connection.
        eventually("it reads", || server.bodies().len() == round * 10 + 10).await;
        server.end_connections().await;
    }
    let expected: Vec<_> = events(0, 50).iter().map(|e| e.body().to_vec()).collect();
    assert_eq!(server.bodies(), expected, "once each, in order");
    assert_eq!(server.connections().len(), 5);
}

#[tokio::test]
async fn a_batch_that_the_receiver_did_not_read_to_its_end_is_tried_again_whole() {
    let server = Server::start().await;
    server.end_after(Some(100_000));
    let settings =
        json!({"endpoint": server.endpoint(), "format": "none", "max_message_bytes": 200_000});
    let sink = sink(settings);
    let confirmed = messages(&["confirmed"]);
    assert!(deliver_ok(sink.deliver(&confirmed).await));
    let batch: Vec<_> = (0..300).map(|n| message(format!("{n:060000}"))).collect();
    let delivery = sink.deliver(&batch).await;
    assert_eq!(delivery.exceptions.len(), 300);
    assert!(
        reasons(&delivery)
            .iter()
            .all(|(_, reason)| *reason == "closed"),
        "{delivery:?}"
    );

    server.end_after(None);
    assert!(deliver_ok(sink.deliver(&batch).await));
    let whole: Vec<_> = batch.iter().map(|event| event.body().to_vec()).collect();
    eventually("the batch arrives", || server.bodies().ends_with(&whole)).await;
    let repeats = server
        .bodies()
        .iter()
        .filter(|body| *body == b"confirmed")
        .count();
    assert_eq!(repeats, 1, "what was confirmed is not repeated");
}

#[tokio::test]
async fn a_receiver_that_reads_nothing_is_given_up_in_time() {
    let server = Server::start().await;
    server.be_deaf(true);
    let settings = json!({"endpoint": server.endpoint(), "format": "none",
        "delivery_timeout_secs": 1, "max_message_bytes": 200_000});
    let sink = sink(settings);
    let batch: Vec<_> = (0..300).map(|n| message(format!("{n:060000}"))).collect();
    let started = Instant::now();
    let delivery = sink.deliver(&batch).await;
    assert!(started.elapsed() < Duration::from_secs(5));
    assert_eq!(delivery.exceptions.len(), 300);
    assert!(
        reasons(&delivery)
            .iter()
            .all(|(_, reason)| *reason == "timeout"),
        "{delivery:?}"
    );

    server.be_deaf(false);
    assert!(deliver_ok(sink.deliver(&batch).await));
    let whole: Vec<_> = batch.iter().map(|event| event.body().to_vec()).collect();
    eventually("the batch arrives", || server.bodies().ends_with(&whole)).await;
}

#[tokio::test]
async fn a_reset_after_a_confirmation_is_counted_since_nobody_else_can_notice() {
    let server = Server::start().await;
    let cx = context(Path::new("."));
    let sink = build(
        json!({"endpoint": server.endpoint(), "format": "none"}),
        &cx,
    );
    server.be_deaf(true);
    assert!(deliver_ok(
        sink.deliver(&messages(&["taken by the kernel only"])).await
    ));
    server.end_connections().await;
    server.be_deaf(false);
    assert!(deliver_ok(sink.deliver(&messages(&["next"])).await));
    server.wait_for(b"next\n").await;
    assert_metrics(&cx, &[tapline_core::metrics::ERRORS]);
    let text = String::from_utf8(cx.metrics.process().render()).unwrap();
    let line = text.lines().find(|line| line.contains(r#"reason="reset""#));
    assert!(line.unwrap().ends_with(" 1"), "{line:?}");
}

#[tokio::test]
async fn a_reset_in_the_middle_of_a_batch_is_counted_too() {
    let server = Server::start().await;
    let cx = context(Path::new("."));
    let sink = build(
        json!({"endpoint": server.endpoint(), "format": "none"}),
        &cx,
    );
    server.be_deaf(true);
    assert!(deliver_ok(
        sink.deliver(&messages(&["taken by the kernel only"])).await
    ));
    // More than both kernels keep.
    let large = "x".repeat(7_000);
    let batch = messages(&[large.as_str(); 3_000]);
    let reset = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        server.end_connections().await;
    };
    let (delivery, ()) = tokio::join!(sink.deliver(&batch), reset);
    assert_eq!(reasons(&delivery)[0], (0, "closed"));
    let text = String::from_utf8(cx.metrics.process().render()).unwrap();
    let line = text.lines().find(|line| line.contains(r#"reason="reset""#));
    assert!(line.unwrap().ends_with(" 1"), "{line:?}");
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_worth_a_retry() {
    let server = Server::start().await;
    server.go_away().await;
    let sink = sink(json!({"endpoint": server.endpoint()}));
    let delivery = sink.deliver(&messages(&["a", "b"])).await;
    assert_eq!(reasons(&delivery), [(0, "connect"), (1, "connect")]);
    let nowhere = json!({"endpoint": "tcp://no-such-host.invalid:514"});
    let delivery = crate::sink(nowhere).deliver(&messages(&["a"])).await;
    assert_eq!(reasons(&delivery), [(0, "resolve")]);
}

fn deliver_ok(delivery: Delivery) -> bool {
    delivery.exceptions.is_empty()
}
