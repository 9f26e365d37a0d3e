//! The source that hands dead letters back to the components that rejected them; it is there in
//! every pipeline, though not in its file.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use tapline_core::metrics::Gauge;
use tapline_core::{BuildContext, ComponentKind, ComponentName, Source};

use super::build::{Builder, Built, Inlets};
use super::flow::{Entrance, Plan};
use super::host::Plans;
use crate::budget::{Budget, Share};
use crate::dead_letters::Replay;
use crate::topology::Print;

/// Bytes of its events in memory, beside those of the others.
const BYTES: usize = 1 << 20;

/// Its name; no component of a file has a colon in its own.
const ID: &str = "dead-letters:replay";

impl Builder<'_> {
    /// It, for the components of the topology, ready to run.
    pub(super) fn replay(&self, data_dir: &Path, ids: Vec<Arc<str>>) -> Built<dyn Source> {
        let data_dir = data_dir.to_owned();
        let make = move || Box::new(Replay::new(&data_dir, ids.iter().map(|id| &**id)));
        let component: Box<dyn Source> = make();
        Built {
            cx: self.context(&ComponentName {
                kind: ComponentKind::Source,
                type_name: "dead_letters",
                id: ID.into(),
            }),
            build: Arc::new(move |_: &BuildContext| Ok(make())),
            print: Print::default(),
            component,
        }
    }

    /// Its part of the memory, beside that of the others.
    pub(super) fn replay_share() -> Share {
        let gauge = Gauge::new("bytes", "Not shown.").expect("a legal name");
        Budget::new(BYTES, gauge).share()
    }

    /// One for each component. What a source rejected goes to whoever reads that source.
    pub(super) fn replay_plans(
        &self,
        contexts: &HashMap<Arc<str>, BuildContext>,
        sinks: &Inlets,
    ) -> Plans {
        let topology = &self.pipeline.topology;
        let sources = topology.sources.iter().map(|node| &node.name.id);
        let transforms = topology.transforms.iter().map(|node| &node.name.id);
        let sinks_of_file = topology.sinks.iter().map(|node| &node.name.id);
        let transactional = topology.transactional.iter().map(|node| &node.name.id);
        let readers = transforms.chain(sinks_of_file).chain(transactional);
        let entrances = sources
            .map(|id| (id, Entrance::Behind(id)))
            .chain(readers.map(|id| (id, Entrance::Into(id))));
        let plans =
            entrances.map(|(id, at)| (Arc::clone(id), Plan::of(at, topology, contexts, sinks)));
        Plans::ByPartition(plans.collect())
    }
}
