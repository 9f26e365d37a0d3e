//! What the documentation and the planted bugs say of our tests is true.

use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn mutants() -> Vec<PathBuf> {
    let entries = std::fs::read_dir(root().join("tests/mutants")).expect("there");
    let paths = entries.map(|entry| entry.expect("readable").path());
    paths.collect()
}

/// Whether it looks like the name of one of our tests, which are sentences.
fn is_sentence(word: &str) -> bool {
    let is_name = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    word.bytes().all(is_name) && word.matches('_').count() >= 3
}

#[test]
fn every_test_that_the_guarantees_name_exists() {
    let text = read(&root().join("docs/guarantees.md"));
    // Every second piece between back ticks is code.
    let code = text.split('`').skip(1).step_by(2);
    let (mut source, mut named) = (None, 0);
    for word in code {
        if word.ends_with(".rs") {
            source = Some((word, read(&root().join(word))));
        } else if is_sentence(word) {
            let (path, source) = source.as_ref().expect("a file is named before its tests");
            assert!(
                source.contains(&format!("fn {word}(")),
                "{path} has no {word}"
            );
            named += 1;
        }
    }
    assert!(named > 20, "{named} found");
}

#[test]
fn every_planted_bug_can_still_be_planted_and_names_a_test_that_exists() {
    let mutants = mutants();
    assert!(mutants.len() >= 10);
    for patch in mutants {
        let text = read(&patch);
        let caught = text
            .lines()
            .find_map(|line| line.strip_prefix("# Caught by: "));
        let test = caught
            .and_then(|line| line.rsplit(' ').next())
            .expect("named");
        let found = Command::new("grep")
            .args(["-rqw", "--include=*.rs", &format!("fn {test}"), "crates"])
            .current_dir(root())
            .status();
        assert!(
            found.expect("grep runs").success(),
            "{patch:?}: no test {test}"
        );
        let applies = Command::new("git")
            .args(["apply", "--check"])
            .arg(patch.canonicalize().expect("there"))
            .current_dir(root())
            .output()
            .expect("git runs");
        let why = String::from_utf8_lossy(&applies.stderr);
        assert!(applies.status.success(), "{patch:?}: {why}");
    }
}
