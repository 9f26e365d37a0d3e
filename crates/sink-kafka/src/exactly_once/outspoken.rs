//! The first client of a start, of which people hear when it cannot get in.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use tracing::debug;

use crate::troubles::Troubles;

/// Between looks at what librdkafka has to say.
const LOOK: Duration = Duration::from_millis(100);

struct Outspoken(Arc<Troubles>);

impl ClientContext for Outspoken {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.0.tell(&error, reason);
    }
}

impl ConsumerContext for Outspoken {}

/// Waits until the cluster answers, and tells meanwhile why it does not. Blocks.
///
/// # Errors
/// If it does not within `patience`.
pub(super) fn greet(
    connection: &ClientConfig,
    topic: &str,
    patience: Duration,
    troubles: &Arc<Troubles>,
) -> KafkaResult<()> {
    let context = Outspoken(Arc::clone(troubles));
    let client: BaseConsumer<Outspoken> = connection.create_with_context(context)?;
    std::thread::scope(|scope| {
        // A consumer makes no topic by asking for it.
        let asked = scope.spawn(|| client.fetch_metadata(Some(topic), patience).map(|_| ()));
        while !asked.is_finished() {
            // Complaints are handed over here; there is nothing to read.
            drop(client.poll(LOOK));
        }
        asked.join().unwrap_or(Err(KafkaError::Canceled))
    })
}
