//! The normalizer alone, as criterion measured it just before.

use std::path::Path;

use anyhow::Context;

use crate::table::Table;

/// Groups and names of the benches in `crates/transform-normalize`, what they read, and the figures
/// that they should have.
const BENCHES: [(&str, &str, &str, &str); 5] = [
    ("alert", "ocsf", ALERT, "at most 8"),
    ("alert", "ocsf with observables", ALERT, "at most 11"),
    ("alert", "cef", ALERT, ""),
    ("process", "ocsf", PROCESS, "at most 5"),
    ("process", "ocsf with observables", PROCESS, ""),
];
const ALERT: &str = "alert of 2 KB";
const PROCESS: &str = "process event of 1.5 KB";

/// Nanoseconds per event are CPU-seconds per thousand million events.
pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    for (group, name, record, target) in BENCHES {
        let seconds = nanoseconds(group, name)? / 1e3;
        let what = format!("normalize one {record} to {name}");
        table.add(what, format!("{seconds:.1} CPU-s per million"), target);
    }
    Ok(())
}

fn nanoseconds(group: &str, name: &str) -> anyhow::Result<f64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion");
    let file = folder.join(group).join(name).join("new/estimates.json");
    let text = std::fs::read(&file)
        .with_context(|| format!("{}: run it with `make bench`", file.display()))?;
    let estimates: serde_json::Value = serde_json::from_slice(&text)?;
    estimates["median"]["point_estimate"]
        .as_f64()
        .context("no median in criterion's estimates")
}
