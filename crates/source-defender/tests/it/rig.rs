//! A simulation, a host that records, and a source between them.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tapline_core::{BuildContext, ComponentKind, Source, SourceConfig};
use tapline_simulators::{GraphHandle, SiemHandle, Simulation};
use tapline_source_defender::DefenderConfig;
use tapline_testkit::{RecordingHost, Running, build_context};
use tempfile::TempDir;

pub(crate) struct Rig {
    pub(crate) simulation: Simulation,
    pub(crate) host: RecordingHost,
    pub(crate) cx: BuildContext,
    _folder: TempDir,
}

impl Rig {
    pub(crate) async fn scripted() -> Self {
        Self::with(Simulation::scripted().await.expect("ports on loopback"))
    }

    pub(crate) fn with(simulation: Simulation) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        Self {
            simulation,
            host: RecordingHost::new(),
            cx: build_context(ComponentKind::Source, "defender", "alerts", folder.path()),
            _folder: folder,
        }
    }

    pub(crate) fn graph(&self) -> GraphHandle {
        self.simulation.graph()
    }

    pub(crate) fn siem(&self) -> SiemHandle {
        self.simulation.siem()
    }

    pub(crate) fn identity(&self, tenant: &str) -> Value {
        let it = self.simulation.announcement();
        json!({"tenant_id": tenant, "client_id": it.client_id, "client_secret": it.client_secret})
    }

    /// A config for this simulation that polls every second; `more` adds and replaces keys.
    pub(crate) fn config(&self, api: &str, more: Value) -> DefenderConfig {
        let it = self.simulation.announcement();
        let mut config = json!({
            "api": api,
            "identity": self.identity(&it.tenant_id),
            "poll_interval_secs": 1,
            "settle_secs": 0,
            "requests_per_minute": 1_000_000,
            "endpoints": {"login": it.login, "graph": it.graph, "siem": it.siem},
        });
        for (key, value) in more.as_object().expect("an object") {
            config[key] = value.clone();
        }
        serde_json::from_value(config).expect("a config")
    }

    pub(crate) fn source(&self, api: &str, more: Value) -> Box<dyn Source> {
        let config = self.config(api, more);
        assert_eq!(config.problems(), []);
        config.build(&self.cx).expect("builds")
    }

    pub(crate) fn run(&self, api: &str, more: Value) -> Running {
        self.host.run(self.source(api, more))
    }

    pub(crate) fn partition(&self, api: &str) -> String {
        format!("{}/{api}", self.simulation.announcement().tenant_id)
    }

    /// Ids of the events that arrived, sorted, repeats included.
    pub(crate) fn ids(&self) -> Vec<String> {
        let events = self.host.events();
        let mut ids: Vec<_> = events
            .iter()
            .map(|event| event.meta().id.to_string())
            .collect();
        ids.sort();
        ids
    }

    /// Waits until these ids arrived, and fails if any came twice.
    pub(crate) async fn expect_once(&self, expected: &BTreeSet<String>) {
        let arrived = |host: &RecordingHost| {
            let events = host.events();
            let ids: BTreeSet<_> = events
                .iter()
                .map(|event| event.meta().id.to_string())
                .collect();
            ids.is_superset(expected)
        };
        self.host.wait_for("all records arrive", arrived).await;
        assert_eq!(self.ids(), expected.iter().cloned().collect::<Vec<_>>());
    }

    /// The value of a metric's first sample whose line holds all these texts; 0 without one.
    pub(crate) fn metric(&self, parts: &[&str]) -> f64 {
        let text = String::from_utf8(self.cx.metrics.process().render()).expect("text");
        let mut lines = text.lines().filter(|line| !line.starts_with('#'));
        let line = lines.find(|line| parts.iter().all(|part| line.contains(part)));
        let value = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
        value.unwrap_or(0.0)
    }
}

/// A time so many milliseconds ago, with all seven digits.
pub(crate) fn ago(millis: u64) -> String {
    let time = Timestamp::now() - Duration::from_millis(millis);
    format!("{time:.7}")
}

pub(crate) fn alert(id: &str, updated: &str) -> Value {
    json!({
        "id": id,
        "lastUpdateDateTime": updated,
        "createdDateTime": updated,
        "severity": "high",
        "status": "new",
        "serviceSource": "microsoftDefenderForEndpoint",
        "title": "Synthetic",
        "evidence": [{"@odata.type": "#microsoft.graph.security.deviceEvidence", "deviceDnsName": "pc7.corp.example"}],
    })
}

/// Puts alerts in, one for each time, and returns their ids.
pub(crate) fn put_alerts(
    graph: &GraphHandle,
    prefix: &str,
    times: impl IntoIterator<Item = String>,
) -> BTreeSet<String> {
    let mut ids = BTreeSet::new();
    for (number, time) in times.into_iter().enumerate() {
        let id = format!("{prefix}{number:05}");
        graph.put_alert(alert(&id, &time));
        ids.insert(id);
    }
    ids
}
