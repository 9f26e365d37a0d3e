//! Finds the records of an answer as slices of its bytes, and gives each a body of its own.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use tapline_core::Text;

use crate::limits::ANSWER_TARGET;
use crate::record::{self, Read};
use crate::scan::{ScanError, Scanner};

/// The records of one answer, in the order sent, and where the server says it goes on.
#[derive(Debug, Default)]
pub(crate) struct Page<'a> {
    pub(crate) records: Vec<Found<'a>>,
    pub(crate) next_link: Option<String>,
}

/// A record as it stands in an answer, and what is known of it.
#[derive(Debug)]
pub(crate) struct Found<'a> {
    pub(crate) json: &'a str,
    pub(crate) read: Read<'a>,
}

/// The answer is not what the API promises.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("the answer is not JSON: {0}")]
    NotJson(#[from] ScanError),
    #[error("the answer is JSON, but holds no list of records")]
    NoRecords,
}

const BYTE_ORDER_MARK: char = '\u{FEFF}';

/// Reads an answer of Graph: an object with the list `value`.
pub(crate) fn graph(answer: &str) -> Result<Page<'_>, PageError> {
    let mut scanner = Scanner::new(without_mark(answer));
    let (mut records, mut link) = (None, None);
    scanner.object(|name, scanner| match name {
        "value" => {
            records = Some(found(scanner, record::graph)?);
            Ok(())
        }
        "@odata.nextLink" => {
            link = scanner.text()?;
            Ok(())
        }
        _ => scanner.skip(),
    })?;
    scanner.end()?;
    Ok(Page {
        records: records.ok_or(PageError::NoRecords)?,
        next_link: link.filter(|link| !link.is_empty()).map(Cow::into_owned),
    })
}

/// Reads an answer of the legacy API: a list of detections, or one detection.
pub(crate) fn detections(answer: &str) -> Result<Page<'_>, PageError> {
    let mut scanner = Scanner::new(without_mark(answer));
    let records = match scanner.peek() {
        Some(b'[') => found(&mut scanner, record::detection)?,
        _ => vec![bare(&mut scanner)?],
    };
    scanner.end()?;
    Ok(Page {
        records,
        next_link: None,
    })
}

fn found<'a>(
    scanner: &mut Scanner<'a>,
    read: impl Fn(&mut Scanner<'a>) -> Result<Read<'a>, ScanError>,
) -> Result<Vec<Found<'a>>, ScanError> {
    let mut records = Vec::new();
    scanner.list(|scanner| {
        let (read, json) = scanner.part(&read)?;
        records.push(Found { json, read });
        Ok(())
    })?;
    Ok(records)
}

/// A detection without a list around it; anything else is no answer of the API.
fn bare<'a>(scanner: &mut Scanner<'a>) -> Result<Found<'a>, PageError> {
    let (read, json) = scanner.part(record::detection)?;
    match is_detection(json)? {
        true => Ok(Found { json, read }),
        false => Err(PageError::NoRecords),
    }
}

fn is_detection(json: &str) -> Result<bool, ScanError> {
    let mut scanner = Scanner::new(json);
    let mut known = false;
    if scanner.peek() == Some(b'{') {
        scanner.object(|name, scanner| {
            let is_id = matches!(name, "FullId" | "AlertId");
            known |= is_id && scanner.peek() == Some(b'"');
            scanner.skip()
        })?;
    }
    Ok(known)
}

fn without_mark(answer: &str) -> &str {
    answer.strip_prefix(BYTE_ORDER_MARK).unwrap_or(answer)
}

/// An answer up to this size is shared by the events cut from it, in bytes: all that are read
/// but for the first of a tenant with large records. Until the last of them has its final form,
/// which the budget of unsettled events counts with, the answer stays in memory.
const SHARED: usize = ANSWER_TARGET;
/// Pieces of a bigger answer are copied into blocks of this size, in bytes, so that one event
/// that stays in memory for long never keeps a huge answer there.
const BLOCK: usize = 256 << 10;
/// Identities are copied into smaller blocks, in bytes: they live until their event is settled,
/// when its body may have been rewritten long ago.
const IDENTITIES: usize = 16 << 10;

/// Gives records their bodies and identities.
pub(crate) struct Bodies<'a> {
    answer: &'a Bytes,
    bodies: BytesMut,
    identities: BytesMut,
}

impl<'a> Bodies<'a> {
    pub(crate) fn of(answer: &'a Bytes) -> Self {
        Self {
            answer,
            bodies: BytesMut::new(),
            identities: BytesMut::new(),
        }
    }

    /// The record's bytes exactly as sent; `record` is a part of the answer.
    pub(crate) fn body(&mut self, record: &str) -> Bytes {
        match self.answer.len() <= SHARED {
            true => self.answer.slice_ref(record.as_bytes()),
            false => copy(record.as_bytes(), &mut self.bodies, BLOCK),
        }
    }

    /// A text of a record that lives longer than its body.
    pub(crate) fn text(&mut self, text: &str) -> Text {
        let copied = copy(text.as_bytes(), &mut self.identities, IDENTITIES);
        Text::try_from(copied).unwrap_or_else(|_| Text::from(text))
    }
}

/// Copies bytes into the block at hand, or into one of its own if they are many.
fn copy(bytes: &[u8], block: &mut BytesMut, size: usize) -> Bytes {
    if bytes.len() > size / 4 {
        return Bytes::copy_from_slice(bytes);
    }
    if block.capacity() < bytes.len() {
        *block = BytesMut::with_capacity(size);
    }
    block.extend_from_slice(bytes);
    block.split().freeze()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_graph_is_cut_without_touching_a_byte() {
        let answer = r#" {"@odata.context":"x","value":[ {"id" : "a\n"},17 ],"@odata.nextLink":"https:\/\/g/x?$skiptoken=1"}"#;
        let page = graph(answer).expect("a page");
        let records: Vec<_> = page.records.iter().map(|found| found.json).collect();
        assert_eq!(records, [r#"{"id" : "a\n"}"#, "17"]);
        assert_eq!(page.next_link.as_deref(), Some("https://g/x?$skiptoken=1"));
    }

    #[test]
    fn what_is_no_page_is_refused() {
        for answer in [
            "<html>",
            "",
            "{}",
            "[]",
            r#"{"value":{}}"#,
            r#"{"value":[{"id":"#,
            r#"{"error":{}}"#,
        ] {
            assert!(graph(answer).is_err(), "{answer}");
        }
        for answer in [
            "<html>",
            "",
            "null",
            r#"{"error":{"code":"x"}}"#,
            r#"[{"AlertId":"#,
        ] {
            assert!(detections(answer).is_err(), "{answer}");
        }
    }

    #[test]
    fn detections_come_as_a_list_or_bare() {
        let check = |answer: &str, expected: usize| {
            assert_eq!(detections(answer).expect("a page").records.len(), expected);
        };
        check("[]", 0);
        check("\u{feff}[{\"AlertId\":\"a\"},{\"AlertId\":\"b\"}]", 2);
        check(" {\"AlertId\":\"a\"}\n", 1);
    }

    #[test]
    fn bodies_of_a_big_answer_do_not_keep_it_in_memory() {
        let small = Bytes::from_static(b"{\"a\":1}");
        let shared = Bodies::of(&small).body(std::str::from_utf8(&small).expect("text"));
        assert_eq!(shared.as_ptr(), small.as_ptr());

        let big = Bytes::from(vec![b' '; SHARED + 1]);
        let text = std::str::from_utf8(&big).expect("text");
        let mut bodies = Bodies::of(&big);
        for length in [10, BLOCK / 4, BLOCK, 3, BLOCK / 4] {
            let body = bodies.body(&text[..length]);
            assert_eq!(body.len(), length);
            assert!(!big.as_ptr_range().contains(&body.as_ptr()));
        }
    }

    #[test]
    fn an_identity_does_not_keep_the_body_in_memory() {
        let answer = Bytes::from(br#"{"id":"da1"}"#.to_vec());
        let record = std::str::from_utf8(&answer).expect("text");
        let id = Bodies::of(&answer).text(&record[7..10]);
        assert_eq!(&*id, "da1");
        assert!(answer.is_unique());
    }

    #[test]
    fn of_any_changed_answer_only_parts_of_it_come_out() {
        let seeds = [
            r#"{"@odata.context":"x","value":[{"id":"a\u00e4\n","lastUpdateDateTime":"2026-01-02T03:04:05Z","severity":"high"},17],"@odata.nextLink":"https:\/\/g/x?$skiptoken=1"}"#,
            r#"[{"AlertId":"1","FullId":"f","LastProcessedTimeUtc":"2026-01-02T03:04:05Z","Severity":"Low"},{"AlertId":2}]"#,
        ];
        for seed in seeds {
            for (number, bytes) in tapline_testkit::variants(seed.as_bytes(), 20_000) {
                let answer = String::from_utf8_lossy(&bytes);
                for page in [graph(&answer), detections(&answer)].into_iter().flatten() {
                    let length: usize = page.records.iter().map(|it| it.json.len()).sum();
                    assert!(length <= answer.len(), "{number}: more than there was");
                    let parts = page.records.iter().all(|it| answer.contains(it.json));
                    assert!(parts, "{number}: {answer}");
                }
            }
        }
    }
}
