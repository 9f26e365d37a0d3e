//! The bytes of a checkpoint record.
//!
//! One byte of format version, four bytes of length (big-endian), the stream's identity as JSON,
//! and the cursor up to the end. Keyed entries stand in a table of their own.

use bytes::Bytes;
use tapline_core::{Cursor, StreamIdentity};

const FORMAT: u8 = 1;

pub(super) fn encode(stream: &StreamIdentity, cursor: &Cursor) -> Vec<u8> {
    let identity = serde_json::to_vec(stream).expect("strings in lists serialize");
    let length = u32::try_from(identity.len()).expect("identities are a few words");
    let mut record = Vec::with_capacity(5 + identity.len() + cursor.as_bytes().len());
    record.push(FORMAT);
    record.extend_from_slice(&length.to_be_bytes());
    record.extend_from_slice(&identity);
    record.extend_from_slice(cursor.as_bytes());
    record
}

/// # Errors
/// What is wrong with the record, for a human.
pub(super) fn decode(record: &[u8]) -> Result<(StreamIdentity, Cursor), String> {
    let (format, rest) = record.split_first().ok_or("it is empty")?;
    if *format != FORMAT {
        return Err(format!(
            "its format is {format}, this version knows {FORMAT}"
        ));
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or("it is cut")?;
    let length = u32::from_be_bytes(*length) as usize;
    let (identity, cursor) = rest.split_at_checked(length).ok_or("it is cut")?;
    let identity =
        serde_json::from_slice(identity).map_err(|error| format!("its stream: {error}"))?;
    Ok((identity, Cursor::new(Bytes::copy_from_slice(cursor))))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream() -> StreamIdentity {
        StreamIdentity {
            source: "defender".to_owned(),
            parts: vec![("tenant".to_owned(), "contoso".to_owned())],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        for cursor in [&b""[..], b"2026-01-02", &[0, 255, 10]] {
            let cursor = Cursor::new(cursor.to_vec());
            let read = decode(&encode(&stream(), &cursor)).expect("own record");
            assert_eq!(read, (stream(), cursor));
        }
    }

    #[test]
    fn damage_and_newer_formats_are_errors() {
        let whole = encode(&stream(), &Cursor::default());
        let mut newer = whole.clone();
        newer[0] = 2;
        assert!(decode(&newer).expect_err("newer").contains("format is 2"));
        for cut in 0..whole.len() {
            assert!(decode(&whole[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn a_changed_record_is_an_error_or_another_record_and_nothing_worse() {
        let whole = encode(&stream(), &Cursor::new("2026-01-02"));
        for (_, bytes) in tapline_testkit::variants(&whole, 50_000) {
            match decode(&bytes) {
                Ok((_, cursor)) => assert!(cursor.as_bytes().len() < bytes.len()),
                Err(why) => assert!(!why.is_empty()),
            }
        }
    }
}
