//! Every bad input, and the lines that it leads to.

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
fn what_is_not_yaml_is_refused_where_it_breaks() {
    check(
        "",
        &["p.yaml: the file is empty; a pipeline has sources and sinks"],
    );
    check(
        "# only a comment\n",
        &["p.yaml: the file is empty; a pipeline has sources and sinks"],
    );
    check("- a\n", &["p.yaml:1:1: expected a table, found a list"]);
    check(
        "name: x\n---\nname: y\n",
        &["p.yaml:2:1: a second document begins here; a pipeline file holds one"],
    );
    for (text, place) in [
        ("name: [a\n", "p.yaml:1:7"),
        ("x: { a: ${B} }\n", "p.yaml:1:"),
        ("a:\n\tb: c\n", "p.yaml:2:"),
        ("a: *b\n", "p.yaml:1:4"),
    ] {
        let lines = parsed(text).err().expect("refused");
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert!(lines[0].starts_with(place), "{lines:?}");
    }
}

#[test]
fn a_key_that_stands_twice_is_refused_with_both_lines() {
    let text = with_config(GOOD) + "data_dir: e\n";
    check(
        &text,
        &["p.yaml:9:1: key data_dir stands here twice, first in line 1"],
    );
}

#[test]
fn all_mistakes_of_one_component_come_out_at_once() {
    let config = "      api: graph_alert\n      poll_intervall_secs: 30\n      hubs: defender\n      expand_alerts: \"yes\"\n      identity: { tenant: t, client_secret: { vault: S } }";
    check(
        &with_config(config),
        &[
            "p.yaml:6:7: sources.a.config.api: unknown value graph_alert; did you mean graph_alerts?",
            "p.yaml:7:7: sources.a.config.poll_intervall_secs: unknown key; did you mean poll_interval_secs?",
            "p.yaml:8:7: sources.a.config.hubs: expected a list, found text",
            "p.yaml:9:7: sources.a.config.expand_alerts: expected true or false, found text",
            "p.yaml:10:7: sources.a.config.identity: key tenant_id is missing",
            "p.yaml:10:19: sources.a.config.identity.tenant: unknown key; did you mean tenant_id?",
            "p.yaml:10:47: sources.a.config.identity.client_secret.vault: unknown key; known are env, file, command",
        ],
    );
}

#[test]
fn numbers_say_what_they_may_be_and_text_that_looks_like_one_stays_text() {
    let number = |value: &str| format!("{GOOD}\n      poll_interval_secs: {value}");
    let place = "p.yaml:8:7: sources.a.config.poll_interval_secs: expected";
    check(
        &with_config(&number("-1")),
        &[&format!(
            "{place} a whole number from 0 to 4294967295, found -1"
        )],
    );
    check(
        &with_config(&number("1.5")),
        &[&format!(
            "{place} a whole number from 0 to 4294967295, found a number"
        )],
    );
    check(
        &with_config(&number("\"30\"")),
        &[&format!("{place} a number, found text")],
    );
    check(
        &with_config(&number("0")),
        &["p.yaml:8:7: sources.a.config.poll_interval_secs: must be at least 1"],
    );
    check(&with_config(&number("0x10")), &[]);
    check(
        &with_config(&format!(
            "{GOOD}\n      labels: {{ a: 5, b: true, c: 1.20 }}"
        )),
        &[],
    );
    check(
        &with_config(&format!("{GOOD}\n      labels: {{ a: }}")),
        &["p.yaml:8:17: sources.a.config.labels.a: expected text, found nothing"],
    );
}

#[test]
fn variables_are_put_in_and_their_values_never_shown() {
    let config = |tenant: &str, secs: &str| {
        format!(
            "      api: graph_alerts\n      identity: {{ tenant_id: {tenant}, client_secret: {{ env: S }} }}\n      poll_interval_secs: {secs}"
        )
    };
    check(&with_config(&config("\"${TENANT}\"", "${SECS}")), &[]);
    check(&with_config(&config("\"$Default\"", "1")), &[]);
    check(
        &with_config(&config("\"${NOBODY}\"", "${NEITHER}")),
        &[
            "p.yaml:7:30: sources.a.config.identity.tenant_id: environment variable NOBODY is not set",
            "p.yaml:8:27: sources.a.config.poll_interval_secs: environment variable NEITHER is not set",
        ],
    );
    check(
        &with_config(&config("\"${SPACED}\"", "1")),
        &["p.yaml:7:19: sources.a.config.identity.tenant_id: ${SPACED} is no tenant"],
    );
    check(
        &with_config(&config("t", "${WORD}")),
        &["p.yaml:8:7: sources.a.config.poll_interval_secs: expected a number, found text"],
    );
    let api = "      api: ${WORD}\n      identity: { tenant_id: t, client_secret: { env: S } }";
    check(
        &with_config(api),
        &["p.yaml:6:7: sources.a.config.api: unknown value in an environment variable"],
    );
}

#[test]
fn anchors_aliases_and_merges_carry_settings_over() {
    let text = "\
data_dir: d
sources:
  a:
    type: poll
    config: &base
      api: graph_alerts
      identity: &contoso { tenant_id: t, client_secret: { env: S } }
  b:
    type: poll
    config: { api: graph_incidents, identity: *contoso }
  c:
    type: poll
    config:
      <<: *base
      api: graph_incidents
sinks:
  f: { type: file, inputs: [a, b, c], config: { path: x } }
";
    check(text, &[]);
}

#[test]
fn aliases_that_grow_without_bound_are_refused() {
    let mut text = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let alias = format!("*a{}, ", level - 1).repeat(10);
        text.push_str(&format!("a{level}: &a{level} [{alias}]\n"));
    }
    check(
        &text,
        &["p.yaml:1:1: aliases make more than 1000000 values of this file"],
    );
    check(
        "a: &a [*a]\n",
        &["p.yaml:1:8: an alias cannot stand inside its anchor"],
    );
}

#[test]
fn a_secret_in_the_file_is_warned_about_once_and_never_shown() {
    let config =
        "      api: graph_alerts\n      identity: { tenant_id: t, client_secret: hunter2 }";
    let pipeline = parsed(&with_config(config)).unwrap_or_else(|lines| panic!("{lines:#?}"));
    let lines: Vec<String> = pipeline.warnings.iter().map(|w| w.line("p.yaml")).collect();
    assert_eq!(
        lines,
        [
            "p.yaml:7:48: sources.a.config.identity.client_secret: the secret stands in the file itself; better { env: NAME } or { file: path }"
        ]
    );
    let number = config.replace("hunter2", "8675309");
    let lines = parsed(&with_config(&number)).err().expect("refused");
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].contains("found a number") && !lines[0].contains("8675309"),
        "{lines:?}"
    );
}

#[test]
fn unknown_types_come_with_the_names_that_exist() {
    let text = with_graph(
        &["a"],
        "transforms:\n  t: { type: fliter, inputs: [a], config: {} }\n  u: { type: zzz, inputs: [a] }\nsinks:\n  f: { type: poll, inputs: [t, u], config: { path: x } }\n",
    );
    check(
        &text,
        &[
            "p.yaml:5:8: transforms.t.type: unknown transform type fliter; did you mean filter? (known are copy, filter)",
            "p.yaml:6:8: transforms.u.type: unknown transform type zzz (known are copy, filter)",
            "p.yaml:8:8: sinks.f.type: poll is a source, not a sink",
        ],
    );
}

#[test]
fn two_types_of_one_name_are_refused_with_both() {
    let mut registry = registry();
    registry.source::<PollConfig>().source::<OtherPollConfig>();
    let mistakes = parse_with(&with_config(GOOD), Path::new("."), &registry, &lookup)
        .err()
        .expect("refused");
    assert_eq!(mistakes.len(), 1);
    let line = mistakes[0].line("p.yaml");
    assert!(line.contains("two source types named poll"), "{line}");
    assert!(
        line.contains("::PollConfig") && line.contains("::OtherPollConfig"),
        "{line}"
    );
}

#[test]
fn keys_at_the_top_are_checked_like_all_others() {
    let more = |lines: &str| with_config(GOOD) + lines;
    check(
        "name: x\n",
        &[
            "p.yaml: a pipeline needs at least one source under sources:",
            "p.yaml: a pipeline needs at least one sink under sinks:",
            "p.yaml:1:1: key data_dir is missing",
        ],
    );
    check(
        &more("sink: {}\n"),
        &["p.yaml:9:1: sink: unknown key; did you mean sinks?"],
    );
    check(
        &more("name: a b\n"),
        &[
            "p.yaml:9:1: name: expected a name of 1 to 64 letters, digits, _, -, or ., beginning with a letter, digit, or _",
        ],
    );
    check(
        &more("shutdown_secs: soon\n"),
        &["p.yaml:9:1: shutdown_secs: expected a number, found text"],
    );
    check(
        &more("proxy: { https: proxy }\n"),
        &["p.yaml:9:10: proxy.https: expected an address such as http://proxy.example:3128"],
    );
    check(
        &more("tests: []\n"),
        &["p.yaml:9:1: tests: not supported in this version"],
    );
    check(
        &more("memory_budget_bytes: 5\n"),
        &["p.yaml:9:1: memory_budget_bytes: must be at least 1048576"],
    );
    check(
        &more("telemetry: { otlp: nowhere }\n"),
        &["p.yaml:9:14: telemetry.otlp: expected an address such as http://localhost:4318"],
    );
    check(&more("admin: { listen: \"localhost:0\" }\n"), &[]);
    check(
        &more("admin: { listen: here }\n"),
        &["p.yaml:9:10: admin.listen: expected an address and a port, such as 127.0.0.1:9599"],
    );
    check(
        &more("admin: { listen: \"0.0.0.0:9599\" }\n"),
        &[
            "p.yaml:9:10: admin.listen: an address that is not loopback needs token and tls: { cert, key }",
        ],
    );
}

#[test]
fn keys_beside_config_are_checked_too() {
    let text = with_graph(
        &["a"],
        "sinks:\n  f: { type: file, inputs: [a], spool: { max_bytes: 16777216 }, confg: {}, config: { pth: x } }\n",
    );
    check(
        &text,
        &[
            "p.yaml:5:65: sinks.f.confg: unknown key; did you mean config?",
            "p.yaml:5:84: sinks.f.config: key path is missing",
            "p.yaml:5:86: sinks.f.config.pth: unknown key; did you mean path?",
        ],
    );
    let text = with_graph(
        &["a"],
        "sinks:\n  f: { type: file, inputs: [a], spool: { max_bytes: 5 }, config: { path: x } }\n",
    );
    check(
        &text,
        &["p.yaml:5:42: sinks.f.spool.max_bytes: expected at least 16777216 (16 MiB), found 5"],
    );
    let text = with_graph(
        &["a b"],
        "sinks:\n  f: { type: file, inputs: [a b], config: { path: x } }\n",
    );
    check(
        &text,
        &[
            "p.yaml:3:3: sources.a b: expected a name of 1 to 64 letters, digits, _, -, or ., beginning with a letter, digit, or _",
        ],
    );
}

#[test]
fn a_transform_has_no_network_settings() {
    let rest = "\
transforms:
  t: { type: copy, inputs: [a], tls: { ca: x }, config: { proxy: { https: \"http://p:1\" } } }
sinks:
  f: { type: file, inputs: [t], config: { path: x } }
";
    check(
        &with_graph(&["a"], rest),
        &[
            "p.yaml:5:33: transforms.t.tls: a transform connects to nothing",
            "p.yaml:5:59: transforms.t.config.proxy: unknown key",
        ],
    );
}

#[test]
fn the_graph_is_checked_for_names_directions_and_readers() {
    let sink = |inputs: &str| {
        format!("sinks: {{ f: {{ type: file, inputs: {inputs}, config: {{ path: x }} }} }}\n")
    };
    check(
        &with_graph(&["alerts"], &sink("[alrets]")),
        &["p.yaml:4:36: sinks.f.inputs[0]: no component is named alrets; did you mean alerts?"],
    );
    check(
        &with_graph(&["alerts"], &sink("[]")),
        &[
            "p.yaml:3:3: sources.alerts: nobody reads it; name it in the inputs of a transform or sink",
            "p.yaml:4:10: sinks.f: has no inputs; name the components whose events it takes",
        ],
    );
    check(
        &with_graph(&["a", "b"], &sink("[a, a]")),
        &[
            "p.yaml:4:3: sources.b: nobody reads it; name it in the inputs of a transform or sink",
            "p.yaml:5:39: sinks.f.inputs[1]: a is named twice",
        ],
    );
    check(
        &with_graph(&["a"], &sink("[a, f]")),
        &["p.yaml:4:39: sinks.f.inputs[1]: a component cannot be its own input"],
    );
    check(
        &with_graph(&["f"], &sink("[f]")),
        &[
            "p.yaml:4:10: sinks.f: two components are named f, the other is sources.f in line 3",
            "p.yaml:4:36: sinks.f.inputs[0]: a component cannot be its own input",
        ],
    );
}

#[test]
fn a_circle_is_shown_as_it_runs() {
    let text = with_graph(
        &["s"],
        "transforms:\n  a: { type: copy, inputs: [s, c] }\n  b: { type: copy, inputs: [a] }\n  c: { type: copy, inputs: [b] }\n\
         sinks: { f: { type: file, inputs: [c], config: { path: x } } }\n",
    );
    check(
        &text,
        &["p.yaml:5:3: transforms.a: events would go in a circle: a -> b -> c -> a"],
    );
}

#[test]
fn transforms_come_after_their_inputs_whatever_the_order_of_the_file() {
    let text = with_graph(
        &["s"],
        "transforms:\n  last: { type: copy, inputs: [middle, s] }\n  middle: { type: copy, inputs: [first] }\n  first: { type: copy, inputs: [s] }\n\
         sinks: { f: { type: file, inputs: [last], config: { path: x } } }\n",
    );
    let pipeline = parsed(&text).unwrap_or_else(|lines| panic!("{lines:#?}"));
    let order: Vec<&str> = pipeline
        .topology
        .transforms
        .iter()
        .map(|node| &*node.name.id)
        .collect();
    assert_eq!(order, ["first", "middle", "last"]);
}

#[test]
fn a_component_overrides_proxy_and_trust_beside_or_inside_its_config() {
    let check = |component: &str, expected: &str| {
        let text = with_graph(
            &["a"],
            &format!("sinks:\n  f: {{ type: file, inputs: [a], {component} }}\n"),
        );
        let pipeline = parsed(&text).unwrap_or_else(|lines| panic!("{lines:#?}"));
        let sink = &pipeline.topology.sinks[0];
        let metrics = tapline_core::metrics::Metrics::new().expect("table");
        let cx = BuildContext {
            component: sink.name.clone(),
            pipeline: "p".into(),
            data_dir: "d".into(),
            config_dir: "c".into(),
            network: NetworkSettings::default(),
            metrics: metrics.component(&sink.name),
            shared: tapline_core::Shared::default(),
            backfill: None,
        };
        let error = (sink.build)(&cx)
            .err()
            .expect("the test's sink cannot be built");
        let told = error.source.to_string();
        let expected = format!("sinks.f.config.path: {expected}");
        assert!(
            told.starts_with("5:") && told.ends_with(&expected),
            "{told}"
        );
    };
    check("config: { path: x }", "None None x");
    check(
        "tls: { ca: ca.pem }, config: { path: x }",
        "None Some(\"/etc/tapline/ca.pem\") x",
    );
    check(
        "config: { path: x, tls: { ca: ca.pem } }",
        "None Some(\"/etc/tapline/ca.pem\") x",
    );
    check(
        "config: { path: x, proxy: { https: \"http://p:1\" } }",
        "Some(\"http://p:1\") None x",
    );
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
