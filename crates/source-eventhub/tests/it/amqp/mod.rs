//! Reading over AMQP: a simulated hub, a host, and sources that read it.

mod bodies;
mod doors;
mod ends;
mod owners;
mod places;
mod proofs;

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tapline_core::{BuildContext, ComponentKind, Health, Source, SourceConfig};
use tapline_simulators::{HubHandle, Simulation};
use tapline_source_eventhub::EventHubConfig;
use tapline_testkit::{RecordingHost, Running, build_context, check_source, eventually, uids};
use tempfile::TempDir;

use crate::rig::{record, repeats, uid};

struct Hub {
    simulation: Simulation,
    host: RecordingHost,
    cx: BuildContext,
    folder: TempDir,
}

impl Hub {
    async fn scripted() -> Self {
        Self::of(Simulation::scripted().await.expect("starts"))
    }

    fn of(simulation: Simulation) -> Self {
        let folder = TempDir::new().expect("a folder");
        Self {
            simulation,
            host: RecordingHost::new(),
            cx: build_context(ComponentKind::Source, "eventhub", "hunting", folder.path()),
            folder,
        }
    }

    fn hub(&self) -> HubHandle {
        self.simulation.hub()
    }

    fn source(&self, more: Value) -> Box<dyn Source> {
        let mut config = json!({
            "transport": "amqp", "tables": "all", "consumer_group": "$Default",
            "auth": {"connection_string": self.hub().connection_string()},
        });
        let own = config.as_object_mut().expect("an object");
        own.extend(more.as_object().expect("an object").clone());
        let config: EventHubConfig = serde_json::from_value(config).expect("well formed");
        config.build(&self.cx).expect("builds")
    }

    fn run(&self) -> Running {
        self.host.run(self.source(json!({})))
    }

    fn metrics(&self) -> String {
        let rendered = self.cx.metrics.process().render();
        String::from_utf8(rendered).expect("text")
    }

    /// A metric of the source; 0 if it has none of these labels.
    fn metric(&self, name: &str, label: &str) -> f64 {
        let text = self.metrics();
        let mut series = text.lines().filter(|line| line.starts_with(name));
        let found = series.find(|line| line.contains(label));
        let value = found.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or(0.0)
    }

    /// Waits until somebody is told of trouble with these words.
    async fn told(&self, words: &str) {
        let says = |health: &Health| matches!(health, Health::Degraded(why) if why.contains(words));
        let told = || self.host.healths().iter().any(|(_, health)| says(health));
        eventually(&format!("{words:?} is told"), told).await;
    }

    /// Puts messages of two records each into two partitions; returns the identities.
    fn fill(&self, numbers: std::ops::Range<usize>) -> BTreeSet<String> {
        let mut uids = BTreeSet::new();
        for number in numbers {
            let names = [0, 1].map(|half| format!("{number}-{half}"));
            let records = names.each_ref().map(|name| record("AlertInfo", name));
            let message = format!(r#"{{"records":[{}]}}"#, records.join(","));
            self.hub().put(number % 2, message.as_str());
            uids.extend(names.iter().map(|name| uid("AlertInfo", name)));
        }
        uids
    }

    async fn expect(&self, expected: &BTreeSet<String>) {
        self.host
            .wait_for("everything is read", |host| {
                uids(&host.events()).is_superset(expected)
            })
            .await;
        assert_eq!(repeats(&self.host.events()), 0, "nothing is repeated");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_source_keeps_the_contract_of_sources_over_amqp() {
    let hub = Hub::scripted().await;
    let expected = hub.fill(0..60);
    check_source(|| hub.source(json!({})), &expected).await;
}
