//! The checked graph of components, ready to be started.

use std::sync::Arc;

use tapline_core::{BuildContext, BuildError, ComponentName, Sink, Source, Transform};

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
}
