//! One record as a test puts it in.

use crate::ticks;
use bytes::Bytes;
use serde_json::Value;
use std::time::Duration;

/// One version of one record, put in by hand.
///
/// Made from a JSON object (`id` and `lastUpdateDateTime`, or `FullId` and `LastProcessedTimeUtc`, are read out of it), or from
/// raw bytes by [`Row::raw`], which need not be JSON at all.
#[derive(Debug, Clone)]
pub struct Row {
    pub(crate) id: String,
    pub(crate) version: String,
    pub(crate) incident: Option<String>,
    pub(crate) created: Option<i64>,
    pub(crate) delay: Duration,
    pub(crate) body: Bytes,
}

impl Row {
    /// A row whose body is these bytes, whatever they are; `last_update` is what `$filter`, `$orderby`, and `sinceTimeUtc` see.
    pub fn raw(
        id: impl Into<String>,
        last_update: impl Into<String>,
        body: impl Into<Bytes>,
    ) -> Self {
        Self {
            id: id.into(),
            version: last_update.into(),
            incident: None,
            created: None,
            delay: Duration::ZERO,
            body: body.into(),
        }
    }

    /// The row cannot be read before this much time has passed; a version of the same id that stood before it can, until then.
    #[must_use]
    pub fn visible_after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Makes the alert a part of this incident.
    #[must_use]
    pub fn of_incident(mut self, incident: impl Into<String>) -> Self {
        self.incident = Some(incident.into());
        self
    }

    /// When the row was last changed, in ticks; rows whose time cannot be read are as old as can be.
    pub(crate) fn updated(&self) -> i64 {
        ticks::parse(&self.version).unwrap_or(0)
    }
}

impl From<Value> for Row {
    fn from(body: Value) -> Self {
        let text = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| body.get(name)?.as_str())
                .map(str::to_owned)
        };
        let id = text(&["id", "FullId", "AlertId"]).unwrap_or_default();
        let version = text(&["lastUpdateDateTime", "LastProcessedTimeUtc"]).unwrap_or_default();
        let created = text(&["createdDateTime"]).and_then(|created| ticks::parse(&created));
        let incident = text(&["incidentId"]);
        Self {
            incident,
            created,
            ..Self::raw(id, version, body.to_string())
        }
    }
}
