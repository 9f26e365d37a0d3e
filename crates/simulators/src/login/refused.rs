//! The refusals of the token endpoint.
//! Source: entra-docs, "error codes" and "client credentials flow", seen 2026-09; the texts are ours.

use crate::answer::{Answer, json};
use crate::tokens::guid;
use http::{Method, StatusCode};

/// One refusal: HTTP status, OAuth error word, AADSTS number, and a sentence.
#[derive(Debug)]
pub(super) struct Refused {
    status: StatusCode,
    error: &'static str,
    code: u32,
    text: String,
    suberror: Option<&'static str>,
}

impl Refused {
    pub(super) fn answer(&self) -> Answer {
        json(
            self.status,
            error_body(self.error, self.code, &self.text, self.suberror),
        )
    }

    pub(super) fn only_post(method: &Method) -> Self {
        Self::bad(
            "invalid_request",
            900_561,
            format!("this endpoint takes POST only, not {method}"),
        )
    }

    pub(super) fn missing(name: &str) -> Self {
        Self::bad(
            "invalid_request",
            900_144,
            format!("the request body lacks the parameter '{name}'"),
        )
    }

    pub(super) fn tenant_needed() -> Self {
        Self::bad(
            "invalid_request",
            9_001_023,
            "this grant needs the endpoint of one tenant".into(),
        )
    }

    pub(super) fn unknown_tenant(tenant: &str) -> Self {
        Self::bad(
            "invalid_request",
            90_002,
            format!("tenant '{tenant}' not found"),
        )
    }

    pub(super) fn unsupported_grant(grant: &str) -> Self {
        Self::bad(
            "unsupported_grant_type",
            70_003,
            format!("the grant '{grant}' is not supported"),
        )
    }

    pub(super) fn unknown_client(client: &str) -> Self {
        Self::bad(
            "unauthorized_client",
            700_016,
            format!("application '{client}' was not found in the directory"),
        )
    }

    pub(super) fn resource_on_v2() -> Self {
        Self::bad(
            "invalid_request",
            901_002,
            "the parameter 'resource' is not supported here".into(),
        )
    }

    pub(super) fn unknown_resource(resource: &str) -> Self {
        Self::bad(
            "invalid_resource",
            500_011,
            format!("the resource principal '{resource}' was not found in the tenant"),
        )
    }

    pub(super) fn bad_scope(scope: &str) -> Self {
        Self::bad(
            "invalid_scope",
            70_011,
            format!("the scope '{scope}' is not valid for this grant"),
        )
    }

    pub(super) fn secret_missing() -> Self {
        Self::client(
            7_000_218,
            "the request body must hold 'client_assertion' or 'client_secret'",
        )
    }

    pub(super) fn wrong_secret() -> Self {
        Self::client(
            7_000_215,
            "the client secret is not the right one; send its value, not its id",
        )
    }

    pub(super) fn secret_expired() -> Self {
        Self::client(
            7_000_222,
            "the client secret keys of this application are expired",
        )
    }

    pub(super) fn assertion() -> Self {
        Self::client(
            700_027,
            "the signature of the client assertion fits no registered certificate",
        )
    }

    pub(super) fn revoked() -> Self {
        let refused = Self::bad(
            "invalid_grant",
            50_173,
            "the grant was revoked; a fresh sign-in is needed".into(),
        );
        Self {
            suberror: Some("bad_token"),
            ..refused
        }
    }

    pub(super) fn bad_refresh_token() -> Self {
        Self::bad(
            "invalid_grant",
            70_000,
            "the refresh token is malformed or not valid".into(),
        )
    }

    /// Something that passes by itself.
    pub(super) fn outage(status: StatusCode) -> Self {
        let text = "a transient error has occurred; try again".to_owned();
        Self {
            status,
            error: "temporarily_unavailable",
            code: 90_033,
            text,
            suberror: None,
        }
    }

    fn bad(error: &'static str, code: u32, text: String) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            code,
            text,
            suberror: None,
        }
    }

    fn client(code: u32, text: &str) -> Self {
        Self {
            status: StatusCode::UNAUTHORIZED,
            error: "invalid_client",
            code,
            text: text.to_owned(),
            suberror: None,
        }
    }
}

/// The body of an error answer.
fn error_body(error: &str, code: u32, text: &str, suberror: Option<&str>) -> String {
    let (trace, correlation) = (guid(), guid());
    let now = jiff::Timestamp::now()
        .strftime("%Y-%m-%d %H:%M:%SZ")
        .to_string();
    let described = format!(
        "AADSTS{code}: {text}\r\nTrace ID: {trace}\r\nCorrelation ID: {correlation}\r\nTimestamp: {now}"
    );
    let mut body = serde_json::json!({
        "error": error, "error_description": described, "error_codes": [code], "timestamp": now,
        "trace_id": trace, "correlation_id": correlation,
    });
    if let Some(suberror) = suberror {
        body["suberror"] = suberror.into();
    }
    body.to_string()
}
