//! What the identity platform's bad answers mean, and what a human can do.

use std::time::Duration;

use jiff::Timestamp;
use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use tapline_core::Secret;

use crate::AuthError;
use crate::http::retry_after;

/// How long an identical request is not repeated after a refusal, as Microsoft's own libraries do.
const DENIED_WAIT: Duration = Duration::from_secs(60);
/// The wait after "loop detected", which punishes whoever asks too often.
const LOOP_WAIT: Duration = Duration::from_secs(300);
/// No wait that a server asks for is longer (as in Microsoft's own libraries).
const LONGEST_WAIT: Duration = Duration::from_secs(3600);
/// Characters of the platform's own text that are passed on.
const DETAIL_CHARS: usize = 300;

const MACHINE_ADVICE: &str = "this machine has no such identity: assign it one in the Azure \
                              portal, or check client_id, object_id, and resource_id";

/// What a bad answer means for us.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Class {
    Denied(&'static str),
    Transient(&'static str),
}

/// An answer with a status, headers, and a body, but without a token.
pub(crate) struct Refusal<'a> {
    pub(crate) identity: &'a str,
    /// Where it comes from, without a path.
    pub(crate) host: &'a str,
    pub(crate) status: StatusCode,
    pub(crate) headers: &'a HeaderMap,
    pub(crate) body: &'a [u8],
    /// By the server's clock, where it says.
    pub(crate) now: Timestamp,
    /// What was sent, in case the answer repeats it.
    pub(crate) secrets: &'a [Secret],
    /// Whether it is the answer of the machine we run on, asked for its managed identity.
    pub(crate) of_machine: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Body {
    error: String,
    /// App Service says `message`.
    #[serde(alias = "message")]
    error_description: String,
    error_codes: Vec<u64>,
    trace_id: String,
}

impl Refusal<'_> {
    /// Maps the answer: first by status and OAuth2 error, which are stable; AADSTS codes are for
    /// diagnosis and refine the text.
    pub(crate) fn explain(&self) -> AuthError {
        let asked = retry_after(self.headers, self.now).map(|wait| wait.min(LONGEST_WAIT));
        if self.status == StatusCode::TOO_MANY_REQUESTS {
            return self.transient("throttled", "too many requests".to_owned(), asked);
        }
        if self.status.is_server_error() {
            let what = format!("{} answers {}", self.host, self.status);
            return self.transient("server_error", what, asked);
        }
        let parsed = serde_json::from_slice::<Body>(self.body);
        if self.of_machine {
            return self.explain_machine(&parsed.unwrap_or_default(), asked);
        }
        match parsed.ok().filter(|body| !body.error.is_empty()) {
            Some(body) if body.code() == Some(50196) => {
                let wait = asked.unwrap_or(LOOP_WAIT);
                self.transient("throttled", self.detail(&body), Some(wait))
            }
            Some(body) => match class(&body.error, body.code()) {
                Class::Transient(reason) => self.transient(reason, self.detail(&body), asked),
                Class::Denied(reason) => self.denied(reason, &body, asked),
            },
            None => self.transient("bad_answer", self.not_the_platform(), asked),
        }
    }

    /// Source: Microsoft Learn, "How to use managed identities to get an access token", error
    /// handling, seen 2026: 404 and 410 pass while the machine's identities are updated.
    fn explain_machine(&self, body: &Body, asked: Option<Duration>) -> AuthError {
        if matches!(self.status, StatusCode::NOT_FOUND | StatusCode::GONE) {
            let what = format!("{} answers {}", self.host, self.status);
            return self.transient("server_error", what, asked);
        }
        AuthError::Denied {
            identity: self.identity.to_owned(),
            code: self.status.to_string(),
            help: format!("{MACHINE_ADVICE} ({})", self.detail(body)),
            reason: "config",
            retry_after: asked.unwrap_or_default().max(DENIED_WAIT),
        }
    }

    /// An answer that no identity platform gives.
    pub(crate) fn not_the_platform(&self) -> String {
        let content_type = self.headers.get(reqwest::header::CONTENT_TYPE);
        let content_type = content_type.and_then(|value| value.to_str().ok());
        format!(
            "{} answered {} with {} instead of a token; is there a proxy or a sign-in page in \
             between?",
            self.host,
            self.status,
            self.clean(content_type.unwrap_or("no content type")),
        )
    }

    fn transient(&self, reason: &'static str, what: String, asked: Option<Duration>) -> AuthError {
        AuthError::Unreachable {
            identity: self.identity.to_owned(),
            what,
            reason,
            retry_after: asked.unwrap_or_default(),
        }
    }

    fn denied(&self, reason: &'static str, body: &Body, asked: Option<Duration>) -> AuthError {
        let code = match body.code() {
            Some(code) => format!("AADSTS{code}"),
            None => self.clean(&body.error),
        };
        AuthError::Denied {
            identity: self.identity.to_owned(),
            code,
            help: format!("{} ({})", advice(reason, body.code()), self.detail(body)),
            reason,
            retry_after: asked.unwrap_or_default().max(DENIED_WAIT),
        }
    }

    /// The platform's own words, for whoever asks Microsoft's support.
    fn detail(&self, body: &Body) -> String {
        let first_line = body.error_description.lines().next().unwrap_or_default();
        let trace = if body.trace_id.is_empty() {
            String::new()
        } else {
            format!(", trace id {}", self.clean(&body.trace_id))
        };
        format!(
            "{}: {}{trace}",
            self.clean(&body.error),
            self.clean(first_line)
        )
    }

    /// A short text without control characters, and without what was sent.
    fn clean(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for secret in self.secrets {
            text = text.replace(secret.expose(), "***");
        }
        let printable = text.chars().filter(|c| !c.is_control());
        printable.take(DETAIL_CHARS).collect()
    }
}

impl Body {
    /// The AADSTS code: from the list, where the last one is the most precise, or the text.
    fn code(&self) -> Option<u64> {
        self.error_codes.last().copied().or_else(|| {
            let digits = self.error_description.strip_prefix("AADSTS")?;
            let end = digits.find(|c: char| !c.is_ascii_digit());
            digits[..end.unwrap_or(digits.len())].parse().ok()
        })
    }
}

/// Source: Microsoft "Entra authentication and authorization error codes", seen 2026.
fn class(error: &str, code: Option<u64>) -> Class {
    let by_code = code.and_then(reason_of_code);
    match error {
        "temporarily_unavailable" | "server_error" => Class::Transient("server_error"),
        "consent_required" => Class::Denied("consent"),
        "invalid_grant" | "interaction_required" | "login_required" => {
            Class::Denied(by_code.unwrap_or("reauthenticate"))
        }
        "invalid_client" | "unauthorized_client" => Class::Denied(by_code.unwrap_or("credential")),
        "invalid_request"
        | "invalid_scope"
        | "invalid_resource"
        | "invalid_target"
        | "unsupported_grant_type" => Class::Denied(by_code.unwrap_or("config")),
        _ if code.is_some_and(is_transient) => Class::Transient("server_error"),
        _ => Class::Denied(by_code.unwrap_or("config")),
    }
}

fn is_transient(code: u64) -> bool {
    matches!(code, 50000 | 90006 | 90012 | 90024 | 90033 | 90055 | 90090)
}

fn reason_of_code(code: u64) -> Option<&'static str> {
    Some(match code {
        70000
        | 70008
        | 70043
        | 700_082
        | 700_084
        | 50173
        | 50132
        | 50133
        | 50076
        | 50079
        | 50057
        | 50034
        | 53000..=53003
        | 530_032
        | 50131 => "reauthenticate",
        65001 | 90094 => "consent",
        70002 | 7_000_215 | 7_000_222 | 700_027 => "credential",
        700_024 | 500_133 => "clock",
        7_000_218
        | 700_025
        | 70021
        | 700_211..=700_213
        | 700_016
        | 700_011
        | 7_000_112
        | 70001
        | 90002
        | 90038
        | 500_011
        | 650_057
        | 50001
        | 650_052
        | 70011
        | 28002
        | 700_022
        | 700_023
        | 901_002 => "config",
        _ => return None,
    })
}

/// What a human can do.
fn advice(reason: &str, code: Option<u64>) -> &'static str {
    match (code, reason) {
        (Some(7_000_222), _) => {
            "the client secret expired: make a new one in the Entra admin center, under App \
             registrations > the app > Certificates & secrets, and put its value into the settings"
        }
        (Some(70002 | 7_000_215), _) => {
            "the client secret is wrong: use the secret's value, not its id, of this very app"
        }
        (Some(7_000_218), _) => "the app needs a proof: add client_secret or certificate",
        (Some(700_025), _) => "the app is a public client: remove client_secret and certificate",
        (Some(700_027), _) => {
            "the certificate is not one of the app's: upload it in the Entra admin center, under \
             App registrations > the app > Certificates & secrets"
        }
        (Some(700_016 | 700_011 | 7_000_112 | 70001), _) => {
            "the app does not exist in this tenant or is disabled: check client_id and tenant_id"
        }
        (Some(90002 | 90038), _) => {
            "the tenant does not exist in this cloud: check tenant_id and cloud"
        }
        (Some(500_011 | 650_057 | 50001 | 650_052), _) => {
            "the API is not available to this app in this tenant: check the app's API \
             permissions, the tenant's licence, and the cloud"
        }
        (Some(70008 | 700_082), _) => {
            "the refresh token expired for not being used: sign in again and put the new one into \
             the settings"
        }
        (Some(700_084), _) => {
            "the refresh token belongs to a single-page app and reached its fixed age: register \
             the redirect address as web or public client and sign in again"
        }
        (Some(53000..=53003 | 530_032 | 50131), _) => {
            "conditional access blocks the sign-in: ask who administers it, or sign in again"
        }
        (_, "reauthenticate") => {
            "the refresh token is no longer good: sign in again and put the new one into the \
             settings"
        }
        (_, "consent") => {
            "an administrator has to consent to the app's API permissions in the Entra admin center"
        }
        (_, "credential") => "the app's proof is not accepted: check client_secret or certificate",
        (_, "clock") => "the clock of this machine is wrong: set it right",
        _ => "the request is not accepted: check client_id, tenant_id, cloud, and api",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(status: u16, headers: &[(&'static str, &str)], body: &str) -> AuthError {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(*name, value.parse().expect("a header value"));
        }
        let refusal = Refusal {
            identity: "contoso/app",
            host: "https://login.example",
            status: StatusCode::from_u16(status).expect("a status"),
            headers: &map,
            body: body.as_bytes(),
            now: Timestamp::now(),
            secrets: &[Secret::new("hunter2")],
            of_machine: false,
        };
        refusal.explain()
    }

    fn check(status: u16, error: &str, code: u64, expected: &str) -> String {
        let codes = if code == 0 {
            String::new()
        } else {
            code.to_string()
        };
        let body = format!(
            r#"{{"error":"{error}","error_description":"AADSTS{code}: no.\r\nTrace ID: x","error_codes":[{codes}]}}"#
        );
        let explained = explain(status, &[], &body);
        assert_eq!(explained.reason(), expected, "{explained}");
        explained.to_string()
    }

    #[test]
    fn refusals_are_told_apart_by_error_and_then_by_code() {
        check(400, "invalid_grant", 700_082, "reauthenticate");
        check(400, "invalid_grant", 12345, "reauthenticate");
        check(400, "invalid_grant", 65001, "consent");
        check(400, "interaction_required", 50076, "reauthenticate");
        check(400, "consent_required", 0, "consent");
        check(401, "invalid_client", 7_000_222, "credential");
        check(401, "invalid_client", 700_024, "clock");
        check(400, "unauthorized_client", 700_016, "config");
        check(400, "invalid_scope", 70011, "config");
        check(400, "something_new", 90033, "server_error");
        check(400, "something_new", 1, "config");
        check(400, "temporarily_unavailable", 0, "server_error");
        check(503, "invalid_grant", 70008, "server_error");
        check(429, "", 0, "throttled");
        check(400, "invalid_request", 50196, "throttled");
    }

    #[test]
    fn the_text_says_what_to_do() {
        let text = check(401, "invalid_client", 7_000_222, "credential");
        for part in [
            "contoso/app",
            "AADSTS7000222",
            "secret expired",
            "Certificates & secrets",
        ] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("Trace ID"), "{text}");
    }

    #[test]
    fn the_code_is_found_in_the_text_when_the_list_is_missing() {
        let body = r#"{"error":"invalid_client","error_description":"AADSTS7000215: wrong"}"#;
        assert!(explain(401, &[], body).to_string().contains("its id"));
    }

    #[test]
    fn waits_come_from_the_server_within_bounds() {
        let wait = |status, value| {
            let error = explain(status, &[("retry-after", value)], "{}");
            error.retry_after().expect("a wait").as_secs_f64()
        };
        assert_eq!(wait(429, "2.5"), 2.5);
        assert_eq!(wait(503, "100000"), 3600.0);
        let denied = explain(400, &[], r#"{"error":"invalid_grant"}"#);
        assert_eq!(denied.retry_after(), Some(DENIED_WAIT));
    }

    #[test]
    fn an_answer_of_somebody_else_is_not_a_refusal() {
        let error = explain(
            200,
            &[("content-type", "text/html")],
            "<html>hunter2</html>",
        );
        assert!(!error.is_denied());
        assert!(error.to_string().contains("text/html"), "{error}");
        for body in ["", "[]", "null", "{}", r#"{"error":5}"#] {
            assert_eq!(explain(400, &[], body).reason(), "bad_answer", "{body}");
        }
    }

    #[test]
    fn an_echo_of_the_secret_is_not_passed_on() {
        let body = r#"{"error":"hunter2","error_description":"AADSTS1: hunter2\u001b[31m","trace_id":"hunter2"}"#;
        let text = explain(400, &[], body).to_string();
        assert!(
            !text.contains("hunter2") && !text.contains('\u{1b}'),
            "{text}"
        );
    }
}
