//! The proof of mapping files, and what plans make of records.

use tapline_core::{Kind, Metadata};

use super::{EventScratch, Plan};
use crate::engine::{Run, Scratch};
use crate::json::Tape;
use crate::mapping::{Files, Target};

/// What every file of these tests has, so that each shows only what it is about.
const START: &str = "class: detection_finding\nprofiles: [host, incident, security_control]\nevent:\n  metadata: { product: { name: { const: x } } }\n  activity_id: 1\n  severity_id: 1\n  time: time\n  finding_info: { uid: id }\n";
const LINES: u64 = 8;

fn problems(text: &str) -> Vec<String> {
    let compiled = Plan::compile(&Files::embedded(), "test.yaml", text, Target::Ocsf);
    let problems = compiled.err().unwrap_or_default();
    problems.iter().map(ToString::to_string).collect()
}

/// Checks that a file is refused at a line, with these words.
fn refused(text: &str, line: u64, words: &str) {
    let found = problems(text);
    let at = format!("test.yaml:{line}:");
    let expected = |problem: &String| problem.starts_with(&at) && problem.contains(words);
    assert!(
        found.iter().any(expected),
        "{words:?} at line {line} is not in {found:#?}\n{text}"
    );
}

/// The same for lines after [`START`].
fn refused_after_start(lines: &str, line: u64, words: &str) {
    refused(&format!("{START}{lines}"), LINES + line, words);
}

#[test]
fn every_mapping_of_the_program_is_right() {
    let files = Files::embedded();
    for (target, base) in [
        (Target::Ocsf, "ocsf/base_event.yaml"),
        (Target::Ecs, "ecs/base_event.yaml"),
    ] {
        let kinds = files.kinds(target).map(|(name, _, text)| (name, text));
        let base = (base, files.get(base).expect("there"));
        for (name, text) in kinds.chain([base]) {
            let compiled = Plan::compile(&files, name, text, target);
            assert_eq!(compiled.err().unwrap_or_default(), Vec::new(), "{name}");
        }
    }
    assert_eq!(problems(START), Vec::<String>::new());
}

#[test]
fn a_wrong_attribute_is_refused_with_its_line_and_the_nearest_known() {
    refused_after_start(
        "  message: title\n  devise: { uid: id }\n",
        2,
        "did you mean \"device\"?",
    );
    refused_after_start(
        "  device:\n    uid: id\n    type_id: 0\n    host_name: x\n",
        4,
        "did you mean \"hostname\"?",
    );
    refused_after_start(
        "  evidences:\n    each: evidence\n    as:\n      file: { name: a, type_id: 1, pth: b }\n",
        4,
        "did you mean \"path\"?",
    );
    refused_after_start("  class_name: x\n", 1, "written by itself");
    refused_after_start(
        "  firewall_rule: { namee: x }\n",
        1,
        "did you mean \"name\"?",
    );
}

#[test]
fn an_attribute_of_a_profile_that_is_not_listed_is_refused() {
    let text = START.replace("[host, incident, security_control]", "[host]");
    refused(
        &format!("{text}  verdict_id: 1\n"),
        LINES + 1,
        "needs the profile incident",
    );
    refused(
        &START.replace("host, incident", "hosts, incident"),
        2,
        "did you mean \"host\"?",
    );
}

#[test]
fn a_value_of_the_wrong_type_is_refused() {
    refused_after_start("  is_alert: { const: maybe }\n", 1, "does not fit");
    refused_after_start(
        "  device: x\n",
        1,
        "expected the attributes of device, found a text",
    );
    refused_after_start("  message: [a]\n", 1, "found a list");
    refused_after_start("  risk_score: 9999999999\n", 1, "does not fit");
    refused_after_start(
        "  status_id: status\n",
        1,
        "an id comes from a number or a table",
    );
    refused_after_start("  attacks: { hashes: { md5: x } }\n", 1, "does not fit");
}

#[test]
fn an_id_that_the_schema_does_not_know_is_refused_where_it_stands() {
    refused_after_start("  status_id: 7\n", 1, "7 is not an id");
    refused_after_start(
        "  status_id:\n    from: status\n    table:\n      new: 1\n      old: 44\n",
        5,
        "44 is not an id",
    );
    refused_after_start(
        "  status_id: { from: status, table: { new: 1 }, else: 17 }\n",
        1,
        "17 is not an id",
    );
    refused_after_start(
        "  status_id: { from: status, table: { new: 1 }, absent: 18 }\n",
        1,
        "18 is not an id",
    );
    refused_after_start(
        "  malware:\n    - { name: x, classification_ids: [0, 1234] }\n",
        2,
        "1234 is not an id",
    );
    refused(
        &START.replace("activity_id: 1", "activity_id: 5"),
        5,
        "5 is not an id",
    );
}

#[test]
fn a_class_or_object_without_what_it_must_have_is_refused() {
    refused(
        &START.replace("  time: time\n", ""),
        4,
        "\"time\" is missing",
    );
    refused(
        &START.replace("uid: id", "title: id"),
        8,
        "\"uid\" is missing",
    );
    refused_after_start("  device: { uid: id }\n", 1, "\"type_id\" is missing");
    refused_after_start(
        "  evidences:\n    - { name: x }\n",
        2,
        "one of these attributes is needed",
    );
    refused(
        &START.replace("detection_finding", "detection_findings"),
        1,
        "did you mean \"detection_finding\"?",
    );
    refused("event: {}\n", 1, "\"class\" is missing");
}

#[test]
fn an_unknown_operation_block_table_or_key_is_refused() {
    refused_after_start(
        "  message: { joined: [a, b] }\n",
        1,
        "did you mean \"join\"?",
    );
    refused_after_start(
        "  message: { join: [a, b], wiht: x }\n",
        1,
        "did you mean \"with\"?",
    );
    refused_after_start("  severity_id_x: 1\n", 1, "there is no attribute");
    refused_after_start(
        "  status_id: { from: a, table: statuss }\n",
        1,
        "there is no table \"statuss\"",
    );
    refused_after_start(
        "  assignee: { use: usr, name: a }\n",
        1,
        "did you mean \"user\"?",
    );
    refused_after_start(
        "  assignee: { use: user, nam: a }\n",
        1,
        "did you mean \"name\"?",
    );
    refused_after_start(
        "  message: { when: { a: { starst: b } }, then: c }\n",
        1,
        "did you mean \"starts\"?",
    );
    refused_after_start("  message: $name\n", 1, "not a parameter");
    refused_after_start("  message: a..b\n", 1, "not the path of a field");
    refused_after_start("evnt: {}\n", 1, "did you mean \"event\"?");
}

#[test]
fn all_mistakes_of_a_file_are_reported_at_once() {
    let found = problems(&format!(
        "{START}  a: b\n  status_id: 7\n  device: {{ uid: id }}\n"
    ));
    assert_eq!(found.len(), 3, "{found:#?}");
}

#[test]
fn a_mistake_in_a_block_is_reported_in_its_file() {
    let mut files = Files::embedded();
    files.add(
        "ocsf/blocks/user.yaml",
        "parameters: [name]\ntemplate:\n  name: $name\n  nmae: $name\n",
    );
    let text = format!("{START}  assignee: {{ use: user, name: a }}\n");
    let problems = Plan::compile(&files, "test.yaml", &text, Target::Ocsf).expect_err("wrong");
    assert_eq!(
        (problems[0].file.as_str(), problems[0].line),
        ("ocsf/blocks/user.yaml", 4)
    );
}

/// What lines after [`START`] make of a record with an id and a time.
fn made(lines: &str, members: &str) -> serde_json::Value {
    let text = format!("{START}{lines}");
    let plan = Plan::compile(&Files::embedded(), "test.yaml", &text, Target::Ocsf)
        .unwrap_or_else(|problems| panic!("{problems:#?}"));
    let body = format!(r#"{{"id":"1","time":"2026-01-02T03:04:05Z",{members}}}"#);
    let meta = Metadata::new(Kind::new("test"), "t", "1", "1");
    let (mut tape, mut scratch, mut out) = (Tape::default(), Scratch::default(), Vec::new());
    tape.read(&body).expect("JSON");
    let mut run = Run::new(
        &body,
        &meta,
        &mut tape,
        &plan.shapes,
        &plan.selections,
        &mut scratch,
    );
    plan.write(&mut run, false, &mut EventScratch::default(), &mut out)
        .expect("it fits the class");
    serde_json::from_slice(&out).expect("JSON")
}

/// Checks what an attribute becomes, and what is left.
fn check(lines: &str, members: &str, pointer: &str, expected: &str, left: &str) {
    let event = made(lines, members);
    let found = event
        .pointer(pointer)
        .map(ToString::to_string)
        .unwrap_or_default();
    assert_eq!(found, expected, "{lines} of {members}: {event:#}");
    let found = event
        .get("unmapped")
        .map(ToString::to_string)
        .unwrap_or_default();
    assert_eq!(found, left, "{lines} of {members}: {event:#}");
}

#[test]
fn each_operation_does_what_the_manual_says() {
    let message = |operation: &str| format!("  message: {operation}\n");
    check(&message("a"), r#""a":"x\ny""#, "/message", r#""x\ny""#, "");
    check(
        &message("a"),
        r#""a":12345678901234567890"#,
        "/message",
        r#""12345678901234567890""#,
        "",
    );
    check(
        &message("a.b"),
        r#""A":{"B":true}"#,
        "/message",
        r#""true""#,
        "",
    );
    check(
        &message("{ const: a }"),
        r#""a":1"#,
        "/message",
        r#""a""#,
        r#"{"a":1}"#,
    );
    check(
        &message("{ first: [a, b] }"),
        r#""a":"","b":"x","c":null"#,
        "/message",
        r#""x""#,
        "",
    );
    check(
        &message("{ first: [a, b] }"),
        r#""a":["n"],"b":"x""#,
        "/message",
        r#""x""#,
        r#"{"a":["n"]}"#,
    );
    check(
        &message("{ when: { a: [X, y] }, then: b }"),
        r#""a":"x","b":"z""#,
        "/message",
        r#""z""#,
        r#"{"a":"x"}"#,
    );
    check(
        &message("{ join: [a, b, c], with: '-' }"),
        r#""a":"x","c":7"#,
        "/message",
        r#""x-7""#,
        "",
    );
    check(
        &message("{ before: '@', of: a }"),
        r#""a":"x@y""#,
        "/message",
        r#""x""#,
        "",
    );
    check(
        &message("{ before: '@', of: a }"),
        r#""a":"xy""#,
        "/message",
        "",
        r#"{"a":"xy"}"#,
    );
    check(
        &message("{ after: '@', of: a }"),
        r#""a":"x\u0040y""#,
        "/message",
        r#""y""#,
        "",
    );
    check(
        &message("{ strip: '#x.', of: a }"),
        r##""a":"#X.y""##,
        "/message",
        r#""y""#,
        "",
    );
    check(
        &message("{ lower: a }"),
        r#""a":"ÄBC""#,
        "/message",
        r#""Äbc""#,
        "",
    );
    check(
        &message("{ piece: 1, on: ';,', of: a }"),
        r#""a":"x; y""#,
        "/message",
        r#""y""#,
        r#"{"a":"x; y"}"#,
    );
    check(
        &message("{ last_part: a }"),
        r#""a":"c:\\b\\d.exe""#,
        "/message",
        r#""d.exe""#,
        "",
    );
    check(
        &message("{ full_path: { folder: a, name: b } }"),
        r#""a":"/usr/","b":"ls""#,
        "/message",
        r#""/usr/ls""#,
        "",
    );
    check(
        &message("{ full_path: { folder: a, name: b } }"),
        r#""a":"C:\\x\\A.exe","b":"a.EXE""#,
        "/message",
        r#""C:\\x\\A.exe""#,
        "",
    );
    check(
        &message("{ folder_of: { folder: a, name: b } }"),
        r#""a":"C:\\x\\A.exe","b":"a.EXE""#,
        "/message",
        r#""C:\\x""#,
        "",
    );
    check(
        &message("{ last: a, of: b }"),
        r#""a":[{"b":"x"},{"b":"y"}]"#,
        "/message",
        r#""y""#,
        r#"{"a":[{"b":"x"}]}"#,
    );
    check(
        &message("{ head: a }"),
        r#""a":["x","y"]"#,
        "/message",
        r#""x""#,
        r#"{"a":["y"]}"#,
    );
    check(
        &message("{ meta: uid }"),
        r#""a":null"#,
        "/message",
        r#""t:test:1:1""#,
        "",
    );
}

#[test]
fn a_value_that_does_not_fit_is_kept_as_it_came() {
    check("  risk_score: a\n", r#""a":"12""#, "/risk_score", "12", "");
    check(
        "  risk_score: a\n",
        r#""a":2147483648"#,
        "/risk_score",
        "",
        r#"{"a":2147483648}"#,
    );
    check(
        "  start_time: a\n",
        r#""a":"0001-01-01T00:00:00Z""#,
        "/start_time",
        "",
        r#"{"a":"0001-01-01T00:00:00Z"}"#,
    );
    check("  is_alert: a\n", r#""a":1"#, "/is_alert", "true", "");
    check(
        "  is_alert: a\n",
        r#""a":"yes""#,
        "/is_alert",
        "",
        r#"{"a":"yes"}"#,
    );
    check(
        "  device: { ip: a, type_id: 0 }\n",
        r#""a":"nowhere""#,
        "/device",
        "",
        r#"{"a":"nowhere"}"#,
    );
    check(
        "  device: { ip: a, hostname: b, type_id: 0 }\n",
        r#""a":"n","b":"h""#,
        "/device/hostname",
        r#""h""#,
        r#"{"a":"n"}"#,
    );
}

#[test]
fn tables_know_words_in_any_case_their_beginnings_and_what_else() {
    let status =
        |table: &str| format!("  status_id: {{ from: a, table: {{ new: 1, in*: 2 }}{table} }}\n");
    check(&status(""), r#""a":"NEW""#, "/status", r#""New""#, "");
    check(&status(""), r#""a":"inAnyWay""#, "/status_id", "2", "");
    check(&status(""), r#""a":"odd""#, "/status", r#""odd""#, "");
    check(
        &status(", else: 0"),
        r#""a":"odd""#,
        "/status",
        r#""Unknown""#,
        "",
    );
    check(
        &status(", else: skip"),
        r#""a":"odd""#,
        "/status",
        "",
        r#"{"a":"odd"}"#,
    );
    check(&status(", absent: 0"), r#""a":null"#, "/status_id", "0", "");
}

#[test]
fn lists_are_filled_and_what_does_not_fit_stays() {
    check(
        "  attacks: { techniques: a, tactic: b }\n",
        r#""a":["T1001","what"],"b":"Execution""#,
        "/attacks",
        r#"[{"tactic":{"name":"Execution","uid":"TA0002"},"technique":{"uid":"T1001"}}]"#,
        r#"{"a":["what"],"b":"Execution"}"#,
    );
    check(
        "  device: { uid: id, type_id: 0, network_interfaces: [{ split: a, on: ';', into: ip }] }\n",
        r#""a":"10.0.0.1; 10.0.0.2""#,
        "/device/network_interfaces",
        r#"[{"ip":"10.0.0.1"},{"ip":"10.0.0.2"}]"#,
        "",
    );
    check(
        "  device: { uid: id, type_id: 0, network_interfaces: [{ split: a, on: ';', into: ip }] }\n",
        r#""a":"10.0.0.1; x""#,
        "/device/network_interfaces",
        r#"[{"ip":"10.0.0.1"}]"#,
        r#"{"a":"10.0.0.1; x"}"#,
    );
}

#[test]
fn numbers_keep_every_digit_and_broken_text_is_mended() {
    check(
        "",
        r#""a":123456789012345678901234567890.10"#,
        "/unmapped/b",
        "",
        r#"{"a":1.2345678901234568e+29}"#,
    );
    let body = r#""a":"\ud800","b":{"\udc00":"x\ud83d"}"#;
    check(
        "",
        body,
        "/unmapped/a",
        "\"\u{FFFD}\"",
        "{\"a\":\"\u{FFFD}\",\"b\":{\"\u{FFFD}\":\"x\u{FFFD}\"}}",
    );
}
