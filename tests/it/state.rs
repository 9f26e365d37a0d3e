//! `tapline state`: where reading stands is shown and moved, with and without a running process.

use std::process::Output;

use serde_json::Value;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::program::tapline;
use tapline_e2e::receiver::Receiver;
use tapline_e2e::{enabled, wait_for};
use tapline_simulators::Simulation;

use crate::bad_input::scene::{alert, time, times, to_receiver};

/// Runs `tapline state` with the pipeline's file.
pub(crate) fn state(pipeline: &Pipeline, arguments: &[&str]) -> Output {
    let file = pipeline.file();
    tapline(&["state"])
        .args(arguments)
        .arg("-c")
        .arg(&file)
        .env("TAPLINE_TEST_SECRET", "not asked for")
        .output()
        .expect("it starts")
}

/// What it prints if it ends well.
pub(crate) fn printed(output: &Output) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{}", text(&output.stderr));
    text(&output.stdout)
}

/// The cursors of all partitions, by partition.
pub(crate) fn cursors(pipeline: &Pipeline) -> Vec<(String, String)> {
    let shown = printed(&state(pipeline, &["show", "--json"]));
    let shown: Vec<Value> = serde_json::from_str(&shown).expect("JSON");
    let text = |value: &Value| value.as_str().expect("text").to_owned();
    let cursors = shown.iter();
    cursors
        .map(|it| (text(&it["partition"]), text(&it["cursor"])))
        .collect()
}

async fn arrive(receiver: &Receiver, wanted: &[(&str, usize)]) {
    for (id, count) in wanted {
        wait_for(&format!("{id} came {count} times"), 60, async || {
            (times(receiver, id) >= *count).then_some(())
        })
        .await;
    }
    for (id, count) in wanted {
        assert_eq!(times(receiver, id), *count, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_reading_stands_is_shown_rewound_and_taken_along_with_and_without_a_process()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    let graph = microsoft.graph();
    for (id, seconds) in [("old", -7200), ("middle", -3600), ("new", -60)] {
        graph.put_alert(alert(id, seconds));
    }
    let receiver = Receiver::start().await?;
    let pipeline = Pipeline::guarded(&to_receiver(&microsoft, &receiver))?;
    let secret = microsoft.announcement().client_secret;
    let environment = [("TAPLINE_TEST_SECRET", secret.as_str())];
    let mut process = pipeline.start(&environment).await?;
    arrive(&receiver, &[("old", 1), ("middle", 1), ("new", 1)]).await;
    wait_for("everything is settled", 60, async || {
        let entries = printed(&state(&pipeline, &["show"]));
        let is_line = |line: &&str| line.starts_with("alerts ") && line.contains("graph_alerts");
        let line = entries.lines().find(is_line)?;
        (line.contains("read to 20") && line.split_whitespace().rev().nth(1) == Some("3"))
            .then_some(())
    })
    .await;

    let hour_and_half = time(-5400);
    let rewound = state(&pipeline, &["rewind", "--to", &hour_and_half]);
    printed(&rewound);
    arrive(&receiver, &[("middle", 2), ("new", 2), ("old", 1)]).await;
    let document = pipeline.folder().join("state.json");
    wait_for("all three are remembered again", 60, async || {
        let exported = printed(&state(&pipeline, &["export"]));
        std::fs::write(&document, &exported).expect("written");
        let exported: Value = serde_json::from_str(&exported).expect("JSON");
        (exported["partitions"][0]["entries"].as_array()?.len() == 3).then_some(())
    })
    .await;
    pipeline.stop(&mut process);

    printed(&state(&pipeline, &["rewind", "--to", &hour_and_half]));
    let file = document.to_str().expect("UTF-8");
    let foreign = std::fs::read_to_string(&document)?.replace("graph_alerts\"]", "siem\"]");
    let foreign_file = pipeline.folder().join("foreign.json");
    std::fs::write(&foreign_file, foreign)?;
    let refused = state(
        &pipeline,
        &["import", foreign_file.to_str().expect("UTF-8")],
    );
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(
        why.contains("foreign stream") && why.contains("nothing was changed"),
        "{why}"
    );
    printed(&state(&pipeline, &["import", file]));
    graph.put_alert(alert("behind", -30));
    let mut process = pipeline.start(&environment).await?;
    arrive(
        &receiver,
        &[("behind", 1), ("middle", 2), ("new", 2), ("old", 1)],
    )
    .await;
    pipeline.stop(&mut process);
    microsoft.stop().await;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_process_without_a_token_is_looked_at_and_left_alone() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    microsoft.graph().put_alert(alert("only", -60));
    let receiver = Receiver::start().await?;
    let pipeline = Pipeline::new(&to_receiver(&microsoft, &receiver))?;
    assert_eq!(printed(&state(&pipeline, &["show"])).lines().count(), 1);
    let secret = microsoft.announcement().client_secret;
    let mut process = pipeline
        .start(&[("TAPLINE_TEST_SECRET", secret.as_str())])
        .await?;
    arrive(&receiver, &[("only", 1)]).await;
    assert_eq!(cursors(&pipeline).len(), 1);
    let refused = state(&pipeline, &["rewind", "--to", "2026-01-01T00:00:00Z"]);
    let why = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(1), "{why}");
    assert!(why.contains("admin.token"), "{why}");
    pipeline.stop(&mut process);
    microsoft.stop().await;
    Ok(())
}
