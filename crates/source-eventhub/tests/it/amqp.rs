//! Reading over AMQP, whatever becomes of links and connections.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use tapline_core::{BuildContext, ComponentKind, Health, Source, SourceConfig};
use tapline_simulators::{HubError, HubFault, HubHandle, HubMessage, Simulation};
use tapline_source_eventhub::EventHubConfig;
use tapline_testkit::{RecordingHost, Running, build_context, check_source, eventually, uids};
use tempfile::TempDir;

use crate::rig::{record, repeats, uid};

struct Hub {
    simulation: Simulation,
    host: RecordingHost,
    cx: BuildContext,
    _folder: TempDir,
}

impl Hub {
    async fn scripted() -> Self {
        let folder = TempDir::new().expect("a folder");
        Self {
            simulation: Simulation::scripted().await.expect("starts"),
            host: RecordingHost::new(),
            cx: build_context(ComponentKind::Source, "eventhub", "hunting", folder.path()),
            _folder: folder,
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

#[tokio::test(flavor = "multi_thread")]
async fn after_every_kind_of_end_reading_goes_on_after_the_last_message_received() {
    let hub = Hub::scripted().await;
    let mut expected = hub.fill(0..20);
    let error = || HubError::new("amqp:link:detach-forced");
    let running = hub.run();
    hub.expect(&expected).await;
    let faults = [
        HubFault::Detach {
            after: 2,
            error: error(),
        },
        HubFault::EndSession {
            after: 2,
            error: error(),
        },
        HubFault::CloseConnection {
            after: 2,
            error: HubError::new("amqp:connection:forced"),
        },
        HubFault::Drop { after: 2 },
        HubFault::CutOff { after: 2 },
        HubFault::RefuseAttach(HubError::new("com.microsoft:timeout")),
    ];
    for (round, fault) in faults.into_iter().enumerate() {
        hub.hub().fail_next_of(0, fault);
        let from = 20 + round * 20;
        expected.extend(hub.fill(from..from + 20));
        hub.expect(&expected).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_reading_goes_on_after_what_is_settled_whatever_the_offsets_are() {
    let hub = Hub::scripted().await;
    for (number, offset) in ["a", "b/c", "not a number"].into_iter().enumerate() {
        let message = HubMessage::from(record("AlertInfo", &number.to_string()).as_str());
        hub.hub().put(0, message.offset(offset));
    }
    let running = hub.run();
    hub.host.wait_for_events(3).await;
    running.stop().await;
    let expected = hub.fill(0..2);
    let running = hub.run();
    hub.expect(&expected).await;
    running.stop().await;
    assert_eq!(hub.host.events().len(), 3 + 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_messages_are_counted_and_reading_goes_on() {
    let hub = Hub::scripted().await;
    hub.fill(0..4);
    let running = hub.run();
    hub.host.wait_for_events(8).await;
    running.stop().await;
    hub.fill(4..24);
    hub.hub().expire_before(0, 10);
    let running = hub.run();
    // Of partition 0 messages 2 to 9 are gone.
    hub.host.wait_for_events(8 + 20 + 4).await;
    let counted = r#"tapline_source_missed_events_total{component_id="hunting",component_kind="source",component_type="eventhub",partition="defender/0"} 8"#;
    eventually("the gap is counted", || {
        String::from_utf8_lossy(&hub.cx.metrics.process().render()).contains(counted)
    })
    .await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_and_a_later_one_is_taken() {
    let hub = Hub::scripted().await;
    let expected = hub.fill(0..4);
    hub.hub().fail_next(HubFault::RefuseToken(401));
    let running = hub.run();
    hub.expect(&expected).await;
    running.stop().await;
    let told = hub.host.healths();
    let refused = |(_, health): &(String, Health)| matches!(health, Health::Degraded(why) if why.contains("refuses what policy"));
    assert!(told.iter().any(refused), "{told:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn repeats_are_dropped_over_amqp_too_and_after_a_restart() {
    let hub = Hub::scripted().await;
    let dropping = || hub.source(json!({"drop_repeats": {"within_secs": 3600}}));
    let mut expected = hub.fill(0..4);
    let running = hub.host.run(dropping());
    hub.expect(&expected).await;
    running.stop().await;
    hub.fill(0..4);
    let running = hub.host.run(dropping());
    expected.extend(hub.fill(4..6));
    hub.expect(&expected).await;
    running.stop().await;
    assert_eq!(hub.host.events().len(), expected.len());
}
