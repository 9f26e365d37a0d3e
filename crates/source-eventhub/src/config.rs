//! What users write under `config:`, and its checks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use tapline_core::{BuildContext, BuildError, Problem, SecretSource, Source, SourceConfig};
use tapline_entra_auth::IdentityConfig;
use tapline_entra_auth::http::check_base_url;

use crate::amqp::Amqp;
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
    /// `amqp`: AMQP 1.0, port 5671; every tier. `amqp_websocket` is not in this version.
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
    /// Another proxy than the process's, for tokens; the Kafka endpoint cannot use one.
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

/// Clear text to this machine.
pub(crate) const PLAINTEXT: &str = "plaintext://";
/// Source: "Event Hubs quotas", seen 2026: names of hubs and of Kafka groups.
const LONGEST_NAME: usize = 256;

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
        if self.consumer_group.is_empty() || self.consumer_group.len() > LONGEST_NAME {
            let message = "expected a name of at most 256 characters";
            problems.push(Problem::new("consumer_group", message));
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
        let Some(kafka) = &self.endpoints.kafka else {
            return;
        };
        let (address, is_plain) = match kafka.strip_prefix(PLAINTEXT) {
            Some(address) => (address, true),
            None => (kafka.as_str(), false),
        };
        match host_and_port(address) {
            Some((host, Some(_))) if !is_plain || is_loopback(&host) => {}
            Some((_, Some(_))) => {
                let message = "clear text is for this machine only";
                problems.push(Problem::new("endpoints.kafka", message));
            }
            _ => problems.push(Problem::new("endpoints.kafka", "expected host:port")),
        }
    }
}

fn is_name(hub: &str) -> bool {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !hub.is_empty() && hub.len() <= LONGEST_NAME && hub.chars().all(legal)
}

impl SourceConfig for EventHubConfig {
    const TYPE: &'static str = "eventhub";

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.transport == Transport::AmqpWebsocket {
            let message = "is not in this version; expected kafka or amqp";
            problems.push(Problem::new("transport", message));
        }
        self.namespace_problems(&mut problems);
        self.hub_problems(&mut problems);
        problems.extend(self.tables.problems());
        problems.extend(self.drop_repeats.iter().flat_map(DropRepeats::problems));
        self.auth_problems(&mut problems);
        self.endpoint_problems(&mut problems);
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
                "transport": "amqp_websocket", "namespace": "sb://contoso", "hubs": ["a", "b c", "A"],
                "tables": ["AlertInfo", "x y"], "consumer_group": "",
                "auth": {"sas": {"policy": "a;b", "key": "k"}, "connection_string": "c"},
                "endpoints": {"kafka": "plaintext://contoso.example:9092"},
                "librdkafka": {"enable.auto.commit": true, "session.timeout": 5, "client.rack": "a"},
            }),
            &[
                "transport",
                "namespace",
                "hubs[1]",
                "hubs[2]",
                "consumer_group",
                "tables[1]",
                "auth",
                "auth.sas.policy",
                "endpoints.kafka",
                "librdkafka.enable.auto.commit",
                "librdkafka.session.timeout",
            ],
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
