//! The normalizer alone, as criterion measured it just before.

use std::path::Path;

use anyhow::Context;

use crate::table::Table;

/// Names of the benches in `crates/transform-normalize`, and the figures that they should have.
const BENCHES: [(&str, &str); 3] = [
    ("ocsf", "at most 8"),
    ("ocsf with observables", "at most 11"),
    ("cef", ""),
];

/// Nanoseconds per event are CPU-seconds per thousand million events.
pub(crate) fn measure(table: &mut Table) -> anyhow::Result<()> {
    for (name, target) in BENCHES {
        let seconds = nanoseconds(name)? / 1e3;
        let what = format!("normalize one alert of 2 KB to {name}");
        table.add(what, format!("{seconds:.1} CPU-s per million"), target);
    }
    Ok(())
}

fn nanoseconds(name: &str) -> anyhow::Result<f64> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion/alert");
    let file = folder.join(name).join("new/estimates.json");
    let text = std::fs::read(&file)
        .with_context(|| format!("{}: run it with `make bench`", file.display()))?;
    let estimates: serde_json::Value = serde_json::from_slice(&text)?;
    estimates["median"]["point_estimate"]
        .as_f64()
        .context("no median in criterion's estimates")
}
