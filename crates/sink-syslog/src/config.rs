//! What users write under `config:` of a syslog sink, and its checks.

use std::path::PathBuf;
use std::time::Duration;

use jiff::tz::TimeZone;
use rustls_pki_types::ServerName;
use serde::Deserialize;
use tapline_core::{BuildContext, BuildError, Problem, Sink, SinkConfig};

use crate::endpoint::{Endpoint, Transport};
use crate::frame::{Framing, Trailer};
use crate::header::{APP_NAME_MAX, Format, Header, HostName};
use crate::line::{Line, Timing};
use crate::sink::{Limits, Syslog};
use crate::tls::{Tls, TlsFiles};

/// A sink that sends each event as one syslog message.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyslogConfig {
    /// The receiver: `udp://host:port`, `tcp://host:port`, or `tls://host:port`.
    endpoint: Option<String>,
    /// Receivers for failover, instead of `endpoint`: the first that answers is kept until it
    /// fails; then the next is tried.
    #[serde(default)]
    endpoints: Vec<String>,
    /// After how many seconds on another receiver the first ones are tried again. Default 300.
    #[serde(default = "failback_secs")]
    failback_secs: u64,
    /// `rfc5424` (default), `rfc3164`, or `none`: the body alone.
    #[serde(default)]
    format: Format,
    /// `newline` or `octet_counting`. Default: newline for tcp, which most receivers expect;
    /// octet counting for tls, as RFC 5425 demands.
    framing: Option<Framing>,
    /// What ends a message under newline framing: `lf` (default), `crlf`, or `nul`.
    #[serde(default)]
    trailer: Trailer,
    /// Whether a byte order mark begins the text, as RFC 5424 wishes and many receivers do not
    /// expect. Default false.
    #[serde(default)]
    bom: bool,
    /// Longest message in bytes, header included; a longer one is rejected. Default 8096 (what
    /// rsyslog takes), over UDP 2048.
    max_message_bytes: Option<usize>,
    /// `local0` (default), or another of syslog's 24 names.
    #[serde(default = "facility")]
    facility: String,
    /// APP-NAME of RFC 5424. Default: the schema of the body in capitals, such as `CEF`.
    app_name: Option<String>,
    /// HOSTNAME: a fixed name, or `device` for the device that the event is about. Default: this
    /// machine's name.
    hostname: Option<String>,
    /// Word before the message in RFC 3164, such as `defender`. Default none, as CEF has it.
    tag: Option<String>,
    /// Sends each event's identity as structured data, so that the receiver can drop repeats.
    structured_data: Option<StructuredData>,
    /// Trust and client certificate for `tls://`.
    tls: Option<TlsConfig>,
    /// How long connecting to one receiver may take, seconds. Default 10.
    #[serde(default = "connect_timeout_secs")]
    connect_timeout_secs: u64,
    /// How long sending one batch may take until the receiver has confirmed all of it, seconds.
    /// Default 30.
    #[serde(default = "delivery_timeout_secs")]
    delivery_timeout_secs: u64,
}

/// Identity as structured data: `[tapline@32473 uid="tenant:kind:id:version"]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StructuredData {
    /// Your organization's private enterprise number. Default 32473, the number for examples.
    #[serde(default = "enterprise_number")]
    enterprise_number: u32,
}

/// Trust and client certificate. Files are read at the start, and again when they change.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsConfig {
    /// PEM file of the authorities that may have signed the receiver's certificate. Default: the
    /// system's.
    ca: Option<PathBuf>,
    /// PEM file of the client certificate and its chain.
    cert: Option<PathBuf>,
    /// PEM file of its private key, which others must not be able to read.
    key: Option<PathBuf>,
    /// The name that the receiver's certificate carries. Default: the endpoint's host.
    server_name: Option<String>,
}

/// The smallest default of the receivers that were measured: rsyslog 8.2302.
const STREAM_MAX_BYTES: usize = 8096;
/// What RFC 5426 recommends that receivers take.
const DATAGRAM_MAX_BYTES: usize = 2048;
/// What every receiver must take. Source: RFC 5424, section 6.1.
const LEAST_MAX_BYTES: usize = 480;
/// Largest payload of a UDP datagram over IPv4.
const DATAGRAM_LIMIT: usize = 65_507;
/// Largest frame that any of the receivers can be told to take is far below this.
const STREAM_LIMIT: usize = 16 << 20;

const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "ntp", "audit", "alert", "clock", "local0", "local1", "local2", "local3", "local4",
    "local5", "local6", "local7",
];

fn failback_secs() -> u64 {
    300
}

fn facility() -> String {
    "local0".to_owned()
}

fn connect_timeout_secs() -> u64 {
    10
}

fn delivery_timeout_secs() -> u64 {
    30
}

fn enterprise_number() -> u32 {
    32_473
}

impl SinkConfig for SyslogConfig {
    const TYPE: &'static str = "syslog";

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.check_endpoints(&mut problems);
        self.check_framing(&mut problems);
        self.check_header(&mut problems);
        self.check_tls(&mut problems);
        self.check_times(&mut problems);
        problems
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let endpoints = self.parsed_endpoints();
        let uses_tls = endpoints.iter().any(|e| e.transport == Transport::Tls);
        let tls = uses_tls
            .then(|| Tls::load(self.tls_files(cx)))
            .transpose()?;
        let timing = Timing {
            connect: Duration::from_secs(self.connect_timeout_secs),
            delivery: Duration::from_secs(self.delivery_timeout_secs),
            failback: Duration::from_secs(self.failback_secs),
        };
        let line = Line::new(endpoints, tls, timing, &cx.metrics);
        Ok(Box::new(Syslog::new(self.header(), self.limits(), line)))
    }
}

impl SyslogConfig {
    /// Every endpoint as written, with its path.
    fn written_endpoints(&self) -> Vec<(String, &str)> {
        let single = self
            .endpoint
            .iter()
            .map(|text| ("endpoint".to_owned(), text));
        let listed = self.endpoints.iter().enumerate();
        let listed = listed.map(|(at, text)| (format!("endpoints[{at}]"), text));
        single
            .chain(listed)
            .map(|(path, text)| (path, text.as_str()))
            .collect()
    }

    fn parsed_endpoints(&self) -> Vec<Endpoint> {
        let written = self.written_endpoints();
        written
            .iter()
            .filter_map(|(_, text)| text.parse().ok())
            .collect()
    }

    fn has(&self, transport: Transport) -> bool {
        let endpoints = self.parsed_endpoints();
        endpoints
            .iter()
            .any(|endpoint| endpoint.transport == transport)
    }

    fn check_endpoints(&self, problems: &mut Vec<Problem>) {
        match (&self.endpoint, self.endpoints.is_empty()) {
            (None, true) => problems.push(Problem::new(
                "endpoint",
                "missing: expected udp://, tcp://, or tls:// with host:port",
            )),
            (Some(_), false) => problems.push(Problem::new(
                "endpoints",
                "give either endpoint or endpoints, not both",
            )),
            _ => {}
        }
        for (path, text) in self.written_endpoints() {
            if let Err(message) = text.parse::<Endpoint>() {
                problems.push(Problem::new(path, message));
            }
        }
        let stream = self.has(Transport::Tcp) || self.has(Transport::Tls);
        if self.has(Transport::Udp) && stream {
            problems.push(Problem::new(
                "endpoints",
                "udp:// promises nothing and cannot stand in for tcp:// or tls://",
            ));
        }
    }

    fn check_framing(&self, problems: &mut Vec<Problem>) {
        let udp = self.has(Transport::Udp);
        if udp && self.framing.is_some() {
            problems.push(Problem::new(
                "framing",
                "udp:// sends one datagram per message and has no framing",
            ));
        }
        if self.framing == Some(Framing::OctetCounting) && self.trailer != Trailer::Lf {
            problems.push(Problem::new("trailer", "octet counting has no trailer"));
        }
        let limit = if udp { DATAGRAM_LIMIT } else { STREAM_LIMIT };
        if let Some(bytes) = self.max_message_bytes
            && !(LEAST_MAX_BYTES..=limit).contains(&bytes)
        {
            let message = format!("must be {LEAST_MAX_BYTES} to {limit}, got {bytes}");
            problems.push(Problem::new("max_message_bytes", message));
        }
    }

    fn check_header(&self, problems: &mut Vec<Problem>) {
        if self.facility_number().is_none() {
            let known = FACILITIES.join(", ");
            let message = format!("expected one of {known}; got {:?}", self.facility);
            problems.push(Problem::new("facility", message));
        }
        let words = [
            ("app_name", &self.app_name, APP_NAME_MAX),
            ("hostname", &self.hostname, 255),
            ("tag", &self.tag, 32),
        ];
        for (path, word, max) in words {
            if word.as_ref().is_some_and(|word| !is_word(word, max)) {
                let message = format!("expected 1 to {max} printable ASCII characters, no space");
                problems.push(Problem::new(path, message));
            }
        }
        let only = [
            ("tag", self.tag.is_some(), Format::Rfc3164, "rfc3164"),
            (
                "app_name",
                self.app_name.is_some(),
                Format::Rfc5424,
                "rfc5424",
            ),
            ("bom", self.bom, Format::Rfc5424, "rfc5424"),
            (
                "structured_data",
                self.structured_data.is_some(),
                Format::Rfc5424,
                "rfc5424",
            ),
        ];
        for (path, used, format, name) in only {
            if used && self.format != format {
                problems.push(Problem::new(path, format!("needs format: {name}")));
            }
        }
    }

    fn check_tls(&self, problems: &mut Vec<Problem>) {
        let Some(tls) = &self.tls else {
            return;
        };
        if !self.has(Transport::Tls) && !self.parsed_endpoints().is_empty() {
            let message = "no endpoint is tls://, so that messages would go in clear";
            problems.push(Problem::new("tls", message));
        }
        match (&tls.cert, &tls.key) {
            (Some(_), None) => problems.push(Problem::new("tls.key", "missing: cert needs it")),
            (None, Some(_)) => problems.push(Problem::new("tls.cert", "missing: key needs it")),
            _ => {}
        }
        if let Some(name) = &tls.server_name
            && ServerName::try_from(name.as_str()).is_err()
        {
            let message = format!("expected a DNS name or an IP address, got {name:?}");
            problems.push(Problem::new("tls.server_name", message));
        }
    }

    fn check_times(&self, problems: &mut Vec<Problem>) {
        let times = [
            ("failback_secs", self.failback_secs, 86_400),
            ("connect_timeout_secs", self.connect_timeout_secs, 300),
            ("delivery_timeout_secs", self.delivery_timeout_secs, 3600),
        ];
        for (path, seconds, max) in times {
            if !(1..=max).contains(&seconds) {
                problems.push(Problem::new(
                    path,
                    format!("must be 1 to {max}, got {seconds}"),
                ));
            }
        }
    }

    fn facility_number(&self) -> Option<u8> {
        let at = FACILITIES.iter().position(|name| *name == self.facility)?;
        u8::try_from(at).ok()
    }

    fn header(&self) -> Header {
        let host = match self.hostname.as_deref() {
            None => HostName::Fixed(machine_name()),
            Some("device") => HostName::DeviceOr(machine_name()),
            Some(name) => HostName::Fixed(name.to_owned()),
        };
        Header {
            format: self.format,
            facility: self.facility_number().unwrap_or(16),
            host,
            app_name: self.app_name.clone(),
            proc_id: std::process::id(),
            tag: self.tag.clone(),
            identity_under: self.structured_data.as_ref().map(|sd| sd.enterprise_number),
            bom: self.bom,
            zone: TimeZone::system(),
        }
    }

    fn limits(&self) -> Limits {
        Limits {
            framing: self.framing,
            trailer: self.trailer,
            stream_bytes: self.max_message_bytes.unwrap_or(STREAM_MAX_BYTES),
            datagram_bytes: self.max_message_bytes.unwrap_or(DATAGRAM_MAX_BYTES),
        }
    }

    fn tls_files(&self, cx: &BuildContext) -> TlsFiles {
        let tls = self.tls.clone().unwrap_or_default();
        let here = |path: PathBuf| cx.config_dir.join(path);
        TlsFiles {
            ca: tls.ca.map(here),
            extra_ca: cx.network.extra_ca.clone().map(here),
            cert: tls.cert.map(here),
            key: tls.key.map(here),
            server_name: tls.server_name,
        }
    }
}

fn is_word(text: &str, max: usize) -> bool {
    (1..=max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic())
}

/// This machine's name, or `-` if it has none.
fn machine_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname");
    let name = name.or_else(|_| std::fs::read_to_string("/etc/hostname"));
    let name = name.unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "-" } else { name }.to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use serde_json::json;
    use tapline_core::ComponentKind;
    use tapline_testkit::build_context;

    use super::*;

    fn config(settings: serde_json::Value) -> SyslogConfig {
        serde_json::from_value(settings).unwrap()
    }

    fn check(settings: serde_json::Value, expected: &[&str]) {
        let problems = config(settings.clone()).problems();
        let paths: Vec<_> = problems.iter().map(|p| p.path.as_str()).collect();
        assert_eq!(paths, expected, "{settings}: {problems:?}");
    }

    #[test]
    fn one_endpoint_is_enough() {
        check(json!({"endpoint": "tcp://siem.example:514"}), &[]);
        check(
            json!({"endpoints": ["tls://a.example:6514", "tcp://b.example:514"]}),
            &[],
        );
    }

    #[test]
    fn all_mistakes_are_reported_at_once() {
        let settings = json!({
            "endpoint": "tcp://siem.example",
            "facility": "local8",
            "app_name": "two words",
            "tag": "defender",
            "max_message_bytes": 100,
            "tls": {"cert": "client.pem", "server_name": "no name"},
            "connect_timeout_secs": 0,
        });
        let expected = [
            "endpoint",
            "max_message_bytes",
            "facility",
            "app_name",
            "tag",
            "tls.key",
            "tls.server_name",
            "connect_timeout_secs",
        ];
        check(settings, &expected);
    }

    #[test]
    fn settings_that_contradict_each_other_are_refused() {
        check(json!({}), &["endpoint"]);
        check(
            json!({"endpoint": "udp://a:1", "endpoints": ["udp://b:1"]}),
            &["endpoints"],
        );
        check(
            json!({"endpoints": ["udp://a:1", "tcp://b:1"]}),
            &["endpoints"],
        );
        check(
            json!({"endpoint": "udp://a:1", "framing": "newline"}),
            &["framing"],
        );
        check(
            json!({"endpoint": "udp://a:1", "max_message_bytes": 70000}),
            &["max_message_bytes"],
        );
        check(json!({"endpoint": "tcp://a:1", "tls": {}}), &["tls"]);
        check(
            json!({"endpoint": "tcp://a:1", "format": "none", "bom": true}),
            &["bom"],
        );
        let crlf = json!({"endpoint": "tcp://a:1", "framing": "octet_counting", "trailer": "crlf"});
        check(crlf, &["trailer"]);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let settings = json!({"endpoint": "tcp://a:1", "enpoint": "tcp://b:1"});
        assert!(serde_json::from_value::<SyslogConfig>(settings).is_err());
    }

    fn build_error(settings: serde_json::Value, folder: &Path) -> (String, String) {
        let cx = build_context(ComponentKind::Sink, "syslog", "siem", folder);
        let error = config(settings).build(&cx).err().expect("cannot be built");
        (error.path, error.source.to_string())
    }

    #[test]
    fn a_file_that_cannot_be_used_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let bad = folder.path().join("bad.pem");
        std::fs::write(&bad, "no certificate").unwrap();
        for (tls, path) in [
            (json!({"ca": "missing.pem"}), "tls.ca"),
            (json!({"ca": "bad.pem"}), "tls.ca"),
            (json!({"cert": "bad.pem", "key": "bad.pem"}), "tls.cert"),
        ] {
            let settings = json!({"endpoint": "tls://a.example:6514", "tls": tls});
            let (at, why) = build_error(settings, folder.path());
            assert_eq!(at, path);
            assert!(why.contains(folder.path().to_str().unwrap()), "{why}");
        }
    }
}
