//! The checked graph of components, ready to be started.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use tapline_core::{
    BuildContext, BuildError, ComponentName, Sink, Source, TransactionalSink, Transform,
};

/// Builds one component from its parsed settings.
pub type Factory<T> = Arc<dyn Fn(&BuildContext) -> Result<Box<T>, BuildError> + Send + Sync>;

/// A component of the graph.
pub struct Node<T: ?Sized> {
    /// Kind, type, and id.
    pub name: ComponentName,
    /// Ids of the components whose events come in; empty for sources.
    pub inputs: Vec<Arc<str>>,
    /// Builds it.
    pub build: Factory<T>,
    /// Says whether another component was made from the same settings.
    pub print: Print,
}

/// A hash over everything that a component is built from; inputs are not part of it.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Print(pub u64);

impl Print {
    /// The print of a thing in some state.
    pub(crate) fn of(thing: &impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        thing.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// The print of two things together.
    pub(crate) fn and(self, other: Self) -> Self {
        Self::of(&(self.0, other.0))
    }
}

/// The checked graph: ids are unique, inputs exist, no cycles, everything is read by somebody.
#[derive(Default)]
pub struct Topology {
    /// Where events come from.
    pub sources: Vec<Node<dyn Source>>,
    /// In an order in which each comes after its inputs.
    pub transforms: Vec<Node<dyn Transform>>,
    /// Where events go.
    pub sinks: Vec<Node<dyn Sink>>,
    /// Where events go together with the cursors behind them. No source leads to two of them.
    pub transactional: Vec<Node<dyn TransactionalSink>>,
}

impl Topology {
    /// The ids of all components.
    pub(crate) fn ids(&self) -> Vec<Arc<str>> {
        let mut ids = Vec::new();
        self.for_each_name(|name, _| ids.push(Arc::clone(&name.id)));
        ids
    }

    /// Names and inputs of all components.
    pub(crate) fn for_each_name(&self, mut each: impl FnMut(&ComponentName, &[Arc<str>])) {
        for node in &self.sources {
            each(&node.name, &node.inputs);
        }
        for node in &self.transforms {
            each(&node.name, &node.inputs);
        }
        for node in &self.sinks {
            each(&node.name, &node.inputs);
        }
        for node in &self.transactional {
            each(&node.name, &node.inputs);
        }
    }
}
