//! Where to begin in a partition that has no checkpoint.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

/// Where to begin, as written in the pipeline file.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum StartAt {
    /// With the oldest message that the service still has.
    #[default]
    Earliest,
    /// With the next one that arrives.
    Latest,
    /// With the first one that arrived at this time or after.
    Time(Timestamp),
}

impl<'de> Deserialize<'de> for StartAt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.as_str() {
            "earliest" => Ok(Self::Earliest),
            "latest" => Ok(Self::Latest),
            time => time.parse().map(Self::Time).map_err(|_| {
                let expected = "expected earliest, latest, or a time such as 2026-08-01T00:00:00Z";
                D::Error::custom(format!("{expected}, found {time:?}"))
            }),
        }
    }
}
