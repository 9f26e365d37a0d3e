//! Reads records in their order.

use std::io;
use std::mem;

use bytes::Bytes;

use super::scan::Scan;
use super::{Damage, Known, Position, Queue, segment};

/// What one look into the queue brought.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    /// In order.
    pub(crate) bodies: Vec<Bytes>,
    /// Behind the last of them.
    pub(crate) after: Position,
    /// What could not be read in between.
    pub(crate) damage: Vec<Damage>,
}

/// A reader with a place of its own.
#[derive(Debug)]
pub(crate) struct Reader {
    queue: Queue,
    position: Position,
    /// The file that the position is in.
    open: Option<(u64, Scan)>,
}

impl Reader {
    /// Reads from a position, or from the oldest record that is there.
    pub(crate) fn new(queue: Queue, from: Option<Position>) -> Self {
        let state = queue.lock();
        let oldest = state.segments.front();
        let oldest = oldest.map_or(state.end, |segment| Position::start_of(segment.first));
        // A place behind the end is one of an older queue that somebody removed.
        let known = from.filter(|from| *from <= state.end);
        drop(state);
        Self {
            position: known.unwrap_or(oldest),
            queue,
            open: None,
        }
    }

    /// Where it stands.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Reads at least one record, and more up to about `max_bytes`; none at the end of the queue.
    ///
    /// # Errors
    /// What the system says; the reader stays where it is.
    pub(crate) fn read(&mut self, max_bytes: usize) -> io::Result<Stored> {
        let mut stored = Stored::default();
        let mut bytes = 0;
        while bytes < max_bytes && self.position.number < self.queue.end().number {
            if let Some(body) = self.step(&mut stored.damage)? {
                bytes += body.len();
                stored.bodies.push(body);
            }
        }
        stored.after = self.position;
        Ok(stored)
    }

    /// Goes on by a record, or to the next file.
    fn step(&mut self, damage: &mut Vec<Damage>) -> io::Result<Option<Bytes>> {
        let (segment, limit) = self.segment();
        if self.position.segment != segment.first {
            // Where it stood was deleted to make room, which is counted there.
            let number = self.position.number.max(segment.first);
            self.position = Position {
                number,
                ..Position::start_of(segment.first)
            };
        }
        let Some(scan) = self.scan(segment)? else {
            self.leave(segment, damage);
            return Ok(None);
        };
        let Some(found) = scan.next(limit)? else {
            self.leave(segment, damage);
            return Ok(None);
        };
        let before = self.position;
        self.position.offset = found.end;
        if found.number < before.number {
            return Ok(None);
        }
        self.position.number = found.number + 1;
        self.note(before, found.number, damage);
        Ok(Some(found.body))
    }

    /// The file to read, and how far.
    fn segment(&self) -> (Known, u64) {
        let state = self.queue.lock();
        let mut segments = state.segments.iter();
        let here = segments.find(|known| known.first == self.position.segment);
        let segment = here
            .copied()
            .or_else(|| state.holding(self.position.number));
        let end = Known {
            first: state.end.segment,
            bytes: state.end.offset,
        };
        let segment = segment.unwrap_or(end);
        let limit = if segment.first == state.end.segment {
            state.end.offset
        } else {
            segment.bytes
        };
        (segment, limit)
    }

    fn scan(&mut self, segment: Known) -> io::Result<Option<&mut Scan>> {
        let is_open = self.open.as_ref().is_some_and(|(first, scan)| {
            *first == segment.first && scan.offset() == self.position.offset
        });
        if !is_open {
            let file = match segment::open(&self.queue.folder, segment.first) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => None,
                other => other?,
            };
            let Some((file, salt)) = file else {
                return Ok(None);
            };
            let scan = Scan::new(file, salt, self.position.offset)?;
            self.open = Some((segment.first, scan));
        }
        Ok(self.open.as_mut().map(|(_, scan)| scan))
    }

    /// Nothing more is in this file.
    fn leave(&mut self, segment: Known, damage: &mut Vec<Damage>) {
        let next = {
            let state = self.queue.lock();
            let next = state.after(segment.first);
            next.map_or(state.end, |next| Position::start_of(next.first))
        };
        let before = mem::replace(&mut self.position, next);
        self.open = None;
        self.note(before, next.number, damage);
    }

    /// Records up to this one should have been there, unless they were deleted to make room.
    fn note(&self, before: Position, found: u64, damage: &mut Vec<Damage>) {
        let expected = before.number.max(self.queue.lock().released);
        let records = found.saturating_sub(expected);
        if records > 0 {
            damage.push(Damage {
                file: segment::path(&self.queue.folder, before.segment),
                offset: before.offset,
                records,
            });
        }
    }
}
