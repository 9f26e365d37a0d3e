//! Pipeline files, secrets, ports, and folders that cannot be used.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Output;

use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::program::tapline;

use super::is_built;

/// A source that polls where nobody listens, with this as its secret.
fn with_secret(secret: &str) -> String {
    format!(
        r#"sources:
  alerts:
    type: defender
    config:
      api: graph_alerts
      identity: {{ tenant_id: 11111111-2222-3333-4444-555555555555, client_id: 66666666-7777-8888-9999-000000000000, client_secret: {secret} }}
      endpoints: {{ login: "http://127.0.0.1:9", graph: "http://127.0.0.1:9" }}
sinks:
  siem: {{ type: syslog, inputs: [alerts], config: {{ endpoint: "tcp://127.0.0.1:9" }} }}
"#
    )
}

/// Runs it to its end, which must come by itself.
fn run(pipeline: &Pipeline) -> Output {
    let file = pipeline.file();
    tapline(&["run", "-c", file.to_str().expect("UTF-8")])
        .env("TAPLINE_TEST_SECRET", "hunter2-hunter2")
        .env_remove("TAPLINE_TEST_UNSET")
        .output()
        .expect("tapline can be started")
}

fn check(pipeline: &Pipeline, code: i32, expected: &[&str]) {
    let output = run(pipeline);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{said}");
    for expected in expected {
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
    assert!(!said.contains("hunter2"), "a secret is shown:\n{said}");
    assert!(!said.contains("panicked"), "{said}");
}

fn check_file(body: &str, code: i32, expected: &[&str]) {
    check(
        &Pipeline::new(body).expect("a pipeline file"),
        code,
        expected,
    );
}

#[test]
fn mistakes_in_the_file_end_with_2_and_its_line() {
    if !is_built() {
        return;
    }
    let good = with_secret("{ env: TAPLINE_TEST_SECRET }");
    let unknown = good.replace("api: graph_alerts", "api: graph_alerts\n      hunter3: 1");
    check_file(
        &unknown,
        2,
        &["pipeline.yaml:10:", "alerts.config.hunter3", "unknown key"],
    );
    let missing = good.replace(
        "\"http://127.0.0.1:9\", graph",
        "\"${TAPLINE_TEST_UNSET}\", graph",
    );
    check_file(
        &missing,
        2,
        &["pipeline.yaml:11:", "TAPLINE_TEST_UNSET is not set"],
    );
    let clear = good.replace(
        "graph: \"http://127.0.0.1:9\"",
        "graph: \"http://graph.example\"",
    );
    check_file(
        &clear,
        2,
        &["pipeline.yaml:11:", "endpoints.graph", "https"],
    );
    let foreign = good.replace("http://127.0.0.1:9", "https://a:hunter2@graph.example/x");
    check_file(
        &foreign,
        2,
        &["pipeline.yaml:11:", "only scheme, host, and port"],
    );
}

#[test]
fn secrets_that_cannot_be_had_end_with_1_and_their_place() {
    if !is_built() {
        return;
    }
    let place = ["pipeline.yaml:10:", "alerts.config.identity.client_secret"];
    let check = |secret: &str, expected: &[&str]| {
        let pipeline = Pipeline::new(&with_secret(secret)).expect("a pipeline file");
        for (name, text, mode) in [
            ("everyone", "hunter2-hunter2", 0o644),
            ("empty", "\n", 0o600),
            ("binary", "hunter2\u{0}", 0o600),
        ] {
            let file = pipeline.folder().join(name);
            fs::write(&file, text).expect("written");
            fs::set_permissions(file, Permissions::from_mode(mode)).expect("permissions");
        }
        check(&pipeline, 1, &[&place[..], expected].concat());
    };
    check(
        "{ env: TAPLINE_TEST_UNSET }",
        &["TAPLINE_TEST_UNSET is not set"],
    );
    check("{ file: missing }", &["/missing", "No such file"]);
    check("{ file: everyone }", &["read by everyone", "chmod 600"]);
    check("{ file: empty }", &["is empty", "/empty"]);
    check("{ file: / }", &["is a directory"]);
    check("{ file: everyone/below }", &["Not a directory"]);
    check(
        "{ command: [sh, -c, 'echo hunter2; exit 3'] }",
        &["sh", "exit status: 3"],
    );
    check("{ command: [/nonexistent/vault] }", &["/nonexistent/vault"]);
}

#[test]
fn all_that_cannot_be_used_is_told_at_once() {
    if !is_built() {
        return;
    }
    let body = with_secret("{ env: TAPLINE_TEST_UNSET }").replace(
        "\"tcp://127.0.0.1:9\"",
        "\"tls://127.0.0.1:9\", tls: { ca: missing.pem }",
    );
    check_file(
        &body,
        1,
        &[
            "pipeline.yaml:10:",
            "TAPLINE_TEST_UNSET",
            "pipeline.yaml:13:",
            "missing.pem",
        ],
    );
}

#[test]
fn a_data_folder_that_cannot_be_used_is_named_with_its_key() {
    if !is_built() {
        return;
    }
    let pipeline = Pipeline::new(&with_secret("{ env: TAPLINE_TEST_SECRET }")).expect("a file");
    let data = pipeline.folder().join("data");
    let told = ["data_dir", data.to_str().expect("UTF-8")];
    fs::write(&data, "a file").expect("written");
    check(&pipeline, 1, &told);

    let text = fs::read_to_string(pipeline.file()).expect("is there");
    let below = format!("{}/below", data.display());
    let text = text.replace(&data.display().to_string(), &below);
    fs::write(pipeline.file(), text).expect("written");
    check(&pipeline, 1, &["data_dir", &below, "Not a directory"]);
}

#[test]
fn checkpoints_that_are_damaged_are_told_and_left_alone() {
    if !is_built() {
        return;
    }
    let pipeline = Pipeline::new(&with_secret("{ env: TAPLINE_TEST_SECRET }")).expect("a file");
    let data = pipeline.folder().join("data");
    fs::create_dir(&data).expect("made");
    let file = data.join("checkpoints.redb");
    fs::write(&file, "no database").expect("written");
    check(
        &pipeline,
        1,
        &["checkpoints.redb is damaged", "move it away"],
    );
    assert_eq!(fs::read(&file).expect("is there"), b"no database");
}

#[test]
fn a_port_in_use_is_named() {
    if !is_built() {
        return;
    }
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("bound").port();
    let pipeline = Pipeline::new(&with_secret("{ env: TAPLINE_TEST_SECRET }")).expect("a file");
    let text = fs::read_to_string(pipeline.file()).expect("is there");
    let (before, after) = text.split_once("127.0.0.1:").expect("admin");
    let (_, after) = after.split_once('"').expect("quoted");
    let text = format!("{before}127.0.0.1:{port}\"{after}");
    fs::write(pipeline.file(), text).expect("written");
    check(&pipeline, 1, &["admin.listen", &port.to_string(), "in use"]);
}
