//! What librdkafka logs, in a process of its own: its threads log wherever they are.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tapline_core::{ComponentKind, Event, Kind, Metadata, SinkConfig};
use tapline_sink_kafka::KafkaConfig;
use tracing_subscriber::fmt::MakeWriter;

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut text = self.0.lock().expect("whole");
        text.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Captured {
    type Writer = Captured;

    fn make_writer(&self) -> Captured {
        self.clone()
    }
}

impl Captured {
    fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("whole")).into_owned()
    }
}

#[tokio::test]
async fn no_secret_is_logged_even_when_librdkafka_logs_all_it_can() {
    const SECRETS: [&str; 4] = [
        "hunter2-password",
        "hunter2-key",
        "hunter2-store",
        "hunter2-bearer",
    ];
    let captured = Captured::default();
    tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_ansi(false)
        .with_writer(captured.clone())
        .init();
    // Somebody who listens, and hangs up.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("bound");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move { while listener.accept().await.is_ok() {} });

    let folder = tempfile::tempdir().expect("a folder");
    let cx = tapline_testkit::build_context(ComponentKind::Sink, "kafka", "lake", folder.path());
    let config: KafkaConfig = serde_json::from_value(serde_json::json!({
        "brokers": [address.to_string()], "topic": "t",
        "librdkafka": {
            "debug": "all", "security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN",
            "sasl.username": "$ConnectionString", "sasl.password": SECRETS[0],
            "ssl.key.password": SECRETS[1], "ssl.keystore.password": SECRETS[2],
            "sasl.oauthbearer.config": SECRETS[3],
        },
    }))
    .expect("well formed");
    tracing::info!(?config, "read");
    let sink = config.build(&cx).expect("builds");
    let meta = Metadata::new(Kind::new("graph.alert"), "t", "id", "1");
    let events = [Event::new("{}", meta)];
    let delivery = tokio::time::timeout(Duration::from_secs(2), sink.deliver(&events));
    assert!(delivery.await.is_err(), "nobody takes it");
    drop(sink);

    let text = captured.text();
    assert!(text.contains("sasl.mechanism"), "the settings were logged");
    assert!(text.contains("CONNECT"), "and connecting was");
    for line in text.lines() {
        for secret in SECRETS {
            assert!(
                !line.contains(secret),
                "{}",
                line.replace(secret, "<SECRET>")
            );
        }
    }
}
