//! Turns the records of a page into events, but for those that were sent before.

use std::collections::HashMap;

use bytes::Bytes;
use jiff::Timestamp;
use tapline_core::{Event, Kind, Labels, Metadata, Rejected, Text};

use crate::config::Api;
use crate::limits::RECORD_CAP;
use crate::page::{Bodies, Found};
use crate::record::{self, Read, Record, Unusable};
use crate::seen::{Print, print_of};
use crate::tables::Tables;
use crate::times::Ticks;

/// What all events of a partition have in common.
#[derive(Clone, Debug)]
pub(crate) struct Stamp {
    pub(crate) api: Api,
    pub(crate) kind: Kind,
    pub(crate) tenant: Text,
    pub(crate) labels: Labels,
}

/// What a page held.
#[derive(Debug, Default)]
pub(crate) struct Sifted {
    pub(crate) events: Vec<Event>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) puts: Vec<(Bytes, Bytes)>,
    /// Times of all records that have one, in the order sent.
    pub(crate) times: Vec<Ticks>,
    /// The time of the oldest record not sent before.
    pub(crate) oldest: Option<Ticks>,
    /// Records sent before.
    pub(crate) repeated: u64,
    /// Records not sent before.
    pub(crate) new: u64,
    /// Of these, what the emit mode does not want.
    pub(crate) unchanged: u64,
}

/// Incidents that were asked for one by one, with their alerts, by their place in the page.
pub(crate) type Expanded = HashMap<usize, Bytes>;

impl Stamp {
    /// Reads a record that does not stand in a page.
    pub(crate) fn read<'a>(&self, json: &'a str) -> Read<'a> {
        match self.api {
            Api::Siem => record::alone(json, record::detection),
            _ => record::alone(json, record::graph),
        }
    }

    /// Sifts a page; `edge` stands for the time of records that have none.
    pub(crate) fn sift(
        &self,
        tables: &mut Tables,
        answer: &Bytes,
        records: Vec<Found<'_>>,
        expanded: &Expanded,
        edge: Ticks,
    ) -> Sifted {
        let mut sifting = Sifting {
            stamp: self,
            tables,
            edge,
            arrival: Timestamp::now(),
            bodies: Bodies::of(answer),
            sifted: Sifted::default(),
        };
        for (place, Found { json, read }) in records.into_iter().enumerate() {
            match read {
                Ok(record) => sifting.usable(json, record, expanded.get(&place)),
                Err(unusable) => sifting.unusable(json, unusable),
            }
        }
        sifting.sifted
    }

    fn metadata(&self, arrival: Timestamp, id: Text, version: Text) -> Metadata {
        let (kind, tenant) = (self.kind.clone(), self.tenant.clone());
        let mut meta = Metadata::received(arrival, kind, tenant, id, version);
        meta.labels = self.labels.clone();
        meta
    }
}

struct Sifting<'a> {
    stamp: &'a Stamp,
    tables: &'a mut Tables,
    edge: Ticks,
    arrival: Timestamp,
    bodies: Bodies<'a>,
    sifted: Sifted,
}

impl Sifting<'_> {
    fn usable(&mut self, json: &str, record: Record<'_>, expanded: Option<&Bytes>) {
        self.sifted.times.extend(record.time);
        let print = print_of(record.id.as_bytes(), record.version.as_bytes());
        if !self.is_new(print, record.time) {
            return;
        }
        if let Some(body) = expanded {
            return self.expanded(body.clone(), print);
        }
        let body = self.bodies.body(json);
        self.emit(json, body, record);
    }

    /// The incident itself may have changed since the list was read.
    fn expanded(&mut self, body: Bytes, listed: Print) {
        let shared = body.clone();
        let json = std::str::from_utf8(&shared).unwrap_or_default();
        let Ok(record) = self.stamp.read(json) else {
            return;
        };
        let print = print_of(record.id.as_bytes(), record.version.as_bytes());
        if print != listed {
            if self.tables.seen.contains(&print) {
                self.sifted.repeated += 1;
                return;
            }
            let time = record.time.unwrap_or(self.edge);
            let put = self.tables.seen.add(time, print);
            self.sifted.puts.push(put);
        }
        self.emit(json, body, record);
    }

    fn unusable(&mut self, json: &str, unusable: Unusable) {
        self.sifted.times.extend(unusable.time);
        let print = print_of(json.as_bytes(), b"");
        if !self.is_new(print, unusable.time) {
            return;
        }
        let id = print
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>();
        let meta = self.stamp.metadata(self.arrival, id.into(), "1".into());
        let body = self.bodies.body(json);
        self.reject(Event::new(body, meta), "bad_record", unusable.why);
    }

    /// Remembers a record unless it is known already.
    fn is_new(&mut self, print: Print, time: Option<Ticks>) -> bool {
        if self.tables.seen.contains(&print) {
            self.sifted.repeated += 1;
            return false;
        }
        self.sifted.new += 1;
        let time = time.unwrap_or(self.edge);
        self.sifted.oldest = Some(self.sifted.oldest.map_or(time, |it| it.min(time)));
        let put = self.tables.seen.add(time, print);
        self.sifted.puts.push(put);
        true
    }

    fn emit(&mut self, json: &str, body: Bytes, record: Record<'_>) {
        let time = record.time.unwrap_or(self.edge);
        let decision = (self.tables.gate).pass(record.id.as_bytes(), &record.status, time);
        self.sifted.puts.extend(decision.put);
        if !decision.send {
            self.sifted.unchanged += 1;
            return;
        }
        let (id, version) = (
            self.bodies.text(&record.id),
            self.bodies.text(&record.version),
        );
        let mut meta = self.stamp.metadata(self.arrival, id, version);
        meta.event_time = record.event_time;
        meta.severity = record.severity;
        meta.device = record.device.map(|device| self.bodies.text(&device));
        let event = Event::new(body, meta);
        if json.len() > RECORD_CAP {
            let why = format!(
                "the record has {} bytes, the most is {RECORD_CAP}",
                json.len()
            );
            return self.reject(event, "too_large", why);
        }
        self.sifted.events.push(event);
    }

    fn reject(&mut self, event: Event, reason: &'static str, why: String) {
        self.sifted.rejected.push(Rejected { event, reason, why });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emit::Emit;
    use crate::page;

    fn stamp() -> Stamp {
        Stamp {
            api: Api::GraphAlerts,
            kind: Kind::new("graph.alert"),
            tenant: "t".into(),
            labels: Labels::default(),
        }
    }

    fn sift(tables: &mut Tables, answer: &str) -> Sifted {
        sift_with(tables, answer, &Expanded::new())
    }

    fn sift_with(tables: &mut Tables, answer: &str, expanded: &Expanded) -> Sifted {
        let answer = Bytes::copy_from_slice(answer.as_bytes());
        let text = std::str::from_utf8(&answer).expect("text");
        let page = page::graph(text).expect("a page");
        stamp().sift(tables, &answer, page.records, expanded, Ticks::ONE)
    }

    fn tables() -> Tables {
        Tables::starting_at(Ticks::default(), Emit::EveryVersion)
    }

    #[test]
    fn bodies_are_the_bytes_as_sent_and_each_version_comes_once() {
        let mut tables = tables();
        let alert =
            r#"{ "id":"a\u0062", "lastUpdateDateTime":"2026-01-02T03:04:05.10Z","x": 1e400 }"#;
        let answer = format!(r#"{{"value":[{alert},{alert}]}}"#);
        let sifted = sift(&mut tables, &answer);
        assert_eq!(
            (sifted.events.len(), sifted.repeated, sifted.puts.len()),
            (1, 1, 1)
        );
        let event = &sifted.events[0];
        assert_eq!(event.body(), alert.as_bytes());
        assert_eq!(
            event.meta().uid(),
            "t:graph.alert:ab:2026-01-02T03:04:05.10Z"
        );
        assert_eq!(sift(&mut tables, &answer).events.len(), 0);
    }

    #[test]
    fn a_record_of_wrong_types_is_rejected_once_and_stops_nothing() {
        let mut tables = tables();
        let answer = r#"{"value":[{"id":5,"lastUpdateDateTime":"2026-01-02T03:04:05Z"},null,
            {"id":"a","lastUpdateDateTime":"2026-01-02T03:04:06Z"}]}"#;
        let sifted = sift(&mut tables, answer);
        let reasons: Vec<_> = sifted
            .rejected
            .iter()
            .map(|rejected| rejected.reason)
            .collect();
        assert_eq!((reasons, sifted.events.len()), (vec!["bad_record"; 2], 1));
        assert_eq!(sifted.rejected[1].event.body(), "null");
        assert_eq!(sifted.times.len(), 2);
        assert_eq!(sift(&mut tables, answer).rejected.len(), 0);
    }

    #[test]
    fn an_incident_that_was_already_sent_as_it_now_is_is_not_sent_again() {
        let record = |version: &str| {
            format!(r#"{{"id":"a","lastUpdateDateTime":"2026-01-02T03:04:0{version}Z"}}"#)
        };
        let list = |version: &str| format!(r#"{{"value":[{}]}}"#, record(version));
        let mut tables = tables();
        let mut sift = |listed: &str, expanded: &str| {
            let bodies = Expanded::from([(0, Bytes::from(record(expanded)))]);
            let sifted = sift_with(&mut tables, &list(listed), &bodies);
            (sifted.events.len(), sifted.repeated)
        };
        assert_eq!(sift("5", "5"), (1, 0));
        assert_eq!(sift("6", "8"), (1, 0));
        assert_eq!(sift("7", "8"), (0, 1));
        assert_eq!(sift("8", "8"), (0, 1));
    }
}
