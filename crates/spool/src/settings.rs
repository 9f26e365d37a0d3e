//! What an operator writes under `spool:`.

use serde::Deserialize;
use tapline_core::Problem;

use crate::queue::{Bounds, WhenFull};

/// The smallest that makes sense: room for some of the largest events.
const LEAST: u64 = 16 << 20;

/// The `spool:` of a sink.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SpoolSettings {
    /// Bytes on disk, at least 16 MiB.
    max_bytes: u64,
    /// `block` (the default) or `drop_oldest`.
    #[serde(default)]
    when_full: WhenFull,
}

impl SpoolSettings {
    /// What is wrong with them, with paths below `spool:`.
    pub fn problems(&self) -> Vec<Problem> {
        if self.max_bytes >= LEAST {
            return Vec::new();
        }
        let message = format!(
            "expected at least {LEAST} (16 MiB), found {}",
            self.max_bytes
        );
        vec![Problem::new("max_bytes", message)]
    }

    pub(crate) fn bounds(self) -> Bounds {
        Bounds {
            max_bytes: self.max_bytes,
            when_full: self.when_full,
        }
    }
}
