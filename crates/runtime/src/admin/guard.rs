//! Who may ask: checks of `Host`, `Origin`, and the token, and the headers of every answer.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tapline_core::Secret;

/// What a request has to fulfil.
pub(super) struct Guard {
    pub(super) token: Option<Secret>,
    pub(super) is_loopback: bool,
}

/// Nothing here may be framed, cached, sniffed, or mixed with other sites.
const SECURITY_HEADERS: [(&str, &str); 6] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cache-control", "no-store"),
];

/// Answers a request, or says why it will not.
pub(super) async fn guard(
    State(guard): State<Arc<Guard>>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = match guard.check(&request) {
        Ok(()) => next.run(request).await,
        Err(refusal) => refusal.into_response(),
    };
    for (name, value) in SECURITY_HEADERS {
        let name = HeaderName::from_static(name);
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

type Refusal = (StatusCode, &'static str);

impl Guard {
    fn check(&self, request: &Request) -> Result<(), Refusal> {
        let (headers, path) = (request.headers(), request.uri().path());
        let changes = !request.method().is_safe();
        if changes && self.token.is_none() {
            let why = "what changes something needs a token; set admin.token in the pipeline file and restart\n";
            return Err((StatusCode::FORBIDDEN, why));
        }
        let host = authority(headers, &HOST);
        // A name that somebody else's DNS points at loopback must not reach us (DNS rebinding).
        // Elsewhere token and TLS see to that, and the names we are reached by are not known.
        if self.is_loopback && !host.as_ref().is_some_and(is_loopback_host) {
            let why = "this address answers only to loopback names\n";
            return Err((StatusCode::MISDIRECTED_REQUEST, why));
        }
        if headers.contains_key(ORIGIN) && origin(headers) != host {
            return Err((
                StatusCode::FORBIDDEN,
                "requests of other sites are refused\n",
            ));
        }
        if (changes || self.needs_token(path)) && !self.has_token(headers) {
            let why = "send the token of admin.token as Authorization: Bearer\n";
            return Err((StatusCode::UNAUTHORIZED, why));
        }
        Ok(())
    }

    /// Probes carry no token, and the page asks the person for it.
    fn needs_token(&self, path: &str) -> bool {
        const OPEN: [&str; 5] = [
            "/",
            "/page.js",
            "/page.css",
            "/health/live",
            "/health/ready",
        ];
        self.token.is_some() && !OPEN.contains(&path)
    }

    fn has_token(&self, headers: &HeaderMap) -> bool {
        let sent = headers.get(AUTHORIZATION).map(HeaderValue::as_bytes);
        let sent = sent.and_then(|value| value.strip_prefix(b"Bearer "));
        match (&self.token, sent) {
            (Some(token), Some(sent)) => is_same(token.expose().as_bytes(), sent),
            _ => false,
        }
    }
}

fn authority(headers: &HeaderMap, name: &HeaderName) -> Option<Authority> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (Some(only), None) => only.to_str().ok()?.parse().ok(),
        _ => None,
    }
}

fn origin(headers: &HeaderMap) -> Option<Authority> {
    let origin = headers.get(ORIGIN)?.to_str().ok()?;
    let rest = origin
        .strip_prefix("http://")
        .or_else(|| origin.strip_prefix("https://"))?;
    rest.parse().ok()
}

fn is_loopback_host(authority: &Authority) -> bool {
    let host = authority.host();
    let address = host.trim_start_matches('[').trim_end_matches(']');
    let is_address = address
        .parse::<std::net::IpAddr>()
        .is_ok_and(|ip| ip.is_loopback());
    is_address || host.eq_ignore_ascii_case("localhost")
}

/// Compares without telling by its duration how much was right.
fn is_same(expected: &[u8], sent: &[u8]) -> bool {
    let pairs = expected.iter().zip(sent);
    let differences = pairs.fold(0, |found, (a, b)| found | (a ^ b));
    expected.len() == sent.len() && differences == 0
}
