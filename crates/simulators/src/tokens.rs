//! Access and refresh tokens that were given out, and whom they let in.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use rand::Rng;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// Expired access tokens are swept out when there are more tokens than this.
const SWEEP_ABOVE: usize = 1_000;

/// The service that a token is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Audience {
    Graph,
    Siem,
    /// Event Hubs over AMQP.
    EventHubs,
    /// One namespace of Event Hubs, over its Kafka endpoint; its listener checks the signature.
    Namespace,
}

/// The roots of Microsoft Graph in all clouds that have the security API.
/// Source: Graph's page on national clouds, seen 2026-08.
const GRAPH: [&str; 4] = [
    "https://graph.microsoft.com",
    "https://graph.microsoft.us",
    "https://dod-graph.microsoft.us",
    "https://microsoftgraph.chinacloudapi.cn",
];

/// The two resources of the legacy exporter: that of the portal's own app, and that of self-registered ones.
/// Source: windows-itpro-docs, "pull alerts using REST API", revisions of 2016 to 2023.
const SIEM: [&str; 2] = [
    "https://graph.windows.net",
    "https://WDATPAlertExport.Seville.onmicrosoft.com",
];

/// Event Hubs over AMQP, in all clouds. Source: the scope in Azure's SDKs for Rust and Python, seen 2026-09.
const EVENT_HUBS: [&str; 1] = ["https://eventhubs.azure.net"];

/// What the host of a namespace ends with, by cloud. Source: the developer guides of the clouds, seen 2026-09.
const NAMESPACES: [&str; 3] = [
    ".servicebus.windows.net",
    ".servicebus.usgovcloudapi.net",
    ".servicebus.chinacloudapi.cn",
];

impl Audience {
    /// The service behind an App ID URI, if there is one.
    pub(crate) fn of(resource: &str) -> Option<Self> {
        let resource = resource.trim_end_matches('/');
        let among = |known: &[&str]| {
            known
                .iter()
                .any(|known| known.eq_ignore_ascii_case(resource))
        };
        if among(&GRAPH) {
            return Some(Self::Graph);
        }
        if among(&EVENT_HUBS) {
            return Some(Self::EventHubs);
        }
        if is_namespace(resource) {
            return Some(Self::Namespace);
        }
        among(&SIEM).then_some(Self::Siem)
    }
}

fn is_namespace(resource: &str) -> bool {
    let resource = resource.to_ascii_lowercase();
    let host = resource.strip_prefix("https://");
    host.is_some_and(|host| NAMESPACES.iter().any(|suffix| host.ends_with(suffix)))
}

/// Why a token does not let a request in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TokenProblem {
    Missing,
    Unknown,
    Expired,
    WrongAudience,
}

/// What became of a refresh token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refresh {
    Good,
    Revoked,
    Unknown,
}

/// Every token that is out.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    access: HashMap<String, Access>,
    /// Whether each is still good.
    refresh: HashMap<String, bool>,
}

#[derive(Debug)]
struct Access {
    tenant: Arc<str>,
    audience: Audience,
    expires: Instant,
}

impl Tokens {
    /// Lets the holder of an access token in.
    pub(crate) fn issue(&self, token: &str, tenant: &str, audience: Audience, lives: Duration) {
        let now = Instant::now();
        let mut state = self.lock();
        if state.access.len() > SWEEP_ABOVE {
            state.access.retain(|_, access| access.expires > now);
        }
        let access = Access {
            tenant: tenant.into(),
            audience,
            expires: now + lives,
        };
        state.access.insert(token.to_owned(), access);
    }

    /// Gives out a refresh token.
    pub(crate) fn issue_refresh(&self) -> String {
        let token = unguessable("0.sim-refresh-");
        self.lock().refresh.insert(token.clone(), true);
        token
    }

    pub(crate) fn refresh_state(&self, token: &str) -> Refresh {
        match self.lock().refresh.get(token) {
            Some(true) => Refresh::Good,
            Some(false) => Refresh::Revoked,
            None => Refresh::Unknown,
        }
    }

    pub(crate) fn revoke_refresh_tokens(&self) {
        self.lock()
            .refresh
            .values_mut()
            .for_each(|good| *good = false);
    }

    pub(crate) fn forget_access_tokens(&self) {
        self.lock().access.clear();
    }

    /// Ends the token that a request shows.
    pub(crate) fn forget(&self, headers: &HeaderMap) {
        if let Some(token) = bearer(headers) {
            self.lock().access.remove(token);
        }
    }

    /// The tenant that a request may read.
    pub(crate) fn admit(
        &self,
        headers: &HeaderMap,
        audience: Audience,
    ) -> Result<Arc<str>, TokenProblem> {
        let token = bearer(headers).ok_or(TokenProblem::Missing)?;
        let state = self.lock();
        let access = state.good(token, audience)?;
        Ok(Arc::clone(&access.tenant))
    }

    /// How long a token lets its holder in, shown as text.
    pub(crate) fn admit_text(
        &self,
        token: &str,
        audience: Audience,
    ) -> Result<Duration, TokenProblem> {
        let state = self.lock();
        let access = state.good(token, audience)?;
        Ok(access.expires.saturating_duration_since(Instant::now()))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn good(&self, token: &str, audience: Audience) -> Result<&Access, TokenProblem> {
        let access = self.access.get(token).ok_or(TokenProblem::Unknown)?;
        if access.expires <= Instant::now() {
            return Err(TokenProblem::Expired);
        }
        if access.audience != audience {
            return Err(TokenProblem::WrongAudience);
        }
        Ok(access)
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then_some(token.trim())
}

/// 256 bits that nobody can guess, whatever the seed.
pub(crate) fn unguessable(prefix: &str) -> String {
    let bytes: [u8; 32] = rand::rng().random();
    bytes.iter().fold(prefix.to_owned(), |text, byte| {
        text + &format!("{byte:02x}")
    })
}

/// A random GUID.
pub(crate) fn guid() -> String {
    let value: u128 = rand::rng().random();
    let text = format!("{value:032x}");
    format!(
        "{}-{}-4{}-a{}-{}",
        &text[..8],
        &text[8..12],
        &text[13..16],
        &text[17..20],
        &text[20..]
    )
}
