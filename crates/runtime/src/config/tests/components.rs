//! Keys and settings of components, and those at the top.

use super::*;

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
