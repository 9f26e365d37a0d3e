//! The source that hands dead letters back to the components that rejected them; it is there in
//! every pipeline, though not in its file.

use std::collections::HashMap;
use std::sync::Arc;

use tapline_core::metrics::Gauge;
use tapline_core::{BuildContext, ComponentKind, ComponentName, Source};

use super::engine::Engine;
use super::flow::{Entrance, Plan};
use super::host::Plans;
use super::source::SourceTask;
use super::{Builder, Inlets};
use crate::budget::Budget;
use crate::dead_letters::{DeadLetters, Replay};
use crate::topology::Factory;

/// Bytes of its events in memory, beside those of the others.
const BYTES: usize = 1 << 20;

/// It, ready to run.
pub(super) struct ReplayTask {
    pub(super) task: SourceTask,
    pub(super) first: Box<dyn Source>,
}

impl Builder<'_> {
    pub(super) fn replay(
        &self,
        engine: &Arc<Engine>,
        dead_letters: &DeadLetters,
        contexts: &HashMap<Arc<str>, BuildContext>,
        sinks: &Inlets,
    ) -> ReplayTask {
        let plans = self.plans(contexts, sinks);
        let ids: Vec<Arc<str>> = plans.keys().cloned().collect();
        let data_dir = engine.data_dir.clone();
        let make = move || Box::new(Replay::new(&data_dir, ids.iter().map(|id| &**id)));
        let first: Box<dyn Source> = make();
        let build: Factory<dyn Source> = Arc::new(move |_: &BuildContext| Ok(make()));
        let gauge = Gauge::new("bytes", "Not shown.").expect("a legal name");
        let task = SourceTask {
            build,
            cx: self.context(&ComponentName {
                kind: ComponentKind::Source,
                type_name: "dead_letters",
                // No component of a file has a colon in its name.
                id: "dead-letters:replay".into(),
            }),
            engine: Arc::clone(engine),
            dead_letters: dead_letters.clone(),
            plans: Plans::ByPartition(plans),
            share: Arc::new(Budget::new(BYTES, 1, gauge).share(0)),
        };
        ReplayTask { task, first }
    }

    /// One for each component. What a source rejected goes to whoever reads that source.
    fn plans(
        &self,
        contexts: &HashMap<Arc<str>, BuildContext>,
        sinks: &Inlets,
    ) -> HashMap<Arc<str>, Plan> {
        let topology = &self.pipeline.topology;
        let sources = topology.sources.iter().map(|node| &node.name.id);
        let transforms = topology.transforms.iter().map(|node| &node.name.id);
        let readers = transforms.chain(topology.sinks.iter().map(|node| &node.name.id));
        let entrances = sources
            .map(|id| (id, Entrance::Behind(id)))
            .chain(readers.map(|id| (id, Entrance::Into(id))));
        entrances
            .map(|(id, at)| (Arc::clone(id), Plan::of(at, topology, contexts, sinks)))
            .collect()
    }
}
