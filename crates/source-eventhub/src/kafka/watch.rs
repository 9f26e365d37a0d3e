//! What goes on beside reading: errors, hubs that cannot be read, tokens.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use rdkafka::Message;
use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use rdkafka::types::RDKafkaErrorCode as Code;
use tapline_core::{SourceContext, chain};
use tapline_entra_auth::Token;
use tokio::time::{interval, sleep};
use tracing::{debug, error};

use super::context::Board;
use super::faults::fault;
use super::position::{PATIENCE, asking};
use super::reader::KafkaConsumer;
use super::{Kafka, TICK};
use crate::access::Credential;
use crate::health::ConnectionHealth;

/// How often the provider is asked whether it has a newer token: ten times in what is left of the
/// life of the one in hand, within these bounds.
const TOKEN_TICKS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// How often it is asked whether a hub that could not be read can be by now.
const HUB_TICK: Duration = Duration::from_secs(10);

impl Kafka {
    /// Tells of errors; ends with one that a new connection with a newly read secret may mend.
    pub(super) async fn watch_errors(
        &self,
        board: &Board,
        health: &ConnectionHealth,
    ) -> &'static str {
        let mut ticks = interval(TICK);
        loop {
            ticks.tick().await;
            let Some(code) = board.take_error() else {
                continue;
            };
            let (reason, why) = fault(
                code,
                &self.shared.access,
                &self.shared.access.hubs.join(", "),
            );
            health.failed(reason, &why);
            if reason == "authentication" {
                return reason;
            }
        }
    }

    /// Tells which hubs are not there or may not be read, until they can be. The error that the
    /// consumer tells does not name the hub, and the others may be read meanwhile.
    pub(super) async fn watch_hubs(
        &self,
        consumer: Arc<KafkaConsumer>,
        board: &Board,
        cx: &SourceContext,
    ) -> Infallible {
        let health = |hub: &String| ConnectionHealth::new(cx, &self.shared.metrics, hub);
        let hubs: Vec<_> = self
            .shared
            .access
            .hubs
            .iter()
            .map(|hub| (hub, health(hub)))
            .collect();
        loop {
            board.hub_in_trouble().await;
            let mut is_well = false;
            while !is_well {
                is_well = true;
                for (hub, health) in &hubs {
                    is_well &= self.look_at(hub, &consumer, health).await;
                }
                sleep(HUB_TICK).await;
            }
        }
    }

    /// Whether a hub can be read, as far as the service answers.
    async fn look_at(
        &self,
        hub: &str,
        consumer: &Arc<KafkaConsumer>,
        health: &ConnectionHealth,
    ) -> bool {
        match state_of(hub, consumer).await {
            Ok(None) => health.works(),
            Ok(Some(code)) => {
                let (reason, why) = fault(code, &self.shared.access, hub);
                health.failed(reason, &why);
                return false;
            }
            Err(error) => debug!(%error, hub, "cannot be asked for"),
        }
        true
    }

    /// Shows newer tokens before those in hand expire.
    pub(super) async fn renew_tokens(
        &self,
        board: &Board,
        health: &ConnectionHealth,
    ) -> Infallible {
        if !self.shared.access.uses_tokens() {
            return std::future::pending().await;
        }
        loop {
            sleep(token_tick(board.token().as_ref())).await;
            match self.shared.access.credential().await {
                Ok(Credential::Token(token)) => board.set_token(token),
                Ok(Credential::Password(_)) => {}
                Err(error) => health.failed("token", &chain(&error)),
            }
        }
    }
}

/// What is wrong with a hub; none if it can be read.
async fn state_of(hub: &str, consumer: &Arc<KafkaConsumer>) -> KafkaResult<Option<Code>> {
    let asked = hub.to_owned();
    let answer = asking(consumer, move |consumer| {
        consumer.fetch_metadata(Some(&asked), PATIENCE)
    });
    let answer = answer.await?;
    let topic = answer.topics().iter().find(|topic| topic.name() == hub);
    Ok(topic.and_then(|topic| topic.error()).map(Code::from))
}

fn token_tick(token: Option<&Token>) -> Duration {
    let (shortest, longest) = TOKEN_TICKS;
    let left = token.map(|token| token.expires().duration_since(Timestamp::now()));
    let left = left.and_then(|left| Duration::try_from(left).ok());
    (left.unwrap_or_default() / 10).clamp(shortest, longest)
}

/// Serves librdkafka's events. Messages come by the queues of their partitions, which are split
/// before anything is fetched; should one come here all the same, everything is read again from
/// what is settled.
pub(super) async fn poll(consumer: Arc<KafkaConsumer>) -> &'static str {
    loop {
        match consumer.recv().await {
            Ok(message) => {
                let (hub, partition) = (message.topic(), message.partition());
                error!(
                    hub,
                    partition, "a message came outside of its partition; connecting anew"
                );
                return "service";
            }
            Err(error) => {
                debug!(%error, "told by the consumer");
                if let Some(code) = error.rdkafka_error_code() {
                    consumer.context().0.note_error(code);
                }
            }
        }
    }
}
