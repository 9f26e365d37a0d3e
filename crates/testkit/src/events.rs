//! Builders of what plugins are handed.

use std::collections::BTreeSet;
use std::path::Path;

use tapline_core::metrics::Metrics;
use tapline_core::{
    BuildContext, ComponentKind, ComponentName, Event, Kind, Metadata, NetworkSettings, Shared,
};

/// An event of the tenant `contoso`.
pub fn event(kind: &str, id: &str, version: &str, body: impl AsRef<[u8]>) -> Event {
    let meta = Metadata::new(
        Kind::new(kind),
        "contoso",
        id.to_owned(),
        version.to_owned(),
    );
    Event::new(body.as_ref().to_vec(), meta)
}

/// `count` alerts with ids and bodies that differ, `first` being the number of the first.
pub fn events(first: usize, count: usize) -> Vec<Event> {
    (first..first + count)
        .map(|number| {
            let id = format!("da{number:06}");
            event("graph.alert", &id, "1", format!("{{\"id\":\"{id}\"}}"))
        })
        .collect()
}

/// The identities of events.
pub fn uids<'a>(events: impl IntoIterator<Item = &'a Event>) -> BTreeSet<String> {
    events.into_iter().map(|event| event.meta().uid()).collect()
}

/// A build context with metrics of its own; files are kept, and looked for, in `folder`.
///
/// # Panics
/// If the table of metrics is wrong.
pub fn build_context(
    kind: ComponentKind,
    type_name: &'static str,
    id: &str,
    folder: &Path,
) -> BuildContext {
    let component = ComponentName {
        kind,
        type_name,
        id: id.into(),
    };
    let metrics = Metrics::new().expect("the table of metrics registers");
    BuildContext {
        metrics: metrics.component(&component),
        component,
        pipeline: "test".into(),
        data_dir: folder.to_owned(),
        config_dir: folder.to_owned(),
        network: NetworkSettings::default(),
        shared: Shared::default(),
        backfill: None,
    }
}
