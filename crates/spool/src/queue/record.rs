//! One record as it stands in a file.

use crc32fast::Hasher;

use super::segment::Salt;

/// Bytes in front of the body.
pub(crate) const HEAD: usize = 20;
/// Where a record may begin.
pub(crate) const MARK: [u8; 4] = [0xF5, 0x54, 0x4C, 0xC1];

/// What stands in front of a body.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    length: u32,
    pub(crate) number: u64,
    crc: u32,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoRecord {
    /// They may be the beginning of one of so many bytes.
    Short(usize),
    /// They are not what was written.
    Broken,
}

impl Head {
    fn of(bytes: &[u8]) -> Result<Self, NoRecord> {
        let Some((head, _)) = bytes.split_first_chunk::<HEAD>() else {
            return Err(NoRecord::Short(HEAD));
        };
        let word = |at: usize| head[at..].first_chunk().copied().map(u32::from_le_bytes);
        let number = head[8..].first_chunk().copied().map(u64::from_le_bytes);
        match (word(4), number, word(16)) {
            (Some(length), Some(number), Some(crc)) if head.starts_with(&MARK) => Ok(Self {
                length,
                number,
                crc,
            }),
            _ => Err(NoRecord::Broken),
        }
    }
}

/// The bytes a record takes in a file.
pub(crate) fn size(body: &[u8]) -> usize {
    HEAD + body.len()
}

/// Appends a record to what will be written.
pub(crate) fn encode(salt: Salt, number: u64, body: &[u8], out: &mut Vec<u8>) {
    let length = body.len() as u32;
    out.extend_from_slice(&MARK);
    out.extend_from_slice(&length.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&checksum(salt, length, number, body).to_le_bytes());
    out.extend_from_slice(body);
}

/// The record at the beginning of `bytes`: its number and its body.
pub(crate) fn decode(salt: Salt, bytes: &[u8]) -> Result<(u64, &[u8]), NoRecord> {
    let head = Head::of(bytes)?;
    let end = HEAD.saturating_add(head.length as usize);
    let Some(body) = bytes.get(HEAD..end) else {
        return Err(NoRecord::Short(end));
    };
    let is_whole = checksum(salt, head.length, head.number, body) == head.crc;
    is_whole
        .then_some((head.number, body))
        .ok_or(NoRecord::Broken)
}

fn checksum(salt: Salt, length: u32, number: u64, body: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&salt);
    hasher.update(&length.to_le_bytes());
    hasher.update(&number.to_le_bytes());
    hasher.update(body);
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SALT: Salt = *b"saltsalt";

    #[test]
    fn a_record_is_read_as_written_and_no_flipped_bit_goes_unnoticed() {
        let mut bytes = Vec::new();
        encode(SALT, 42, b"a body", &mut bytes);
        assert_eq!(decode(SALT, &bytes), Ok((42, &b"a body"[..])));
        assert_eq!(decode(*b"saltsal7", &bytes), Err(NoRecord::Broken));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(SALT, &flipped).is_err(), "bit {bit}");
        }
        for length in 0..bytes.len() {
            let short = decode(SALT, &bytes[..length]);
            assert!(matches!(short, Err(NoRecord::Short(_))), "{length}");
        }
    }
}
