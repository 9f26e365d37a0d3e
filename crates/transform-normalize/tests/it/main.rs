//! The normalizer as its users see it.

mod fixtures;
mod generated;
mod hunting;
mod ocsf;
mod samples;

use std::path::Path;
use std::sync::Arc;

use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};

/// A normalizer with the program's own mappings.
fn normalizer(config: &NormalizeConfig) -> Normalizer {
    let mappings = Mappings::load(config, Path::new("."));
    Normalizer::new(Arc::new(mappings.unwrap_or_else(|error| panic!("{error}"))))
}

/// The event of one record, with a clock that stands still.
fn event(normalizer: &mut Normalizer, record: &str) -> String {
    let mut meta = Recognizer::default()
        .metadata(record.as_bytes(), None)
        .expect("records of tests are JSON");
    meta.arrival = "2026-01-02T03:04:05Z".parse().expect("a time");
    let mut out = Vec::new();
    normalizer
        .normalize(&meta, record.as_bytes(), &mut out)
        .expect("records of tests are JSON");
    String::from_utf8(out).expect("events are text")
}

/// The event of one record, to look into.
fn ocsf(record: &str) -> serde_json::Value {
    let event = event(&mut normalizer(&NormalizeConfig::new(To::Ocsf)), record);
    serde_json::from_str(&event).unwrap_or_else(|error| panic!("{error}: {event}"))
}
