//! Where to begin in a partition that has no checkpoint.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error};

use crate::cursor::{HubCursor, Mark, Wanted};

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

/// What a checkpoint says of where to read: after a message, or else where to begin.
pub(crate) fn begin(checkpoint: Option<Mark>, start_at: StartAt) -> (Option<HubCursor>, StartAt) {
    match checkpoint {
        None => (None, start_at),
        Some(Mark::Settled(cursor))
        | Some(Mark::Wanted {
            wanted: Wanted::After(cursor),
        }) => (Some(cursor), start_at),
        Some(Mark::Wanted {
            wanted: Wanted::Since { since_ms },
        }) => {
            // What is out of range was never written by us; nothing is as old as that.
            let time = Timestamp::from_millisecond(since_ms);
            (None, time.map_or(StartAt::Earliest, StartAt::Time))
        }
    }
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
