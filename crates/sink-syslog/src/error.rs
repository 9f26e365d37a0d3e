//! Why a receiver could not be reached or did not take a batch.

use std::io;

use tapline_core::Fault;

/// Why a receiver could not be reached or did not take a batch.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error("no address for the name")]
    Resolve(#[source] io::Error),
    #[error("connecting")]
    Connect(#[source] io::Error),
    #[error("connecting took too long")]
    ConnectTimeout,
    #[error("agreeing on TLS")]
    Tls(#[source] io::Error),
    /// One of the two sides does not trust the other: a human must act.
    #[error("{why}")]
    Untrusted { reason: &'static str, why: String },
    #[error("the receiver closed the connection")]
    Closed,
    #[error("the receiver reset the connection")]
    Reset,
    #[error("the receiver did not confirm in time")]
    Timeout,
    #[error("sending")]
    Send(#[source] io::Error),
}

impl LinkError {
    /// One of a closed set, a metric label.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            LinkError::Resolve(_) => "resolve",
            LinkError::Connect(_) | LinkError::ConnectTimeout => "connect",
            LinkError::Tls(_) => "tls",
            LinkError::Untrusted { reason, .. } => reason,
            LinkError::Closed | LinkError::Reset => "closed",
            LinkError::Timeout => "timeout",
            LinkError::Send(_) => "send",
        }
    }

    /// What the runtime is told of every event that was not confirmed.
    pub(crate) fn fault(&self) -> Fault {
        let reason = self.reason();
        match self {
            LinkError::Untrusted { why, .. } => Fault::Denied {
                reason,
                why: why.clone(),
            },
            _ => Fault::Retry {
                after: None,
                reason,
            },
        }
    }
}
