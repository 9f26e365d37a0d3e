//! A place between two records.

use tapline_core::Cursor;

/// In front of the record with this number, which is, or will be, at this place.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Position {
    pub(crate) number: u64,
    /// Number of the first record of the file.
    pub(crate) segment: u64,
    /// Bytes into the file.
    pub(crate) offset: u64,
}

const FORMAT: u8 = 1;

impl Position {
    /// Where a file's first record begins.
    pub(crate) fn start_of(segment: u64) -> Self {
        Self {
            number: segment,
            segment,
            offset: super::segment::HEAD,
        }
    }

    /// As a checkpoint keeps it.
    pub(crate) fn to_cursor(self) -> Cursor {
        let mut bytes = vec![FORMAT];
        for number in [self.number, self.segment, self.offset] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        Cursor::new(bytes)
    }

    /// Nothing if these are no bytes of ours.
    pub(crate) fn of_cursor(cursor: &Cursor) -> Option<Self> {
        let numbers = cursor.as_bytes().strip_prefix(&[FORMAT])?;
        let (numbers, rest) = numbers.as_chunks::<8>();
        match (numbers, rest) {
            ([number, segment, offset], []) => Some(Self {
                number: u64::from_le_bytes(*number),
                segment: u64::from_le_bytes(*segment),
                offset: u64::from_le_bytes(*offset),
            }),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_was_and_anything_else_not_at_all() {
        let position = Position {
            number: 7,
            segment: 3,
            offset: u64::MAX,
        };
        assert_eq!(Position::of_cursor(&position.to_cursor()), Some(position));
        for wrong in [&b""[..], b"\x01", b"\x02aaaaaaaabbbbbbbbcccccccc", &[1; 26]] {
            assert_eq!(Position::of_cursor(&Cursor::new(wrong)), None);
        }
    }
}
