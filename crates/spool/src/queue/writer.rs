//! Appends records, and gives them back to nobody until they are safely on disk.

use std::fs::File;
use std::io::{self, Write};

use super::segment::{self, Salt};
use super::{Bounds, Known, Position, Queue, State, WhenFull, folder, record};

/// Why records were not appended; none of them was.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AppendError {
    #[error("a record of {bytes} bytes is larger than a spool of {max_bytes} bytes can hold")]
    TooLarge {
        index: usize,
        bytes: usize,
        max_bytes: u64,
    },
    #[error("the spool is full")]
    Full,
    #[error("writing to the spool: {0}")]
    Io(#[from] io::Error),
}

/// The one writer of a queue.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: Queue,
    bounds: Bounds,
    /// The newest file, if it was made by this writer and nothing went wrong with it.
    newest: Option<(File, Salt)>,
    encoded: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(queue: Queue, bounds: Bounds) -> Self {
        Self {
            queue,
            bounds,
            newest: None,
            encoded: Vec::new(),
        }
    }

    /// Appends all of the records, or none, and returns once they are safely on disk.
    pub(crate) fn append(&mut self, bodies: &[impl AsRef<[u8]>]) -> Result<(), AppendError> {
        let bytes = self.size(bodies)?;
        self.make_room(bytes)?;
        self.roll_if_needed()?;
        let start = self.queue.end();
        let written = self.write(start, bodies);
        // What the disk holds of a failed write is unknown: the next record goes to a new file.
        if written.is_err() {
            self.cut_back(start);
        }
        let end = written?;
        self.queue.lock().grow(end);
        self.queue.grown.send_replace(end.number);
        Ok(())
    }

    /// What the records take in a file, checked one by one.
    fn size(&self, bodies: &[impl AsRef<[u8]>]) -> Result<u64, AppendError> {
        // Beside them are the head of their file, and that of an empty one before it.
        let most = self.bounds.max_bytes - 2 * segment::HEAD;
        let mut all = 0;
        for (index, body) in bodies.iter().enumerate() {
            let bytes = record::size(body.as_ref());
            if bytes as u64 > most || u32::try_from(bytes).is_err() {
                let max_bytes = self.bounds.max_bytes;
                return Err(AppendError::TooLarge {
                    index,
                    bytes,
                    max_bytes,
                });
            }
            all += bytes as u64;
        }
        Ok(all)
    }

    fn make_room(&mut self, bytes: u64) -> Result<(), AppendError> {
        let most = self.bounds.max_bytes.saturating_sub(bytes + segment::HEAD);
        if self.queue.bytes() > most && self.queue.backlog() == 0 {
            self.begin_anew()?;
        }
        let mut state = self.queue.lock();
        while state.bytes() > most {
            if self.bounds.when_full == WhenFull::Block || state.segments.is_empty() {
                return Err(AppendError::Full);
            }
            let only = state.segments.len() == 1;
            state.drop_oldest(&self.queue)?;
            if only {
                self.newest = None;
            }
        }
        Ok(())
    }

    /// Everything is delivered, but the newest file stays until there is one after it.
    fn begin_anew(&mut self) -> io::Result<()> {
        self.roll()?;
        self.queue.release(self.queue.end())
    }

    fn roll_if_needed(&mut self) -> io::Result<()> {
        let newest = self.queue.lock().segments.back().copied();
        let has_room = newest.is_some_and(|it| it.bytes < self.bounds.segment_bytes());
        if self.newest.is_some() && has_room {
            return Ok(());
        }
        self.roll()
    }

    fn roll(&mut self) -> io::Result<()> {
        let first = self.queue.end().number;
        self.newest = None;
        self.newest = Some(segment::create(&self.queue.folder, first)?);
        self.queue.lock().begin(first);
        Ok(())
    }

    fn write(&mut self, start: Position, bodies: &[impl AsRef<[u8]>]) -> io::Result<Position> {
        let Some((file, salt)) = &mut self.newest else {
            return Err(io::Error::other("no file is open"));
        };
        self.encoded.clear();
        let mut end = start;
        for body in bodies {
            record::encode(*salt, end.number, body.as_ref(), &mut self.encoded);
            end.number += 1;
        }
        end.offset += self.encoded.len() as u64;
        file.write_all(&self.encoded)?;
        file.sync_data()?;
        Ok(end)
    }

    fn cut_back(&mut self, start: Position) {
        if let Some((file, _)) = self.newest.take()
            && let Err(error) = file.set_len(start.offset)
        {
            tracing::debug!(%error, "what was written in vain stays at the end of a spool file");
        }
    }
}

impl State {
    /// A new, empty file; it may have replaced an empty one of the same name.
    fn begin(&mut self, first: u64) {
        if self.segments.back().is_some_and(|it| it.first == first) {
            self.segments.pop_back();
        }
        self.segments.push_back(Known {
            first,
            bytes: segment::HEAD,
        });
        self.end = Position::start_of(first);
    }

    fn grow(&mut self, end: Position) {
        self.end = end;
        if let Some(newest) = self.segments.back_mut() {
            newest.bytes = end.offset;
        }
    }

    fn drop_oldest(&mut self, queue: &Queue) -> io::Result<()> {
        let Some(oldest) = self.segments.front().copied() else {
            return Ok(());
        };
        folder::remove(&queue.folder, oldest.first)?;
        self.segments.pop_front();
        let kept = self.segments.front().map(|segment| segment.first);
        let kept = kept.unwrap_or(self.end.number);
        let undelivered = self.released.max(oldest.first);
        self.dropped += kept.saturating_sub(undelivered);
        self.released = self.released.max(kept);
        Ok(())
    }
}
