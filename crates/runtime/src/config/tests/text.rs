//! The text itself: YAML, values, variables, anchors, and secrets.

use super::*;

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
