//! Real records, and the checker that is not ours; both only where the folder is there.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;
use tapline_transform_normalize::{NormalizeConfig, To};

const SHARED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared");

/// All records of the files below a folder of samples.
fn records(folder: &str) -> Vec<(PathBuf, String)> {
    let Ok(entries) = std::fs::read_dir(Path::new(SHARED).join("samples").join(folder)) else {
        return Vec::new();
    };
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("readable").path())
        .collect();
    paths.sort();
    let of_file = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).expect("readable");
        let documents = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
        let records: Vec<Value> = documents
            .flat_map(|document| unwrapped(document.expect("JSON")))
            .collect();
        records
            .into_iter()
            .map(move |record| (path.clone(), record.to_string()))
    };
    paths.into_iter().flat_map(of_file).collect()
}

fn unwrapped(document: Value) -> Vec<Value> {
    match document {
        Value::Array(all) => all.into_iter().flat_map(unwrapped).collect(),
        Value::Object(mut object) => {
            match object.remove("value").or_else(|| object.remove("ms-graph")) {
                Some(inner) => unwrapped(inner),
                None => vec![Value::Object(object)],
            }
        }
        _ => Vec::new(),
    }
}

/// Runs the checker over events; panics with what it prints.
pub(crate) fn validate(events: &str) {
    let checker = Path::new(SHARED).join("tools/validate_ocsf.py");
    if !checker.exists() {
        return;
    }
    let mut child = Command::new("python3")
        .arg(checker)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python3 runs");
    let mut stdin = child.stdin.take().expect("piped");
    let events = events.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(events.as_bytes()));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads all");
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    if std::env::var_os("SHOW").is_some() {
        eprintln!("{text}");
    }
    assert!(output.status.success(), "{text}");
}

#[test]
fn every_sample_becomes_one_valid_event_of_its_class() {
    let mut normalizer = crate::normalizer(&NormalizeConfig::new(To::Ocsf));
    let mut all = String::new();
    for (folder, class) in [
        ("graph-alerts-v2", 2004),
        ("graph-incidents", 2005),
        ("siem-api", 2004),
    ] {
        for (path, record) in records(folder) {
            let event = crate::event(&mut normalizer, &record);
            let class = format!("\"class_uid\":{class},");
            assert!(event.contains(&class), "{}: {event}", path.display());
            all.push_str(&event);
            all.push('\n');
        }
    }
    if std::env::var_os("SHOW").is_some() {
        eprintln!("{all}");
    }
    if !all.is_empty() {
        validate(&all);
    }
}
