//! Commands that are given nonsense, or whose reader goes away.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Output, Stdio};
use std::time::Duration;

use tapline_e2e::process::Process;
use tapline_e2e::program::{Simulation, binary, tapline};

use super::is_built;

fn normalize(arguments: &[&str], input: &[u8]) -> Output {
    let mut child = tapline(&[&["normalize"], arguments].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("tapline can be started");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_owned();
    // It may end before it has read everything.
    let writing = std::thread::spawn(move || stdin.write_all(&input).ok());
    let output = child.wait_with_output().expect("it ends");
    writing.join().expect("no panic");
    output
}

/// So many lines come out, and so many errors, each a JSON object that has a line number.
fn check_normalize(input: &[u8], lines: usize, errors: usize, expected: &str) {
    let output = normalize(&[], input);
    let said = String::from_utf8_lossy(&output.stderr);
    let shown = String::from_utf8_lossy(&input[..input.len().min(80)]);
    assert_eq!(
        output.stdout.iter().filter(|b| **b == b'\n').count(),
        lines,
        "{shown:?}: {said}"
    );
    assert_eq!(said.lines().count(), errors, "{shown:?}: {said}");
    assert_eq!(
        output.status.code(),
        Some(i32::from(errors > 0)),
        "{shown:?}: {said}"
    );
    for line in said.lines() {
        let error: serde_json::Value = serde_json::from_str(line).expect("a JSON error");
        assert!(error["line"].as_u64().is_some(), "{line}");
    }
    assert!(said.contains(expected), "{expected:?} is not in {said}");
}

const GOOD: &str = r#"{"id":"a1","alertWebUrl":"https://x.example"}"#;

#[test]
fn what_is_no_event_costs_one_error_and_no_neighbour() {
    if !is_built() {
        return;
    }
    let around = |middle: &str| format!("{GOOD}\n{middle}\n{GOOD}\n").into_bytes();
    check_normalize(b"", 0, 0, "");
    for bad in ["garbage", "{\"id\":", "\u{1f}\u{8b}"] {
        check_normalize(&around(bad), 2, 1, "\"line\":2");
    }
    check_normalize(&around(&"[".repeat(200_000)), 2, 1, "\"line\":2");
    let deep = format!(
        r#"{{"id":"x","alertWebUrl":{}1{}}}"#,
        "{\"a\":".repeat(100_000),
        "}".repeat(100_000)
    );
    check_normalize(&around(&deep), 2, 1, "\"line\":2");
    let mut invalid = around("{\"id\":\"x?\",\"alertWebUrl\":\"u\"}");
    let at = invalid
        .iter()
        .position(|byte| *byte == b'?')
        .expect("there");
    invalid[at] = 0xff;
    check_normalize(&invalid, 2, 1, "\"line\":2");
    let huge = format!(
        r#"{{"id":"x","alertWebUrl":"u","title":"{}"}}"#,
        "x".repeat(20_000_000)
    );
    check_normalize(&around(&huge), 3, 0, "");
}

#[test]
fn text_from_windows_is_read_or_told_how_to_be_converted() {
    if !is_built() {
        return;
    }
    check_normalize(format!("\u{feff}{GOOD}\r\n{GOOD}\r\n").as_bytes(), 2, 0, "");
    let utf16: Vec<u8> = format!("\u{feff}{GOOD}\n")
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    let output = normalize(&[], &utf16);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(output.stdout.is_empty());
    assert!(said.contains("UTF-8"), "{said}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    if !is_built() {
        return;
    }
    for arguments in [&["normalize"][..], &["normalize", "--coverage"]] {
        let mut child = tapline(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("tapline can be started");
        let mut stdin = child.stdin.take().expect("piped");
        let writing = std::thread::spawn(move || {
            let lines = format!("{GOOD}\n").repeat(100_000);
            stdin.write_all(lines.as_bytes()).ok()
        });
        let mut first = String::new();
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        stdout.read_line(&mut first).expect("a line");
        drop(stdout);
        let mut said = String::new();
        child
            .stderr
            .take()
            .expect("piped")
            .read_to_string(&mut said)
            .expect("text");
        assert_eq!(child.wait().expect("it ends").code(), Some(0), "{said}");
        assert_eq!(said, "");
        writing.join().expect("no panic");
    }
}

/// The shell closes standard error before anything is written to it.
#[test]
fn a_closed_standard_error_changes_no_exit_code() {
    if !is_built() {
        return;
    }
    let check = |before: &str, arguments: &str, code: i32| {
        let program = binary();
        let script = format!(
            "(sleep 0.2; {before}) | (sleep 0.2; exec {} {arguments}) 2>&1 >/dev/null | true; exit ${{PIPESTATUS[1]}}",
            program.display()
        );
        let ended = std::process::Command::new("bash")
            .args(["-c", &script])
            .status();
        assert_eq!(ended.expect("bash").code(), Some(code), "{arguments}");
    };
    check("yes garbage | head -1000", "normalize", 1);
    check("true", "validate -c /nonexistent", 2);
}

#[test]
fn arguments_that_make_no_sense_are_told_with_those_that_do() {
    if !is_built() {
        return;
    }
    let check = |arguments: &[&str], expected: &str| {
        let output = tapline(arguments).output().expect("tapline can be started");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
        assert!(said.contains(expected), "{expected:?} is not in {said}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    };
    for rate in ["0", "-1", "nan"] {
        check(&["simulate", "--rate", rate], "above zero");
    }
    check(
        &["simulate", "--faults", "nonsense"],
        "known are none, mild, harsh",
    );
    check(&["simulate", "--faults", "drop=7"], "from 0 to 1");
    check(&["normalize", "--kind", "alert"], "graph.alert");
    check(&["normalize", "--to", "xml"], "ocsf");
    check(&["run"], "--config <FILE>");
    check(
        &["run", "-c", "/nonexistent.yaml"],
        "/nonexistent.yaml: cannot be read",
    );
    check(&["validate", "-c", "/"], "is a folder");
}

#[test]
fn a_simulation_prints_one_line_and_ends_politely() -> anyhow::Result<()> {
    if !is_built() {
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let mut simulation = Simulation::start(&["--rate", "100"], &folder.path().join("log"))?;
    let mut stdout = simulation.rest().expect("not taken");
    std::thread::sleep(Duration::from_millis(300));
    let status = simulation.process().terminate(Duration::from_secs(5));
    assert_eq!(status.and_then(|status| status.code()), Some(0));
    let mut rest = String::new();
    stdout.read_to_string(&mut rest)?;
    assert_eq!(rest, "");
    Ok(())
}

/// `hup` is what a closed terminal sends.
#[test]
fn a_demo_that_is_stopped_leaves_nothing_behind() -> anyhow::Result<()> {
    if !is_built() {
        return Ok(());
    }
    for signal in ["INT", "TERM", "HUP"] {
        let folder = tempfile::tempdir()?;
        let log = folder.path().join("log");
        let temporary = folder.path().join("tmp");
        std::fs::create_dir(&temporary)?;
        let mut demo = Process::start(tapline(&["demo"]).env("TMPDIR", &temporary), &log)?;
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while !std::fs::read_to_string(&log)?.contains("arrived") {
            assert!(
                std::time::Instant::now() < deadline,
                "{}",
                std::fs::read_to_string(&log)?
            );
            std::thread::sleep(Duration::from_millis(50));
        }
        demo.signal(signal);
        let status = demo.wait(Duration::from_secs(25));
        let said = std::fs::read_to_string(&log)?;
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(0),
            "{signal}: {said}"
        );
        assert_eq!(std::fs::read_dir(&temporary)?.count(), 0, "{signal}");
    }
    Ok(())
}
