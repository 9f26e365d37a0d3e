//! One line per letter: JSON with a format version.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tapline_core::{Event, Kind, Labels, Metadata, Severity};

use super::Letter;

const FORMAT: u8 = 1;

#[derive(Serialize)]
struct Line<'a> {
    format: u8,
    at: String,
    component: &'a str,
    component_kind: &'a str,
    reason: &'a str,
    why: &'a str,
    /// Id of the source that read it.
    source: &'a str,
    partition: &'a str,
    #[serde(flatten)]
    cursor: Payload<'a>,
    kind: &'a str,
    tenant: &'a str,
    id: &'a str,
    version: &'a str,
    arrival: String,
    event_time: Option<String>,
    severity: Severity,
    device: Option<&'a str>,
    table: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
    schema: Option<&'a str>,
    #[serde(flatten)]
    body: Body<'a>,
}

#[derive(Serialize)]
struct Payload<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cursor_base64: Option<String>,
}

#[derive(Serialize)]
struct Body<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
}

/// The letter as a line, with its end.
pub(super) fn encode(letter: &Letter) -> Vec<u8> {
    let meta = letter.event.meta();
    let (cursor, cursor_base64) = text_or_base64(meta.origin.cursor.as_bytes());
    let (body, body_base64) = text_or_base64(letter.event.body());
    let line = Line {
        format: FORMAT,
        at: letter.at.to_string(),
        component: &letter.component.id,
        component_kind: letter.component.kind.as_str(),
        reason: letter.reason,
        why: &letter.why,
        source: &meta.component,
        partition: &meta.origin.partition,
        cursor: Payload {
            cursor,
            cursor_base64,
        },
        kind: meta.kind.as_str(),
        tenant: &meta.tenant,
        id: &meta.id,
        version: &meta.version,
        arrival: meta.arrival.to_string(),
        event_time: meta.event_time.map(|time| time.to_string()),
        severity: meta.severity,
        device: meta.device.as_deref(),
        table: meta.table.as_deref(),
        labels: &meta.labels,
        schema: meta.schema,
        body: Body { body, body_base64 },
    };
    let mut bytes = serde_json::to_vec(&line).expect("text and numbers serialize");
    bytes.push(b'\n');
    bytes
}

fn text_or_base64(bytes: &[u8]) -> (Option<&str>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

/// A letter as it is read back.
#[derive(Deserialize)]
pub(super) struct Kept<'a> {
    format: u8,
    pub(super) at: Timestamp,
    #[serde(borrow)]
    pub(super) component: Cow<'a, str>,
    pub(super) component_kind: Cow<'a, str>,
    pub(super) reason: Cow<'a, str>,
    source: Cow<'a, str>,
    partition: Cow<'a, str>,
    pub(super) kind: Cow<'a, str>,
    tenant: Cow<'a, str>,
    id: Cow<'a, str>,
    version: Cow<'a, str>,
    arrival: Timestamp,
    #[serde(default)]
    event_time: Option<Timestamp>,
    #[serde(default)]
    severity: Severity,
    #[serde(default)]
    device: Option<Cow<'a, str>>,
    #[serde(default)]
    table: Option<Cow<'a, str>>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    schema: Option<Cow<'a, str>>,
    #[serde(default)]
    body: Option<Cow<'a, str>>,
    #[serde(default)]
    body_base64: Option<Cow<'a, str>>,
}

/// A line that is no letter of this version.
#[derive(Debug, thiserror::Error)]
pub(super) enum NoLetter {
    #[error("it is no letter: {0}")]
    Json(#[from] serde_json::Error),
    #[error("it has format {0}, this version reads {FORMAT}")]
    Format(u8),
    #[error("it has no body that can be read")]
    Body,
}

/// Reads a line.
pub(super) fn decode(line: &[u8]) -> Result<Kept<'_>, NoLetter> {
    let kept: Kept<'_> = serde_json::from_slice(line)?;
    match kept.format {
        FORMAT => Ok(kept),
        other => Err(NoLetter::Format(other)),
    }
}

impl Kept<'_> {
    /// The event as it came into the component that rejected it.
    pub(super) fn event(&self, schemas: &mut Schemas) -> Result<Event, NoLetter> {
        let body = match (&self.body, &self.body_base64) {
            (Some(text), _) => text.as_bytes().to_vec(),
            (None, Some(text)) => STANDARD
                .decode(text.as_bytes())
                .map_err(|_| NoLetter::Body)?,
            (None, None) => return Err(NoLetter::Body),
        };
        let kind = Kind::new(&self.kind);
        let mut meta = Metadata::new(kind, &*self.tenant, &*self.id, &*self.version);
        meta.component = Arc::from(&*self.source);
        meta.origin.partition = Arc::from(&*self.partition);
        meta.arrival = self.arrival;
        meta.event_time = self.event_time;
        meta.severity = self.severity;
        meta.device = self.device.as_deref().map(Into::into);
        meta.table = self.table.as_deref().map(Into::into);
        meta.schema = self.schema.as_deref().map(|schema| schemas.known(schema));
        meta.labels = Labels::new(self.labels.clone());
        Ok(Event::new(body, meta))
    }
}

/// Names of schemas, which live as long as the process; there are a few.
#[derive(Debug, Default)]
pub(super) struct Schemas(Vec<&'static str>);

impl Schemas {
    fn known(&mut self, schema: &str) -> &'static str {
        if let Some(known) = self.0.iter().find(|known| **known == schema) {
            return known;
        }
        let known: &'static str = Box::leak(schema.to_owned().into_boxed_str());
        self.0.push(known);
        known
    }
}

#[cfg(test)]
mod tests {
    use tapline_core::{ComponentKind, ComponentName, Rejected};

    use super::*;

    fn line(body: &[u8]) -> Vec<u8> {
        let meta = Metadata::new(Kind::new("graph.alert"), "contoso", "1", "2");
        let component = ComponentName {
            kind: ComponentKind::Sink,
            type_name: "kafka",
            id: "lake".into(),
        };
        let rejected = Rejected {
            event: Event::new(body.to_vec(), meta),
            reason: "too_large",
            why: "2 bytes \"over\"".to_owned(),
        };
        encode(&Letter::new(&component, rejected))
    }

    #[test]
    fn any_bytes_come_back_from_their_letter_as_they_were() {
        for (number, body) in tapline_testkit::variants(b"{\"id\":\"\xc3\xa4\\u0000\"}\r\n", 5_000)
        {
            let line = line(&body);
            assert_eq!(
                line.iter().filter(|byte| **byte == b'\n').count(),
                1,
                "{number}"
            );
            let kept = decode(&line).unwrap_or_else(|why| panic!("{number}: {why}"));
            let event = kept.event(&mut Schemas::default()).expect("a body");
            assert_eq!(**event.body(), *body, "{number}");
        }
    }

    #[test]
    fn a_changed_letter_is_told_apart_or_read_and_nothing_worse() {
        for (number, bytes) in tapline_testkit::variants(&line(b"{\"id\":1}"), 20_000) {
            let mut schemas = Schemas::default();
            let read = decode(&bytes).and_then(|kept| kept.event(&mut schemas));
            if let Err(why) = read {
                assert!(why.to_string().starts_with("it "), "{number}: {why}");
            }
        }
    }
}
