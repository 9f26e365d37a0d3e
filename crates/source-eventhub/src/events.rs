//! Events out of messages: one per record, as a slice of the message.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use sha2::{Digest, Sha256};
use tapline_core::metrics::{ComponentMetrics, DISCARDED_EVENTS, ERRORS, IntCounter};
use tapline_core::{
    Batch, Checkpoint, Cursor, Event, Kind, Labels, Metadata, Rejected, Severity, Text,
};

use crate::message::{Piece, REASONS, pieces};
use crate::record::Record;
use crate::repeats::{Changes, Recall, Spot};
use crate::tables::{Table, TableChoice, Tables, plain};

/// Records of a larger message are copied out of it, so that one never pins it all.
const LARGE: usize = 1 << 20;
/// Rows never change.
const VERSION: Text = Text::from_static("1");
const NOBODY: Text = Text::from_static("unknown");

/// Where a message was read, for people.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) hub: &'a str,
    pub(crate) partition: &'a str,
    pub(crate) offset: &'a dyn std::fmt::Display,
    /// Without it nothing can be called a repeat.
    pub(crate) sequence: Option<i64>,
    /// When the service took it in, in milliseconds since 1970.
    pub(crate) enqueued_ms: Option<i64>,
}

/// What messages become.
#[derive(Debug, Default)]
pub(crate) struct Harvest {
    pub(crate) events: Vec<Event>,
    pub(crate) rejected: Vec<Rejected>,
    /// What changes in the memory of repeats.
    changes: Changes,
}

impl Harvest {
    /// A batch of all this, after which the partition stands at `after`.
    pub(crate) fn batch(self, after: Cursor) -> Batch {
        let mut batch = Batch::new(after, self.events);
        batch.rejected = self.rejected;
        (batch.puts, batch.deletes) = self.changes.split();
        batch
    }
}

/// Makes events; one per partition, since it remembers what it met last.
pub(crate) struct Reaper {
    tables: Tables,
    labels: Labels,
    unknown: Kind,
    unwanted: IntCounter,
    metrics: ComponentMetrics,
    /// The last tenant, as it stood in the message.
    tenant: (Box<[u8]>, Text),
    /// None if repeats are not dropped.
    recall: Option<Recall>,
}

impl Reaper {
    pub(crate) fn new(
        choice: &TableChoice,
        labels: Labels,
        metrics: &ComponentMetrics,
        recall: Option<Recall>,
    ) -> Self {
        for reason in REASONS {
            metrics.counter(&ERRORS, &["receiving", reason]);
        }
        Self {
            tables: Tables::new(choice.clone(), metrics.clone()),
            labels,
            unknown: Kind::new("hunting.unknown"),
            unwanted: metrics.counter(&DISCARDED_EVENTS, &["table_not_selected"]),
            metrics: metrics.clone(),
            tenant: (Box::default(), NOBODY),
            recall,
        }
    }

    /// Reading begins again with a checkpoint.
    pub(crate) fn rewound(&mut self, checkpoint: &Checkpoint) {
        if let Some(recall) = &mut self.recall {
            recall.rewound(checkpoint);
        }
    }

    /// Adds the records of a message to the harvest, in their order.
    pub(crate) fn reap(&mut self, message: &Bytes, place: Place<'_>, harvest: &mut Harvest) {
        let mut unwanted = 0;
        let arrival = Timestamp::now();
        pieces(message, |piece| match piece {
            Piece::Record(record) => match self.event(message, &record, arrival) {
                Some(event) if self.is_repeat(&event, &record, place, &mut harvest.changes) => {}
                Some(event) => harvest.events.push(event),
                None => unwanted += 1,
            },
            Piece::Broken { bytes, reason } => {
                harvest
                    .rejected
                    .push(self.rejected(message, bytes, reason, place));
            }
        });
        self.unwanted.inc_by(unwanted);
    }

    /// A record's event; none if its table is not to be read.
    fn event(&mut self, message: &Bytes, record: &Record, arrival: Timestamp) -> Option<Event> {
        let table = self
            .tables
            .of(record.category.clone().map(|range| &message[range]));
        table.records.inc();
        if !table.is_wanted {
            return None;
        }
        let body = slice(message, record.whole.clone());
        let meta = self.metadata(arrival, message, record, &table, &body);
        Some(Event::new(body, meta))
    }

    fn is_repeat(
        &mut self,
        event: &Event,
        record: &Record,
        place: Place<'_>,
        changes: &mut Changes,
    ) -> bool {
        let (Some(recall), Some(sequence)) = (&mut self.recall, place.sequence) else {
            return false;
        };
        let now = || Timestamp::now().as_millisecond();
        let spot = Spot {
            sequence,
            start: u32::try_from(record.whole.start).unwrap_or(u32::MAX),
            enqueued_ms: place.enqueued_ms.unwrap_or_else(now),
        };
        recall.is_repeat(event.meta(), spot, changes)
    }

    fn metadata(
        &mut self,
        arrival: Timestamp,
        message: &[u8],
        record: &Record,
        table: &Table,
        body: &Bytes,
    ) -> Metadata {
        let tenant = self.tenant(record.tenant.clone().map(|range| &message[range]));
        let id = id(message, record, table);
        let mut meta = Metadata::received(arrival, table.kind.clone(), tenant, id, VERSION);
        meta.event_time = time(message, record);
        meta.severity = severity(message, record);
        meta.device = device(record).and_then(|range| within(body, record, range));
        meta.table.clone_from(&table.name);
        meta.labels = Arc::clone(&self.labels);
        meta
    }

    /// A tenant's text; nearly always the one before.
    fn tenant(&mut self, raw: Option<&[u8]>) -> Text {
        let Some(raw) = raw else {
            return NOBODY;
        };
        if *self.tenant.0 != *raw {
            let text = plain(raw).map_or(NOBODY, Text::from);
            self.tenant = (raw.into(), text);
        }
        self.tenant.1.clone()
    }

    fn rejected(
        &self,
        message: &Bytes,
        bytes: Range<usize>,
        reason: &'static str,
        place: Place<'_>,
    ) -> Rejected {
        self.metrics.counter(&ERRORS, &["receiving", reason]).inc();
        let (
            what,
            Place {
                hub,
                partition,
                offset,
                ..
            },
        ) = (what(reason), place);
        let start = bytes.start;
        let body = slice(message, bytes);
        let id = hash("", &body);
        let mut meta = Metadata::new(self.unknown.clone(), NOBODY, id, VERSION);
        meta.labels = Arc::clone(&self.labels);
        Rejected {
            event: Event::new(body, meta),
            reason,
            why: format!(
                "{what}: hub {hub}, partition {partition}, offset {offset}, from byte {start} of the message"
            ),
        }
    }
}

fn what(reason: &str) -> &'static str {
    match reason {
        "truncated" => "the message ends in the middle of a record",
        "not_a_record" => "a value that is no object stands where a record was expected",
        _ => "a record is not JSON",
    }
}

fn slice(message: &Bytes, range: Range<usize>) -> Bytes {
    if message.len() > LARGE {
        return Bytes::copy_from_slice(&message[range]);
    }
    message.slice(range)
}

/// The identity of a row: its table and its own bytes, not those of the envelope, which is new
/// with every repetition.
fn id(message: &[u8], record: &Record, table: &Table) -> String {
    let row = record.properties.clone().unwrap_or(record.whole.clone());
    hash(table.name.as_deref().unwrap_or_default(), &message[row])
}

fn hash(table: &str, row: &[u8]) -> String {
    const HEX: [char; 16] = [
        '0', '1', '2', '3', '4', '5', '6', '7', '8', '9', 'a', 'b', 'c', 'd', 'e', 'f',
    ];
    let mut hash = Sha256::new();
    hash.update(table);
    hash.update([0]);
    hash.update(row);
    let half = hash.finalize();
    let digits = half[..16].iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits.map(|digit| HEX[usize::from(digit)]).collect()
}

/// When it happened; else when it was exported.
fn time(message: &[u8], record: &Record) -> Option<Timestamp> {
    let candidates = [&record.happened, &record.exported];
    candidates.into_iter().flatten().find_map(|range| {
        let text = std::str::from_utf8(&message[range.clone()]).ok()?;
        parse_time(text)
    })
}

/// Some tables' clocks come without a zone, and mean UTC.
fn parse_time(text: &str) -> Option<Timestamp> {
    let zoned = text.parse::<Timestamp>().ok();
    zoned.or_else(|| {
        let local = text.parse::<DateTime>().ok()?;
        Some(local.to_zoned(TimeZone::UTC).ok()?.timestamp())
    })
}

fn severity(message: &[u8], record: &Record) -> Severity {
    let raw = record.severity.clone().map(|range| &message[range]);
    let word = raw.and_then(|raw| std::str::from_utf8(raw).ok());
    word.map_or(Severity::Unknown, Severity::from_defender)
}

fn device(record: &Record) -> Option<Range<usize>> {
    record
        .device_name
        .clone()
        .or_else(|| record.device_id.clone())
}

/// A member's text as a slice of the event's own bytes; names with escapes are no names.
fn within(body: &Bytes, record: &Record, range: Range<usize>) -> Option<Text> {
    let start = record.whole.start;
    let text = body.slice(range.start - start..range.end - start);
    Text::try_from(text)
        .ok()
        .filter(|text| !text.contains('\\'))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tapline_core::ComponentKind;
    use tapline_testkit::build_context;

    use super::*;

    fn reap(choice: TableChoice, message: &Bytes) -> Harvest {
        let cx = build_context(ComponentKind::Source, "eventhub", "hunting", Path::new("."));
        let mut reaper = Reaper::new(&choice, Labels::default(), &cx.metrics, None);
        let mut harvest = Harvest::default();
        let place = Place {
            hub: "defender",
            partition: "3",
            offset: &42,
            sequence: None,
            enqueued_ms: None,
        };
        reaper.reap(message, place, &mut harvest);
        harvest
    }

    fn all() -> TableChoice {
        TableChoice::Word("all".to_owned())
    }

    const ROW: &str = r#"{"time":"2026-03-04T05:06:07.1234567Z","tenantId":"t-1","category":"AdvancedHunting-alertinfo","properties":{"Timestamp":"2026-03-04T05:00:00.1234567","AlertId":"da1","Severity":"High","DeviceId":"d1","DeviceName":"pc-1"}}"#;

    #[test]
    fn a_record_becomes_an_event_that_is_a_slice_of_its_message() {
        let message = Bytes::from(format!(r#"{{"records":[{ROW}]}}"#));
        let harvest = reap(TableChoice::default(), &message);
        let [event] = &harvest.events[..] else {
            panic!("one event")
        };
        assert_eq!(event.body(), ROW);
        assert_eq!(event.body().as_ptr(), message[12..].as_ptr());
        let meta = event.meta();
        assert_eq!(
            (meta.kind.as_str(), &*meta.tenant, &*meta.version),
            ("hunting.AlertInfo", "t-1", "1")
        );
        assert_eq!(meta.table.as_deref(), Some("alertinfo"));
        assert_eq!(meta.severity, Severity::High);
        assert_eq!(meta.device.as_deref(), Some("pc-1"));
        let happened = "2026-03-04T05:00:00.1234567Z".parse().expect("a time");
        assert_eq!(meta.event_time, Some(happened));
    }

    /// The digits are the first 32 of `printf 'AlertInfo\0{}' | sha256sum`.
    #[test]
    fn the_identity_is_the_hash_of_table_and_row() {
        assert_eq!(hash("AlertInfo", b"{}"), "4140bd3758b226bb6220b861f8fc5fc7");
        let id = |json: &str| {
            let message = Bytes::copy_from_slice(json.as_bytes());
            reap(all(), &message).events[0].meta().id.to_string()
        };
        let row = r#""category":"AdvancedHunting-X","properties":{"a":1}"#;
        let first = id(&format!(r#"{{"time":"1",{row}}}"#));
        assert_eq!(
            first,
            id(&format!(r#"{{{row},"time":"2"}}"#)),
            "the envelope does not matter"
        );
        assert_ne!(
            first,
            id(r#"{"category":"AdvancedHunting-Y","properties":{"a":1}}"#)
        );
        assert_ne!(
            first,
            id(r#"{"category":"AdvancedHunting-X","properties":{"a": 1}}"#)
        );
    }

    #[test]
    fn what_is_not_known_passes_through_as_unknown() {
        let check = |json: &str, table: Option<&str>| {
            let harvest = reap(all(), &Bytes::copy_from_slice(json.as_bytes()));
            let meta = harvest.events[0].meta();
            assert_eq!(meta.kind.as_str(), "hunting.unknown", "{json}");
            assert_eq!(
                (&*meta.tenant, meta.table.as_deref()),
                ("unknown", table),
                "{json}"
            );
        };
        check("{}", None);
        check(r#"{"category":"AuditLogs","properties":[]}"#, None);
        check(
            r#"{"category":"AdvancedHunting-Brand\u004eew","tenantId":7}"#,
            Some("BrandNew"),
        );
    }

    #[test]
    fn tables_that_are_not_selected_are_left_out() {
        let message = Bytes::from(format!(
            r#"[{ROW},{{"category":"AdvancedHunting-DeviceEvents","properties":{{}}}},{{}}]"#
        ));
        assert_eq!(reap(TableChoice::default(), &message).events.len(), 1);
        assert_eq!(reap(all(), &message).events.len(), 3);
    }

    #[test]
    fn a_broken_record_says_where_it_stood() {
        let message = Bytes::from(format!(r#"[{ROW},5,{ROW}]"#));
        let harvest = reap(all(), &message);
        assert_eq!(harvest.events.len(), 2);
        let [rejected] = &harvest.rejected[..] else {
            panic!("one")
        };
        assert_eq!(
            (rejected.reason, &rejected.event.body()[..]),
            ("not_a_record", &b"5"[..])
        );
        assert!(
            rejected
                .why
                .contains("hub defender, partition 3, offset 42"),
            "{}",
            rejected.why
        );
    }

    #[test]
    fn a_record_of_a_large_message_pins_only_itself() {
        let filler = " ".repeat(LARGE);
        let message = Bytes::from(format!("[{ROW}]{filler}"));
        let harvest = reap(all(), &message);
        assert_eq!(harvest.events[0].body(), ROW);
        assert!(
            !message
                .as_ptr_range()
                .contains(&harvest.events[0].body().as_ptr())
        );
    }

    /// Real records, in a folder that users do not have.
    #[test]
    fn real_records_are_of_the_table_that_they_are_filed_under() {
        let folder = concat!(
            env!("CARGO_MANIFEST_DIR"),
            "/../../../shared/samples/streaming/tables"
        );
        for file in std::fs::read_dir(folder).into_iter().flatten() {
            let path = file.expect("an entry").path();
            let text = std::fs::read_to_string(&path).expect("text");
            let table = path.file_stem().expect("a name").to_string_lossy();
            let lines: Vec<_> = text
                .lines()
                .filter(|line| !line.trim().is_empty())
                .collect();
            let message = Bytes::from(format!(r#"{{"records":[{}]}}"#, lines.join(",")));
            let harvest = reap(all(), &message);
            assert_eq!(harvest.events.len(), lines.len(), "{table}");
            for event in harvest.events {
                let meta = event.meta();
                assert_eq!(meta.kind.hunting_table(), Some(&*table));
                assert!(
                    meta.event_time.is_some() && &*meta.tenant != "unknown",
                    "{table}"
                );
            }
        }
    }
}
