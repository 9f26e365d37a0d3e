//! What users of the crate rely on when they turn records into CEF.

use std::path::Path;
use std::sync::Arc;

use tapline_core::metrics::Metrics;
use tapline_core::{
    BuildContext, ComponentKind, ComponentName, Event, NetworkSettings, Output, Shared,
    TransformConfig,
};
use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};

fn config() -> NormalizeConfig {
    NormalizeConfig::new(To::Cef)
}

fn normalizer(config: &NormalizeConfig) -> Normalizer {
    Normalizer::new(Arc::new(
        Mappings::load(config, Path::new(".")).expect("the mappings are right"),
    ))
}

fn line(config: &NormalizeConfig, record: &str) -> String {
    let meta = Recognizer::default()
        .metadata(record.as_bytes(), None)
        .expect("JSON");
    let (line, _) = normalizer(config)
        .event(&meta, record.as_bytes())
        .expect("fits");
    String::from_utf8(line.to_vec()).expect("text")
}

#[test]
fn the_schema_says_which_cef_it_is() {
    let version_one = NormalizeConfig {
        cef_version: 1,
        ..config()
    };
    assert_eq!(normalizer(&config()).schema(), "cef/0");
    assert_eq!(normalizer(&version_one).schema(), "cef/1");
}

#[test]
fn a_field_that_is_taken_out_is_in_no_key_and_a_key_that_is_dropped_takes_its_label_along() {
    let config = NormalizeConfig {
        drop: vec!["cs1".into(), "description".into()],
        ..config()
    };
    let record = r#"{"id":"da1","title":"T","alertWebUrl":"https://x.example","description":"secret","threatDisplayName":"N"}"#;
    let line = line(&config, record);
    assert!(
        line.contains("externalId=da1") && !line.contains("secret") && !line.contains("cs1"),
        "{line}"
    );
}

#[test]
fn wrong_settings_are_refused_by_name() {
    let check = |config: NormalizeConfig, expected: &[&str]| {
        let paths: Vec<String> = config
            .problems()
            .into_iter()
            .map(|problem| problem.path)
            .collect();
        assert_eq!(paths, expected);
    };
    check(
        NormalizeConfig {
            max_bytes: Some(100),
            raw_as: Some("msg".into()),
            ..config()
        },
        &["max_bytes", "raw_as"],
    );
    check(
        NormalizeConfig {
            product: Some(String::new()),
            cef_version: 2,
            ..config()
        },
        &["product", "cef_version"],
    );
    check(
        NormalizeConfig {
            max_bytes: Some(7900),
            drop: vec!["cs1".into()],
            ..config()
        },
        &[],
    );
}

#[test]
fn a_mapping_of_the_operator_that_the_standard_forbids_is_refused_with_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("cef/graph/alert.yaml");
    std::fs::create_dir_all(file.parent().expect("has one")).expect("made");
    let head =
        "product: P\nversion: 1\nheader: { class_id: id, name: title, severity: 1 }\nkeys:\n";
    let refused = |rule: &str| {
        std::fs::write(&file, format!("{head}  - {{ msg: title }}\n  - {rule}\n"))
            .expect("written");
        let config = NormalizeConfig {
            mappings: Some(folder.path().to_owned()),
            ..config()
        };
        Mappings::load(&config, Path::new("."))
            .map(|_| ())
            .map_err(|error| error.to_string())
    };
    let check = |rule, expected: &str| {
        let told = refused(rule).expect_err(rule);
        assert!(
            told.contains("cef/graph/alert.yaml:6:") && told.contains(expected),
            "{told}"
        );
    };
    check("{ fileHsh: id }", "did you mean `fileHash`?");
    check("{ eventId: id }", "a producer must not send it");
    check("{ cs4: id }", "needs a `label`");
    check("{ dvc: { const: here } }", "an IPv4 address");
    assert_eq!(refused("{ cs4: id, label: Id }"), Ok(()));
}

#[test]
fn what_a_line_lacks_is_counted() {
    let metrics = Metrics::new().expect("the table is right");
    let component = ComponentName {
        kind: ComponentKind::Transform,
        type_name: "normalize",
        id: "cef".into(),
    };
    let cx = BuildContext {
        metrics: metrics.component(&component),
        component,
        pipeline: "tapline".into(),
        data_dir: ".".into(),
        config_dir: ".".into(),
        network: NetworkSettings::default(),
        shared: Shared::default(),
        backfill: None,
    };
    let long = "x".repeat(1100);
    let record = format!(
        r#"{{"id":"da1","alertWebUrl":"{long}","description":"{long}","createdDateTime":"soon","severity":"low"}}"#
    );
    let config = NormalizeConfig {
        max_bytes: Some(1200),
        ..config()
    };
    let meta = Recognizer::default()
        .metadata(record.as_bytes(), None)
        .expect("JSON");
    let mut out = Output::default();
    let mut transform = config.build(&cx).expect("ours are right");
    transform.apply(Event::new(record, meta), &mut out);
    assert_eq!(
        (out.emitted.len(), out.emitted[0].meta().schema),
        (1, Some("cef/0"))
    );
    let text = String::from_utf8(metrics.render()).expect("text");
    for (reason, count) in [("cut", 2), ("unfit", 1), ("dropped", 1)] {
        let part = format!("reason=\"{reason}\"}} {count}");
        let counted = |line: &str| {
            line.starts_with("tapline_normalize_losses_total") && line.ends_with(&part)
        };
        assert!(text.lines().any(counted), "{part} in {text}");
    }
}

#[test]
fn real_samples_become_one_line_each() {
    let samples = Path::new(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/samples/siem-api"
    ));
    let Ok(files) = std::fs::read_dir(samples) else {
        return;
    };
    for file in files {
        let text = std::fs::read_to_string(file.expect("listed").path()).expect("read");
        let document: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        let records = match document {
            serde_json::Value::Array(records) => records,
            record => vec![record],
        };
        for record in records {
            let line = line(&config(), &record.to_string());
            assert!(
                line.starts_with("CEF:0|Microsoft|Microsoft Defender ATP|2.0|")
                    && !line.contains('\n'),
                "{line}"
            );
        }
    }
}
