//! Tokens from the Microsoft identity platform, for every crate that needs one.
//!
//! A source describes who it is ([`IdentityConfig`]) and asks the process's [`TokenPool`] for a
//! [`TokenProvider`]; sources with one identity share it, so that one request is in flight
//! however many of them ask. Beside tokens this crate holds what all Microsoft-facing crates do
//! alike: clouds ([`Cloud`]), the HTTP client ([`http`]), and the client-side rate limit
//! ([`RateLimit`]). It knows nothing of events and detections.
//!
//! ```no_run
//! # use tapline_core::BuildContext;
//! # use tapline_entra_auth::{Audience, Cloud, IdentityConfig, TokenPool};
//! # async fn example(cx: &BuildContext, identity: &IdentityConfig) -> Result<(), Box<dyn std::error::Error>> {
//! let pool = cx.shared.get_or_init(TokenPool::default);
//! let provider = pool.provider(identity, Cloud::Global.login(), cx)?;
//! let scope = format!("{}/.default", Cloud::Global.graph());
//! let token = provider.token(&Audience::V2Scope(scope)).await?;
//! # let _ = token.expose(); Ok(()) }
//! ```

mod answer;
mod assertion;
mod cloud;
mod config;
mod credential;
mod error;
mod grant;
pub mod http;
mod pool;
mod provider;
mod rate;
mod refusal;
mod slot;
mod store;
mod token;

pub use cloud::Cloud;
pub use config::{CertificateConfig, IdentityConfig};
pub use error::AuthError;
pub use pool::TokenPool;
pub use provider::TokenProvider;
pub use rate::RateLimit;
pub use token::{Audience, Token};
