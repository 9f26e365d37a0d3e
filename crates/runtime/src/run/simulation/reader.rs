//! A poller of one partition: windows with overlap, in pages, without what it has seen.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;
use rand::Rng;
use rand::rngs::SmallRng;
use tapline_core::{Batch, Checkpoint, Rejected};

use super::book::Book;
use super::disk::{cursor, key, time_of};
use super::microsoft::{Fate, Microsoft, OVERLAP};
use super::scenery::Body;

/// A batch, and how often the partition had been rewound when it was read.
pub(super) struct Read {
    pub(super) epoch: u64,
    pub(super) batch: Batch,
}

pub(super) struct Reader {
    partition: usize,
    epoch: u64,
    cursor: u64,
    seen: BTreeMap<Bytes, Bytes>,
    window: Option<Window>,
    /// What the runtime told it and it has not taken yet.
    pub(super) rewinds: VecDeque<Checkpoint>,
    forgets: f64,
}

/// A poll under way: the upper edge of its window, and the last row read of it.
struct Window {
    upto: u64,
    last: Option<(u64, usize)>,
}

impl Reader {
    pub(super) fn new(partition: usize, checkpoint: Checkpoint, forgets: f64) -> Self {
        let mut reader = Self {
            partition,
            epoch: 0,
            cursor: 0,
            seen: BTreeMap::new(),
            window: None,
            rewinds: VecDeque::new(),
            forgets,
        };
        reader.start_from(checkpoint);
        reader
    }

    fn start_from(&mut self, checkpoint: Checkpoint) {
        self.cursor = time_of(&checkpoint.cursor);
        self.seen = checkpoint.entries;
        self.window = None;
    }

    /// Takes a rewind, if there is one; whether there was.
    pub(super) fn rewind(&mut self) -> bool {
        let Some(checkpoint) = self.rewinds.pop_front() else {
            return false;
        };
        self.epoch += 1;
        self.start_from(checkpoint);
        true
    }

    /// Reads the next page, if that changes anything.
    pub(super) fn page(
        &mut self,
        microsoft: &Microsoft,
        book: &mut Book,
        rng: &mut SmallRng,
    ) -> Result<Option<Read>, String> {
        let window = self.window.take().unwrap_or(Window {
            upto: microsoft.clock,
            last: None,
        });
        let rows = self.rows(microsoft, &window, rng.random_range(1..8));
        let (after, next) = match rows.last() {
            Some(last) => (last.0.max(self.cursor), Some(*last)),
            None => (window.upto.max(self.cursor), None),
        };
        self.window = next.map(|last| Window {
            last: Some(last),
            ..window
        });
        let mut batch = Batch::new(cursor(after), Vec::new());
        for (_, at) in rows {
            self.add(at, microsoft, &mut batch, book, rng)?;
        }
        self.forget_old(after, &mut batch);
        let changes = after != self.cursor || !batch.puts.is_empty() || !batch.deletes.is_empty();
        self.cursor = after;
        let epoch = self.epoch;
        Ok(changes.then_some(Read { epoch, batch }))
    }

    /// Time and number of the rows of a page, in the order of the server.
    fn rows(&self, microsoft: &Microsoft, window: &Window, most: usize) -> Vec<(u64, usize)> {
        let begin = self.cursor_at_start(window).saturating_sub(OVERLAP);
        let rows = microsoft.rows.iter().enumerate();
        let mut rows: Vec<(u64, usize)> = rows
            .filter(|(_, row)| row.partition == self.partition)
            .map(|(at, row)| (row.time, at))
            .filter(|place| place.0 >= begin && place.0 <= window.upto)
            .filter(|place| window.last.is_none_or(|last| *place > last))
            .collect();
        rows.sort_unstable();
        rows.truncate(most);
        rows
    }

    /// Further pages go on where the last one ended, wherever the window began.
    fn cursor_at_start(&self, window: &Window) -> u64 {
        match window.last {
            None => self.cursor,
            Some(_) => 0,
        }
    }

    fn add(
        &mut self,
        at: usize,
        microsoft: &Microsoft,
        batch: &mut Batch,
        book: &mut Book,
        rng: &mut SmallRng,
    ) -> Result<(), String> {
        if self.seen.contains_key(&key(at)) {
            return Ok(());
        }
        let row = &microsoft.rows[at];
        let reading = book.read(at)?;
        let forgotten = rng.random_bool(self.forgets);
        let event = Body::new(at, row.fate, reading, forgotten).event(row);
        match row.fate {
            Fate::Unreadable => batch.rejected.push(Rejected {
                event,
                reason: "unreadable",
                why: "as it was asked".to_owned(),
            }),
            _ => batch.events.push(event),
        }
        let time = Bytes::copy_from_slice(&row.time.to_be_bytes());
        self.seen.insert(key(at), time.clone());
        batch.puts.push((key(at), time));
        Ok(())
    }

    fn forget_old(&mut self, after: u64, batch: &mut Batch) {
        let begin = after.saturating_sub(OVERLAP).to_be_bytes();
        let old = |time: &Bytes| time.as_ref() < &begin[..];
        let keys = self.seen.iter().filter(|(_, time)| old(time));
        batch.deletes = keys.map(|(key, _)| key.clone()).collect();
        self.seen.retain(|_, time| !old(time));
    }
}
