//! The keys at the top of the pipeline file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tapline_core::NetworkSettings;

use super::attempts::Findings;
use super::mistake::Mistake;
use super::tree::Node;
use crate::admin::AdminConfig;
use crate::telemetry::TelemetrySettings;

/// Everything but the components, as users write it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FileSettings {
    /// Name of the pipeline; replicas share it; prefix of groups and topics of ours.
    #[serde(default = "default_name")]
    pub(crate) name: String,
    /// Folder for checkpoints, tokens, and dead letters; private to its owner.
    pub(crate) data_dir: PathBuf,
    /// Where `/metrics` and the status page are served; without it nowhere.
    pub(crate) admin: Option<AdminConfig>,
    /// How long a drain may take, in seconds.
    #[serde(default = "default_shutdown_secs")]
    pub(crate) shutdown_secs: u64,
    /// Proxy for every component that names none.
    pub(crate) proxy: Option<ProxySettings>,
    /// Extra trust for every component that names none.
    pub(crate) tls: Option<TlsSettings>,
    /// Where traces go.
    #[serde(default)]
    pub(crate) telemetry: TelemetrySettings,
    /// Bytes of unsettled events that may be in memory; at least 1 MiB.
    pub(crate) memory_budget_bytes: Option<u64>,
    /// Read by [`super::components`]; named here because they are known keys.
    #[serde(rename = "sources", default)]
    _sources: Option<IgnoredAny>,
    #[serde(rename = "transforms", default)]
    _transforms: Option<IgnoredAny>,
    #[serde(rename = "sinks", default)]
    _sinks: Option<IgnoredAny>,
    #[serde(rename = "tests", default)]
    tests: Option<IgnoredAny>,
}

/// `proxy: { https: "http://proxy.example:3128" }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxySettings {
    /// Address of the proxy for `https` addresses.
    pub(crate) https: String,
}

/// `tls: { ca: corporate-ca.pem }`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsSettings {
    /// A PEM file of certificates to trust besides the system's.
    pub(crate) ca: PathBuf,
}

/// Also the default prefix of consumer groups, so it must not change.
fn default_name() -> String {
    "tapline".to_owned()
}

/// Shorter than the 30 s after which container platforms kill.
fn default_shutdown_secs() -> u64 {
    20
}

/// Longer drains are a mistake in the unit.
const MAX_SHUTDOWN_SECS: u64 = 24 * 3600;

/// Less would not hold one answer of a remote API.
const MIN_BUDGET_BYTES: u64 = 1 << 20;

impl FileSettings {
    /// Checks what the types cannot say.
    pub(crate) fn check(&self, root: &Node, findings: &mut Findings) {
        let mut wrong = |path: &str, message: String| {
            let mistake = Mistake::at(root.find(path), path, message);
            findings.mistakes.push(mistake);
        };
        if let Err(message) = check_name(&self.name) {
            wrong("name", message);
        }
        if self.data_dir.as_os_str().is_empty() {
            wrong("data_dir", "expected a folder, found empty text".to_owned());
        }
        if self.shutdown_secs > MAX_SHUTDOWN_SECS {
            wrong(
                "shutdown_secs",
                format!("must be at most {MAX_SHUTDOWN_SECS}"),
            );
        }
        if self
            .memory_budget_bytes
            .is_some_and(|bytes| bytes < MIN_BUDGET_BYTES)
        {
            wrong(
                "memory_budget_bytes",
                format!("must be at least {MIN_BUDGET_BYTES}"),
            );
        }
        if self.tests.is_some() {
            wrong("tests", "not supported in this version".to_owned());
        }
        if let Some(Err(message)) = self.proxy.as_ref().map(ProxySettings::check) {
            wrong("proxy.https", message);
        }
        if let Some(admin) = &self.admin {
            for problem in admin.problems() {
                let path = format!("admin.{}", problem.path);
                wrong(&path, problem.message);
            }
        }
        if let Some(Err(message)) = self.telemetry.check() {
            wrong("telemetry.otlp", message);
        }
    }

    /// How components reach the outside that say nothing else.
    pub(crate) fn network(&self, dir: &Path) -> NetworkSettings {
        NetworkSettings {
            https_proxy: self.proxy.as_ref().map(|proxy| proxy.https.clone()),
            extra_ca: self.tls.as_ref().map(|tls| dir.join(&tls.ca)),
        }
    }

    /// How long a drain may take.
    pub(crate) fn shutdown(&self) -> Duration {
        Duration::from_secs(self.shutdown_secs)
    }
}

impl ProxySettings {
    /// Whether the address can be one; says nothing of its user and password.
    pub(crate) fn check(&self) -> Result<(), String> {
        let known = ["http://", "https://", "socks5://", "socks5h://"];
        match reqwest::Url::parse(&self.https) {
            Ok(url) if url.has_host() && known.iter().any(|k| self.https.starts_with(k)) => Ok(()),
            _ => Err("expected an address such as http://proxy.example:3128".to_owned()),
        }
    }
}

/// Names and ids become parts of topics, groups, file names, and labels.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    const MAX: usize = 64;
    let legal = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let starts = name.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    if starts && name.len() <= MAX && name.chars().all(legal) {
        return Ok(());
    }
    Err(format!(
        "expected a name of 1 to {MAX} letters, digits, _, -, or ., beginning with a letter, digit, or _"
    ))
}
