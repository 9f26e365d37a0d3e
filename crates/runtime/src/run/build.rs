//! Builds the components of a topology.

use std::collections::HashMap;
use std::sync::Arc;

use tapline_core::{
    BuildContext, BuildError, ComponentName, Event, Reach, Sink, Source, TransactionalSink,
};
use tokio::sync::mpsc;

use super::flow::{Entrance, Plan};
use super::{BuildFailures, Setup};
use crate::topology::{Factory, Node, Print};

/// Builds components of one pipeline.
pub(super) struct Builder<'a> {
    pub(super) pipeline: &'a Setup,
}

/// A component that was built, and how to build it anew.
pub(super) struct Built<T: ?Sized> {
    pub(super) cx: BuildContext,
    pub(super) build: Factory<T>,
    pub(super) print: Print,
    pub(super) component: Box<T>,
}

/// Everything that was built, in the order of the topology.
pub(super) struct AllBuilt {
    pub(super) sinks: Vec<Built<dyn Sink>>,
    pub(super) transactional: Vec<Built<dyn TransactionalSink>>,
    pub(super) sources: Vec<Built<dyn Source>>,
}

impl Built<dyn Source> {
    /// Which processes could read what it reads: what lies in our folder no other sees.
    pub(super) fn reach(&self) -> Reach {
        match self.cx.component.id.contains(':') {
            true => Reach::Folder,
            false => Reach::Everybody,
        }
    }

    /// Whether it reads a span and then ends; what hands on from files of ours never does.
    pub(super) fn ends(&self) -> bool {
        let is_ours = self.cx.component.id.contains(':');
        self.cx.backfill.is_some() && !is_ours
    }
}

/// Where events for a sink are handed in, by the sink's position.
pub(super) type Inlets = Vec<mpsc::Sender<Vec<Event>>>;

impl<'a> Builder<'a> {
    pub(super) fn new(pipeline: &'a Setup) -> Self {
        Self { pipeline }
    }

    pub(super) fn context(&self, name: &ComponentName) -> BuildContext {
        BuildContext {
            component: name.clone(),
            pipeline: Arc::clone(&self.pipeline.name),
            data_dir: self.pipeline.data_dir.clone(),
            config_dir: self.pipeline.config_dir.clone(),
            network: self.pipeline.network.clone(),
            metrics: self.pipeline.metrics.component(name),
            shared: self.pipeline.shared.clone(),
            backfill: self.pipeline.backfill,
        }
    }

    /// Builds those sinks and sources that are wanted, so that all that cannot be built is told at
    /// once.
    pub(super) fn build(
        &self,
        is_wanted: impl Fn(&ComponentName, Print) -> bool,
    ) -> Result<AllBuilt, BuildFailures> {
        let topology = &self.pipeline.topology;
        let mut failures = BuildFailures::default();
        let built = AllBuilt {
            sinks: self.build_all(&topology.sinks, &is_wanted, &mut failures),
            transactional: self.build_all(&topology.transactional, &is_wanted, &mut failures),
            sources: self.build_all(&topology.sources, &is_wanted, &mut failures),
        };
        match failures.0.is_empty() {
            true => Ok(built),
            false => Err(failures),
        }
    }

    fn build_all<T: ?Sized>(
        &self,
        nodes: &[Node<T>],
        is_wanted: &impl Fn(&ComponentName, Print) -> bool,
        failures: &mut BuildFailures,
    ) -> Vec<Built<T>> {
        let mut built = Vec::new();
        for node in nodes.iter().filter(|it| is_wanted(&it.name, it.print)) {
            let cx = self.context(&node.name);
            match (node.build)(&cx) {
                Ok(component) => built.push(Built {
                    cx,
                    build: Arc::clone(&node.build),
                    print: node.print,
                    component,
                }),
                Err(error) => failures.0.push((node.name.clone(), error)),
            }
        }
        built
    }

    /// What the events of each source go through, with every transform built once to see whether it
    /// can be.
    pub(super) fn plans(
        &self,
        contexts: &HashMap<Arc<str>, BuildContext>,
        sinks: &Inlets,
    ) -> Result<HashMap<Arc<str>, Plan>, BuildFailures> {
        let topology = &self.pipeline.topology;
        let mut plans = HashMap::new();
        for node in &topology.sources {
            let plan = Plan::of(Entrance::Behind(&node.name.id), topology, contexts, sinks);
            plan.check().map_err(failed)?;
            plans.insert(Arc::clone(&node.name.id), plan);
        }
        Ok(plans)
    }

    pub(super) fn transform_contexts(&self) -> HashMap<Arc<str>, BuildContext> {
        let transforms = self.pipeline.topology.transforms.iter();
        transforms
            .map(|node| (Arc::clone(&node.name.id), self.context(&node.name)))
            .collect()
    }
}

fn failed(failure: (ComponentName, BuildError)) -> BuildFailures {
    BuildFailures(vec![failure])
}
