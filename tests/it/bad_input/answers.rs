//! Answers of Graph that no client should have to read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tapline_e2e::enabled;
use tapline_simulators::{Fault, NextLinkMode, Row, Simulation};
use tokio::net::TcpListener;

use super::scene::{Scene, alert, alert_with, time};

/// A fault, and the words that tell a person of it.
fn faults() -> [(Fault, &'static [&'static str]); 6] {
    [
        (Fault::InvalidJson, &["cannot be read"]),
        (Fault::Html, &["cannot be read"]),
        (Fault::Truncated, &["reading fails"]),
        (Fault::CutOff, &["reading fails"]),
        (Fault::Drop, &["no connection"]),
        (Fault::Body("[]".into()), &["cannot be read"]),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_that_is_no_page_is_told_and_asked_for_again() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let scene = Scene::start().await?;
    // The very first answer is only asked for the server's time, whatever it holds.
    scene.microsoft.graph().put_alert(alert("first", -30));
    scene.arrived_once(&["first"]).await;
    for (n, (fault, words)) in faults().into_iter().enumerate() {
        let id = format!("a{n}");
        scene.microsoft.graph().fail_next(fault);
        scene.microsoft.graph().put_alert(alert(&id, -30));
        scene.logged(words).await;
        scene.arrived_once(&[&id]).await;
    }
    scene.works("alerts").await;
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_50_mb_is_asked_for_in_smaller_parts() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    let ids: Vec<String> = (0..56).map(|n| format!("a{n}")).collect();
    for id in &ids {
        let long = json!({"description": "x".repeat(900_000)});
        microsoft.graph().put_alert(alert_with(id, -60, long));
    }
    let scene = Scene::start_with(microsoft).await?;
    scene.logged(&["larger than"]).await;
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    scene.arrived_once(&ids).await;
    let peak = peak_memory(scene.process.id());
    assert!(peak < 160 << 20, "{} MiB were used", peak >> 20);
    scene.ends_well().await
}

/// Bytes that a process had resident at its worst.
fn peak_memory(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"));
    let status = status.expect("the process runs");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number.expect("VmHWM").parse::<u64>().expect("kB") << 10
}

/// Bodies beside good ones, each with the id it arrives by, or none: then it is a dead letter.
fn strange() -> Vec<(&'static str, String, Option<&'static str>)> {
    let at = time(-60);
    let wrong = json!({
        "@odata.type": 7, "id": "wrong", "title": {"a": 1}, "severity": ["high"], "status": 5,
        "serviceSource": null, "createdDateTime": true, "lastUpdateDateTime": at,
        "evidence": "none", "mitreTechniques": {"T1": 1}, "comments": 3, "category": 1.5,
    });
    let unknown = alert_with(
        "unknown",
        -60,
        json!({
            "severity": "apocalyptic", "status": "pondering", "classification": "quantum",
            "serviceSource": "microsoftDefenderForToasters", "newMember": {"deep": "kept-1"},
            "evidence": [
                {"@odata.type": "#microsoft.graph.security.quantumEvidence", "qubit": "kept-2"},
                {"@odata.type": 5, "x": "kept-3"}, null, "kept-4", [],
            ],
        }),
    );
    let big = format!(
        r##"{{"id":"big","lastUpdateDateTime":"{at}","title":"t","evidence":[{{"@odata.type":"#microsoft.graph.security.processEvidence","processId":9007199254740993,"odd":18446744073709551617}}],"huge":123456789012345678901234567890,"fine":0.12345678901234567890123}}"##
    );
    vec![
        ("wrong", wrong.to_string(), Some("wrong")),
        ("unknown", unknown.to_string(), Some("unknown")),
        ("big", big, Some("big")),
        ("number", "5".to_owned(), None),
        ("null", "null".to_owned(), None),
        ("list", "[1,2]".to_owned(), None),
        ("noid", format!(r#"{{"lastUpdateDateTime":"{at}"}}"#), None),
        (
            "id5",
            format!(r#"{{"id":5,"lastUpdateDateTime":"{at}"}}"#),
            None,
        ),
        ("notime", r#"{"id":"notime"}"#.to_owned(), None),
        (
            "time5",
            r#"{"id":"time5","lastUpdateDateTime":5}"#.to_owned(),
            None,
        ),
        (
            "deep",
            format!(
                r#"{{"id":"deep","lastUpdateDateTime":"{at}","x":{}1{}}}"#,
                "[".repeat(5000),
                "]".repeat(5000)
            ),
            None,
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn records_of_strange_form_arrive_or_are_dead_letters_and_hold_up_nobody()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    microsoft.graph().put_alert(alert("before", -61));
    let strange = strange();
    for (id, body, _) in &strange {
        let row = Row::raw(*id, time(-60), body.clone());
        microsoft.graph().put_alert(row);
    }
    microsoft.graph().put_alert(alert("behind", -59));
    let scene = Scene::start_with(microsoft).await?;
    let mut ids = vec!["before", "behind"];
    ids.extend(strange.iter().filter_map(|(.., id)| *id));
    scene.arrived_once(&ids).await;

    let letters = scene.pipeline.dead_letters();
    for (id, body, arrives) in &strange {
        let kept = letters
            .iter()
            .filter(|letter| letter["body"] == *body)
            .count();
        assert_eq!(kept, usize::from(arrives.is_none()), "{id}: {letters:?}");
    }
    for letter in &letters {
        assert!(
            !letter["why"].as_str().unwrap_or_default().is_empty(),
            "{letter}"
        );
    }
    let kept = scene.message("unknown").to_string();
    for kept_text in [
        "kept-1",
        "kept-2",
        "kept-3",
        "kept-4",
        "apocalyptic",
        "Toasters",
    ] {
        assert!(kept.contains(kept_text), "{kept_text} is not in {kept}");
    }
    let raw = scene.receiver.received();
    let raw = raw.iter().map(|bytes| String::from_utf8_lossy(bytes));
    let big = raw
        .into_iter()
        .find(|text| text.contains(r#""big""#))
        .expect("it arrived");
    for digits in [
        "9007199254740993",
        "18446744073709551617",
        "123456789012345678901234567890",
        "0.12345678901234567890123",
    ] {
        assert!(big.contains(digits), "{digits} is not in {big}");
    }
    assert_eq!(scene.message("wrong")["class_uid"], Value::from(2004));
    scene.ends_well().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_to_another_host_is_never_followed() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let elsewhere = TcpListener::bind("127.0.0.1:0").await?;
    let address = elsewhere.local_addr()?;
    let visits = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&visits);
    let listening = tokio::spawn(async move {
        while elsewhere.accept().await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    let microsoft = Simulation::scripted().await?;
    let bases = [
        format!("http://{address}"),
        format!("http://localhost:{}", address.port()),
        format!("{}@{address}", microsoft.announcement().graph),
        format!("//{address}"),
    ];
    let graph = microsoft.graph();
    graph.set_page_clamp(2);
    graph.set_next_link(NextLinkMode::ForeignHost(bases[0].clone()));
    let scene = Scene::start_with(microsoft).await?;
    for (n, base) in bases.into_iter().enumerate() {
        graph.set_next_link(NextLinkMode::ForeignHost(base));
        let ids: Vec<String> = (0..7).map(|m| format!("a{n}-{m}")).collect();
        for (m, id) in (0..).zip(&ids) {
            graph.put_alert(alert(id, -60 + m));
        }
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        scene.arrived_once(&ids).await;
    }
    scene.logged(&["WARN", "link"]).await;
    listening.abort();
    assert_eq!(visits.load(Ordering::Relaxed), 0);
    scene.ends_well().await
}
