//! What the simulator says it made.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde_json::Value;

/// One version of a record.
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    /// Such as `graph.alert`.
    pub kind: String,
    /// `tenant:kind:id`.
    pub key: String,
    /// `tenant:kind:id:version`.
    pub uid: String,
    /// How long it could be read before the next one replaced it, in milliseconds.
    pub superseded_after_ms: Option<u64>,
}

/// Reads the whole ledger; a later line with the same identity amends the earlier one.
pub fn read(path: &Path) -> anyhow::Result<Vec<Version>> {
    let text = std::fs::read_to_string(path).context("reading the ledger")?;
    let mut versions: Vec<Version> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for line in text.lines() {
        let version = version(line).with_context(|| format!("ledger line {line:?}"))?;
        match places.get(&version.uid) {
            Some(place) => versions[*place] = version,
            None => {
                places.insert(version.uid.clone(), versions.len());
                versions.push(version);
            }
        }
    }
    Ok(versions)
}

/// Those of the versions that are polled from an API; the others are streamed to the hub.
pub fn polled(versions: Vec<Version>) -> Vec<Version> {
    let polled = |version: &Version| !version.kind.starts_with("hunting.");
    versions.into_iter().filter(polled).collect()
}

/// Of what was made up to some moment: what is never replaced, and what stayed current for longer than
/// `limit`, by what the ledger says now; a version may have been replaced since that moment.
pub fn promised(path: &Path, made: &[Version], limit: Duration) -> anyhow::Result<HashSet<String>> {
    let made: HashSet<&str> = made.iter().map(|version| version.uid.as_str()).collect();
    let stayed = |version: &Version| match version.superseded_after_ms {
        None => true,
        Some(after) => u128::from(after) > limit.as_millis(),
    };
    let now = read(path)?.into_iter();
    let promised = now.filter(|version| made.contains(version.uid.as_str()) && stayed(version));
    Ok(promised.map(|version| version.uid).collect())
}

fn version(line: &str) -> anyhow::Result<Version> {
    let value: Value = serde_json::from_str(line)?;
    let text = |name: &str| value[name].as_str().with_context(|| format!("no {name}"));
    let key = format!("{}:{}:{}", text("tenant")?, text("kind")?, text("id")?);
    Ok(Version {
        kind: text("kind")?.to_owned(),
        uid: format!("{key}:{}", text("version")?),
        key,
        superseded_after_ms: value["superseded_after_ms"].as_u64(),
    })
}
