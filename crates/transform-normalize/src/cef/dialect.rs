//! The formats of lines that one engine writes.

use super::escape;
use crate::leef;
use crate::mapping::Target;

/// A format of lines.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Dialect {
    #[default]
    Cef,
    Leef,
}

impl Dialect {
    /// Where its mapping files are.
    pub(crate) fn target(self) -> Target {
        match self {
            Self::Cef => Target::Cef,
            Self::Leef => Target::Leef,
        }
    }

    /// Writes a header field. Returns whether something was cut off.
    pub(super) fn header(self, out: &mut Vec<u8>, text: &str, max_bytes: usize) -> bool {
        match self {
            Self::Cef => escape::header(out, text, max_bytes),
            Self::Leef => leef::header(out, text, max_bytes),
        }
    }

    /// Writes the value of a key. Returns whether something was cut off.
    pub(super) fn value(self, out: &mut Vec<u8>, text: &str, max_bytes: usize) -> bool {
        match self {
            Self::Cef => escape::value(out, text, max_bytes),
            Self::Leef => leef::value(out, text, max_bytes),
        }
    }

    /// What stands between keys.
    pub(super) fn delimiter(self) -> u8 {
        match self {
            Self::Cef => b' ',
            Self::Leef => leef::DELIMITER,
        }
    }

    /// The key that says that others were left out.
    pub(super) fn truncated(self) -> &'static [u8] {
        match self {
            Self::Cef => b"MicrosoftDefenderTruncated=1",
            Self::Leef => leef::TRUNCATED,
        }
    }
}
