//! What a test can do to the identity platform.

use super::{Login, Numbers};
use crate::answer::Fault;
use crate::wire::RecordedRequest;
use std::sync::Arc;

/// The identity platform as a test sees it.
#[derive(Debug, Clone)]
pub struct LoginHandle {
    pub(crate) server: Arc<Login>,
}

impl LoginHandle {
    /// Every request so far, oldest first; see [`RecordedRequest::form_value`]. Empty unless scripted.
    pub fn token_requests(&self) -> Vec<RecordedRequest> {
        self.server.wire.requests()
    }

    /// Queues a fault for the next request that no earlier fault has taken.
    pub fn fail_next(&self, fault: Fault) {
        self.server.wire.fail_next(fault);
    }

    /// Shifts the `Date` header by so many seconds.
    pub fn set_clock_offset(&self, seconds: i64) {
        self.server.wire.set_clock_offset(seconds);
    }

    /// Makes a tenant known, in which the same application is registered.
    pub fn add_tenant(&self, tenant_id: impl Into<String>) {
        self.server.rules().tenants.insert(tenant_id.into());
    }

    /// Gives out one more refresh token, as a user's sign-in would.
    pub fn issue_refresh_token(&self) -> String {
        self.server.tokens.issue_refresh()
    }

    /// Revokes every refresh token given out so far: `invalid_grant` from now on.
    pub fn revoke_refresh_tokens(&self) {
        self.server.tokens.revoke_refresh_tokens();
    }

    /// Ends every access token given out so far, as if the services had stopped trusting them: 401 in mid-flight.
    pub fn invalidate_access_tokens(&self) {
        self.server.tokens.forget_access_tokens();
    }

    /// Says whether the client secret is past its end (AADSTS7000222).
    pub fn set_secret_expired(&self, expired: bool) {
        self.server.rules().secret_expired = expired;
    }

    /// Signs the access tokens given out from now on with a key that is not among the public ones: no service takes them.
    pub fn set_forged(&self, forged: bool) {
        self.server.rules().forged = forged;
    }

    /// Sets the life of the access tokens given out from now on, in seconds.
    pub fn set_expires_in(&self, secs: u64) {
        self.server.rules().expires_in = secs;
    }

    /// Writes `expires_in` and its like as text (`true`) or as numbers (`false`) at both endpoints; at first, v1 writes text
    /// and v2 numbers.
    pub fn set_numbers_as_text(&self, text: bool) {
        self.server.rules().numbers = if text { Numbers::Text } else { Numbers::Plain };
    }
}
