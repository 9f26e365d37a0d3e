//! What users write under `config:`, and its checks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tapline_core::{
    BuildContext, BuildError, CursorForm, Problem, SecretSource, Source, SourceConfig,
};
use tapline_entra_auth::IdentityConfig;
use tapline_entra_auth::http::check_base_url;

use crate::amqp::Amqp;
use crate::by_hand;
use crate::connection_string::{host_and_port, is_loopback};
use crate::kafka::{Kafka, settings};
use crate::repeats::{DropRepeats, Memory};
use crate::start::StartAt;
use crate::tables::TableChoice;

/// Reads one or several hubs of a namespace.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EventHubConfig {
    /// `kafka` (default): the namespace's Kafka endpoint, port 9093; every tier but Basic.
    /// `amqp`: AMQP 1.0, port 5671; every tier. `amqp_websocket`: the same, port 443.
    #[serde(default)]
    pub(crate) transport: Transport,
    /// Host of the namespace, such as `contoso-hub.servicebus.windows.net`. May be left out where
    /// a connection string says it.
    pub(crate) namespace: Option<String>,
    /// The hubs to read. May be left out where a connection string names one.
    #[serde(default)]
    pub(crate) hubs: Vec<String>,
    /// The tables to read, or `all`; default AlertInfo and AlertEvidence. Other tables have
    /// thousands of times the volume.
    #[serde(default)]
    pub(crate) tables: TableChoice,
    /// Group that shares the partitions among replicas, default `tapline`. Two pipelines that
    /// both want everything need two groups.
    #[serde(default = "default_group")]
    pub(crate) consumer_group: String,
    /// `earliest` (default), `latest`, or a time; only where there is no checkpoint yet.
    #[serde(default)]
    pub(crate) start_at: StartAt,
    /// Drops records that the service repeats, such as `{ within_secs: 600 }`; by default they
    /// pass, with the identity of the first one.
    pub(crate) drop_repeats: Option<DropRepeats>,
    /// How the right to read is proven.
    pub(crate) auth: AuthConfig,
    /// Over AMQP: which reader of a partition and consumer group wins, default 0. The one with
    /// the highest level does; of those with the same the newest.
    #[serde(default)]
    pub(crate) owner_level: i64,
    /// Over AMQP: seconds from one look for new messages to the next; a look ends when nothing is
    /// left. Without it (default) messages are read as they come.
    pub(crate) poll_interval_secs: Option<u64>,
    /// Settings handed to librdkafka as they are, such as `group.instance.id`. What would break a
    /// promise is refused.
    #[serde(default)]
    pub(crate) librdkafka: BTreeMap<String, Scalar>,
    /// Fixed fields for routing and topics; kept beside the record, not in it.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Other addresses, for tests.
    #[serde(default)]
    pub(crate) endpoints: Endpoints,
    /// Another proxy than the process's, for tokens and AMQP; the Kafka endpoint cannot use one.
    pub(crate) proxy: Option<ProxyConfig>,
    /// Other extra trust than the process's.
    pub(crate) tls: Option<TlsConfig>,
}

/// A value of a setting of librdkafka.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Scalar {
    Switch(bool),
    Number(i64),
    Text(String),
}

impl std::fmt::Display for Scalar {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Scalar::Switch(value) => value.fmt(f),
            Scalar::Number(value) => value.fmt(f),
            Scalar::Text(value) => value.fmt(f),
        }
    }
}

/// How messages are fetched.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Transport {
    #[default]
    Kafka,
    Amqp,
    AmqpWebsocket,
}

impl Transport {
    pub(crate) const fn is_amqp(self) -> bool {
        matches!(self, Self::Amqp | Self::AmqpWebsocket)
    }
}

/// How the right to read is proven: exactly one of these.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthConfig {
    /// A shared access policy with the right Listen.
    pub(crate) sas: Option<SasConfig>,
    /// "Connection string" of a policy, as the portal shows it.
    pub(crate) connection_string: Option<SecretSource>,
    /// An app with the role "Azure Event Hubs Data Receiver".
    pub(crate) identity: Option<IdentityConfig>,
}

/// A shared access policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SasConfig {
    /// Its name.
    pub(crate) policy: String,
    /// Its primary or secondary key.
    pub(crate) key: SecretSource,
}

/// Addresses for tests; they change neither scope nor resource of a token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoints {
    /// Base address of the identity platform.
    pub(crate) login: Option<String>,
    /// `host:port` of the Kafka endpoint; `plaintext://host:port` on this machine only.
    pub(crate) kafka: Option<String>,
    /// `host:port` for AMQP; `plaintext://host:port` on this machine only.
    pub(crate) amqp: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyConfig {
    /// Proxy for `https` addresses, such as `http://proxy.example:3128`.
    pub(crate) https: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// PEM file of certificates to trust besides the system's.
    pub(crate) ca: PathBuf,
}

fn default_group() -> String {
    "tapline".to_owned()
}

/// A second to a day; the shortest retention is a day.
const POLL_SECS: std::ops::RangeInclusive<u64> = 1..=86_400;
/// Clear text to this machine.
pub(crate) const PLAINTEXT: &str = "plaintext://";
/// Source: "Event Hubs quotas", seen 2026: names of hubs and of Kafka groups.
const LONGEST_NAME: usize = 256;
/// Source: the same; names of the consumer groups of a hub, which AMQP uses.
const LONGEST_AMQP_GROUP: usize = 50;

impl EventHubConfig {
    pub(crate) fn override_network(&self, cx: &mut BuildContext) {
        if let Some(proxy) = &self.proxy {
            cx.network.https_proxy = Some(proxy.https.clone());
        }
        if let Some(tls) = &self.tls {
            cx.network.extra_ca = Some(cx.config_dir.join(&tls.ca));
        }
    }

    /// What remembers repeats, if they are to be dropped.
    pub(crate) fn memory(&self) -> Option<Arc<Memory>> {
        self.drop_repeats
            .map(|settings| Arc::new(Memory::new(settings)))
    }

    fn namespace_problems(&self, problems: &mut Vec<Problem>) {
        let given = self.namespace.as_deref();
        match given {
            None if self.auth.connection_string.is_none() => {
                let message =
                    "is missing: the namespace's host, such as contoso-hub.servicebus.windows.net";
                problems.push(Problem::new("namespace", message));
            }
            Some(host)
                if !matches!(host_and_port(host), Some((_, None))) || !host.contains('.') =>
            {
                let message = "expected a host without port and scheme, such as contoso-hub.servicebus.windows.net";
                problems.push(Problem::new("namespace", message));
            }
            _ => {}
        }
    }

    fn hub_problems(&self, problems: &mut Vec<Problem>) {
        if self.hubs.is_empty() && self.auth.connection_string.is_none() {
            let message = "expected at least one hub: what the streaming API was told to write to";
            problems.push(Problem::new("hubs", message));
        }
        for (index, hub) in self.hubs.iter().enumerate() {
            let path = format!("hubs[{index}]");
            if !is_name(hub) {
                let message = "expected a hub's name: at most 256 letters, digits, dots, hyphens, and underscores";
                problems.push(Problem::new(path, message));
            } else if self.hubs[..index]
                .iter()
                .any(|other| other.eq_ignore_ascii_case(hub))
            {
                problems.push(Problem::new(path, "the hub is named twice"));
            }
        }
        let longest = if self.transport.is_amqp() {
            LONGEST_AMQP_GROUP
        } else {
            LONGEST_NAME
        };
        if self.consumer_group.is_empty() || self.consumer_group.len() > longest {
            let message = format!("expected a name of at most {longest} characters");
            problems.push(Problem::new("consumer_group", message));
        }
    }

    fn amqp_problems(&self, problems: &mut Vec<Problem>) {
        let is_amqp = self.transport.is_amqp();
        let mut wrong = |path: &str, message: &str| problems.push(Problem::new(path, message));
        if !is_amqp && self.owner_level != 0 {
            wrong(
                "owner_level",
                "is for AMQP; the Kafka endpoint shares partitions by itself",
            );
        } else if self.owner_level < 0 {
            wrong("owner_level", "expected 0 or more");
        }
        if !is_amqp && self.poll_interval_secs.is_some() {
            wrong(
                "poll_interval_secs",
                "is for AMQP; the Kafka endpoint is read all the time",
            );
        } else if self
            .poll_interval_secs
            .is_some_and(|secs| !POLL_SECS.contains(&secs))
        {
            wrong("poll_interval_secs", "expected 1 to 86400");
        }
    }

    fn auth_problems(&self, problems: &mut Vec<Problem>) {
        let AuthConfig {
            sas,
            connection_string,
            identity,
        } = &self.auth;
        let given = [
            sas.is_some(),
            connection_string.is_some(),
            identity.is_some(),
        ];
        let count = given.into_iter().filter(|given| *given).count();
        if count != 1 {
            let message =
                format!("expected one of sas, connection_string, identity, found {count} of them");
            problems.push(Problem::new("auth", message));
        }
        if let Some(identity) = identity {
            problems.extend(identity.problems("auth.identity"));
        }
        if sas
            .as_ref()
            .is_some_and(|sas| sas.policy.is_empty() || sas.policy.contains([';', '=']))
        {
            let message = "expected the name of a shared access policy, such as listen";
            problems.push(Problem::new("auth.sas.policy", message));
        }
    }

    fn endpoint_problems(&self, problems: &mut Vec<Problem>) {
        if let Some(Err(message)) = self.endpoints.login.as_deref().map(check_base_url) {
            problems.push(Problem::new("endpoints.login", message));
        }
        let Endpoints { kafka, amqp, .. } = &self.endpoints;
        for (path, address) in [("endpoints.kafka", kafka), ("endpoints.amqp", amqp)] {
            let problem = address.as_deref().and_then(address_problem);
            problems.extend(problem.map(|message| Problem::new(path, message)));
        }
    }
}

fn address_problem(address: &str) -> Option<&'static str> {
    let plain = address.strip_prefix(PLAINTEXT);
    match host_and_port(plain.unwrap_or(address)) {
        Some((host, Some(_))) if plain.is_none() || is_loopback(&host) => None,
        Some((_, Some(_))) => Some("clear text is for this machine only"),
        _ => Some("expected host:port"),
    }
}

fn is_name(hub: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !hub.is_empty() && hub.len() <= LONGEST_NAME && hub.chars().all(legal)
}

impl SourceConfig for EventHubConfig {
    const TYPE: &'static str = "eventhub";
    const CURSORS: Option<CursorForm> = Some(by_hand::FORM);

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.namespace_problems(&mut problems);
        self.hub_problems(&mut problems);
        problems.extend(self.tables.problems());
        problems.extend(self.drop_repeats.iter().flat_map(DropRepeats::problems));
        self.auth_problems(&mut problems);
        self.endpoint_problems(&mut problems);
        self.amqp_problems(&mut problems);
        problems.extend(settings::problems(&self.librdkafka));
        problems
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(match self.transport {
            Transport::Kafka => Box::new(Kafka::build(self, cx)?),
            Transport::Amqp | Transport::AmqpWebsocket => Box::new(Amqp::build(self, cx)?),
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn check(config: Value, expected: &[&str]) {
        let config: EventHubConfig = serde_json::from_value(config).expect("well formed");
        let problems = config.problems();
        let paths: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        assert_eq!(paths, expected, "{problems:?}");
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_manual() {
        let config = json!({"auth": {"connection_string": {"env": "C"}}});
        check(config.clone(), &[]);
        let config: EventHubConfig = serde_json::from_value(config).expect("well formed");
        assert_eq!(config.transport, Transport::Kafka);
        assert_eq!(
            (&*config.consumer_group, config.start_at),
            ("tapline", StartAt::Earliest)
        );
        assert!(
            matches!(config.tables, TableChoice::List(tables) if tables == ["AlertInfo", "AlertEvidence"])
        );
    }

    #[test]
    fn all_mistakes_are_told_at_once() {
        check(
            json!({
                "namespace": "sb://contoso", "hubs": ["a", "b c", "A"],
                "tables": ["AlertInfo", "x y"], "consumer_group": "",
                "auth": {"sas": {"policy": "a;b", "key": "k"}, "connection_string": "c"},
                "endpoints": {"kafka": "plaintext://contoso.example:9092", "amqp": "contoso"},
                "owner_level": 1, "poll_interval_secs": 60,
                "librdkafka": {"enable.auto.commit": true, "session.timeout": 5, "client.rack": "a"},
            }),
            &[
                "namespace",
                "hubs[1]",
                "hubs[2]",
                "consumer_group",
                "tables[1]",
                "auth",
                "auth.sas.policy",
                "endpoints.kafka",
                "endpoints.amqp",
                "owner_level",
                "poll_interval_secs",
                "librdkafka.enable.auto.commit",
                "librdkafka.session.timeout",
            ],
        );
        check(
            json!({
                "transport": "amqp_websocket", "auth": {"connection_string": "c"},
                "owner_level": -1, "poll_interval_secs": 0, "consumer_group": "g".repeat(51),
            }),
            &["consumer_group", "owner_level", "poll_interval_secs"],
        );
        check(
            json!({"tables": "some", "auth": {}}),
            &["namespace", "hubs", "tables", "auth"],
        );
    }

    #[test]
    fn a_start_is_a_word_or_a_time() {
        let read = |text: &str| serde_json::from_value::<StartAt>(json!(text));
        assert_eq!(read("latest").expect("a word"), StartAt::Latest);
        assert!(matches!(read("2026-08-01T00:00:00Z"), Ok(StartAt::Time(_))));
        assert!(read("yesterday").is_err());
    }
}
