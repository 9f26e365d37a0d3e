//! Why there is no token.

use std::time::Duration;

/// Why there is no token. Holds no secret; cheap enough to hand to everyone who waits.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    /// The identity platform, or the API behind the token, refuses us: a human must act.
    #[error("identity platform refuses {identity}: {code}: {help}")]
    Denied {
        /// Tenant and client.
        identity: String,
        /// The AADSTS code, or the OAuth2 error where there is none.
        code: String,
        /// What happened and what to do, for a human.
        help: String,
        /// One of a closed set, a metric label.
        reason: &'static str,
        /// When it is worth asking again.
        retry_after: Duration,
    },
    /// No answer, or one that says nothing about us: it may pass by itself.
    #[error("no token for {identity}: {what}")]
    Unreachable {
        /// Tenant and client.
        identity: String,
        /// What happened, for a human.
        what: String,
        /// One of a closed set, a metric label.
        reason: &'static str,
        /// When it is worth asking again.
        retry_after: Duration,
    },
}

impl AuthError {
    /// Whether only a human can help.
    pub fn is_denied(&self) -> bool {
        matches!(self, AuthError::Denied { .. })
    }

    /// How long to wait before asking again; asking earlier gives the same error at no cost.
    pub fn retry_after(&self) -> Option<Duration> {
        let (AuthError::Denied { retry_after, .. } | AuthError::Unreachable { retry_after, .. }) =
            self;
        Some(*retry_after)
    }

    /// What went wrong, as one of a closed set of words for metrics.
    ///
    /// Denied: `reauthenticate`, `credential`, `consent`, `config`, `clock`, `refused_by_api`.
    /// Otherwise: `connect`, `timeout`, `tls`, `throttled`, `server_error`, `bad_answer`,
    /// `interrupted`.
    pub fn reason(&self) -> &'static str {
        let (AuthError::Denied { reason, .. } | AuthError::Unreachable { reason, .. }) = self;
        reason
    }

    /// The same error with another wait.
    pub(crate) fn waiting(mut self, wait: Duration) -> Self {
        let (AuthError::Denied { retry_after, .. } | AuthError::Unreachable { retry_after, .. }) =
            &mut self;
        *retry_after = wait;
        self
    }
}
