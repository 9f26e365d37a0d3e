//! Why a read failed, what to do about it, and the closed set of words for metrics.

use std::time::Duration;

use tapline_entra_auth::AuthError;

/// Why an answer could not be had.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ReadError {
    #[error("no token")]
    Token(#[source] AuthError),
    #[error("the API refuses the token (401), also a new one")]
    Unauthorized,
    #[error(
        "the API refuses ({status}): {message}; has the app the permission, the tenant the licence, and an admin consented?"
    )]
    Denied { status: u16, message: String },
    #[error("the query is refused (400): {message}")]
    BadRequest { message: String },
    #[error("not found ({status})")]
    NotFound { status: u16 },
    #[error("throttled ({status})")]
    Throttled { status: u16, wait: Option<Duration> },
    #[error("the service failed ({status}): {message}")]
    Server {
        status: u16,
        wait: Option<Duration>,
        message: String,
    },
    #[error("unexpected status {status}")]
    Unexpected { status: u16 },
    #[error("no connection: {what}")]
    Unreachable { what: String, unknown_host: bool },
    #[error("the answer broke off: {0}")]
    Truncated(String),
    #[error("the answer cannot be read: {0}")]
    NotAPage(String),
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Every reason that this source counts errors by.
pub(crate) const REASONS: &[&str] = &[
    "token",
    "unauthorized",
    "denied",
    "bad_request",
    "not_found",
    "switched_off",
    "throttled",
    "server_error",
    "unexpected_status",
    "unreachable",
    "truncated",
    "not_a_page",
    "too_large",
    "foreign_link",
    "broken_link",
    "order_ignored",
    "tie_overflow",
    "expand_failed",
    "no_date",
    "bad_record",
];

/// What to do after a failure.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Action {
    /// The server, or the token provider, names the wait.
    WaitFor(Duration),
    /// It may pass by itself.
    BackOff,
    /// A human must act.
    BackOffLong,
    /// Ask differently: less, or without the option that is refused.
    AskLess,
}

impl ReadError {
    /// The word for metrics; `legacy` is whether the API is the one that may be switched off.
    pub(crate) fn reason(&self, legacy: bool) -> &'static str {
        match self {
            ReadError::Token(_) => "token",
            ReadError::Unauthorized => "unauthorized",
            ReadError::Denied { .. } => "denied",
            ReadError::BadRequest { .. } => "bad_request",
            ReadError::NotFound { .. } if legacy => "switched_off",
            ReadError::NotFound { .. } => "not_found",
            ReadError::Throttled { .. } => "throttled",
            ReadError::Server { .. } => "server_error",
            ReadError::Unexpected { .. } => "unexpected_status",
            ReadError::Unreachable {
                unknown_host: true, ..
            } if legacy => "switched_off",
            ReadError::Unreachable { .. } => "unreachable",
            ReadError::Truncated(_) => "truncated",
            ReadError::NotAPage(_) => "not_a_page",
            ReadError::TooLarge(_) => "too_large",
        }
    }

    /// What to do about it.
    pub(crate) fn action(&self, legacy: bool) -> Action {
        match self {
            ReadError::Throttled {
                wait: Some(wait), ..
            }
            | ReadError::Server {
                wait: Some(wait), ..
            } => Action::WaitFor(*wait),
            ReadError::Token(error) => error.retry_after().map_or(Action::BackOff, Action::WaitFor),
            ReadError::Denied { .. } | ReadError::NotFound { .. } => Action::BackOffLong,
            ReadError::BadRequest { .. } | ReadError::TooLarge(_) => Action::AskLess,
            other if other.reason(legacy) == "switched_off" => Action::BackOffLong,
            _ => Action::BackOff,
        }
    }

    /// Whether the service itself failed at this very request.
    pub(crate) fn is_server_failure(&self) -> bool {
        matches!(self, ReadError::Server { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failure_has_a_known_reason_and_an_action() {
        let check = |error: ReadError, legacy: bool, reason: &str, action: Action| {
            assert!(REASONS.contains(&reason));
            assert_eq!(
                (error.reason(legacy), error.action(legacy)),
                (reason, action)
            );
        };
        let wait = Some(Duration::from_millis(2128));
        check(
            ReadError::Throttled { status: 429, wait },
            false,
            "throttled",
            Action::WaitFor(Duration::from_millis(2128)),
        );
        check(
            ReadError::Throttled {
                status: 429,
                wait: None,
            },
            false,
            "throttled",
            Action::BackOff,
        );
        check(
            ReadError::NotFound { status: 404 },
            false,
            "not_found",
            Action::BackOffLong,
        );
        check(
            ReadError::NotFound { status: 410 },
            true,
            "switched_off",
            Action::BackOffLong,
        );
        let unknown = ReadError::Unreachable {
            what: String::new(),
            unknown_host: true,
        };
        check(unknown.clone(), true, "switched_off", Action::BackOffLong);
        check(unknown, false, "unreachable", Action::BackOff);
        check(ReadError::TooLarge(1), false, "too_large", Action::AskLess);
        check(
            ReadError::Denied {
                status: 403,
                message: String::new(),
            },
            false,
            "denied",
            Action::BackOffLong,
        );
        check(
            ReadError::Unauthorized,
            false,
            "unauthorized",
            Action::BackOff,
        );
    }
}
