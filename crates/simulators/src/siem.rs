//! The legacy SIEM exporter.
//! Source: windows-itpro-docs, "pull alerts using REST API" (02e5e9c).

use crate::answer::{Answer, Asked, Fault, json, set_header};
use crate::row::Row;
use crate::serve::Api;
use crate::ticks;
use crate::tokens::{Audience, Tokens};
use crate::wire::{RecordedRequest, Wire, decode_pairs};
use crate::world::{Kind, Publication, Record, Tenant, World, last_ticks};
use bytes::Bytes;
use http::{Method, StatusCode};
use jiff::{Span, SpanRelativeTo};
use serde::Deserialize;
use std::borrow::Cow;
use std::ops::RangeInclusive;
use std::sync::Arc;

/// The window when the request names none.
const DEFAULT_WINDOW: i64 = 2 * 3600 * ticks::SECOND;

/// The simulated exporter.
#[derive(Debug)]
pub(crate) struct Siem {
    pub(crate) wire: Wire,
    pub(crate) world: Arc<World>,
    pub(crate) tokens: Arc<Tokens>,
}

impl Api for Siem {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn answer(&self, asked: &Asked) -> Answer {
        if !asked
            .path
            .trim_end_matches('/')
            .eq_ignore_ascii_case("/api/alerts")
        {
            return json(StatusCode::NOT_FOUND, "");
        }
        if asked.method != Method::GET {
            return json(StatusCode::METHOD_NOT_ALLOWED, "");
        }
        // 401 is the documented answer to a bad token and to a malformed request alike
        let Ok(tenant) = self.tokens.admit(&asked.headers, Audience::Siem) else {
            return unauthorized();
        };
        let Some(wanted) = Wanted::parse(&asked.query) else {
            return unauthorized();
        };
        let bodies = self
            .world
            .read(&tenant, |tenant| wanted.of(tenant))
            .unwrap_or_default();
        json(StatusCode::OK, array(&bodies))
    }

    fn refusal(&self, asked: &Asked, status: StatusCode) -> Answer {
        if status == StatusCode::UNAUTHORIZED {
            self.tokens.forget(&asked.headers);
            return unauthorized();
        }
        json(
            status,
            format!(
                "{{\"error\":{{\"code\":\"{}\",\"message\":\"simulated\"}}}}",
                status.as_u16()
            ),
        )
    }
}

fn unauthorized() -> Answer {
    let mut answer = json(StatusCode::UNAUTHORIZED, "");
    set_header(&mut answer, "www-authenticate", "Bearer");
    answer
}

fn array(bodies: &[Bytes]) -> Vec<u8> {
    let mut out = Vec::with_capacity(2 + bodies.iter().map(|body| body.len() + 1).sum::<usize>());
    out.push(b'[');
    for (n, body) in bodies.iter().enumerate() {
        out.extend_from_slice(if n == 0 { b"" } else { b"," });
        out.extend_from_slice(body);
    }
    out.push(b']');
    out
}

/// The six parameters, understood.
#[derive(Debug, Default)]
struct Wanted {
    since: Option<i64>,
    until: Option<i64>,
    ago: Option<i64>,
    limit: Option<usize>,
    machine_groups: Vec<String>,
    device_tag: Option<String>,
    cloud_tag: Option<String>,
}

/// The fields of a detection that a request can ask for.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Seen<'a> {
    #[serde(borrow)]
    machine_group: Cow<'a, str>,
    device_created_machine_tags: Cow<'a, str>,
    cloud_created_machine_tags: Cow<'a, str>,
}

impl Wanted {
    /// `None` when a value makes no sense.
    fn parse(query: &str) -> Option<Self> {
        let mut wanted = Self::default();
        for (name, value) in decode_pairs(query) {
            match name.to_ascii_lowercase().as_str() {
                "sincetimeutc" => wanted.since = Some(ticks::parse(&value)?),
                "untiltimeutc" => wanted.until = Some(ticks::parse(&value)?),
                "ago" => wanted.ago = Some(duration(&value)?),
                "limit" => wanted.limit = Some(value.parse().ok()?),
                "machinegroups" => wanted.machine_groups.push(value),
                "devicecreatedmachinetags" => wanted.device_tag = Some(value),
                "cloudcreatedmachinetags" => wanted.cloud_tag = Some(value),
                _ => {}
            }
        }
        Some(wanted)
    }

    /// Whether the bounds belong to the window is documented nowhere; here they do.
    fn window(&self) -> RangeInclusive<i64> {
        let default = last_ticks(self.ago.unwrap_or(DEFAULT_WINDOW));
        self.since.unwrap_or(*default.start())..=self.until.unwrap_or(*default.end())
    }

    /// The detections asked for, oldest first; a limit keeps the most recent ones.
    fn of(&self, tenant: &Tenant) -> Vec<Bytes> {
        let window = self.window();
        let newest_first = tenant
            .detections
            .changed(&window)
            .rev()
            .filter(|record| self.fits(record));
        let mut bodies: Vec<Bytes> = newest_first
            .take(self.limit.unwrap_or(usize::MAX))
            .map(|record| record.body.clone())
            .collect();
        bodies.reverse();
        bodies
    }

    fn fits(&self, record: &Record) -> bool {
        if self.machine_groups.is_empty() && self.device_tag.is_none() && self.cloud_tag.is_none() {
            return true;
        }
        let seen: Seen<'_> = serde_json::from_slice(&record.body).unwrap_or_default();
        let in_group = self.machine_groups.is_empty()
            || self
                .machine_groups
                .iter()
                .any(|group| *group == seen.machine_group);
        let tagged = |wanted: &Option<String>, tags: &str| {
            wanted
                .as_deref()
                .is_none_or(|wanted| tags.split([',', ';']).any(|tag| tag.trim() == wanted))
        };
        in_group
            && tagged(&self.device_tag, &seen.device_created_machine_tags)
            && tagged(&self.cloud_tag, &seen.cloud_created_machine_tags)
    }
}

/// The ticks of an ISO 8601 duration such as `PT10M`.
fn duration(text: &str) -> Option<i64> {
    let length = text
        .parse::<Span>()
        .ok()?
        .to_duration(SpanRelativeTo::days_are_24_hours())
        .ok()?;
    let ticks = i64::try_from(length.as_nanos() / 100).ok()?;
    (text.starts_with('P') && ticks >= 0).then_some(ticks)
}

/// The exporter as a test sees it; rows go to one tenant.
#[derive(Debug, Clone)]
pub struct SiemHandle {
    pub(crate) server: Arc<Siem>,
    pub(crate) tenant: Arc<str>,
}

impl SiemHandle {
    /// The same server, with rows going to this tenant. The identity platform must know it too.
    #[must_use]
    pub fn for_tenant(&self, tenant_id: &str) -> Self {
        Self {
            server: Arc::clone(&self.server),
            tenant: tenant_id.to_ascii_lowercase().into(),
        }
    }

    /// Puts a detection in.
    pub fn put(&self, row: impl Into<Row>) {
        put(
            &self.server.world,
            Kind::Detection,
            &self.tenant,
            row.into(),
        );
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

/// Puts one row of a test into the world.
pub(crate) fn put(world: &World, kind: Kind, tenant: &Arc<str>, row: Row) {
    let updated = row.updated();
    let visible_at = tokio::time::Instant::now() + row.delay;
    let record = Record {
        id: row.id.into(),
        version: row.version.into(),
        updated,
        created: row.created.unwrap_or(updated),
        incident: row.incident.map(Into::into),
        body: row.body,
    };
    if let Err(error) = world.publish([Publication {
        kind,
        tenant: Arc::clone(tenant),
        record,
        visible_at,
    }]) {
        tracing::error!(%error, "the ledger cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_iso_8601() {
        for (text, expected) in [
            ("PT10M", Some(600)),
            ("P1D", Some(86_400)),
            ("P1DT1S", Some(86_401)),
            ("10m", None),
            ("soon", None),
            ("-PT1M", None),
        ] {
            assert_eq!(
                duration(text),
                expected.map(|seconds: i64| seconds * ticks::SECOND),
                "{text}"
            );
        }
    }
}
