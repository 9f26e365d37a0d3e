//! Settings of librdkafka: our defaults, what users may add, and what is refused.

use std::collections::BTreeMap;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaConfRes;
use tapline_core::{BuildContext, BuildError, Problem, with_system_certificates};

use crate::setting::Setting;

/// Settings that carry a promise of ours, and why they cannot be changed.
const REFUSED: &[(&str, &str)] = &[
    ("acks", "nothing is lost only if all replicas confirm"),
    (
        "request.required.acks",
        "nothing is lost only if all replicas confirm",
    ),
    ("enable.idempotence", "order and single delivery need it"),
    (
        "message.timeout.ms",
        "a timeout would let a newer version overtake an older one",
    ),
    (
        "delivery.timeout.ms",
        "a timeout would let a newer version overtake an older one",
    ),
    ("retries", "librdkafka repeats for as long as it takes"),
    (
        "message.send.max.retries",
        "librdkafka repeats for as long as it takes",
    ),
    ("max.in.flight", ONE_AT_A_TIME),
    ("max.in.flight.requests.per.connection", ONE_AT_A_TIME),
    ("transactional.id", "it belongs to exactly_once"),
    (
        "transaction.timeout.ms",
        "takeovers and timeouts are made to fit it",
    ),
    ("queue.buffering.max.messages", "memory is bounded in bytes"),
    ("bootstrap.servers", "write it as brokers"),
    ("metadata.broker.list", "write it as brokers"),
    (
        "test.mock.num.brokers",
        "it would deliver to a broker that does not exist",
    ),
];

const ONE_AT_A_TIME: &str = "a later request that succeeds would hide an earlier one that did not";

/// What we set, before the user's own; reasons stand with the figures in the crate's README.
const DEFAULTS: &[(&str, &str)] = &[
    ("acks", "all"),
    ("enable.idempotence", "true"),
    ("message.timeout.ms", "0"),
    // librdkafka takes the success of a request for proof that all before it were persisted. A broker
    // that knows nothing of the producer yet, as for a partition that was just made, takes whatever
    // sequence comes first (KIP-360): what it refused before would be lost (seen with 2.12.1).
    ("max.in.flight.requests.per.connection", "1"),
    // Fewer and larger requests; the figures stand in the README.
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    ("compression.codec", "lz4"),
    // With the default of 10 s an outage ends, and is told of, 8 to 12 s late (measured).
    ("reconnect.backoff.max.ms", "1000"),
    // The default is 1 GiB.
    ("queue.buffering.max.kbytes", "4096"),
    // Else values are copied once more before they are compressed, into a buffer as large as a
    // request: 5 to 8 MB more at the peak of a backlog, and page faults (measured).
    ("message.copy.max.bytes", "0"),
    ("client.id", "tapline"),
];

/// How to prove who we are with a name and a password; the others need libraries that this program is
/// built without.
const MECHANISMS: &[&str] = &["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];

/// Other names of settings that we have a default for; librdkafka takes whichever it is told last.
const ALIASES: &[(&str, &str)] = &[
    ("compression.type", "compression.codec"),
    ("queue.buffering.max.ms", "linger.ms"),
];

fn canonical(key: &str) -> &str {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == key);
    alias.map_or(key, |(_, name)| name)
}

/// The configuration of the producer.
///
/// # Errors
/// The setting whose secret cannot be had, or the certificates that cannot be read.
pub(crate) fn producer(
    brokers: &[String],
    own: &BTreeMap<String, Setting>,
    cx: &BuildContext,
) -> Result<ClientConfig, BuildError> {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        config.set(*key, *value);
    }
    config.set("bootstrap.servers", brokers.join(","));
    for (key, setting) in own {
        match setting {
            Setting::Plain(value) => config.set(canonical(key), value),
            Setting::Secret(source) => {
                let secret = source
                    .resolve(&cx.config_dir)
                    .map_err(|error| BuildError::new(format!("librdkafka.{key}"), error))?;
                config.set(canonical(key), secret.expose())
            }
        };
    }
    fit_the_largest(&mut config);
    trust(&mut config, cx)?;
    Ok(config)
}

/// A record that is larger than the queue would wait for ever for room in it.
fn fit_the_largest(config: &mut ClientConfig) {
    /// What librdkafka takes without a setting.
    const LARGEST: u64 = 1_000_000;
    let number = |key| config.get(key).and_then(|value| value.parse::<u64>().ok());
    let needed = number("message.max.bytes")
        .unwrap_or(LARGEST)
        .div_ceil(1024);
    if number("queue.buffering.max.kbytes").is_some_and(|room| room < needed) {
        config.set("queue.buffering.max.kbytes", needed.to_string());
    }
}

/// What every client needs of a producer's configuration: where the cluster is, and how to get in.
pub(crate) fn connection(producer: &ClientConfig) -> ClientConfig {
    const STARTS: &[&str] = &[
        "bootstrap.servers",
        "broker.",
        "client.",
        "connections.",
        "enable.sasl.",
        "enable.ssl.",
        "reconnect.",
        "retry.",
        "sasl.",
        "security.",
        "socket.",
        "ssl.",
    ];
    let mut config = ClientConfig::new();
    // The map has placeholders in the place of secrets.
    for key in producer.config_map().into_keys() {
        let is_ours = STARTS.iter().any(|start| key.starts_with(start));
        if let Some(value) = producer.get(key).filter(|_| is_ours) {
            config.set(key, value);
        }
    }
    config
}

/// The vendored OpenSSL does not know where this system keeps its certificates, and takes extra
/// ones only instead of them.
fn trust(config: &mut ClientConfig, cx: &BuildContext) -> Result<(), BuildError> {
    let encrypted = config
        .get("security.protocol")
        .is_some_and(|protocol| protocol.to_ascii_lowercase().contains("ssl"));
    let has_own = ["ssl.ca.location", "ssl.ca.pem"]
        .iter()
        .any(|key| config.get(key).is_some());
    if !encrypted || has_own {
        return Ok(());
    }
    match &cx.network.extra_ca {
        None => config.set("ssl.ca.location", "probe"),
        Some(ca) => {
            let pem = with_system_certificates(&cx.config_dir.join(ca));
            config.set(
                "ssl.ca.pem",
                pem.map_err(|why| BuildError::new("tls.ca", why))?,
            )
        }
    };
    Ok(())
}

/// Mistakes in the user's own settings, one for each, in order of their names.
pub(crate) fn problems(own: &BTreeMap<String, Setting>) -> Vec<Problem> {
    own.iter().filter_map(problem).collect()
}

/// Settings that fit no transaction.
pub(crate) fn against_transactions(
    own: &BTreeMap<String, Setting>,
) -> impl Iterator<Item = (&String, &'static str)> {
    own.iter().filter_map(|(key, setting)| {
        let Setting::Plain(value) = setting else {
            return None;
        };
        let ms = value.parse::<u64>().ok();
        let why = match key.as_str() {
            "socket.timeout.ms" if ms > Some(14_000) => {
                "with exactly_once at most 14000, since a transaction is given up after 15 s"
            }
            "linger.ms" | "queue.buffering.max.ms" if ms > Some(1000) => {
                "with exactly_once at most 1000, since a transaction is given up after 15 s"
            }
            _ => return None,
        };
        Some((key, why))
    })
}

fn problem((key, setting): (&String, &Setting)) -> Option<Problem> {
    let message = match REFUSED.iter().find(|(refused, _)| refused == key) {
        Some((_, why)) => format!("is set by tapline: {why}"),
        None => mechanism_without_a_provider(key, setting)
            .or_else(|| refusal_of_librdkafka(key, setting))?,
    };
    Some(Problem::new(format!("librdkafka.{key}"), message))
}

/// librdkafka takes these names, and then never connects or refuses them when it begins.
fn mechanism_without_a_provider(key: &str, setting: &Setting) -> Option<String> {
    let Setting::Plain(value) = setting else {
        return None;
    };
    let is_mechanism = ["sasl.mechanism", "sasl.mechanisms"].contains(&key);
    let is_ours = MECHANISMS
        .iter()
        .any(|known| known.eq_ignore_ascii_case(value));
    (is_mechanism && !is_ours)
        .then(|| format!("expected one of {}, found {value}", MECHANISMS.join(", ")))
}

/// What librdkafka itself says of one setting; the value is never repeated, it may be a secret.
fn refusal_of_librdkafka(key: &str, setting: &Setting) -> Option<String> {
    let value = match setting {
        Setting::Plain(value) => value.as_str(),
        // Any text will do to learn whether the name is known.
        Setting::Secret(_) => "secret",
    };
    let mut config = ClientConfig::new();
    config.set(key, value);
    match config.create_native_config() {
        Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)) => {
            Some("librdkafka knows no such setting".to_owned())
        }
        // What librdkafka says here names the setting and what it was built without, no value.
        Err(KafkaError::ClientConfig(_, said, ..)) if said.contains("not supported in this") => {
            Some("is not supported by the librdkafka in this program".to_owned())
        }
        Err(_) if matches!(setting, Setting::Plain(_)) => {
            Some("librdkafka does not take this value".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use tapline_core::ComponentKind;
    use tapline_testkit::build_context;

    use super::*;

    fn context(folder: &Path) -> BuildContext {
        build_context(ComponentKind::Sink, "kafka", "lake", folder)
    }

    fn configured(own: &[(&str, &str)], cx: &BuildContext) -> Result<ClientConfig, BuildError> {
        let plain = |(key, value): &(&str, &str)| {
            let value = Setting::Plain((*value).to_owned());
            ((*key).to_owned(), value)
        };
        producer(&["b:1".to_owned()], &own.iter().map(plain).collect(), cx)
    }

    #[test]
    fn encryption_without_a_ca_trusts_what_the_system_trusts() {
        let location = |own: &[(&str, &str)]| {
            let config = configured(own, &context(Path::new("."))).expect("no secrets");
            config.get("ssl.ca.location").map(str::to_owned)
        };
        let encrypted = ("security.protocol", "sasl_ssl");
        assert_eq!(location(&[encrypted]).as_deref(), Some("probe"));
        let own = location(&[encrypted, ("ssl.ca.location", "ca.pem")]);
        assert_eq!(own.as_deref(), Some("ca.pem"));
    }

    #[test]
    fn every_client_has_the_same_password() {
        let own = [("sasl.username", "tapline"), ("sasl.password", "right")];
        let producer = configured(&own, &context(Path::new("."))).expect("no secrets");
        let other = connection(&producer);
        assert_eq!(other.get("sasl.password"), Some("right"));
        assert_eq!(other.get("bootstrap.servers"), Some("b:1"));
        assert_eq!(other.get("acks"), None);
    }

    #[test]
    fn extra_trust_of_the_pipeline_file_holds_for_kafka_too() {
        let folder = tempfile::tempdir().expect("a folder");
        let encrypted = [("security.protocol", "ssl")];
        let mut cx = context(folder.path());
        cx.network.extra_ca = Some("corporate.pem".into());
        let error = configured(&encrypted, &cx).expect_err("it is not there");
        let why = error.source.to_string();
        assert!(why.contains("corporate.pem"), "{why}");
        std::fs::write(folder.path().join("corporate.pem"), "OURS").expect("written");
        let config = configured(&encrypted, &cx).expect("it is there");
        let pem = config.get("ssl.ca.pem").expect("trusted");
        assert!(pem.starts_with("OURS"), "{pem}");
        let plain = configured(&[], &cx).expect("nothing to trust");
        assert_eq!(plain.get("ssl.ca.pem"), None);
    }

    #[test]
    fn the_queue_holds_the_largest_record() {
        let room = |own: &[(&str, &str)]| {
            let config = configured(own, &context(Path::new("."))).expect("no secrets");
            config.get("queue.buffering.max.kbytes").map(str::to_owned)
        };
        assert_eq!(room(&[]).as_deref(), Some("4096"));
        let large = ("message.max.bytes", "8000000");
        assert_eq!(room(&[large]).as_deref(), Some("7813"));
        let small = ("queue.buffering.max.kbytes", "100");
        assert_eq!(room(&[small]).as_deref(), Some("977"));
        let enough = ("queue.buffering.max.kbytes", "9000");
        assert_eq!(room(&[large, enough]).as_deref(), Some("9000"));
    }

    #[test]
    fn a_setting_by_its_other_name_replaces_our_default() {
        let check = |alias: &str, name: &str, value: &str| {
            let config = configured(&[(alias, value)], &context(Path::new(".")));
            let config = config.expect("no secrets");
            assert_eq!((config.get(name), config.get(alias)), (Some(value), None));
        };
        check("compression.type", "compression.codec", "zstd");
        check("queue.buffering.max.ms", "linger.ms", "7");
    }

    #[test]
    fn a_mechanism_that_would_never_connect_is_a_mistake() {
        let wrong = |mechanism: &str| {
            let setting = Setting::Plain(mechanism.to_owned());
            problems(&BTreeMap::from([("sasl.mechanism".to_owned(), setting)]))
        };
        for mechanism in ["OAUTHBEARER", "GSSAPI", "PLAINN"] {
            let problems = wrong(mechanism);
            assert_eq!(problems.len(), 1, "{mechanism}");
            assert!(problems[0].message.contains("SCRAM-SHA-512"));
        }
        assert_eq!(wrong("plain").len() + wrong("SCRAM-SHA-256").len(), 0);
    }

    #[test]
    fn our_own_defaults_are_known_to_librdkafka() {
        let config = configured(&[], &context(Path::new("."))).expect("no secrets");
        assert!(config.create_native_config().is_ok());
    }
}
