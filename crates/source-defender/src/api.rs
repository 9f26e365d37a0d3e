//! One request to an API of Defender: rate limit, token, headers, status, and a capped body.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use rand::Rng;
use reqwest::header::{ACCEPT, HeaderMap};
use reqwest::{Client, Response, Url};
use serde::Deserialize;
use tapline_core::chain;
use tapline_entra_auth::http::{self, read_capped, retry_after};
use tapline_entra_auth::{Audience, RateLimit, Token, TokenProvider};
use tracing::debug;

use crate::clock::ServerClock;
use crate::error::ReadError;
use crate::health::{Health, Wait};
use crate::limits::LONGEST_SERVER_WAIT;
use crate::loose::{LooseObject, LooseText};

/// An answer must be complete within this, however steadily it trickles.
const ANSWER_DEADLINE: Duration = Duration::from_secs(300);
/// So much of an error's body is read, in bytes.
const ERROR_CAP: usize = 16 << 10;
/// So much of an error's text is logged, in characters.
const ERROR_TEXT: usize = 300;

/// Everything that is needed to ask one tenant.
pub(crate) struct Api {
    pub(crate) client: Client,
    pub(crate) tokens: Arc<TokenProvider>,
    pub(crate) audience: Audience,
    pub(crate) limit: Arc<RateLimit>,
    pub(crate) health: Arc<Health>,
}

impl Api {
    /// Asks once; a refused token is renewed and tried a second time.
    ///
    /// # Errors
    /// [`ReadError`], which says what to do about it.
    pub(crate) async fn get(
        &self,
        url: &Url,
        cap: usize,
        clock: &mut ServerClock,
    ) -> Result<Bytes, ReadError> {
        let within = tokio::time::timeout(ANSWER_DEADLINE, self.get_twice(url, cap, clock));
        within.await.unwrap_or_else(|_elapsed| {
            let what = format!("not complete within {ANSWER_DEADLINE:?}");
            Err(ReadError::Truncated(what))
        })
    }

    async fn get_twice(
        &self,
        url: &Url,
        cap: usize,
        clock: &mut ServerClock,
    ) -> Result<Bytes, ReadError> {
        for _attempt in 0..2 {
            let token = self
                .tokens
                .token(&self.audience)
                .await
                .map_err(ReadError::Token)?;
            let response = self.send(url, &token).await?;
            clock.hear(response.headers());
            if response.status().as_u16() == 401 {
                self.tokens.refused(&self.audience, &token);
                continue;
            }
            return self.body_of(response, cap, clock).await;
        }
        Err(ReadError::Unauthorized)
    }

    async fn send(&self, url: &Url, token: &Token) -> Result<Response, ReadError> {
        let waited = self.limit.ready().await;
        self.health.waited(Wait::RateLimit, waited);
        let request = self
            .client
            .get(url.clone())
            .bearer_auth(token.expose())
            .header(ACCEPT, "application/json")
            .header("Prefer", "include-unknown-enum-members")
            .header("client-request-id", request_id());
        let sent = request.send().await;
        let status = sent
            .as_ref()
            .ok()
            .map(|response| response.status().as_u16());
        self.health.requested(status);
        sent.map_err(|error| unreachable(error.without_url()))
    }

    async fn body_of(
        &self,
        response: Response,
        cap: usize,
        clock: &ServerClock,
    ) -> Result<Bytes, ReadError> {
        let status = response.status().as_u16();
        if let 200 | 206 = status {
            return read_capped(response, cap)
                .await
                .map_err(|error| match error {
                    http::ReadError::TooLarge { cap } => ReadError::TooLarge(cap),
                    http::ReadError::Broken(what) => ReadError::Truncated(what),
                });
        }
        let wait = server_wait(response.headers(), clock);
        let request_id = response.headers().get("request-id").cloned();
        let message = error_text(response).await;
        debug!(
            status,
            ?request_id,
            message,
            "the API answers with an error"
        );
        Err(refusal(status, wait, message))
    }
}

fn server_wait(headers: &HeaderMap, clock: &ServerClock) -> Option<Duration> {
    let now = clock
        .now()
        .map_or_else(Timestamp::now, |now| now.to_timestamp());
    retry_after(headers, now).map(|wait| wait.min(LONGEST_SERVER_WAIT))
}

/// Sources: Microsoft Graph "errors" and "throttling", defender-docs `common-errors`, 2026.
fn refusal(status: u16, wait: Option<Duration>, message: String) -> ReadError {
    match status {
        400 => ReadError::BadRequest { message },
        402 | 403 => ReadError::Denied { status, message },
        404 | 410 => ReadError::NotFound { status },
        429 => ReadError::Throttled { status, wait },
        503 if wait.is_some() => ReadError::Throttled { status, wait },
        408 | 500..=599 => ReadError::Server {
            status,
            wait,
            message,
        },
        _ => ReadError::Unexpected { status },
    }
}

#[derive(Default, Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow, default)]
    error: LooseObject<ErrorMembers<'a>>,
}

#[derive(Default, Deserialize)]
struct ErrorMembers<'a> {
    #[serde(borrow, default)]
    code: LooseText<'a>,
    #[serde(borrow, default)]
    message: LooseText<'a>,
}

/// Code and message of an error, as far as there are any.
async fn error_text(response: Response) -> String {
    let body = read_capped(response, ERROR_CAP).await.unwrap_or_default();
    let parsed = serde_json::from_slice::<ErrorBody<'_>>(&body).unwrap_or_default();
    let ErrorMembers { code, message } = parsed.error.0;
    let text = format!(
        "{} {}",
        code.0.unwrap_or_default(),
        message.0.unwrap_or_default()
    );
    text.trim().chars().take(ERROR_TEXT).collect()
}

fn unreachable(error: reqwest::Error) -> ReadError {
    let what = chain(&error);
    // The resolver's error has no type that can be asked; its text is hyper-util's.
    let unknown_host = what.contains("dns error");
    ReadError::Unreachable { what, unknown_host }
}

/// A random UUID, so that Microsoft's support can find the request.
fn request_id() -> String {
    const VARIANT: u128 = 0b11 << 62;
    const VERSION: u128 = 0xF << 76;
    let random: u128 = rand::rng().random();
    let id = random & !VARIANT & !VERSION | 1 << 63 | 4 << 76;
    let text = format!("{id:032x}");
    let parts = [
        &text[..8],
        &text[8..12],
        &text[12..16],
        &text[16..20],
        &text[20..],
    ];
    parts.join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_is_a_random_uuid() {
        let id = request_id();
        assert_eq!((id.len(), &id[14..15]), (36, "4"));
        assert!("89ab".contains(&id[19..20]), "{id}");
        assert_ne!(id, request_id());
    }

    #[test]
    fn statuses_mean_what_the_documentation_says() {
        let check = |status: u16, wait: Option<u64>, expected: &str| {
            let wait = wait.map(Duration::from_secs);
            assert_eq!(
                refusal(status, wait, String::new()).reason(false),
                expected,
                "{status}"
            );
        };
        check(400, None, "bad_request");
        check(402, None, "denied");
        check(403, None, "denied");
        check(404, None, "not_found");
        check(408, None, "server_error");
        check(429, None, "throttled");
        check(503, Some(3), "throttled");
        check(503, None, "server_error");
        check(509, None, "server_error");
        check(302, None, "unexpected_status");
    }
}
