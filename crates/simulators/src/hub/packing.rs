//! How streamed records become messages of the hub.

use super::message::{HubBody, HubMessage};
use super::{Hub, PARTITIONS};
use crate::faults::{Faults, Named};
use crate::ticks::{self, SECOND};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;

/// A message grows no larger than this by itself; the service takes 1 MB.
const FULL: usize = 900_000;
/// What a message is padded to by a fault: all that the service takes, less some room for what stands around a body.
const LARGE: usize = (1 << 20) - 1_024;
/// The hub does not grow beyond this by itself.
const MOST_PARTITIONS: usize = 8;
/// Records that wait to come again.
const REPEATS: usize = 1_000;

/// One record on its way: a row of a table.
#[derive(Debug, Clone)]
pub(crate) struct Streamed {
    /// `hunting.` and the table's name.
    pub(crate) kind: &'static str,
    pub(crate) tenant: Arc<str>,
    pub(crate) properties: Bytes,
    /// Rows with the same number go into one message.
    pub(crate) message: u64,
}

/// Writes records into messages, and puts these into the hub.
#[derive(Debug)]
pub(crate) struct Packer {
    hub: Arc<Hub>,
    faults: Faults,
    rng: StdRng,
    repeats: VecDeque<Streamed>,
    /// Partitions that stay empty.
    quiet: HashSet<usize>,
    /// How many offsets were texts so far.
    texts: u64,
}

impl Packer {
    pub(crate) fn new(hub: Arc<Hub>, faults: Faults, seed: u64) -> Self {
        let mut packer = Self {
            hub,
            faults,
            rng: StdRng::seed_from_u64(seed),
            repeats: VecDeque::new(),
            quiet: HashSet::new(),
            texts: 0,
        };
        packer.quiet = (1..PARTITIONS)
            .filter(|_| packer.happens(Named::HubEmpty))
            .collect();
        packer
    }

    /// Streams records, those with one number in one message.
    pub(crate) fn stream(&mut self, records: Vec<Streamed>) {
        let mut waiting: Vec<Streamed> = Vec::new();
        let mut size = 0;
        for record in records {
            let another = waiting
                .first()
                .is_some_and(|first| first.message != record.message);
            if another || size > FULL {
                self.send(std::mem::take(&mut waiting));
                size = 0;
            }
            size += record.properties.len();
            waiting.push(record);
        }
        if !waiting.is_empty() {
            self.send(waiting);
        }
    }

    fn send(&mut self, mut records: Vec<Streamed>) {
        self.repeat(&mut records);
        self.grow();
        let partition = self.partition();
        let now = ticks::now();
        for message in self.messages(&records, now) {
            let message = self.place(message);
            self.hub.put(partition, message, now / (SECOND / 1_000));
        }
        if self.happens(Named::HubExpired) {
            self.hub.wear_out(partition);
        }
    }

    fn grow(&mut self) {
        let count = self.hub.logs().len();
        if count < MOST_PARTITIONS && self.happens(Named::HubGrow) {
            self.hub.grow_to(count + 1);
        }
    }

    /// Where the next message goes: to any partition that is not to stay empty.
    fn partition(&mut self) -> usize {
        let mut open: Vec<usize> = (0..self.hub.logs().len()).collect();
        open.retain(|partition| !self.quiet.contains(partition));
        open[self.rng.random_range(0..open.len())]
    }

    /// Gives some messages an offset that is no number, as geo-replicated namespaces have them.
    fn place(&mut self, message: HubMessage) -> HubMessage {
        if !self.happens(Named::HubOffset) {
            return message;
        }
        self.texts += 1;
        message.offset(format!("{:x}:{}", self.texts, self.rng.random::<u32>()))
    }

    /// Adds some records that were sent before, and remembers some of these.
    fn repeat(&mut self, records: &mut Vec<Streamed>) {
        if self.repeats.len() > 3 && self.rng.random_bool(0.5) {
            records.extend(self.repeats.pop_front());
        }
        for record in records.iter() {
            if self.happens(Named::HubRepeat) && self.repeats.len() < REPEATS {
                self.repeats.push_back(record.clone());
            }
        }
    }

    fn messages(&mut self, records: &[Streamed], now: i64) -> Vec<HubMessage> {
        let texts: Vec<Vec<u8>> = records
            .iter()
            .map(|record| self.envelope(record, now))
            .collect();
        let wrapped = || around(b"{\"records\":[", &texts, b",", b"]}");
        if self.happens(Named::HubLarge) {
            let mut body = wrapped();
            body.resize(LARGE.max(body.len()), b' ');
            return vec![body.into()];
        }
        let form = if self.happens(Named::HubForm) {
            self.rng.random_range(1..=8)
        } else {
            0
        };
        match form {
            1 => vec![around(b"[", &texts, b",", b"]").into()],
            2 => texts.into_iter().map(Into::into).collect(),
            3 => vec![around(b"", &texts, b"\r\n", b"\r\n").into()],
            4 => vec![self.pieces(wrapped().into())],
            5 => vec![HubMessage::new(HubBody::Text(text(&wrapped())))],
            6 => vec![HubMessage::new(HubBody::Binary(wrapped().into()))],
            7 => vec![
                "".into(),
                around(b"{ \"records\" : [\n", &texts, b" ,\n", b" ] }\n").into(),
            ],
            8 => vec![HubMessage::new(HubBody::Sequence(vec![text(&wrapped())]))],
            _ => vec![wrapped().into()],
        }
    }

    /// Cuts a body where it hurts: anywhere.
    fn pieces(&mut self, body: Bytes) -> HubMessage {
        let (first, second) = (
            self.rng.random_range(0..body.len()),
            self.rng.random_range(0..body.len()),
        );
        let (first, second) = (first.min(second), first.max(second));
        HubMessage::pieces([
            body.slice(..first),
            body.slice(first..second),
            body.slice(second..),
        ])
    }

    /// One record as the streaming API writes it; the clock of arrival has no `Z` on the four email tables, as captured 2026-07.
    fn envelope(&self, record: &Streamed, now: i64) -> Vec<u8> {
        let table = record.kind.strip_prefix("hunting.").unwrap_or(record.kind);
        let (time, received) = (ticks::full(now), ticks::full(now - SECOND));
        let received = if table.starts_with("Email") {
            received.trim_end_matches('Z')
        } else {
            &received
        };
        let head = format!(
            "{{\"time\":\"{time}\",\"tenantId\":\"{}\",\"operationName\":\"Publish\",\"category\":\"AdvancedHunting-{table}\",\
             \"_TimeReceivedBySvc\":\"{received}\",\"properties\":",
            record.tenant
        );
        [
            head.as_bytes(),
            &record.properties,
            b",\"Tenant\":\"DefaultTenant\"}",
        ]
        .concat()
    }

    fn happens(&mut self, fault: Named) -> bool {
        let chance = self.faults.chance(fault);
        chance > 0.0 && self.rng.random_bool(chance)
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn around(head: &[u8], texts: &[Vec<u8>], separator: &[u8], tail: &[u8]) -> Vec<u8> {
    [head, &texts.join(separator), tail].concat()
}
