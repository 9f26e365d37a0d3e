//! What a token is for, and the token.

use std::fmt;

use jiff::Timestamp;
use tapline_core::Secret;

/// What a token is asked for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Audience {
    /// `scope` of the v2 endpoint, such as `https://graph.microsoft.com/.default`.
    V2Scope(String),
    /// `resource` of the v1 endpoint, such as `https://graph.windows.net`.
    V1Resource(String),
}

impl Audience {
    /// Address of the token endpoint that takes this audience.
    pub(crate) fn token_url(&self, login_base: &str, tenant_id: &str) -> String {
        match self {
            Audience::V2Scope(_) => v2_token_url(login_base, tenant_id),
            Audience::V1Resource(_) => format!("{login_base}/{tenant_id}/oauth2/token"),
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Audience::V2Scope(name) | Audience::V1Resource(name)) = self;
        f.write_str(name)
    }
}

/// Address of the v2 token endpoint, which is also the audience of a client assertion.
pub(crate) fn v2_token_url(login_base: &str, tenant_id: &str) -> String {
    format!("{login_base}/{tenant_id}/oauth2/v2.0/token")
}

/// An access token. Debug shows `***`.
#[derive(Clone, Debug)]
pub struct Token {
    pub(crate) secret: Secret,
    pub(crate) expires: Timestamp,
}

impl Token {
    /// When it expires, by this machine's clock; never later than the platform means it.
    pub fn expires(&self) -> Timestamp {
        self.expires
    }

    /// The token itself, for the `Authorization` header and nothing else.
    pub fn expose(&self) -> &str {
        self.secret.expose()
    }
}
