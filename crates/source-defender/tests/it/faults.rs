//! Outages, refusals, and nonsense are waited out, counted, and lose nothing.

use std::time::{Duration, Instant};

use bytes::Bytes;
use jiff::Timestamp;
use serde_json::json;
use tapline_simulators::Fault;
use tapline_testkit::eventually;

use crate::rig::{Rig, ago, put_alerts};

/// Puts a fault before a reading, and expects everything to arrive and one of the reasons to be counted.
async fn check(fault: Fault, reason: &str) {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", (0..20).map(|row| ago(5000 + row)));
    rig.graph().fail_next(fault.clone());
    rig.graph().fail_next(fault.clone());
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    let counted = |reason| rig.metric(&["errors_total", "receiving", reason]) >= 1.0;
    assert!(
        reason.is_empty() || reason.split(' ').any(counted),
        "{fault:?}: {reason}"
    );
}

#[tokio::test]
async fn waits_that_the_server_names_are_kept_in_every_form() {
    let soon = Timestamp::now() + Duration::from_secs(2);
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&soon);
    for wait in ["1", "0.25", &date.expect("a date")] {
        check(Fault::status(429).retry_after(wait), "throttled").await;
    }
    check(Fault::status(503).retry_after("0.5"), "throttled").await;
}

#[tokio::test]
async fn failures_that_pass_are_waited_out() {
    let (a, b, c, d) = tokio::join!(
        tokio::spawn(check(Fault::status(500), "server_error")),
        tokio::spawn(check(Fault::Truncated, "not_a_page")),
        tokio::spawn(check(Fault::CutOff, "truncated unreachable")),
        tokio::spawn(check(Fault::InvalidJson, "not_a_page")),
    );
    let (e, f, g, h) = tokio::join!(
        tokio::spawn(check(Fault::Html, "not_a_page")),
        tokio::spawn(check(Fault::Drop, "unreachable")),
        tokio::spawn(check(Fault::SlowBody(Duration::from_millis(300)), "")),
        tokio::spawn(check(Fault::status(418), "unexpected_status")),
    );
    for ended in [a, b, c, d, e, f, g, h] {
        ended.expect("the check holds");
    }
}

#[tokio::test]
async fn a_token_that_dies_on_the_way_is_renewed_at_once() {
    let rig = Rig::scripted().await;
    let mut ids = put_alerts(&rig.graph(), "a", [ago(5000)]);
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    rig.simulation.login().invalidate_access_tokens();
    ids.extend(put_alerts(&rig.graph(), "b", [ago(2000)]));
    rig.expect_once(&ids).await;
    running.stop().await;
    assert_eq!(rig.simulation.login().token_requests().len(), 2);
    assert_eq!(rig.metric(&["errors_total", "unauthorized"]), 0.0);
}

#[tokio::test]
async fn an_answer_of_fifty_megabytes_is_dropped_and_asked_for_in_smaller_parts() {
    let rig = Rig::scripted().await;
    let ids = put_alerts(&rig.graph(), "a", (0..300).map(|row| ago(5000 + row)));
    let mut huge = br#"{"value":[{"id":""#.to_vec();
    huge.resize(50 << 20, b'x');
    huge.extend_from_slice(br#""}]}"#);
    rig.graph()
        .fail_next(Fault::Body(Bytes::from_static(br#"{"value":[]}"#)));
    rig.graph().fail_next(Fault::Body(huge.into()));
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    assert_eq!(rig.metric(&["errors_total", "too_large"]), 1.0);
    let tops: Vec<_> = rig
        .graph()
        .requests()
        .iter()
        .filter_map(|it| it.query_value("$top"))
        .collect();
    assert_eq!(tops[1..3], ["1000", "125"]);
}

#[tokio::test]
async fn a_clock_five_minutes_off_changes_nothing() {
    for seconds in [-300, 300] {
        let rig = Rig::scripted().await;
        rig.graph().set_clock_offset(seconds);
        let offset = u64::try_from(300 - seconds).expect("positive") * 1000;
        let ids = put_alerts(
            &rig.graph(),
            "a",
            [ago(offset + 5000), ago(offset + 700_000)],
        );
        let running = rig.run("graph_alerts", json!({}));
        rig.expect_once(&ids).await;
        let lag = || rig.metric(&["source_lag_seconds"]);
        eventually("the lag is by the server's clock", || lag() < 30.0).await;
        running.stop().await;
    }
}

#[tokio::test]
async fn a_source_stops_at_once_while_it_waits() {
    let rig = Rig::scripted().await;
    rig.graph()
        .fail_next(Fault::status(429).retry_after("3600"));
    let running = rig.run("graph_alerts", json!({}));
    eventually("the wait is known", || {
        rig.metric(&["errors_total", "throttled"]) >= 1.0
    })
    .await;
    let begin = Instant::now();
    running.stop().await;
    assert!(begin.elapsed() < Duration::from_secs(1));
}

#[tokio::test]
async fn the_lag_grows_while_reading_fails() {
    let rig = Rig::scripted().await;
    for _ in 0..50 {
        rig.graph().fail_next(Fault::status(403));
    }
    let running = rig.run("graph_alerts", json!({"initial_lookback_secs": 100}));
    eventually("the refusal is counted", || {
        rig.metric(&["errors_total", "denied"]) >= 1.0
    })
    .await;
    let lag = || rig.metric(&["source_lag_seconds"]);
    eventually("the lag starts at the lookback", || lag() >= 100.0).await;
    eventually("the lag grows", || lag() >= 101.5).await;
    running.stop().await;
}

#[tokio::test]
async fn a_refused_identity_is_told_and_waited_out() {
    let rig = Rig::scripted().await;
    rig.simulation.login().set_secret_expired(true);
    let running = rig.run("graph_alerts", json!({}));
    eventually("the refusal is counted", || {
        rig.metric(&["errors_total", "token"]) >= 1.0
    })
    .await;
    running.stop().await;
    assert!(rig.graph().requests().is_empty());
}
