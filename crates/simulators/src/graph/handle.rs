//! What a test can do to Graph.

use super::{Graph, NextLinkMode};
use crate::answer::Fault;
use crate::row::Row;
use crate::siem::put;
use crate::wire::RecordedRequest;
use crate::world::Kind;
use std::sync::Arc;

/// Graph as a test sees it; rows go to one tenant.
#[derive(Debug, Clone)]
pub struct GraphHandle {
    pub(crate) server: Arc<Graph>,
    pub(crate) tenant: Arc<str>,
}

impl GraphHandle {
    /// The same server, with rows going to this tenant. The identity platform must know it too.
    #[must_use]
    pub fn for_tenant(&self, tenant_id: &str) -> Self {
        Self {
            server: Arc::clone(&self.server),
            tenant: tenant_id.to_ascii_lowercase().into(),
        }
    }

    /// Puts an alert in; it replaces an older version of the same id.
    pub fn put_alert(&self, row: impl Into<Row>) {
        put(&self.server.world, Kind::Alert, &self.tenant, row.into());
    }

    /// Puts an incident in; it replaces an older version of the same id.
    pub fn put_incident(&self, row: impl Into<Row>) {
        put(&self.server.world, Kind::Incident, &self.tenant, row.into());
    }

    /// Lets pages hold at most so many rows, whatever `$top` says.
    pub fn set_page_clamp(&self, rows: usize) {
        self.server.rules().clamp = Some(rows);
    }

    /// Sets when pages carry `@odata.nextLink`.
    pub fn set_next_link(&self, mode: NextLinkMode) {
        self.server.rules().next_link = mode;
    }

    /// Lets the service ignore `$orderby`: most recent first, as without it.
    pub fn set_ignore_orderby(&self, ignored: bool) {
        self.server.rules().ignore_orderby = ignored;
    }

    /// Lets every `$expand=alerts` that meets this incident answer 500, for good.
    pub fn fail_expand_of(&self, incident_id: &str) {
        self.server.fail_expand_of(incident_id);
    }

    /// Queues a fault for the next request that no earlier fault has taken.
    pub fn fail_next(&self, fault: Fault) {
        self.server.wire.fail_next(fault);
    }

    /// Every request so far, oldest first. Empty unless scripted.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.server.wire.requests()
    }

    /// Shifts the `Date` header by so many seconds.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.server.wire.set_clock_offset(seconds);
    }
}
