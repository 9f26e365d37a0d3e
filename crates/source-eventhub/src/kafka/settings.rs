//! Settings of librdkafka for the Kafka endpoint.

use std::collections::BTreeMap;
use std::path::Path;

use rdkafka::ClientConfig;
use tapline_core::{Problem, with_system_certificates};

use crate::access::{Access, Credential};
use crate::config::{PLAINTEXT, Scalar};

/// Source: "Recommended configurations for Apache Kafka clients" of Azure Event Hubs, seen
/// December 2025, unless another reason stands beside a value.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "tapline"),
    // Azure drops inbound connections that are idle for 240 s.
    ("socket.keepalive.enable", "true"),
    ("metadata.max.age.ms", "180000"),
    ("connections.max.idle.ms", "180000"),
    ("session.timeout.ms", "30000"),
    ("heartbeat.interval.ms", "3000"),
    ("max.poll.interval.ms", "300000"),
    ("socket.timeout.ms", "60000"),
    ("fetch.message.max.bytes", "1048576"),
    // Nothing counts as read before the runtime has settled it.
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    // An expired offset is counted and told, not passed over.
    ("auto.offset.reset", "error"),
    // A rebalance takes away only what moves.
    ("partition.assignment.strategy", "cooperative-sticky"),
    // Per partition, since each has a queue of its own; the runtime's budget bounds the rest.
    ("queued.max.messages.kbytes", "1024"),
    ("fetch.max.bytes", "4194304"),
    // A full queue is looked at again after this time. With the default of 1000 and a queue this
    // small, 1 MB a second of a partition is the most that is read (measured).
    ("fetch.queue.backoff.ms", "10"),
    // librdkafka asks a broker one question at a time, about the partitions whose queues have room. With
    // the default of 500 and some partitions at their end, the others wait so long for each queue that
    // they emptied: 4,000 records a second instead of 60,000. Asking an idle hub so often takes less than
    // a hundredth of a core (both measured).
    ("fetch.wait.max.ms", "20"),
    // With the default of 10 s an outage ends 8 to 12 s late (measured with the sink).
    ("reconnect.backoff.max.ms", "1000"),
    // A partition that was added to a hub is found within this time.
    ("topic.metadata.refresh.interval.ms", "30000"),
    // For backlog, lag, and throttling.
    ("statistics.interval.ms", "1000"),
];

/// Settings that carry a promise of ours, or stand elsewhere in the file.
const REFUSED: &[&str] = &[
    "bootstrap.servers",
    "metadata.broker.list",
    "group.id",
    "group.protocol",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "partition.assignment.strategy",
    "security.protocol",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.username",
    "sasl.password",
    "statistics.interval.ms",
    "test.mock.num.brokers",
];

/// Mistakes in the user's own settings, one for each, in order of their names.
pub(crate) fn problems(own: &BTreeMap<String, Scalar>) -> Vec<Problem> {
    own.iter().filter_map(problem).collect()
}

fn problem((key, value): (&String, &Scalar)) -> Option<Problem> {
    let mut config = ClientConfig::new();
    config.set(key, value.to_string());
    let message = match config.create_native_config() {
        _ if REFUSED.contains(&key.as_str()) => "is set by tapline",
        Err(_) => "librdkafka knows no such setting, or does not take this value",
        Ok(_) => return None,
    };
    Some(Problem::new(format!("librdkafka.{key}"), message))
}

/// Port of the Kafka endpoint, and of the emulator's.
const PORT: u16 = 9093;
const EMULATOR_PORT: u16 = 9092;

/// The configuration of a consumer; a token is handed over later, and again and again.
///
/// # Errors
/// A sentence if the file of extra certificates cannot be read.
pub(super) fn consumer(
    own: &BTreeMap<String, Scalar>,
    access: &Access,
    group: &str,
    address: Option<&str>,
    extra_ca: Option<&Path>,
    credential: &Credential,
) -> Result<ClientConfig, String> {
    let mut config = ClientConfig::new();
    for (key, value) in DEFAULTS {
        config.set(*key, *value);
    }
    for (key, value) in own {
        config.set(key, value.to_string());
    }
    config.set("group.id", group);
    let plain = address.and_then(|address| address.strip_prefix(PLAINTEXT));
    config.set("bootstrap.servers", bootstrap(access, plain.or(address)));
    if plain.is_some() {
        return Ok(config);
    }
    match credential {
        Credential::Password(password) => {
            config.set("sasl.mechanism", "PLAIN");
            config.set("sasl.username", "$ConnectionString");
            config.set("sasl.password", password.expose());
        }
        Credential::Token(_) => {
            config.set("sasl.mechanism", "OAUTHBEARER");
        }
    }
    if access.is_emulator {
        config.set("security.protocol", "SASL_PLAINTEXT");
        return Ok(config);
    }
    config.set("security.protocol", "SASL_SSL");
    trust(&mut config, extra_ca)?;
    Ok(config)
}

fn bootstrap(access: &Access, address: Option<&str>) -> String {
    let default = if access.is_emulator {
        EMULATOR_PORT
    } else {
        PORT
    };
    // The port of a connection string is the one of AMQP, except that an emulator has no other.
    let port = access
        .port
        .filter(|_| access.is_emulator)
        .unwrap_or(default);
    address.map_or_else(|| format!("{}:{port}", access.namespace), str::to_owned)
}

/// The vendored OpenSSL does not know where this system keeps its certificates, and takes extra
/// ones only instead of them.
fn trust(config: &mut ClientConfig, extra_ca: Option<&Path>) -> Result<(), String> {
    match extra_ca {
        None => config.set("ssl.ca.location", "probe"),
        Some(extra_ca) => config.set("ssl.ca.pem", with_system_certificates(extra_ca)?),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_defaults_are_known_to_librdkafka() {
        let mut config = ClientConfig::new();
        for (key, value) in DEFAULTS {
            config.set(*key, *value);
        }
        assert!(config.create_native_config().is_ok());
    }
}
