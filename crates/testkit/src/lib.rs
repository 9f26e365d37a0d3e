//! What plugins are tested with: a source host that records, builders of events and build
//! contexts, capture of log lines, a proxy, and the contract that every source and sink keeps.
//!
//! A dev-dependency only; knows of ours nothing but `core`. What goes wrong here is a failed
//! test, so functions panic with a sentence instead of returning errors.
//!
//! ```
//! use tapline_core::{Batch, Cursor, StreamIdentity};
//! use tapline_testkit::{RecordingHost, event};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let host = RecordingHost::new();
//! let alerts = host.context().open("alerts", StreamIdentity::default()).await.unwrap();
//! alerts.send(Batch::new(Cursor::new("1"), vec![event("graph.alert", "da1", "v1", "{}")])).await.unwrap();
//! host.wait_for_events(1).await;
//! assert_eq!(host.checkpoint("alerts").cursor, Cursor::new("1"));
//! # });
//! ```

mod events;
mod host;
mod hostile;
mod logs;
mod metrics;
mod proxy;
mod sink;
mod source;

pub use events::{build_context, event, events, uids};
pub use host::{Recorded, RecordingHost, Refused, Running, Settling};
pub use hostile::variants;
pub use logs::LogCapture;
pub use metrics::assert_metrics;
pub use proxy::{Proxy, ProxyBehaviour};
pub use sink::{Receiver, WhileAway, check_sink};
pub use source::check_source;

use std::time::Duration;

/// How long a condition may take to come true before a test fails; seconds of a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until a condition holds.
///
/// # Panics
/// If it does not within [`PATIENCE`]; `what` says what was waited for.
pub async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !holds() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "{what}: not within {PATIENCE:?}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
