//! What the program says of itself. With these tests cargo builds the program, which the end-to-end
//! tests need, whenever it tests the workspace.

use std::process::Command;

fn said(arguments: &[&str]) -> String {
    let program = env!("CARGO_BIN_EXE_tapline");
    let output = Command::new(program).args(arguments).output();
    let output = output.expect("it can be started");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn every_command_is_named_and_explains_itself() {
    let all = said(&["--help"]);
    for command in [
        "run",
        "validate",
        "dead-letters",
        "state",
        "normalize",
        "simulate",
        "demo",
    ] {
        assert!(all.contains(&format!("\n  {command} ")), "{command}: {all}");
        assert!(said(&[command, "--help"]).contains("Usage: tapline"));
    }
}
