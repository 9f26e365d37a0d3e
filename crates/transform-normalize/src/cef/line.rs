//! One CEF event as it is written: header, then keys, shortened by whole keys where it is too long.

use std::io::Write as _;
use std::net::IpAddr;

use bytes::Bytes;

use super::dialect::Dialect;
use super::escape;
use super::output_key::OutputKey;
use crate::leef;

/// Lengths of the header's text fields in bytes, in the standard's order.
/// Source: CEF standard, document version 27, "Header information".
pub(crate) const VENDOR_BYTES: usize = 63;
pub(crate) const PRODUCT_BYTES: usize = 63;
pub(crate) const VERSION_BYTES: usize = 31;
const CLASS_ID_BYTES: usize = 1023;
const NAME_BYTES: usize = 512;

/// What writing one event had to leave out.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Losses {
    /// Values cut to the length of their key.
    pub(crate) cut: u32,
    /// Values that are no such number, address, or time as their key holds.
    pub(crate) unfit: u32,
    /// Keys left out so that the event keeps within the limit.
    pub(crate) dropped: u32,
}

/// Even without every optional key the event is longer than the receiver takes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the event has {needed} bytes without its optional keys, and the limit is {max_bytes}")]
pub(crate) struct TooLong {
    needed: usize,
    max_bytes: usize,
}

/// Gathers one event; kept from event to event, so that only the finished bytes are allocated.
#[derive(Debug, Default)]
pub(crate) struct Line {
    dialect: Dialect,
    text: Vec<u8>,
    header_end: usize,
    parts: Vec<Part>,
    losses: Losses,
}

/// Where in the text a key stands, its label included.
#[derive(Clone, Copy, Debug)]
struct Part {
    id: u16,
    rank: u8,
    start: usize,
    end: usize,
}

impl Line {
    /// Starts an event; `prefix` is everything up to the event class id, pipe included.
    pub(crate) fn start(&mut self, prefix: &[u8], class_id: &str, name: &str, severity: u8) {
        self.begin(Dialect::Cef, prefix);
        self.header_field(class_id, CLASS_ID_BYTES);
        self.header_field(name, NAME_BYTES);
        push_integer(&mut self.text, i64::from(severity));
        self.text.push(b'|');
        self.header_end = self.text.len();
    }

    /// Starts an event of LEEF, which has no more in its header than the event's id.
    pub(crate) fn start_leef(&mut self, prefix: &[u8], event_id: &str) {
        self.begin(Dialect::Leef, prefix);
        self.header_field(event_id, CLASS_ID_BYTES);
        self.text.extend_from_slice(leef::DELIMITER_FIELD);
        self.header_end = self.text.len();
    }

    fn begin(&mut self, dialect: Dialect, prefix: &[u8]) {
        self.dialect = dialect;
        self.text.clear();
        self.parts.clear();
        self.losses = Losses::default();
        self.text.extend_from_slice(prefix);
    }

    /// Whether the key of this number was written already.
    pub(crate) fn has(&self, id: u16) -> bool {
        self.parts.iter().any(|part| part.id == id)
    }

    /// Writes text, unless nothing remains of it when trimmed. Returns whether it was cut.
    pub(crate) fn text(&mut self, key: &OutputKey, text: &str) -> bool {
        if escape::trimmed(text).is_empty() {
            return false;
        }
        let start = self.open(key);
        let cut = self.dialect.value(&mut self.text, text, key.max_bytes);
        self.losses.cut += u32::from(cut);
        self.close(key, start);
        cut
    }

    /// Writes a number.
    pub(crate) fn integer(&mut self, key: &OutputKey, number: i64) {
        let start = self.open(key);
        push_integer(&mut self.text, number);
        self.close(key, start);
    }

    /// Writes an IP address.
    pub(crate) fn address(&mut self, key: &OutputKey, address: IpAddr) {
        let start = self.open(key);
        write!(self.text, "{address}").expect("writing to memory does not fail");
        self.close(key, start);
    }

    /// Writes a time as text; `false` if it is none that can be written.
    pub(crate) fn date(&mut self, key: &OutputKey, millis: i64) -> bool {
        let Ok(time) = jiff::Timestamp::from_millisecond(millis) else {
            return false;
        };
        let start = self.open(key);
        write!(self.text, "{}", time.strftime(leef::TIME))
            .expect("writing to memory does not fail");
        self.close(key, start);
        true
    }

    /// Counts a value that does not fit into its key.
    pub(crate) fn unfit(&mut self) {
        self.losses.unfit += 1;
    }

    /// What the last event lacks.
    pub(crate) fn losses(&self) -> Losses {
        self.losses
    }

    /// The finished event of at most `max_bytes` bytes.
    ///
    /// Keys are left out whole, in the order of [`OutputKey::rank`], and never those of an
    /// identity; receivers would make a false event of the tail of a line cut in the middle.
    ///
    /// # Errors
    /// [`TooLong`] if the header and the keys that always stay are longer than that.
    pub(crate) fn finish(&mut self, max_bytes: usize) -> Result<Bytes, TooLong> {
        if self.length() <= max_bytes {
            return Ok(self.assembled());
        }
        self.mark_truncated();
        while self.length() > max_bytes {
            self.leave_one_out(max_bytes)?;
        }
        Ok(self.assembled())
    }

    fn header_field(&mut self, text: &str, max_bytes: usize) {
        let cut = self.dialect.header(&mut self.text, text, max_bytes);
        self.losses.cut += u32::from(cut);
        self.text.push(b'|');
    }

    fn open(&mut self, key: &OutputKey) -> usize {
        let start = self.text.len();
        self.text.extend_from_slice(&key.prefix);
        start
    }

    fn close(&mut self, key: &OutputKey, start: usize) {
        let end = self.text.len();
        self.parts.push(Part {
            id: key.id,
            rank: key.rank,
            start,
            end,
        });
    }

    fn mark_truncated(&mut self) {
        let start = self.text.len();
        self.text.extend_from_slice(self.dialect.truncated());
        let end = self.text.len();
        self.parts.push(Part {
            id: u16::MAX,
            rank: OutputKey::ALWAYS,
            start,
            end,
        });
    }

    fn leave_one_out(&mut self, max_bytes: usize) -> Result<(), TooLong> {
        let optional = self
            .parts
            .iter()
            .enumerate()
            .filter(|(_, part)| part.rank < OutputKey::ALWAYS);
        let (index, _) = optional
            .min_by_key(|(index, part)| (part.rank, usize::MAX - index))
            .ok_or(TooLong {
                needed: self.length(),
                max_bytes,
            })?;
        self.parts.remove(index);
        self.losses.dropped += 1;
        Ok(())
    }

    /// Bytes of the event with the parts that are left and one space between them.
    fn length(&self) -> usize {
        let values: usize = self.parts.iter().map(|part| part.end - part.start).sum();
        self.header_end + values + self.parts.len().saturating_sub(1)
    }

    fn assembled(&self) -> Bytes {
        let mut line = Vec::with_capacity(self.length());
        line.extend_from_slice(&self.text[..self.header_end]);
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                line.push(self.dialect.delimiter());
            }
            line.extend_from_slice(&self.text[part.start..part.end]);
        }
        Bytes::from(line)
    }
}

fn push_integer(out: &mut Vec<u8>, number: i64) {
    write!(out, "{number}").expect("writing to memory does not fail");
}

#[cfg(test)]
mod tests {
    use super::*;

    const PREFIX: &[u8] = b"CEF:0|Microsoft|Product|1.0|";

    fn key(id: u16, name: &str) -> OutputKey {
        let label = name.starts_with("cs").then_some("Label");
        OutputKey::new(Dialect::Cef, id, name, label, false).unwrap()
    }

    fn finished(line: &mut Line, max_bytes: usize) -> Result<(String, Losses), TooLong> {
        let bytes = line.finish(max_bytes)?;
        assert!(bytes.len() <= max_bytes);
        Ok((String::from_utf8(bytes.to_vec()).unwrap(), line.losses()))
    }

    fn sample(line: &mut Line) {
        line.start(PREFIX, "a|b", "two\nlines", 8);
        line.integer(&key(0, "rt"), 1);
        line.text(&key(1, "externalId"), "da1");
        line.text(&key(2, "cs3"), "a=b");
        line.text(&key(3, "cat"), " Malware ");
        line.text(&key(4, "msg"), &"text".repeat(25));
    }

    #[test]
    fn a_line_has_one_space_between_keys_and_none_at_its_end() {
        let mut line = Line::default();
        sample(&mut line);
        let (text, losses) = finished(&mut line, 500).unwrap();
        assert_eq!(
            text.replace("texttext", ""),
            r"CEF:0|Microsoft|Product|1.0|a\|b|two lines|8|rt=1 externalId=da1 cs3Label=Label cs3=a\=b cat=Malware msg=text"
        );
        assert_eq!(losses, Losses::default());
    }

    #[test]
    fn an_empty_value_is_left_out_and_an_empty_extension_is_legal() {
        let mut line = Line::default();
        line.start(PREFIX, "1", "n", 0);
        line.text(&key(0, "msg"), " \t ");
        assert_eq!(
            finished(&mut line, 500).unwrap().0,
            "CEF:0|Microsoft|Product|1.0|1|n|0|"
        );
    }

    #[test]
    fn a_line_too_long_loses_whole_keys_in_the_stated_order_and_says_so() {
        let check = |max_bytes, expected: &str, dropped| {
            let mut line = Line::default();
            sample(&mut line);
            let (text, losses) = finished(&mut line, max_bytes).unwrap();
            let extension = text.split_once("|8|").unwrap().1;
            assert_eq!(
                (extension, losses.dropped),
                (expected, dropped),
                "{max_bytes}"
            );
        };
        check(
            140,
            r"rt=1 externalId=da1 cs3Label=Label cs3=a\=b cat=Malware MicrosoftDefenderTruncated=1",
            1,
        );
        check(
            120,
            r"rt=1 externalId=da1 cat=Malware MicrosoftDefenderTruncated=1",
            2,
        );
        check(100, r"rt=1 externalId=da1 MicrosoftDefenderTruncated=1", 3);
    }

    #[test]
    fn a_line_whose_identity_does_not_fit_is_refused() {
        let mut line = Line::default();
        sample(&mut line);
        let error = finished(&mut line, 60).unwrap_err();
        assert!(error.to_string().contains("the limit is 60"), "{error}");
    }

    #[test]
    fn a_line_that_was_used_before_starts_afresh() {
        let mut line = Line::default();
        sample(&mut line);
        line.text(&key(5, "act"), &"x".repeat(100));
        assert_eq!(finished(&mut line, 500).unwrap().1.cut, 1);
        line.start(PREFIX, "1", "n", 0);
        assert_eq!(
            finished(&mut line, 500).unwrap(),
            (
                "CEF:0|Microsoft|Product|1.0|1|n|0|".to_owned(),
                Losses::default()
            )
        );
    }
}
