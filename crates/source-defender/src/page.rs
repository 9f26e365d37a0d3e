//! Finds the records of an answer as slices of its bytes, and gives each a body of its own.

use std::borrow::Cow;

use bytes::{Bytes, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;
use tapline_core::Text;

use crate::loose::LooseText;

/// The records of one answer, in the order sent, and where the server says it goes on.
#[derive(Debug, Default)]
pub(crate) struct Page<'a> {
    pub(crate) records: Vec<&'a RawValue>,
    pub(crate) next_link: Option<String>,
}

/// The answer is not what the API promises.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PageError {
    #[error("the answer is not JSON: {0}")]
    NotJson(#[from] serde_json::Error),
    #[error("the answer is JSON, but holds no list of records")]
    NoRecords,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    value: Option<Vec<&'a RawValue>>,
    #[serde(borrow, default, rename = "@odata.nextLink")]
    next_link: LooseText<'a>,
}

/// Tells a bare detection from an envelope.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Bare<'a> {
    #[serde(borrow, default)]
    full_id: LooseText<'a>,
    #[serde(borrow, default)]
    alert_id: LooseText<'a>,
}

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads an answer of Graph: an object with the list `value`.
pub(crate) fn graph(answer: &[u8]) -> Result<Page<'_>, PageError> {
    let envelope: Envelope<'_> = serde_json::from_slice(without_mark(answer))?;
    Ok(Page {
        records: envelope.value.ok_or(PageError::NoRecords)?,
        next_link: envelope.next_link.filled().map(Cow::into_owned),
    })
}

/// Reads an answer of the legacy API: a list of detections, or one detection.
pub(crate) fn detections(answer: &[u8]) -> Result<Page<'_>, PageError> {
    let answer = without_mark(answer);
    let records = match answer.trim_ascii_start().first() {
        Some(b'[') => serde_json::from_slice(answer)?,
        _ => vec![bare(answer)?],
    };
    Ok(Page {
        records,
        next_link: None,
    })
}

fn bare(answer: &[u8]) -> Result<&RawValue, PageError> {
    let whole: &RawValue = serde_json::from_slice(answer)?;
    let bare: Bare<'_> =
        serde_json::from_str(whole.get()).map_err(|_not_an_object| PageError::NoRecords)?;
    let is_detection = bare.full_id.0.or(bare.alert_id.0).is_some();
    is_detection.then_some(whole).ok_or(PageError::NoRecords)
}

fn without_mark(answer: &[u8]) -> &[u8] {
    answer.strip_prefix(BYTE_ORDER_MARK).unwrap_or(answer)
}

/// An answer up to this size is shared by the events cut from it, in bytes.
const SHARED: usize = 1 << 20;
/// Records of a bigger answer are copied into blocks of this size, in bytes, so that one event
/// that stays in memory for long never keeps a huge answer there.
const BLOCK: usize = 256 << 10;

/// Gives records their bodies.
pub(crate) struct Bodies<'a> {
    answer: &'a Bytes,
    block: BytesMut,
}

impl<'a> Bodies<'a> {
    pub(crate) fn of(answer: &'a Bytes) -> Self {
        Self {
            answer,
            block: BytesMut::new(),
        }
    }

    /// The record's bytes exactly as sent; `record` is a part of the answer.
    pub(crate) fn body(&mut self, record: &str) -> Bytes {
        let record = record.as_bytes();
        if self.answer.len() <= SHARED {
            return self.answer.slice_ref(record);
        }
        if record.len() > BLOCK / 4 {
            return Bytes::copy_from_slice(record);
        }
        if self.block.capacity() < record.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(record);
        self.block.split().freeze()
    }
}

/// `text`, found in `record`, as a part of the record's body.
pub(crate) fn text_in(body: &Bytes, record: &str, text: Cow<'_, str>) -> Text {
    match text {
        Cow::Owned(text) => Text::from(text),
        Cow::Borrowed(text) => inside(body, record, text).unwrap_or_else(|| Text::from(text)),
    }
}

fn inside(body: &Bytes, record: &str, text: &str) -> Option<Text> {
    let start = text.as_ptr().addr().checked_sub(record.as_ptr().addr())?;
    let end = start
        .checked_add(text.len())
        .filter(|end| *end <= body.len())?;
    Text::try_from(body.slice(start..end)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_graph_is_cut_without_touching_a_byte() {
        let answer = br#" {"@odata.context":"x","value":[ {"id" : "a\n"},17 ],"@odata.nextLink":"https:\/\/g/x?$skiptoken=1"}"#;
        let page = graph(answer).expect("a page");
        let records: Vec<_> = page.records.iter().map(|raw| raw.get()).collect();
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
            assert!(graph(answer.as_bytes()).is_err(), "{answer}");
        }
        for answer in [
            "<html>",
            "",
            "null",
            r#"{"error":{"code":"x"}}"#,
            r#"[{"AlertId":"#,
        ] {
            assert!(detections(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    #[test]
    fn detections_come_as_a_list_or_bare() {
        let check = |answer: &str, expected: usize| {
            assert_eq!(
                detections(answer.as_bytes()).expect("a page").records.len(),
                expected
            );
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
    fn text_of_a_record_is_a_part_of_its_body() {
        let record = r#"{"id":"da1"}"#;
        let body = Bytes::copy_from_slice(record.as_bytes());
        let text = text_in(&body, record, Cow::Borrowed(&record[7..10]));
        assert_eq!(&*text, "da1");
        assert!(body.as_ptr_range().contains(&text.as_bytes().as_ptr()));
        assert_eq!(
            &*text_in(&body, record, Cow::Borrowed("elsewhere")),
            "elsewhere"
        );
    }
}
