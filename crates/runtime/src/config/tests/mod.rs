//! Every bad input, and the lines that it leads to.

mod components;
mod graph;
mod text;

use std::path::Path;

use serde::Deserialize;
use tapline_core::{
    BuildContext, BuildError, Problem, SecretSource, Sink, SinkConfig, Source, SourceConfig,
    Transform, TransformConfig,
};

use super::*;
use crate::registry::Registry;

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only reading them is tested")]
struct PollConfig {
    api: Api,
    identity: Identity,
    #[serde(default)]
    poll_interval_secs: Option<u32>,
    #[serde(default)]
    hubs: Vec<String>,
    #[serde(default)]
    expand_alerts: bool,
    #[serde(default)]
    labels: std::collections::BTreeMap<String, String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Api {
    GraphAlerts,
    GraphIncidents,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "only reading them is tested")]
struct Identity {
    tenant_id: String,
    client_secret: SecretSource,
}

impl SourceConfig for PollConfig {
    const TYPE: &'static str = "poll";

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        if self.poll_interval_secs == Some(0) {
            problems.push(Problem::new("poll_interval_secs", "must be at least 1"));
        }
        if self.identity.tenant_id.contains(' ') {
            let message = format!("{} is no tenant", self.identity.tenant_id);
            problems.push(Problem::new("identity.tenant_id", message));
        }
        problems
    }

    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(BuildError::new("api", format!("{:?}", self.api)))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct OtherPollConfig {}

impl SourceConfig for OtherPollConfig {
    const TYPE: &'static str = "poll";

    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Err(BuildError::new("", "never built"))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CopyConfig {}

impl TransformConfig for CopyConfig {
    const TYPE: &'static str = "copy";

    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        Err(BuildError::new("", "never built"))
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FileSinkConfig {
    path: std::path::PathBuf,
}

impl SinkConfig for FileSinkConfig {
    const TYPE: &'static str = "file";

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Sink>, BuildError> {
        let seen = format!(
            "{:?} {:?} {}",
            cx.network.https_proxy,
            cx.network.extra_ca,
            self.path.display()
        );
        Err(BuildError::new("path", seen))
    }
}

fn registry() -> Registry {
    let mut registry = Registry::default();
    registry
        .source::<PollConfig>()
        .transform::<CopyConfig>()
        .sink::<FileSinkConfig>();
    registry
}

fn lookup(name: &str) -> Option<String> {
    let known = [
        ("TENANT", "contoso-tenant"),
        ("SPACED", "not a tenant"),
        ("SECS", "45"),
        ("WORD", "forty-five"),
    ];
    let found = known.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| (*value).to_owned())
}

fn parsed(text: &str) -> Result<Pipeline, Vec<String>> {
    parse_with(text, Path::new("/etc/tapline"), &registry(), &lookup)
        .map_err(|list| Mistakes::new("p.yaml", list).lines())
}

/// The lines that a text leads to; none if it is right.
fn check(text: &str, expected: &[&str]) {
    let lines = parsed(text).err().unwrap_or_default();
    assert_eq!(lines, expected, "\n{text}");
}

/// A right file, with one source whose settings are `config`, starting in line 5.
fn with_config(config: &str) -> String {
    format!(
        "data_dir: d\nsources:\n  a:\n    type: poll\n    config:\n{config}\n\
         sinks: {{ f: {{ type: file, inputs: [a], config: {{ path: x }} }} }}\n"
    )
}

const GOOD: &str =
    "      api: graph_alerts\n      identity: { tenant_id: t, client_secret: { env: S } }";

/// A right file around `components`.
fn with_graph(sources: &[&str], rest: &str) -> String {
    let mut text = "data_dir: d\nsources:\n".to_owned();
    for id in sources {
        let config = "{ api: graph_alerts, identity: { tenant_id: t, client_secret: { env: S } } }";
        text.push_str(&format!("  {id}: {{ type: poll, config: {config} }}\n"));
    }
    text + rest
}

#[test]
fn a_right_file_yields_the_pipeline_with_its_defaults() {
    let text = format!(
        "{}proxy: {{ https: \"http://proxy.example:3128\" }}\ntls: {{ ca: ca.pem }}\n",
        with_config(GOOD)
    );
    let pipeline = parsed(&text).unwrap_or_else(|lines| panic!("{lines:#?}"));
    assert_eq!(&*pipeline.name, "tapline");
    assert_eq!(pipeline.shutdown, Duration::from_secs(20));
    assert_eq!(pipeline.data_dir, Path::new("/etc/tapline/d"));
    assert_eq!(
        pipeline.network.extra_ca.as_deref(),
        Some(Path::new("/etc/tapline/ca.pem"))
    );
    assert_eq!(
        pipeline.network.https_proxy.as_deref(),
        Some("http://proxy.example:3128")
    );
    assert!(pipeline.admin.is_none() && pipeline.warnings.is_empty());
    assert_eq!(pipeline.topology.sources.len(), 1);
    assert_eq!(pipeline.topology.sinks[0].inputs, ["a".into()]);
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().expect("folder");
    let check = |path: &Path, expected: &str| {
        let mistakes = load(path, &registry()).err().expect("refused").to_string();
        assert_eq!(mistakes, format!("{}{expected}", path.display()));
    };
    check(
        &folder.path().join("none.yaml"),
        ": cannot be read: No such file or directory (os error 2)",
    );
    check(folder.path(), ": is a folder; a pipeline file was expected");
    let latin = folder.path().join("latin.yaml");
    std::fs::write(&latin, b"name: x\nb: \xe4\n").expect("written");
    check(&latin, ":2:4: not UTF-8 text; save the file as UTF-8");
    let large = folder.path().join("large.yaml");
    std::fs::File::create(&large)
        .and_then(|file| file.set_len(MAX_FILE_BYTES + 1))
        .expect("made");
    check(
        &large,
        ": is larger than 4194304 bytes, which no pipeline file is",
    );
}

#[test]
fn whatever_stands_in_a_file_each_mistake_is_told_with_its_line() {
    let text =
        with_config(GOOD) + "name: x\nshutdown_secs: 3\nadmin: { listen: \"127.0.0.1:1\" }\n";
    for (number, bytes) in tapline_testkit::variants(text.as_bytes(), 5_000) {
        let text = String::from_utf8_lossy(&bytes);
        if let Err(lines) = parsed(&text) {
            assert!(!lines.is_empty(), "{number}: {text}");
            let placed = lines.iter().all(|line| line.starts_with("p.yaml:"));
            assert!(placed, "{number}: {lines:?}\n{text}");
        }
    }
}
