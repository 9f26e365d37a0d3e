//! Who reads which partitions of a hub.

use std::collections::BTreeSet;

use async_trait::async_trait;

/// Decides which partitions of a hub this process reads.
///
/// It is asked before the first partition is read over a connection, and every 30 s from then on.
/// What an answer names is opened at its checkpoint and read; what it names no more is given up:
/// its link ends, and what is in flight may still be settled. Between two processes that both
/// believe to own a partition the service decides: the one that attached last with the same or a
/// higher owner level reads, and the other one hears that its link was stolen, loses nothing, and
/// tries again rarely.
///
/// One that shares partitions between processes, such as over the blobs that Microsoft's own
/// clients keep, must give every process the positions too, since each keeps its checkpoints for
/// itself: the runtime's store has to be one that they share.
#[async_trait]
pub(crate) trait Ownership: Send + Sync {
    /// Of all partitions of a hub those that this process reads until it asks again.
    ///
    /// # Errors
    /// A sentence for people, if that cannot be said now; then everything stays as it is.
    async fn claim(&self, hub: &str, partitions: &[String]) -> Result<BTreeSet<String>, String>;
}

/// One process reads everything.
#[derive(Debug)]
pub(crate) struct TakesAll;

#[async_trait]
impl Ownership for TakesAll {
    async fn claim(&self, _hub: &str, partitions: &[String]) -> Result<BTreeSet<String>, String> {
        Ok(partitions.iter().cloned().collect())
    }
}
