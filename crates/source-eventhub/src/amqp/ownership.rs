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

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex, PoisonError};

    use serde_json::json;
    use tapline_core::{ComponentKind, Source};
    use tapline_simulators::Simulation;
    use tapline_testkit::{RecordingHost, build_context, eventually};

    use super::*;
    use crate::amqp::Amqp;
    use crate::config::EventHubConfig;

    /// Gives what a test says.
    #[derive(Clone)]
    struct Told(Arc<Mutex<Vec<&'static str>>>);

    impl Told {
        fn set(&self, partitions: &[&'static str]) {
            let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            *told = partitions.to_vec();
        }
    }

    #[async_trait]
    impl Ownership for Told {
        async fn claim(&self, _hub: &str, _all: &[String]) -> Result<BTreeSet<String>, String> {
            let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            if told.is_empty() {
                return Err("nobody can say".to_owned());
            }
            Ok(told.iter().map(|id| (*id).to_owned()).collect())
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_is_owned_is_read_and_what_is_not_is_left_alone() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let cx = build_context(ComponentKind::Source, "eventhub", "hunting", folder.path());
        let simulation = Simulation::scripted().await.expect("starts");
        let hub = simulation.hub();
        let config: EventHubConfig = serde_json::from_value(json!({
            "transport": "amqp", "tables": "all", "consumer_group": "$Default",
            "auth": {"connection_string": hub.connection_string()},
        }))
        .expect("well formed");
        for partition in 0..4 {
            hub.put(partition, format!(r#"{{"number":{partition}}}"#).as_str());
        }
        let told = Told(Arc::default());
        let source = Amqp::sharing(&config, &cx, Box::new(told.clone())).expect("builds");
        let host = RecordingHost::new();
        let running = host.run(Box::new(source) as Box<dyn Source>);
        let reads = |expected: [bool; 4]| {
            let hub = hub.clone();
            eventually("what is owned is read", move || {
                (0..4).all(|partition| (hub.readers(partition) > 0) == expected[partition])
            })
        };
        // As long as nobody can say, nothing is read; then a first answer, and another one.
        told.set(&["1", "2"]);
        reads([false, true, true, false]).await;
        host.wait_for_events(2).await;
        told.set(&["2", "3"]);
        hub.drop_connections();
        reads([false, false, true, true]).await;
        host.wait_for_events(3).await;
        running.stop().await;
        assert_eq!(
            host.partitions(),
            ["defender/1", "defender/2", "defender/3"]
        );
    }
}
