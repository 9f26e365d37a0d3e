//! An event as bytes: its metadata, and its body as it is.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tapline_core::{Cursor, Event, Kind, Labels, Metadata, Origin, Severity};

const FORMAT: u8 = 1;

/// The metadata as it is written, in this order.
#[derive(Deserialize, Serialize)]
struct Stored<'a> {
    component: &'a str,
    kind: &'a str,
    tenant: &'a str,
    id: &'a str,
    version: &'a str,
    /// Nanoseconds since 1970.
    event_time: Option<i128>,
    arrival: i128,
    severity: Severity,
    device: Option<&'a str>,
    table: Option<&'a str>,
    schema: Option<&'a str>,
    #[serde(borrow)]
    labels: Vec<(&'a str, &'a str)>,
    partition: &'a str,
    cursor: &'a [u8],
}

/// Bytes that are no event of this version.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NoEvent(&'static str);

/// Everything of an event that outlives the process.
pub(crate) fn encode(event: &Event) -> Vec<u8> {
    let meta = event.meta();
    let labels = meta.labels.iter();
    let stored = Stored {
        component: &meta.component,
        kind: meta.kind.as_str(),
        tenant: &meta.tenant,
        id: &meta.id,
        version: &meta.version,
        event_time: meta.event_time.map(Timestamp::as_nanosecond),
        arrival: meta.arrival.as_nanosecond(),
        severity: meta.severity,
        device: meta.device.as_deref(),
        table: meta.table.as_deref(),
        schema: meta.schema,
        labels: labels.map(|(name, value)| (&**name, &**value)).collect(),
        partition: &meta.origin.partition,
        cursor: meta.origin.cursor.as_bytes(),
    };
    let mut bytes = Vec::with_capacity(256 + event.body().len());
    bytes.push(FORMAT);
    let mut bytes = postcard::to_extend(&stored, bytes).expect("memory takes everything");
    bytes.extend_from_slice(event.body());
    bytes
}

/// Reads events back; names that many of them share are kept once.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    names: BTreeMap<String, Arc<str>>,
    kinds: BTreeMap<String, Kind>,
    schemas: Vec<&'static str>,
    labels: Labels,
}

/// Different names of one sort that are kept.
const MOST_NAMES: usize = 1000;
/// Different schemas of one process; they are never given back.
const MOST_SCHEMAS: usize = 100;

impl Decoder {
    /// The event as it was.
    pub(crate) fn decode(&mut self, bytes: &Bytes) -> Result<Event, NoEvent> {
        let Some((&FORMAT, rest)) = bytes.split_first() else {
            return Err(NoEvent("it has the format of another version"));
        };
        let (stored, body) = postcard::take_from_bytes::<Stored<'_>>(rest)
            .map_err(|_| NoEvent("its metadata cannot be read"))?;
        let at = |nanoseconds| Timestamp::from_nanosecond(nanoseconds).ok();
        let metadata = Metadata {
            component: self.name(stored.component),
            kind: self.kind(stored.kind),
            tenant: stored.tenant.into(),
            id: stored.id.into(),
            version: stored.version.into(),
            event_time: stored.event_time.and_then(at),
            arrival: at(stored.arrival).ok_or(NoEvent("its time of arrival cannot be read"))?,
            severity: stored.severity,
            device: stored.device.map(Into::into),
            table: stored.table.map(Into::into),
            schema: self.schema(stored.schema)?,
            labels: self.labels(&stored.labels),
            origin: Origin {
                partition: self.name(stored.partition),
                cursor: Cursor::new(stored.cursor.to_vec()),
            },
        };
        Ok(Event::new(bytes.slice_ref(body), metadata))
    }

    fn name(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.names.get(name) {
            return Arc::clone(known);
        }
        if self.names.len() == MOST_NAMES {
            self.names.clear();
        }
        let shared: Arc<str> = name.into();
        self.names.insert(name.to_owned(), Arc::clone(&shared));
        shared
    }

    fn kind(&mut self, kind: &str) -> Kind {
        if let Some(known) = self.kinds.get(kind) {
            return known.clone();
        }
        if self.kinds.len() == MOST_NAMES {
            self.kinds.clear();
        }
        let shared = Kind::new(kind);
        self.kinds.insert(kind.to_owned(), shared.clone());
        shared
    }

    fn schema(&mut self, schema: Option<&str>) -> Result<Option<&'static str>, NoEvent> {
        let Some(schema) = schema else {
            return Ok(None);
        };
        if let Some(known) = self.schemas.iter().find(|known| **known == schema) {
            return Ok(Some(known));
        }
        if self.schemas.len() == MOST_SCHEMAS {
            return Err(NoEvent("there are too many different schemas"));
        }
        let known: &'static str = Box::leak(schema.to_owned().into_boxed_str());
        self.schemas.push(known);
        Ok(Some(known))
    }

    /// Neighbours mostly have the same ones.
    fn labels(&mut self, labels: &[(&str, &str)]) -> Labels {
        let known = self.labels.iter();
        let is_same = known
            .map(|(name, value)| (&**name, &**value))
            .eq(labels.iter().copied());
        if !is_same {
            let owned = labels.iter();
            let owned = owned.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            self.labels = Arc::new(owned.collect());
        }
        Arc::clone(&self.labels)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_event_comes_back_as_it_was() {
        let mut meta = Metadata::new(Kind::new("graph.alert"), "contoso", "1", "2026");
        meta.component = "alerts".into();
        meta.event_time = Some(Timestamp::UNIX_EPOCH);
        meta.severity = Severity::High;
        meta.device = Some("laptop".into());
        meta.table = Some("AlertInfo".into());
        meta.schema = Some("ocsf/1.8.0");
        meta.labels = Arc::new(BTreeMap::from([("customer".to_owned(), "a".to_owned())]));
        meta.origin = Origin {
            partition: "t/graph_alerts".into(),
            cursor: Cursor::new(vec![0, 255]),
        };
        let plain = Metadata::new(Kind::new("graph.alert"), "", "", "");
        let mut decoder = Decoder::default();
        for meta in [meta, plain] {
            let event = Event::new(&b"{\"a\":1}\xff"[..], meta);
            let bytes = Bytes::from(encode(&event));
            let back = decoder.decode(&bytes).expect("an event");
            assert_eq!(back.body(), event.body());
            assert_eq!(format!("{:?}", back.meta()), format!("{:?}", event.meta()));
        }
    }

    proptest! {
        /// Whatever is read, the body is the end of the bytes.
        #[test]
        fn other_bytes_are_an_error_and_no_crash(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let bytes = Bytes::from(bytes);
            if let Ok(event) = Decoder::default().decode(&bytes) {
                prop_assert!(bytes.ends_with(event.body()));
            }
            let mut other = bytes.to_vec();
            other.splice(..0, [FORMAT + 1]);
            prop_assert!(Decoder::default().decode(&Bytes::from(other)).is_err());
        }
    }
}
