//! What users write under `config:` of a sink of type `kafka`, and its checks.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use tapline_core::{BuildContext, BuildError, Problem, Sink, SinkConfig, TransactionalConfig};

use crate::setting::{self, Setting};
use crate::settings;
use crate::sink::Kafka;
use crate::topic::TopicTemplate;

/// Default of `transaction_interval_ms`, and the most that it may be.
const INTERVAL_MS: u64 = 100;
const LONGEST_INTERVAL_MS: u64 = 5000;

/// Settings of a Kafka sink.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KafkaConfig {
    /// Where to ask for the cluster, as `host:port`; one that answers is enough.
    pub brokers: Vec<String>,
    /// Topic, with placeholders `{kind}`, `{tenant}`, `{component}`, `{labels.NAME}`. What a
    /// topic name may not hold becomes `_`; what an event does not have becomes `unknown`.
    pub topic: String,
    /// What the record key is made of.
    #[serde(default)]
    pub key: Key,
    /// Events and the cursors of their sources in one transaction: whoever reads only what is
    /// committed (`isolation.level=read_committed`) sees each event once. Needs topics of its own,
    /// named after the pipeline and the sink, and excludes a `spool`.
    #[serde(default)]
    pub exactly_once: bool,
    /// With `exactly_once`: how long an event may wait for others to share its transaction, in
    /// milliseconds; 100 unless set. Less means less delay and more work for the brokers.
    #[serde(default)]
    pub transaction_interval_ms: Option<u64>,
    /// Settings handed to librdkafka as they are; a value may be a secret, such as
    /// `sasl.password: { env: KAFKA_PASSWORD }`. What would break a promise is refused.
    #[serde(default, deserialize_with = "setting::by_name")]
    pub librdkafka: BTreeMap<String, Setting>,
}

/// What the record key is made of.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum Key {
    /// `tenant:kind:id`: all versions of a record stay in order.
    #[default]
    Id,
    /// The tenant. Records of one tenant may pass each other when one of them is repeated.
    Tenant,
    /// The device; events without one are spread.
    Device,
    /// No key: spread evenly, no order.
    None,
}

impl SinkConfig for KafkaConfig {
    const TYPE: &'static str = "kafka";

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.brokers.is_empty() {
            problems.push(Problem::new("brokers", "expected at least one host:port"));
        }
        for (index, broker) in self.brokers.iter().enumerate() {
            if !is_host_and_port(broker) {
                let message = format!("expected host:port, found {broker:?}");
                problems.push(Problem::new(format!("brokers[{index}]"), message));
            }
        }
        if let Err(error) = TopicTemplate::parse(&self.topic) {
            problems.push(Problem::new("topic", error.to_string()));
        }
        problems.extend(self.problems_of_transactions());
        problems.extend(settings::problems(&self.librdkafka));
        problems
    }

    fn transactional(&self) -> Option<&dyn TransactionalConfig> {
        self.exactly_once.then_some(self)
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        Ok(Box::new(Kafka::new(self, cx)?))
    }
}

impl KafkaConfig {
    pub(crate) fn transaction_interval(&self) -> Duration {
        Duration::from_millis(self.transaction_interval_ms.unwrap_or(INTERVAL_MS))
    }

    fn problems_of_transactions(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |path: &str, why: &str| problems.push(Problem::new(path, why));
        match self.transaction_interval_ms {
            Some(_) if !self.exactly_once => wrong(
                "transaction_interval_ms",
                "has a meaning only with exactly_once: true",
            ),
            Some(ms) if !(1..=LONGEST_INTERVAL_MS).contains(&ms) => wrong(
                "transaction_interval_ms",
                "expected 1 to 5000: a transaction is given up after 15 s",
            ),
            _ => {}
        }
        if self.exactly_once {
            for (key, why) in settings::against_transactions(&self.librdkafka) {
                wrong(&format!("librdkafka.{key}"), why);
            }
        }
        problems
    }
}

fn is_host_and_port(text: &str) -> bool {
    text.rsplit_once(':')
        .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok_and(|p| p > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(json: serde_json::Value) -> Vec<String> {
        let config: KafkaConfig = serde_json::from_value(json).expect("well formed");
        let told = config.problems().into_iter();
        told.map(|p| format!("{}: {}", p.path, p.message)).collect()
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        let told = problems(serde_json::json!({
            "brokers": ["localhost", "good:9092"], "topic": "x.{sort}", "transaction_interval_ms": 50,
            "librdkafka": {"acks": 1, "linger.mss": 5, "compression.type": "lz4", "linger.ms": "soon",
                "sasl.oauthbearer.client.secret": {"env": "KAFKA_SECRET"}},
        }));
        let expected = [
            "brokers[0]: expected host:port",
            "topic: unknown placeholder {sort}",
            "transaction_interval_ms: has a meaning only with exactly_once",
            "librdkafka.acks: is set by tapline",
            "librdkafka.linger.ms: ",
            "librdkafka.linger.mss: librdkafka knows no such setting",
            "librdkafka.sasl.oauthbearer.client.secret: is not supported by",
        ];
        assert_eq!(told.len(), expected.len(), "{told:#?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told}");
        }
    }

    #[test]
    fn a_typical_file_has_no_mistakes() {
        let told = problems(serde_json::json!({
            "brokers": ["kafka.example:9093"], "topic": "defender.{kind}", "key": "device",
            "librdkafka": {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512",
                "sasl.username": "u", "sasl.password": {"env": "KAFKA_PASSWORD"}},
        }));
        assert!(told.is_empty(), "{told:#?}");
    }

    #[test]
    fn a_password_in_the_file_is_taken_and_never_shown() {
        let config: KafkaConfig = serde_json::from_value(serde_json::json!({
            "brokers": ["kafka.example:9093"], "topic": "t",
            "librdkafka": {"sasl.password": 271828, "ssl.key.password": "hunter2"},
        }))
        .expect("well formed");
        assert!(config.problems().is_empty());
        let shown = format!("{config:?}");
        assert!(
            !shown.contains("271828") && !shown.contains("hunter2"),
            "{shown}"
        );
    }
}
