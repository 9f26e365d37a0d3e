//! Tokens from the Microsoft identity platform, for every crate that needs one.
//!
//! A source describes who it is ([`IdentityConfig`]) and asks the process's [`TokenPool`] for a
//! [`TokenProvider`]; sources with one identity share it, so that one request is in flight
//! however many of them ask. Beside tokens this crate holds what all Microsoft-facing crates do
//! alike: clouds ([`Cloud`]), the HTTP client ([`http`]), and the client-side rate limit
//! ([`RateLimit`]). It knows nothing of events and detections.
//!
//! An example of use stands in `README.md`.

mod answer;
mod assertion;
mod cloud;
mod config;
mod credential;
mod endpoint;
mod error;
mod grant;
pub mod http;
mod managed;
mod pool;
mod provider;
mod rate;
mod refusal;
mod slot;
mod store;
mod token;

pub use cloud::Cloud;
pub use config::{
    CertificateConfig, IdentityConfig, ManagedIdentityConfig, WorkloadIdentityConfig,
};
pub use error::AuthError;
pub use pool::TokenPool;
pub use provider::TokenProvider;
pub use rate::RateLimit;
pub use token::{Audience, Token};
