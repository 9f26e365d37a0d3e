//! Dropping records that the service repeats, within a window of time.
//!
//! What was read is remembered with the place where it was read first. The same record at another
//! place is a repeat; at the same place it is read once more because something was lost, and
//! passes. All partitions of a source share one memory, since a repeat comes by any of them; what
//! a partition was the first to read is part of its checkpoint, and goes back with it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use tapline_core::metrics::{ComponentMetrics, IntCounter, SOURCE_REPEATED_EVENTS};
use tapline_core::{Checkpoint, Metadata, Problem};

/// Half a hundred bytes each, twice.
const DEFAULT_RECORDS: usize = 100_000;
const MOST_RECORDS: usize = 1_000_000;
const LONGEST_SECS: u64 = 86_400;

/// How long records are remembered, as written in the pipeline file.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DropRepeats {
    /// Seconds between a record and its repeat, by the service's clock; 1 to 86400.
    within_secs: u64,
    /// How many records are remembered at most, over all partitions; beyond that the oldest are
    /// forgotten. Default 100000, which takes about 10 MB.
    #[serde(default = "default_records")]
    max_records: usize,
}

const fn default_records() -> usize {
    DEFAULT_RECORDS
}

impl DropRepeats {
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if !(1..=LONGEST_SECS).contains(&self.within_secs) {
            let message = format!("expected 1 to {LONGEST_SECS} seconds");
            problems.push(Problem::new("drop_repeats.within_secs", message));
        }
        if !(1..=MOST_RECORDS).contains(&self.max_records) {
            let message = format!("expected 1 to {MOST_RECORDS} records");
            problems.push(Problem::new("drop_repeats.max_records", message));
        }
        problems
    }
}

/// A record, by the hash of tenant and id.
type Key = [u8; 16];

/// Where and when a record was read.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Spot {
    /// Of the message.
    pub(crate) sequence: i64,
    /// Of the record's first byte in the message.
    pub(crate) start: u32,
    /// When the service took the message in, in milliseconds since 1970.
    pub(crate) enqueued_ms: i64,
}

const SPOT_BYTES: usize = 20;

impl Spot {
    fn encode(self) -> Bytes {
        let mut bytes = Vec::with_capacity(SPOT_BYTES);
        bytes.extend(self.sequence.to_be_bytes());
        bytes.extend(self.start.to_be_bytes());
        bytes.extend(self.enqueued_ms.to_be_bytes());
        Bytes::from(bytes)
    }

    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (sequence, rest) = bytes.split_first_chunk()?;
        let (start, rest) = rest.split_first_chunk()?;
        Some(Self {
            sequence: i64::from_be_bytes(*sequence),
            start: u32::from_be_bytes(*start),
            enqueued_ms: i64::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

/// What all partitions of a source remember.
pub(crate) struct Memory {
    window_ms: i64,
    max_records: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    first: HashMap<Key, (Owner, Spot)>,
    owners: Owner,
}

/// One opening of a partition; never used twice.
type Owner = u64;

impl Memory {
    pub(crate) fn new(settings: DropRepeats) -> Self {
        let window_ms = i64::try_from(settings.within_secs * 1000);
        Self {
            window_ms: window_ms.expect("a day at most"),
            max_records: settings.max_records,
            state: Mutex::default(),
        }
    }

    /// A partition's part, as its checkpoint has it.
    pub(crate) fn open(
        self: &Arc<Self>,
        partition: &str,
        checkpoint: &Checkpoint,
        metrics: &ComponentMetrics,
    ) -> Recall {
        let mut state = self.state();
        state.owners += 1;
        let owner = state.owners;
        drop(state);
        let mut recall = Recall {
            memory: Arc::clone(self),
            owner,
            order: VecDeque::new(),
            repeated: metrics.counter(&SOURCE_REPEATED_EVENTS, &[partition]),
        };
        recall.rewound(checkpoint);
        recall
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing in here panics halfway through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one partition was the first to read.
pub(crate) struct Recall {
    memory: Arc<Memory>,
    owner: Owner,
    /// In reading order; some may be remembered anew since.
    order: VecDeque<(Key, Spot)>,
    repeated: IntCounter,
}

/// What changes in a partition's checkpoint: a value to put, or none to delete.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<Key, Option<Bytes>>);

impl Changes {
    /// The entries to put, and the keys to delete.
    pub(crate) fn split(self) -> (Vec<(Bytes, Bytes)>, Vec<Bytes>) {
        let (mut puts, mut deletes) = (Vec::new(), Vec::new());
        for (key, value) in self.0 {
            let key = Bytes::copy_from_slice(&key);
            match value {
                Some(value) => puts.push((key, value)),
                None => deletes.push(key),
            }
        }
        (puts, deletes)
    }
}

impl Recall {
    /// Whether a record was read elsewhere within the window; remembers it if not.
    pub(crate) fn is_repeat(&mut self, meta: &Metadata, spot: Spot, changes: &mut Changes) -> bool {
        let key = key(meta);
        let memory = Arc::clone(&self.memory);
        let mut state = memory.state();
        self.forget(&mut state, spot.enqueued_ms - memory.window_ms, changes);
        if let Some((owner, first)) = state.first.get(&key) {
            if *owner == self.owner && *first == spot {
                return false;
            }
            if spot.enqueued_ms - first.enqueued_ms <= memory.window_ms {
                self.repeated.inc();
                return true;
            }
        }
        state.first.insert(key, (self.owner, spot));
        self.order.push_back((key, spot));
        changes.0.insert(key, Some(spot.encode()));
        while state.first.len() > memory.max_records && !self.order.is_empty() {
            self.forget_oldest(&mut state, changes);
        }
        false
    }

    /// Everything is as the checkpoint has it.
    pub(crate) fn rewound(&mut self, checkpoint: &Checkpoint) {
        let memory = Arc::clone(&self.memory);
        let mut state = memory.state();
        self.leave(&mut state);
        let entries = checkpoint.entries.iter().filter_map(|(key, value)| {
            let key = Key::try_from(&key[..]).ok()?;
            Some((key, Spot::decode(value)?))
        });
        self.order = entries.collect();
        self.order.make_contiguous().sort_by_key(|(_, spot)| *spot);
        for (key, spot) in &self.order {
            state.first.entry(*key).or_insert((self.owner, *spot));
        }
    }

    /// Forgets what arrived before a time.
    fn forget(&mut self, state: &mut State, before_ms: i64, changes: &mut Changes) {
        let is_old = |(_, spot): &(Key, Spot)| spot.enqueued_ms < before_ms;
        while self.order.front().is_some_and(is_old) {
            self.forget_oldest(state, changes);
        }
    }

    fn forget_oldest(&mut self, state: &mut State, changes: &mut Changes) {
        let Some((key, spot)) = self.order.pop_front() else {
            return;
        };
        match state.first.get(&key) {
            // Remembered anew since then.
            Some((owner, first)) if *owner == self.owner && *first != spot => return,
            Some((owner, _)) if *owner == self.owner => {
                state.first.remove(&key);
            }
            _ => {}
        }
        changes.0.insert(key, None);
    }

    fn leave(&mut self, state: &mut State) {
        for (key, _) in self.order.drain(..) {
            if state
                .first
                .get(&key)
                .is_some_and(|(owner, _)| *owner == self.owner)
            {
                state.first.remove(&key);
            }
        }
    }
}

impl Drop for Recall {
    /// Whoever reads the partition next reads again what was not settled.
    fn drop(&mut self) {
        let memory = Arc::clone(&self.memory);
        self.leave(&mut memory.state());
    }
}

fn key(meta: &Metadata) -> Key {
    let mut hash = Sha256::new();
    hash.update(&*meta.tenant);
    hash.update([0]);
    hash.update(&*meta.id);
    let digest = hash.finalize();
    *digest.first_chunk().expect("a digest is longer")
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tapline_core::{ComponentKind, Kind};
    use tapline_testkit::build_context;

    use super::*;

    fn memory(within_secs: u64, max_records: usize) -> Arc<Memory> {
        Arc::new(Memory::new(DropRepeats {
            within_secs,
            max_records,
        }))
    }

    /// A partition, and its checkpoint if everything were settled.
    struct Reading {
        recall: Recall,
        checkpoint: Checkpoint,
    }

    impl Reading {
        fn open(memory: &Arc<Memory>, name: &str, checkpoint: Checkpoint) -> Self {
            let cx = build_context(ComponentKind::Source, "eventhub", "hunting", Path::new("."));
            let recall = memory.open(name, &checkpoint, &cx.metrics);
            Self { recall, checkpoint }
        }

        /// Whether a record passes, read from a message that arrived so many seconds after the
        /// first; a message's place is its time.
        fn passes(&mut self, name: &'static str, second: i64) -> bool {
            let meta = Metadata::new(Kind::new("k"), "t", name, "1");
            let spot = Spot {
                sequence: second,
                start: 0,
                enqueued_ms: second * 1000,
            };
            let mut changes = Changes::default();
            let passes = !self.recall.is_repeat(&meta, spot, &mut changes);
            let (puts, deletes) = changes.split();
            self.checkpoint.entries.extend(puts);
            for key in &deletes {
                self.checkpoint.entries.remove(key);
            }
            passes
        }
    }

    #[test]
    fn a_repeat_is_one_within_the_window_only() {
        let mut reading = Reading::open(&memory(10, 100), "0", Checkpoint::default());
        assert!(reading.passes("a", 0));
        assert!(!reading.passes("a", 10));
        assert!(reading.passes("a", 11), "the window began with the first");
        assert!(!reading.passes("a", 21));
        assert_eq!(reading.checkpoint.entries.len(), 1);
    }

    #[test]
    fn what_is_out_of_the_window_leaves_memory_and_checkpoint() {
        let memory = memory(10, 100);
        let mut reading = Reading::open(&memory, "0", Checkpoint::default());
        for (name, second) in [("a", 0), ("b", 5), ("c", 11)] {
            assert!(reading.passes(name, second));
        }
        assert_eq!(memory.state().first.len(), 2);
        assert_eq!(reading.checkpoint.entries.len(), 2);
    }

    #[test]
    fn memory_is_bounded_over_all_partitions() {
        let memory = memory(10, 3);
        let mut first = Reading::open(&memory, "0", Checkpoint::default());
        let mut second = Reading::open(&memory, "1", Checkpoint::default());
        for name in ["a", "b"] {
            assert!(first.passes(name, 0));
        }
        for name in ["c", "d", "e", "f"] {
            assert!(second.passes(name, 1));
        }
        assert_eq!(memory.state().first.len(), 3);
        assert_eq!(second.checkpoint.entries.len(), 1);
        assert!(!first.passes("b", 2), "others' are not forgotten");
    }

    #[test]
    fn a_restart_and_a_rewind_go_back_to_the_checkpoint() {
        let mut reading = Reading::open(&memory(10, 100), "0", Checkpoint::default());
        assert!(reading.passes("a", 1));
        let durable = reading.checkpoint.clone();
        assert!(reading.passes("b", 2));
        reading.recall.rewound(&durable);
        assert!(reading.passes("b", 2), "it is read again");
        assert!(!reading.passes("a", 3));
        let mut restarted = Reading::open(&memory(10, 100), "0", durable);
        assert!(!restarted.passes("a", 3));
        assert!(restarted.passes("b", 3));
    }

    #[test]
    fn a_record_whose_first_reader_is_gone_is_no_repeat() {
        let memory = memory(10, 100);
        let mut first = Reading::open(&memory, "0", Checkpoint::default());
        let mut second = Reading::open(&memory, "1", Checkpoint::default());
        assert!(first.passes("a", 1));
        assert!(!second.passes("a", 2));
        drop(first);
        assert!(second.passes("a", 3));
    }
}
