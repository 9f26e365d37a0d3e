//! The records of one message, in whatever form it holds them.
//!
//! Source: `streaming-api-event-hub` of the Defender documentation (`{"records":[..]}`); a bare
//! list, one bare record, and JSON lines were seen with other exporters of the same machinery.

use std::ops::Range;

use memchr::memchr;

use crate::record::Record;
use crate::scan::{ScanError, Scanner};

/// One piece of a message.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Piece {
    /// A record.
    Record(Record),
    /// Bytes that are no record.
    Broken {
        /// Where they stand.
        bytes: Range<usize>,
        /// One of a closed set, a metric label.
        reason: &'static str,
    },
}

/// Reasons of [`Piece::Broken`].
pub(crate) const REASONS: [&str; 3] = ["truncated", "not_json", "not_a_record"];

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Hands every record, and everything that is none, to `take`, in order.
pub(crate) fn pieces(bytes: &[u8], take: impl FnMut(Piece)) {
    let start = if bytes.starts_with(BYTE_ORDER_MARK) {
        BYTE_ORDER_MARK.len()
    } else {
        0
    };
    let mut message = Message {
        bytes,
        scanner: Scanner::new(bytes, start),
        take,
    };
    while message.scanner.peek().is_some() {
        message.line();
    }
}

struct Message<'a, T> {
    bytes: &'a [u8],
    scanner: Scanner<'a>,
    take: T,
}

impl<T: FnMut(Piece)> Message<'_, T> {
    /// A value that stands by itself: the whole message, or one of its JSON lines.
    fn line(&mut self) {
        let result = match self.scanner.peek() {
            Some(b'[') => self.list(),
            Some(b'{') if self.is_wrapper() => self.wrapper(),
            _ => return self.bare(),
        };
        if let Err(error) = result {
            self.give_up(self.bytes.len(), error);
        }
    }

    /// A record by itself; a broken one ends with its line if a record begins in the next.
    fn bare(&mut self) {
        if let Err(error) = self.record() {
            let rest = &self.bytes[self.scanner.position()..];
            let line = memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let next_is_record = rest[line..].first() == Some(&b'{');
            let end = if next_is_record { line } else { rest.len() };
            self.give_up(self.scanner.position() + end, error);
        }
    }

    /// Whether the first member is `records`, as in everything that Defender sends.
    fn is_wrapper(&self) -> bool {
        let mut scanner = self.scanner;
        scanner.take(b'{');
        scanner.peek();
        let rest = &self.bytes[scanner.position()..];
        let Some(rest) = rest.strip_prefix(br#""records""#) else {
            return false;
        };
        let mut scanner = Scanner::new(rest, 0);
        scanner.take(b':') && scanner.take(b'[')
    }

    fn wrapper(&mut self) -> Result<(), ScanError> {
        self.scanner.take(b'{');
        self.scanner.value()?;
        self.scanner.take(b':');
        self.scanner.peek();
        self.list()?;
        // What else the wrapper holds is not ours.
        while self.scanner.take(b',') {
            self.scanner.value()?;
            self.scanner.take(b':');
            self.scanner.value()?;
        }
        if self.scanner.take(b'}') {
            return Ok(());
        }
        Err(self.unexpected())
    }

    fn list(&mut self) -> Result<(), ScanError> {
        self.scanner.take(b'[');
        if self.scanner.take(b']') {
            return Ok(());
        }
        loop {
            self.record()?;
            if !self.scanner.take(b',') {
                break;
            }
        }
        if self.scanner.take(b']') {
            return Ok(());
        }
        Err(self.unexpected())
    }

    /// One record; a broken one is passed over if its end can be found.
    fn record(&mut self) -> Result<(), ScanError> {
        self.scanner.peek();
        let start = self.scanner.position();
        let mut whole = self.scanner;
        let piece = if self.scanner.peek() == Some(b'{') {
            match Record::read(self.bytes, &mut self.scanner) {
                Ok(record) => Piece::Record(record),
                Err(_) => {
                    self.scanner = Scanner::new(self.bytes, start);
                    broken(whole.value()?, "not_json")
                }
            }
        } else {
            broken(whole.value()?, "not_a_record")
        };
        if let Piece::Broken { bytes, .. } = &piece {
            self.scanner = Scanner::new(self.bytes, bytes.end);
        }
        let piece = self.checked(piece);
        (self.take)(piece);
        Ok(())
    }

    /// JSON is UTF-8; of a record that is not, nothing can be said.
    fn checked(&self, piece: Piece) -> Piece {
        match piece {
            Piece::Record(record)
                if std::str::from_utf8(&self.bytes[record.whole.clone()]).is_err() =>
            {
                broken(record.whole, "not_json")
            }
            other => other,
        }
    }

    fn unexpected(&mut self) -> ScanError {
        match self.scanner.peek() {
            None => ScanError::Truncated,
            Some(_) => ScanError::Unexpected(self.scanner.position()),
        }
    }

    /// Nobody can say where the next record begins: everything up to `end` is one piece, an empty
    /// one if only the end of a list is missing.
    fn give_up(&mut self, end: usize, error: ScanError) {
        let reason = match error {
            ScanError::Truncated => "truncated",
            ScanError::Unexpected(_) | ScanError::TooDeep => "not_json",
        };
        (self.take)(broken(self.scanner.position()..end, reason));
        self.scanner = Scanner::new(self.bytes, end);
    }
}

const fn broken(bytes: Range<usize>, reason: &'static str) -> Piece {
    Piece::Broken { bytes, reason }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    /// The records as text, and what is broken as `!reason:text`.
    fn check(message: impl AsRef<[u8]>, expected: &[&str]) {
        let bytes = message.as_ref();
        let mut found = Vec::new();
        pieces(bytes, |piece| {
            found.push(match piece {
                Piece::Record(record) => String::from_utf8_lossy(&bytes[record.whole]).into_owned(),
                Piece::Broken {
                    bytes: range,
                    reason,
                } => {
                    assert!(REASONS.contains(&reason));
                    format!("!{reason}:{}", String::from_utf8_lossy(&bytes[range]))
                }
            });
        });
        assert_eq!(found, expected, "{}", String::from_utf8_lossy(bytes));
    }

    #[test]
    fn a_message_is_read_in_every_form() {
        let both = [r#"{"a":1}"#, r#"{"b":2}"#];
        check(r#"{"records":[{"a":1},{"b":2}]}"#, &both);
        check(
            " { \"records\" : [ {\"a\":1} , {\"b\":2} ] , \"x\" : 1 } \n",
            &both,
        );
        check(r#"[{"a":1},{"b":2}]"#, &both);
        check("{\"a\":1}\r\n{\"b\":2}\r\n", &both);
        check("\u{FEFF}{\"a\":1}{\"records\":[{\"b\":2}]}", &both);
        check(r#"{"records":5}"#, &[r#"{"records":5}"#]);
        for empty in ["", " \r\n", "[]", r#"{"records":[]}"#] {
            check(empty, &[]);
        }
    }

    #[test]
    fn a_broken_record_costs_none_of_its_siblings() {
        check(
            r#"{"records":[{"a":1},{"b" 2},7,{"c":3}]}"#,
            &[
                r#"{"a":1}"#,
                r#"!not_json:{"b" 2}"#,
                "!not_a_record:7",
                r#"{"c":3}"#,
            ],
        );
        check(
            b"[{\"a\":1},{\"b\":\"\xFF\"},{\"c\":3}]",
            &[r#"{"a":1}"#, "!not_json:{\"b\":\"\u{FFFD}\"}", r#"{"c":3}"#],
        );
    }

    #[test]
    fn of_a_truncated_message_the_whole_records_are_read() {
        check(
            r#"{"records":[{"a":1},{"b":"#,
            &[r#"{"a":1}"#, r#"!truncated:{"b":"#],
        );
        check(r#"[{"a":1}"#, &[r#"{"a":1}"#, "!truncated:"]);
    }

    #[test]
    fn what_is_no_json_is_one_piece() {
        check("<html>", &["!not_json:<html>"]);
        check(
            "{\"a\":1}\nhello\n{\"b\":\n{\"c\":3}\n",
            &[
                r#"{"a":1}"#,
                "!not_json:hello\n",
                "!truncated:{\"b\":\n",
                r#"{"c":3}"#,
            ],
        );
        check(
            r#"{"records":[{"a":1} {"b":2}]}"#,
            &[r#"{"a":1}"#, r#"!not_json:{"b":2}]}"#],
        );
    }

    fn json() -> impl Strategy<Value = serde_json::Value> {
        let leaf = prop_oneof![
            Just(json!(null)),
            any::<bool>().prop_map(|value| json!(value)),
            any::<i64>().prop_map(|value| json!(value)),
            any::<String>().prop_map(|value| json!(value)),
            "[\"\\\\{}\\[\\],: ]{0,8}".prop_map(|value| json!(value)),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|list| json!(list)),
                prop::collection::vec((any::<String>(), inner), 0..4).prop_map(|members| {
                    serde_json::Value::Object(members.into_iter().collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_to_their_end(bytes: Vec<u8>) {
            pieces(&bytes, |piece| {
                let range = match piece {
                    Piece::Record(record) => record.whole,
                    Piece::Broken { bytes, .. } => bytes,
                };
                assert!(range.start <= range.end && range.end <= bytes.len());
            });
        }

        #[test]
        fn any_records_are_found_as_they_stand(rows in prop::collection::vec(json(), 0..5), cut: prop::sample::Index) {
            let records: Vec<_> = rows.iter().map(|row| json!({"properties": row}).to_string()).collect();
            let found = |message: &str| {
                let mut found = Vec::new();
                pieces(message.as_bytes(), |piece| if let Piece::Record(record) = piece {
                    found.push(message[record.whole].to_owned());
                });
                found
            };
            let message = format!(r#"{{"records":[{}]}}"#, records.join(","));
            prop_assert_eq!(&found(&message), &records);
            prop_assert_eq!(&found(&records.join("\n")), &records);
            let cut = (0..=cut.index(message.len())).rev().find(|at| message.is_char_boundary(*at));
            let whole = found(&message[..cut.unwrap_or(0)]);
            prop_assert!(records.starts_with(&whole), "a truncated message gives whole records only");
        }
    }
}
