//! Finds the records of one file, also behind damage.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};

use bytes::Bytes;
use memchr::memmem;

use super::record::{self, MARK, NoRecord};
use super::segment::Salt;

/// How much is read at once, in bytes.
const CHUNK: usize = 256 << 10;

/// A record, and where it ends in the file.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) number: u64,
    pub(super) body: Bytes,
    pub(super) end: u64,
}

/// Walks through a file from record to record.
#[derive(Debug)]
pub(super) struct Scan {
    file: File,
    salt: Salt,
    /// Where the buffer begins in the file.
    base: u64,
    buffer: Vec<u8>,
    /// Where the next record should begin in the buffer.
    at: usize,
}

impl Scan {
    /// Begins at a place of a file.
    pub(super) fn new(mut file: File, salt: Salt, offset: u64) -> io::Result<Self> {
        file.seek(SeekFrom::Start(offset))?;
        Ok(Self {
            file,
            salt,
            base: offset,
            buffer: Vec::new(),
            at: 0,
        })
    }

    /// Where the next record should begin in the file.
    pub(super) fn offset(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next whole record that ends at `limit` or before. Goes past damage: whoever asks sees
    /// it by the number.
    pub(super) fn next(&mut self, limit: u64) -> io::Result<Option<Found>> {
        loop {
            match record::decode(self.salt, &self.buffer[self.at..]) {
                Ok((number, body)) => {
                    let body = Bytes::copy_from_slice(body);
                    self.at += record::size(&body);
                    let end = self.offset();
                    return Ok(Some(Found { number, body, end }));
                }
                Err(NoRecord::Short(wanted)) if self.offset() + wanted as u64 <= limit => {
                    if !self.fill(wanted, limit)? {
                        return Ok(None);
                    }
                }
                Err(_) if self.offset() >= limit => return Ok(None),
                Err(_) => self.skip_to_mark(limit)?,
            }
        }
    }

    /// Reads until so many bytes are there from the current place on; whether they are.
    fn fill(&mut self, wanted: usize, limit: u64) -> io::Result<bool> {
        self.buffer.drain(..self.at);
        self.base += self.at as u64;
        self.at = 0;
        let have = self.buffer.len();
        let most = usize::try_from(limit - self.base).unwrap_or(usize::MAX);
        let more = wanted.max(CHUNK).min(most).saturating_sub(have);
        let mut part = (&mut self.file).take(more as u64);
        part.read_to_end(&mut self.buffer)?;
        Ok(self.buffer.len() >= wanted)
    }

    /// Goes to the next place where a record may begin, or to the limit.
    fn skip_to_mark(&mut self, limit: u64) -> io::Result<()> {
        self.at += 1;
        loop {
            let rest = self.buffer.get(self.at..).unwrap_or_default();
            if let Some(found) = memmem::find(rest, &MARK) {
                self.at += found;
                return Ok(());
            }
            // A mark may have begun in the last bytes.
            let keep = rest.len().min(MARK.len() - 1);
            self.at = self.buffer.len() - keep;
            if !self.fill(keep + 1, limit)? {
                self.at = self.buffer.len();
                return Ok(());
            }
        }
    }
}
