//! What a user meets who makes a mistake: exit codes and messages of the program.

use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::{Duration, Instant};

use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::program::{binary, tapline};
use tapline_e2e::wait_for;

/// Cargo builds the program when it tests the workspace, and not for this package alone.
fn is_built() -> bool {
    let built = binary().exists();
    if !built {
        eprintln!("skipped: {} is not built", binary().display());
    }
    built
}

/// A pipeline that needs nobody: it polls an address where nobody listens.
const ALONE: &str = r#"sources:
  alerts:
    type: defender
    config:
      api: graph_alerts
      identity: { tenant_id: 11111111-2222-3333-4444-555555555555, client_id: 66666666-7777-8888-9999-000000000000, client_secret: { env: TAPLINE_TEST_SECRET } }
      endpoints: { login: "http://127.0.0.1:9", graph: "http://127.0.0.1:9" }
sinks:
  siem: { type: syslog, inputs: [alerts], config: { endpoint: "tcp://127.0.0.1:9" } }
"#;

fn run(pipeline: &Pipeline, command: &str) -> Output {
    let file = pipeline.file();
    tapline(&[command, "-c", file.to_str().expect("UTF-8")])
        .env("TAPLINE_TEST_SECRET", "hunter2-hunter2")
        .output()
        .expect("tapline can be started")
}

fn check(body: &str, code: i32, expected: &[&str]) {
    let pipeline = Pipeline::new(body).expect("a pipeline file");
    let output = run(&pipeline, "validate");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for expected in expected {
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
    assert!(!said.contains("hunter2"), "a secret is shown:\n{said}");
}

#[test]
fn a_right_file_is_told_to_be_right() {
    if is_built() {
        check(ALONE, 0, &["1 sources, 0 transforms, 1 sinks"]);
    }
}

/// The root of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn validated(file: &Path) -> String {
    let output = tapline(&["validate", "-c", file.to_str().expect("UTF-8")])
        .env("CONTOSO_CLIENT_SECRET", "hunter2-hunter2")
        .env("EVENTHUB_KEY", "hunter2-hunter2")
        .output()
        .expect("tapline can be started");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    said
}

#[test]
fn the_example_is_right_and_names_every_component() {
    if !is_built() {
        return;
    }
    let example = root().join("pipeline.example.yaml");
    let said = validated(&example);
    assert!(said.contains("4 sources, 5 transforms, 4 sinks"), "{said}");
    let text = std::fs::read_to_string(example).expect("the example");
    for component in [
        "defender",
        "eventhub",
        "filter",
        "normalize",
        "kafka",
        "syslog",
    ] {
        let named = text.contains(&format!("type: {component}"));
        assert!(named, "{component} is not in the example");
    }
}

#[test]
fn coverage_is_refused_where_nothing_is_known_of_it() {
    if !is_built() {
        return;
    }
    let mut command = tapline(&["normalize", "--to", "cef", "--coverage"]);
    let output = command.output().expect("tapline can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("--coverage is for ocsf and ecs"), "{said}");
}

#[test]
fn what_the_readme_shows_of_a_file_is_right() {
    if !is_built() {
        return;
    }
    let readme = std::fs::read_to_string(root().join("README.md")).expect("the README");
    let mut blocks = readme.split("```yaml\n").skip(1);
    let block = blocks.next().and_then(|rest| rest.split("```").next());
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pipeline.yaml");
    std::fs::write(&file, block.expect("a pipeline file")).expect("written");
    validated(&file);
    assert!(blocks.next().is_none(), "another block that nothing checks");
}

#[test]
fn every_mistake_is_told_at_once_with_its_place_and_the_nearest_word() {
    if !is_built() {
        return;
    }
    let wrong = ALONE
        .replace(
            "api: graph_alerts",
            "api: graph_alerts\n      poll_intervall_secs: 5",
        )
        .replace(
            "type: syslog, inputs: [alerts]",
            "type: sislog, inputs: [allerts]",
        );
    check(
        &wrong,
        2,
        &[
            "poll_interval_secs",
            "syslog",
            "alerts",
            "pipeline.yaml:10:",
        ],
    );
}

#[tokio::test]
async fn a_pipeline_is_ready_without_any_token_and_stops_at_once() -> anyhow::Result<()> {
    if !is_built() {
        return Ok(());
    }
    let environment = [("TAPLINE_TEST_SECRET", "hunter2-hunter2")];
    let pipeline = Pipeline::new(ALONE)?;
    let mut process = pipeline.start(&environment).await?;

    let second = run(&pipeline, "run");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains("in use"), "{said}");

    let other = Pipeline::new(ALONE)?;
    let text = std::fs::read_to_string(other.file())?;
    let own = other.folder().join("data").display().to_string();
    let theirs = pipeline.folder().join("data").display().to_string();
    std::fs::write(other.file(), text.replace(&own, &theirs))?;
    let second = run(&other, "run");
    let said = String::from_utf8_lossy(&second.stderr);
    assert_eq!(second.status.code(), Some(1), "{said}");
    assert!(said.contains(&theirs), "{said}");

    wait_for("the failing token is on /metrics", 60, async || {
        let unreachable = pipeline
            .metric("tapline_token_refreshes_total", "outcome=\"unreachable\"")
            .await;
        (unreachable >= 1.0).then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    assert!(!pipeline.log().contains("hunter2"), "a secret is logged");
    Ok(())
}

#[tokio::test]
async fn a_checkpoint_of_another_stream_is_refused() -> anyhow::Result<()> {
    if !is_built() {
        return Ok(());
    }
    let environment = [("TAPLINE_TEST_SECRET", "hunter2-hunter2")];
    let pipeline = Pipeline::new(ALONE)?;
    let mut process = pipeline.start(&environment).await?;
    wait_for("the starting point is durable", 60, async || {
        let commits = pipeline
            .metric("tapline_checkpoint_commits_total", "outcome=\"ok\"")
            .await;
        (commits >= 1.0).then_some(())
    })
    .await;
    pipeline.stop(&mut process);

    pipeline.rewrite(&ALONE.replace(
        "api: graph_alerts",
        "api: graph_alerts\n      cloud: gcc_high",
    ))?;
    let mut process = pipeline.spawn(&environment)?;
    let status = process.wait(Duration::from_secs(10));
    assert_eq!(
        status.and_then(|status| status.code()),
        Some(1),
        "{}",
        pipeline.log()
    );
    assert!(pipeline.log().contains("gcc_high"), "{}", pipeline.log());
    Ok(())
}

#[test]
fn a_demo_with_an_end_delivers_everything_once_and_in_time() {
    if !is_built() {
        return;
    }
    let begin = Instant::now();
    let output = tapline(&["demo", "--events", "2000"])
        .output()
        .expect("tapline can be started");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.contains("all versions arrived at both places"),
        "{said}"
    );
    assert!(begin.elapsed() < Duration::from_secs(60), "{said}");
}
