//! Strange records: sent byte for byte, or rejected, and never in the way of others.

use serde_json::json;
use tapline_simulators::Row;

use crate::rig::{Rig, ago, alert, put_alerts};

#[tokio::test]
async fn an_alert_of_two_megabytes_arrives_byte_for_byte() {
    let rig = Rig::scripted().await;
    let mut big = alert("big", &ago(4000));
    big["description"] = json!("\u{e4}\n|=".repeat(400_000));
    let body = big.to_string();
    rig.graph()
        .put_alert(Row::raw("big", ago(4000), body.clone()));
    let mut ids = put_alerts(&rig.graph(), "a", (0..5).map(|row| ago(3000 + row)));
    ids.insert("big".to_owned());
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    let events = rig.host.events();
    let event = events
        .iter()
        .find(|event| event.meta().id == "big")
        .expect("arrived");
    assert!(event.body() == body.as_bytes());
}

#[tokio::test]
async fn a_record_larger_than_an_answer_may_be_goes_to_the_dead_letters() {
    let rig = Rig::scripted().await;
    let time = ago(4000);
    let mut huge = alert("huge", &time);
    huge["description"] = json!("x".repeat(17 << 20));
    let body = huge.to_string();
    rig.graph().put_alert(Row::raw("huge", time, body.clone()));
    let older = (0..5).map(|row| ago(5000 + row));
    let ids = put_alerts(&rig.graph(), "a", older.chain([ago(3000)]));
    let running = rig.run("graph_alerts", json!({"poll_interval_secs": 60}));
    rig.expect_once(&ids).await;
    running.stop().await;
    let rejected = rig.host.rejected();
    assert_eq!((rejected.len(), rejected[0].reason), (1, "too_large"));
    assert!(rejected[0].event.body() == body.as_bytes());
}

#[tokio::test]
async fn records_of_wrong_types_go_to_the_dead_letters_once() {
    let rig = Rig::scripted().await;
    let time = ago(4000);
    let bodies = [
        format!(r#"{{"id":17,"lastUpdateDateTime":"{time}"}}"#),
        format!(r#"{{"lastUpdateDateTime":"{time}"}}"#),
        r#"{"id":"x","lastUpdateDateTime":{}}"#.to_owned(),
        "null".to_owned(),
        "\"text\"".to_owned(),
    ];
    for (number, body) in bodies.iter().enumerate() {
        rig.graph()
            .put_alert(Row::raw(format!("bad{number}"), time.clone(), body.clone()));
    }
    let strange = format!(
        r#"{{ "id" : "odd", "lastUpdateDateTime":"{time}","severity":9,"evidence":"none","n":123456789012345678901234567890,"e":"\u0007\n|=\\" }}"#
    );
    rig.graph()
        .put_alert(Row::raw("odd", time, strange.clone()));
    let mut ids = put_alerts(&rig.graph(), "a", [ago(3000)]);
    ids.insert("odd".to_owned());
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    // Two more polls: the overlap shows them again.
    let polls = || rig.metric(&["source_polls_total", "ok"]);
    let before = polls();
    rig.host
        .wait_for("two more polls", |_| polls() >= before + 2.0)
        .await;
    running.stop().await;
    let mut rejected: Vec<_> = rig
        .host
        .rejected()
        .iter()
        .map(|it| it.event.body().to_vec())
        .collect();
    rejected.sort();
    let mut expected = bodies.map(String::into_bytes).to_vec();
    expected.sort();
    assert_eq!(rejected, expected);
    let events = rig.host.events();
    let odd = events
        .iter()
        .find(|event| event.meta().id == "odd")
        .expect("arrived");
    assert_eq!(odd.body(), strange.as_bytes());
}

#[tokio::test]
async fn a_record_that_is_not_utf8_does_not_stop_the_others() {
    let rig = Rig::scripted().await;
    let time = ago(4000);
    let mut body = format!(r#"{{"id":"odd","lastUpdateDateTime":"{time}","title":""#).into_bytes();
    body.extend_from_slice(b"\xFF\"}");
    rig.graph().put_alert(Row::raw("odd", time, body));
    let mut ids = put_alerts(&rig.graph(), "a", [ago(3000)]);
    ids.insert("odd".to_owned());
    let running = rig.run("graph_alerts", json!({}));
    rig.expect_once(&ids).await;
    running.stop().await;
    assert!(rig.metric(&["errors_total", "bad_record"]) >= 1.0);
}

#[tokio::test]
async fn each_emit_mode_sends_what_it_promises() {
    for (mode, expected) in [("every_version", 3), ("first", 1), ("status_changes", 2)] {
        let rig = Rig::scripted().await;
        rig.graph().put_alert(alert("a", &ago(4000)));
        let running = rig.run("graph_alerts", json!({"emit": mode}));
        rig.host.wait_for_events(1).await;
        let polls = || rig.metric(&["source_polls_total", "ok"]);
        for status in ["new", "resolved"] {
            let mut version = alert("a", &ago(1500));
            version["status"] = json!(status);
            rig.graph().put_alert(version);
            let before = polls();
            rig.host
                .wait_for("two more polls", |_| polls() >= before + 2.0)
                .await;
        }
        running.stop().await;
        assert_eq!(rig.host.events().len(), expected, "{mode}");
    }
}
