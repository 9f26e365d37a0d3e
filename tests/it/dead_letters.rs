//! `tapline dead-letters`: what was rejected is listed, shown, sent again, and thrown away.

use serde_json::{Value, json};
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::program::tapline;
use tapline_e2e::receiver::Receiver;
use tapline_e2e::{enabled, wait_for};
use tapline_simulators::{Row, Simulation};

use crate::bad_input::scene::{alert, alert_with, source, time};

fn pipeline_file(microsoft: &Simulation, receiver: &Receiver, max_bytes: usize) -> String {
    let (source, endpoint) = (source(microsoft), receiver.endpoint());
    format!(
        r#"{source}transforms:
  ocsf: {{ type: normalize, inputs: [alerts], config: {{ to: ocsf }} }}
sinks:
  siem:
    type: syslog
    inputs: [ocsf]
    config: {{ endpoint: "{endpoint}", format: none, framing: octet_counting, max_message_bytes: {max_bytes} }}
"#
    )
}

/// What `tapline dead-letters` prints, both streams; it has to end well.
fn dead_letters(pipeline: &Pipeline, arguments: &[&str]) -> (String, String) {
    let file = pipeline.file();
    let output = tapline(&["dead-letters"])
        .args(arguments)
        .arg("-c")
        .arg(&file)
        .env("TAPLINE_TEST_SECRET", "not asked for")
        .output()
        .expect("it starts");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{arguments:?}: {err}");
    (out, err)
}

/// Waits until so many letters of a component lie on the shelf.
async fn letters(pipeline: &Pipeline, component: &str, wanted: usize) -> Vec<Value> {
    wait_for(
        &format!("{wanted} letters of {component}"),
        60,
        async || {
            let (lines, _) = dead_letters(pipeline, &["show", "--component", component]);
            let letters: Vec<Value> = lines
                .lines()
                .map(|line| serde_json::from_str(line).expect("a letter is JSON"))
                .collect();
            (letters.len() == wanted).then_some(letters)
        },
    )
    .await
}

/// How often an alert has arrived.
fn times(receiver: &Receiver, id: &str) -> usize {
    let wanted = format!(r#""original_event_uid":"{id}""#);
    let messages = receiver.received();
    let mut texts = messages.iter().map(|it| String::from_utf8_lossy(it));
    texts.by_ref().filter(|text| text.contains(&wanted)).count()
}

async fn arrives(receiver: &Receiver, id: &str) {
    wait_for(&format!("{id} arrives"), 60, async || {
        (times(receiver, id) > 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_rejected_is_listed_sent_again_when_the_cause_is_gone_and_thrown_away()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    let graph = microsoft.graph();
    graph.put_alert(alert("before", -61));
    let description = "x".repeat(50_000);
    graph.put_alert(alert_with("huge", -60, json!({"description": description})));
    let changed = time(-59);
    let deep = format!(
        r#"{{"id":"deep","lastUpdateDateTime":"{changed}","x":{}{}}}"#,
        "[".repeat(500),
        "]".repeat(500)
    );
    graph.put_alert(Row::raw("deep", changed, deep.clone()));
    let receiver = Receiver::start().await?;
    let pipeline = Pipeline::new(&pipeline_file(&microsoft, &receiver, 20_000))?;
    let secret = microsoft.announcement().client_secret;
    let environment = [("TAPLINE_TEST_SECRET", secret.as_str())];
    let mut process = pipeline.start(&environment).await?;

    let huge = letters(&pipeline, "siem", 1).await;
    assert_eq!(huge[0]["id"], "huge");
    let kept = letters(&pipeline, "ocsf", 1).await;
    assert_eq!(kept[0]["body"], Value::from(deep), "the bytes as they came");
    let (table, _) = dead_letters(&pipeline, &["list"]);
    let rows: Vec<Vec<&str>> = table
        .lines()
        .map(|line| line.split_whitespace().take(3).collect())
        .collect();
    assert_eq!(rows[0], ["COMPONENT", "REASON", "LETTERS"], "{table}");
    assert!(
        rows.iter()
            .any(|row| row[0] == "sinks.siem" && row[2] == "1"),
        "{table}"
    );
    assert!(
        rows.iter()
            .any(|row| row[0] == "transforms.ocsf" && row[2] == "1"),
        "{table}"
    );

    let (_, said) = dead_letters(&pipeline, &["replay", "--component", "siem"]);
    assert!(said.contains("rejected them: 1;"), "{said}");
    let again = letters(&pipeline, "siem", 1).await;
    assert_ne!(
        again[0]["at"], huge[0]["at"],
        "it was tried again, and rejected again"
    );
    pipeline.stop(&mut process);

    dead_letters(&pipeline, &["replay", "--component", "siem"]);
    pipeline.rewrite(&pipeline_file(&microsoft, &receiver, 16_000_000))?;
    let mut process = pipeline.start(&environment).await?;
    arrives(&receiver, "huge").await;
    graph_goes_on(&microsoft, &receiver).await;
    assert_eq!(times(&receiver, "huge"), 1);
    assert_eq!(times(&receiver, "before"), 1);
    letters(&pipeline, "siem", 0).await;

    let (_, said) = dead_letters(&pipeline, &["purge", "--kind", "graph.incident"]);
    assert!(said.contains("deleted: 0"), "{said}");
    let (_, said) = dead_letters(&pipeline, &["purge", "--component", "ocsf"]);
    assert!(said.contains("deleted: 1"), "{said}");
    letters(&pipeline, "ocsf", 0).await;
    pipeline.stop(&mut process);
    microsoft.stop().await;
    Ok(())
}

/// A sent letter is no hindrance for what is read afterwards.
async fn graph_goes_on(microsoft: &Simulation, receiver: &Receiver) {
    microsoft.graph().put_alert(alert("behind", -58));
    arrives(receiver, "behind").await;
}
