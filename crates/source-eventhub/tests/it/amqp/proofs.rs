//! Whatever shows that reading is allowed: taken, renewed in time, refused and told.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tapline_core::{Source, SourceConfig};
use tapline_simulators::HubFault;
use tapline_source_eventhub::EventHubConfig;
use tapline_testkit::{LogCapture, RecordingHost, eventually};
use tokio::time::{Instant, sleep_until};

use super::Hub;

/// Where the simulation takes itself for the namespace: an address has dots, as a host has.
const NAMESPACE: &str = "127.0.0.1";

impl Hub {
    /// A source that says namespace and hub by themselves.
    fn source_of(&self, auth: Value) -> Box<dyn Source> {
        let config = json!({
            "transport": "amqp", "tables": "all", "consumer_group": "$Default",
            "namespace": NAMESPACE, "hubs": ["defender"], "auth": auth,
            "endpoints": {
                "amqp": format!("plaintext://127.0.0.1:{}", self.hub().port()),
                "login": self.simulation.announcement().login,
            },
        });
        let config: EventHubConfig = serde_json::from_value(config).expect("well formed");
        assert_eq!(config.problems(), []);
        config.build(&self.cx).expect("builds")
    }

    fn key(&self) -> String {
        let text = self.hub().connection_string();
        let mut parts = text.split(';');
        let key = parts.find_map(|part| part.strip_prefix("SharedAccessKey="));
        key.expect("a key").to_owned()
    }

    fn identity(&self) -> Value {
        let announced = self.simulation.announcement();
        json!({"identity": {
            "tenant_id": announced.tenant_id, "client_id": announced.client_id,
            "client_secret": announced.client_secret,
        }})
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        let fresh = self.folder.path().join(format!("{name}.new"));
        fs::write(&fresh, text).expect("written");
        fs::set_permissions(&fresh, fs::Permissions::from_mode(0o600)).expect("private");
        fs::rename(&fresh, &path).expect("replaced");
        path
    }

    /// A connection string with a ready-made token, good for so many seconds.
    fn ready_made(&self, secs: u64) -> String {
        use base64::Engine;
        use hmac::{Hmac, Mac};
        let now = SystemTime::now().duration_since(UNIX_EPOCH);
        let until = now.expect("after 1970").as_secs() + secs;
        let resource = format!("sb%3A%2F%2Flocalhost%2F{}", self.hub().name());
        let mac = Hmac::<sha2::Sha256>::new_from_slice(self.key().as_bytes());
        let mut mac = mac.expect("any length");
        mac.update(format!("{resource}\n{until}").as_bytes());
        let signature = base64::engine::general_purpose::STANDARD
            .encode(mac.finalize().into_bytes())
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D");
        format!(
            "Endpoint=sb://localhost:{};SharedAccessSignature=SharedAccessSignature sr={resource}&sig={signature}&se={until}&skn=listen;EntityPath=defender;UseDevelopmentEmulator=true",
            self.hub().port()
        )
    }
}

#[tokio::test]
async fn every_proof_opens_the_hub_and_no_secret_is_logged() {
    let logs = LogCapture::start();
    let hub = Hub::scripted().await;
    let announced = hub.simulation.announcement();
    let token = hub.ready_made(3600);
    let proofs = [
        json!({"sas": {"policy": "listen", "key": hub.key()}}),
        hub.identity(),
        json!({"connection_string": hub.hub().connection_string()}),
    ];
    let mut expected = BTreeSet::new();
    for (round, auth) in proofs.into_iter().enumerate() {
        expected.extend(hub.fill(round * 4..round * 4 + 4));
        let source = match round {
            2 => hub.source(json!({})),
            _ => hub.source_of(auth),
        };
        // Each names the namespace in its own way, so positions are not shared.
        let host = RecordingHost::new();
        let running = host.run(source);
        host.wait_for_events(expected.len()).await;
        running.stop().await;
    }
    let host = RecordingHost::new();
    let running = host.run(hub.source(json!({"auth": {"connection_string": token}})));
    host.wait_for_events(expected.len()).await;
    running.stop().await;
    let kinds: Vec<_> = hub.hub().tokens().into_iter().map(|it| it.kind).collect();
    assert!(kinds.contains(&"jwt".to_owned()), "{kinds:?}");
    logs.assert_absent(&[&hub.key(), &announced.client_secret, "sig="]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_told_and_a_later_one_is_taken() {
    let hub = Hub::scripted().await;
    let expected = hub.fill(0..4);
    hub.hub().fail_next(HubFault::RefuseToken(401));
    let running = hub.run();
    hub.expect(&expected).await;
    running.stop().await;
    hub.told("refuses what policy listen shows").await;
}

/// Long enough that a busy machine renews in the second half of it, which has ten seconds.
const LIFE_SECS: u64 = 20;
/// When the simulated service has surely ended what stands on a token that was not renewed. There
/// is nothing to wait for but time: that nothing happens then is what is tested.
const PAST: Duration = Duration::from_secs(LIFE_SECS + 2);

/// Waits until so many tokens were taken; then there was one connection, and nothing was repeated.
async fn renewed(hub: &Hub, tokens: usize, expected: &mut BTreeSet<String>) {
    let taken = || {
        let tokens = hub.hub().tokens();
        tokens.iter().filter(|it| it.status == 202).count()
    };
    eventually("tokens are renewed", || taken() >= tokens).await;
    expected.extend(hub.fill(100..110));
    hub.expect(expected).await;
    assert_eq!(hub.hub().connections(), 1, "the link goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_the_platform_is_renewed_before_it_ends() {
    let hub = Hub::scripted().await;
    hub.simulation.login().set_expires_in(LIFE_SECS);
    let mut expected = hub.fill(0..10);
    let running = hub.host.run(hub.source_of(hub.identity()));
    hub.expect(&expected).await;
    let began = Instant::now();
    sleep_until(began + PAST).await;
    renewed(&hub, 5, &mut expected).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ready_made_token_that_is_replaced_is_found_before_the_one_before_ends() {
    let hub = Hub::scripted().await;
    let path = hub.file("string", &hub.ready_made(LIFE_SECS));
    let auth = json!({"auth": {"connection_string": {"file": path}}});
    let mut expected = hub.fill(0..10);
    let running = hub.host.run(hub.source(auth));
    hub.expect(&expected).await;
    let began = Instant::now();
    hub.file("string", &hub.ready_made(3600));
    sleep_until(began + PAST).await;
    renewed(&hub, 2, &mut expected).await;
    running.stop().await;
}

#[tokio::test]
async fn a_refused_renewal_is_told_loudly_and_tried_again_while_the_link_goes_on() {
    let logs = LogCapture::start();
    let hub = Hub::scripted().await;
    hub.simulation.login().set_expires_in(30);
    let mut expected = hub.fill(0..10);
    let running = hub.host.run(hub.source_of(hub.identity()));
    hub.expect(&expected).await;
    hub.hub().fail_next(HubFault::RefuseToken(401));
    hub.told("refuses what the app shows").await;
    renewed(&hub, 2, &mut expected).await;
    running.stop().await;
    assert!(logs.text().contains("a human must act"), "{}", logs.text());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_allow_reading_is_told_with_what_to_do_and_tried_again() {
    let hub = Hub::scripted().await;
    let path = hub.file("key", "d3Jvbmc=");
    let expected = hub.fill(0..4);
    let auth = json!({"sas": {"policy": "listen", "key": {"file": path}}});
    let running = hub.host.run(hub.source_of(auth));
    hub.told("refuses what policy listen shows").await;
    hub.hub().forbid_listening(true);
    hub.file("key", &hub.key());
    hub.told("needs the right Listen").await;
    hub.hub().forbid_listening(false);
    hub.expect(&expected).await;

    // A key that is rotated does not end what is open, and the new one is found.
    hub.hub().renew_key();
    hub.file("key", &hub.key());
    hub.hub().expire_tokens();
    let mut expected = expected;
    expected.extend(hub.fill(4..8));
    hub.expect(&expected).await;
    running.stop().await;
}
