//! Records of a folder as templates: only ids, times, and the tenant are ours.

use super::graph::Facts;
use crate::settings::StartError;
use crate::ticks;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};

type Object = Map<String, Value>;

/// Templates of each kind. A kind without any is invented as usual.
#[derive(Debug, Default)]
pub(super) struct Samples {
    alerts: Vec<Object>,
    incidents: Vec<Object>,
    detections: Vec<Object>,
}

impl Samples {
    /// Reads every `.json` and `.ndjson` file of the three folders.
    pub(super) fn load(folder: &Path) -> Result<Self, StartError> {
        let samples = Self {
            alerts: records(&folder.join("graph-alerts-v2")),
            incidents: records(&folder.join("graph-incidents")),
            detections: records(&folder.join("siem-api")),
        };
        if samples.alerts.is_empty()
            && samples.incidents.is_empty()
            && samples.detections.is_empty()
        {
            let why = "no record in graph-alerts-v2, graph-incidents, or siem-api".to_owned();
            return Err(StartError::Samples {
                path: folder.to_owned(),
                why,
            });
        }
        Ok(samples)
    }

    pub(super) fn alert(&self, number: u64) -> Option<&Object> {
        pick(&self.alerts, number / 3)
    }

    pub(super) fn incident(&self, number: u64) -> Option<&Object> {
        pick(&self.incidents, number)
    }

    pub(super) fn detection(&self, number: u64) -> Option<&Object> {
        pick(&self.detections, number / 3)
    }
}

fn pick(templates: &[Object], number: u64) -> Option<&Object> {
    let count = u64::try_from(templates.len())
        .ok()
        .filter(|count| *count > 0)?;
    templates.get((number % count) as usize)
}

/// Writes a template as this alert.
pub(super) fn dress_alert(template: &Object, facts: &Facts<'_>, tenant: &str, out: &mut Vec<u8>) {
    let mut alert = dressed(template, facts, tenant);
    set(&mut alert, "incidentId", facts.incident.to_string());
    write(alert, out);
}

/// Writes a template as this incident; alerts inside it are left out, since only `$expand` brings them.
pub(super) fn dress_incident(
    template: &Object,
    facts: &Facts<'_>,
    tenant: &str,
    out: &mut Vec<u8>,
) {
    let mut incident = dressed(template, facts, tenant);
    incident.retain(|name, _| name != "alerts" && !name.starts_with("alerts@"));
    write(incident, out);
}

/// Writes a template as this detection, and gives its `FullId`.
pub(super) fn dress_detection(
    template: &Object,
    number: u64,
    updated: i64,
    out: &mut Vec<u8>,
) -> String {
    let mut detection = template.clone();
    let (alert, full) = (
        format!("da638{number:015}_1"),
        format!("da638{number:015}_1:sample"),
    );
    set(&mut detection, "AlertId", alert);
    set(&mut detection, "FullId", full.clone());
    set(&mut detection, "LastProcessedTimeUtc", ticks::full(updated));
    write(detection, out);
    full
}

fn dressed(template: &Object, facts: &Facts<'_>, tenant: &str) -> Object {
    let mut record = template.clone();
    set(&mut record, "id", facts.id.to_owned());
    set(&mut record, "tenantId", tenant.to_owned());
    set(
        &mut record,
        "lastUpdateDateTime",
        ticks::trimmed(facts.updated),
    );
    record
}

fn set(record: &mut Object, name: &str, value: String) {
    record.insert(name.to_owned(), value.into());
}

fn write(record: Object, out: &mut Vec<u8>) {
    out.extend_from_slice(Value::Object(record).to_string().as_bytes());
}

/// All records in a folder's files, in the order of their names. What cannot be read is told of and left out.
fn records(folder: &Path) -> Vec<Object> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    files.sort();
    files.iter().flat_map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<Object> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    values
        .map_while(|value| {
            value
                .inspect_err(
                    |error| tracing::warn!(file = %file.display(), %error, "sample left out"),
                )
                .ok()
        })
        .flat_map(unwrapped)
        .collect()
}

/// Opens pages, arrays, and the wrapper that one collector puts around alerts.
fn unwrapped(value: Value) -> Vec<Object> {
    match value {
        Value::Array(items) => items.into_iter().flat_map(unwrapped).collect(),
        Value::Object(mut object) => {
            match object.remove("value").or_else(|| object.remove("ms-graph")) {
                Some(inner @ (Value::Array(_) | Value::Object(_))) => unwrapped(inner),
                _ => vec![object],
            }
        }
        _ => Vec::new(),
    }
}
