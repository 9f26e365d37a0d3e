//! Why a record cannot be normalized.

use crate::cef::TooLong;
use crate::json::ScanError;

/// Why a record cannot be normalized. Everything that is JSON can be turned into OCSF.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum NormalizeError {
    /// The body is not JSON.
    #[error("the body is not JSON: expected {expected} at byte {offset}")]
    NotJson {
        /// The first byte that is wrong, counted from 0.
        offset: usize,
        /// What should stand there.
        expected: &'static str,
    },
    /// The body nests deeper than any record of Defender does.
    #[error("the body nests too deeply: more than 128 levels at byte {offset}")]
    TooDeep {
        /// Where the level too many begins.
        offset: usize,
    },
    /// Even without its optional keys the line is longer than receivers take.
    #[error("the line is too long: {why}")]
    TooLong {
        /// Length and limit.
        why: String,
    },
}

impl NormalizeError {
    /// One of the closed set of reasons, a metric label.
    pub fn reason(&self) -> &'static str {
        match self {
            NormalizeError::NotJson { .. } => "not_json",
            NormalizeError::TooDeep { .. } => "too_deep",
            NormalizeError::TooLong { .. } => "too_long",
        }
    }
}

impl From<ScanError> for NormalizeError {
    fn from(error: ScanError) -> Self {
        match error {
            ScanError::Unexpected { expected, offset } => Self::NotJson { offset, expected },
            ScanError::TooDeep { offset } => Self::TooDeep { offset },
        }
    }
}

impl From<std::str::Utf8Error> for NormalizeError {
    fn from(error: std::str::Utf8Error) -> Self {
        Self::NotJson {
            offset: error.valid_up_to(),
            expected: "UTF-8",
        }
    }
}

impl From<TooLong> for NormalizeError {
    fn from(error: TooLong) -> Self {
        Self::TooLong {
            why: error.to_string(),
        }
    }
}
