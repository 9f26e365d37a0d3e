//! The security part of Microsoft Graph: alerts and incidents.

mod handle;
mod list;
mod reply;

pub use handle::GraphHandle;

use crate::answer::{Answer, Asked};
use crate::faults::Named;
use crate::odata::{BadQuery, ListQuery, Listed};
use crate::serve::Api;
use crate::tokens::{Audience, Tokens};
use crate::wire::Wire;
use crate::world::{Tenant, World};
use http::{HeaderMap, Method, StatusCode};
use list::Page;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Requests per minute, application, and tenant.
/// Source: Graph's throttling limits, "Security detections and incidents", seen 2023.
const PER_MINUTE: usize = 150;

/// An incident with more alerts than this cannot be expanded in a list.
/// Source: elastic/integrations #18144 (a customer's guess).
const EXPANDABLE_ALERTS: usize = 100;

/// When a page that is not the last carries `@odata.nextLink`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NextLinkMode {
    /// Always, as at first.
    Always,
    /// Only when the request had no `$top`.
    OnlyWithoutTop,
    /// Never.
    Never,
    /// Always, but following it answers 400.
    Broken,
    /// Always, but it leads to this base, such as `http://127.0.0.1:1234`.
    ForeignHost(String),
}

/// The simulated service.
#[derive(Debug)]
pub(crate) struct Graph {
    wire: Wire,
    world: Arc<World>,
    tokens: Arc<Tokens>,
    /// The own base, which a nextLink leads to.
    base: String,
    rules: Mutex<Rules>,
}

/// A refusal; boxed, since it is seldom and an answer is big.
type Refused = Box<Answer>;

/// What a test can change.
#[derive(Debug)]
struct Rules {
    clamp: Option<usize>,
    next_link: NextLinkMode,
    ignore_orderby: bool,
    unexpandable: HashSet<String>,
    recent: HashMap<Arc<str>, VecDeque<Instant>>,
}

impl Graph {
    pub(crate) fn new(wire: Wire, world: Arc<World>, tokens: Arc<Tokens>, base: String) -> Self {
        let rules = Rules {
            clamp: None,
            next_link: NextLinkMode::Always,
            ignore_orderby: false,
            unexpandable: HashSet::new(),
            recent: HashMap::new(),
        };
        Self {
            wire,
            world,
            tokens,
            base,
            rules: Mutex::new(rules),
        }
    }

    /// Lets every `$expand=alerts` that meets this incident fail.
    pub(crate) fn fail_expand_of(&self, incident: &str) {
        self.rules().unexpandable.insert(incident.to_owned());
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admitted(&self, asked: &Asked) -> Result<Answer, Refused> {
        if asked.method != Method::GET {
            return Err(refused(
                asked,
                StatusCode::METHOD_NOT_ALLOWED,
                "Request_BadRequest",
                "Only GET is simulated here.",
            ));
        }
        let tenant = self
            .tokens
            .admit(&asked.headers, Audience::Graph)
            .map_err(|problem| Box::new(reply::unauthorized(asked, problem)))?;
        self.within_rate(&tenant)
            .map_err(|wait| Box::new(reply::too_many(asked, wait)))?;
        self.route(asked, &tenant)
    }

    /// Requests that are refused for their number count as well.
    fn within_rate(&self, tenant: &Arc<str>) -> Result<(), Duration> {
        const MINUTE: Duration = Duration::from_secs(60);
        if !self.wire.happens(Named::RateLimit) {
            return Ok(());
        }
        let (mut rules, now) = (self.rules(), Instant::now());
        let recent = rules.recent.entry(Arc::clone(tenant)).or_default();
        while recent
            .front()
            .is_some_and(|first| now.duration_since(*first) >= MINUTE)
        {
            recent.pop_front();
        }
        recent.push_back(now);
        match recent.len().checked_sub(PER_MINUTE + 1) {
            None => Ok(()),
            Some(over) => Err((recent[over] + MINUTE).duration_since(now)),
        }
    }

    fn route(&self, asked: &Asked, tenant: &str) -> Result<Answer, Refused> {
        let path = asked
            .path
            .trim_end_matches('/')
            .strip_prefix("/v1.0/security/")
            .unwrap_or_default();
        let segments: Vec<&str> = path.split('/').collect();
        match segments[..] {
            ["alerts_v2"] => self.list(asked, tenant, Listed::Alerts, None),
            ["alerts_v2", id] => self.one(asked, tenant, Listed::Alerts, id),
            ["incidents"] => self.list(asked, tenant, Listed::Incidents, None),
            ["incidents", id] => self.one(asked, tenant, Listed::Incidents, id),
            ["incidents", id, "alerts"] => self.list(asked, tenant, Listed::Alerts, Some(id)),
            _ => {
                let message = format!("Resource not found for the segment '{}'.", segments[0]);
                Err(refused(
                    asked,
                    StatusCode::BAD_REQUEST,
                    "BadRequest",
                    &message,
                ))
            }
        }
    }

    fn list(
        &self,
        asked: &Asked,
        tenant: &str,
        listed: Listed,
        incident: Option<&str>,
    ) -> Result<Answer, Refused> {
        let bad = |bad: BadQuery| refused(asked, StatusCode::BAD_REQUEST, bad.code, &bad.message);
        let mut query = ListQuery::parse(&asked.query, listed).map_err(bad)?;
        if self.rules().ignore_orderby || self.wire.happens(Named::IgnoreOrderBy) {
            query.order = crate::odata::Order::DEFAULT;
        }
        let length = self.page_length(listed, query.top);
        let page = self.world.read(tenant, |tenant| {
            self.page(tenant, listed, incident, &query, length)
        });
        let page = page.unwrap_or_else(|| Some(Page::default()));
        let page = page.ok_or_else(|| not_expandable(asked))?;
        let context = match incident {
            Some(id) => format!("security/incidents('{id}')/alerts"),
            None if listed == Listed::Alerts => "security/alerts_v2".to_owned(),
            None => "security/incidents".to_owned(),
        };
        let link = page
            .next
            .as_ref()
            .and_then(|place| self.next_link(asked, &query, place));
        Ok(reply::page(asked, &context, &page, link.as_deref()))
    }

    /// `None` when an incident on the page cannot be expanded.
    fn page(
        &self,
        tenant: &Tenant,
        listed: Listed,
        incident: Option<&str>,
        query: &ListQuery,
        length: usize,
    ) -> Option<Page> {
        let records = if listed == Listed::Alerts {
            &tenant.alerts
        } else {
            &tenant.incidents
        };
        let mut page = list::page(records, incident, query, length);
        if query.expand_alerts {
            let rules = self.rules();
            for (id, body) in &mut page.rows {
                let alerts: Vec<_> = tenant
                    .alerts
                    .of_incident(id)
                    .map(|alert| alert.body.clone())
                    .collect();
                if rules.unexpandable.contains(&**id) || alerts.len() > EXPANDABLE_ALERTS {
                    return None;
                }
                *body = reply::with_alerts(body, id, &alerts);
            }
        }
        Some(page)
    }

    fn one(
        &self,
        asked: &Asked,
        tenant: &str,
        listed: Listed,
        id: &str,
    ) -> Result<Answer, Refused> {
        let bad = |bad: BadQuery| refused(asked, StatusCode::BAD_REQUEST, bad.code, &bad.message);
        let query = ListQuery::parse(&asked.query, listed).map_err(bad)?;
        let found = self.world.read(tenant, |tenant| {
            let records = if listed == Listed::Alerts {
                &tenant.alerts
            } else {
                &tenant.incidents
            };
            let alerts = tenant
                .alerts
                .of_incident(id)
                .map(|alert| alert.body.clone())
                .collect::<Vec<_>>();
            records.get(id).map(|record| (record.body.clone(), alerts))
        });
        let missing = || {
            refused(
                asked,
                StatusCode::NOT_FOUND,
                "NotFound",
                &format!("Resource '{id}' does not exist."),
            )
        };
        let (body, alerts) = found.flatten().ok_or_else(missing)?;
        if !query.expand_alerts {
            return Ok(reply::object(asked, body));
        }
        // a single incident expands however many alerts it has, unless it is one that never does
        if self.rules().unexpandable.contains(id) {
            return Err(not_expandable(asked));
        }
        Ok(reply::object(asked, reply::with_alerts(&body, id, &alerts)))
    }

    /// What the service honours of `$top`: silently no more than its own limit.
    fn page_length(&self, listed: Listed, top: Option<usize>) -> usize {
        let most = if listed == Listed::Alerts { 1_000 } else { 50 };
        let clamp = if self.wire.happens(Named::Clamp) {
            Some(50)
        } else {
            self.rules().clamp
        };
        top.unwrap_or(most)
            .min(most)
            .min(clamp.unwrap_or(most))
            .max(1)
    }

    fn next_link(
        &self,
        asked: &Asked,
        query: &ListQuery,
        place: &crate::odata::Place,
    ) -> Option<String> {
        let mode = if self.wire.happens(Named::NoNextLink) {
            NextLinkMode::Never
        } else {
            self.rules().next_link.clone()
        };
        let link =
            |base: &str, token: &str| Some(list::next_link(base, &asked.path, &asked.query, token));
        match mode {
            NextLinkMode::Always => link(&self.base, &place.to_token()),
            NextLinkMode::OnlyWithoutTop if query.top.is_none() => {
                link(&self.base, &place.to_token())
            }
            NextLinkMode::OnlyWithoutTop | NextLinkMode::Never => None,
            NextLinkMode::Broken => link(&self.base, "broken"),
            NextLinkMode::ForeignHost(base) => link(&base, &place.to_token()),
        }
    }
}

fn refused(asked: &Asked, status: StatusCode, code: &str, message: &str) -> Refused {
    Box::new(reply::error(asked, status, code, message))
}

fn not_expandable(asked: &Asked) -> Refused {
    refused(
        asked,
        StatusCode::INTERNAL_SERVER_ERROR,
        "InternalServerError",
        "An internal server error occurred.",
    )
}

impl Api for Graph {
    fn wire(&self) -> &Wire {
        &self.wire
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let answer = self.admitted(asked).unwrap_or_else(|refused| *refused);
        if wants_unknown_members(&asked.headers) {
            answer
        } else {
            reply::masked(answer)
        }
    }

    fn refusal(&self, asked: &Asked, status: StatusCode) -> Answer {
        match status {
            StatusCode::UNAUTHORIZED => {
                self.tokens.forget(&asked.headers);
                reply::unauthorized(asked, crate::tokens::TokenProblem::Unknown)
            }
            StatusCode::TOO_MANY_REQUESTS => reply::throttled(asked),
            other => reply::error(
                asked,
                other,
                other.canonical_reason().unwrap_or("UnknownError"),
                "Simulated.",
            ),
        }
    }
}

/// Whether the client asked for enum members behind the sentinel.
fn wants_unknown_members(headers: &HeaderMap) -> bool {
    let wanted = headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    wanted.into_iter().any(|word| {
        word.trim()
            .eq_ignore_ascii_case("include-unknown-enum-members")
    })
}
