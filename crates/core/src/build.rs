//! What a component is given when it is built, and how it says that it cannot be.

use std::any::{Any, TypeId};
use std::collections::HashMap;
use std::error::Error;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;

use crate::NetworkSettings;
use crate::metrics::ComponentMetrics;

/// Which part of the way of an event a component plays.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum ComponentKind {
    /// Pulls events from outside.
    Source,
    /// Rewrites them in memory.
    Transform,
    /// Delivers them.
    Sink,
}

impl ComponentKind {
    /// The word used in files, logs, and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            ComponentKind::Source => "source",
            ComponentKind::Transform => "transform",
            ComponentKind::Sink => "sink",
        }
    }
}

/// A component's kind, type, and id.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct ComponentName {
    /// Source, transform, or sink.
    pub kind: ComponentKind,
    /// The name written after `type:`.
    pub type_name: &'static str,
    /// The operator's name for it, unique in the file.
    pub id: Arc<str>,
}

impl fmt::Display for ComponentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}s.{}", self.kind.as_str(), self.id)
    }
}

/// What a component is given when it is built.
#[derive(Clone)]
pub struct BuildContext {
    /// Which component this is.
    pub component: ComponentName,
    /// The pipeline's name.
    pub pipeline: Arc<str>,
    /// Folder for small private files of the process, such as rotated tokens.
    pub data_dir: PathBuf,
    /// Folder of the pipeline file; relative paths in settings start here.
    pub config_dir: PathBuf,
    /// Proxy and trust of the process.
    pub network: NetworkSettings,
    /// The component's metrics.
    pub metrics: ComponentMetrics,
    /// Things that components of one process share.
    pub shared: Shared,
    /// The span that a source is to read and then end, instead of following its stream; only for
    /// types with [`SourceConfig::BACKFILLS`](crate::SourceConfig::BACKFILLS).
    pub backfill: Option<Span>,
}

/// A span of a stream's past; its end is not part of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Span {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment behind it.
    pub to: Timestamp,
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.from, self.to)
    }
}

/// One instance per type for the whole process, made by whoever asks first.
#[derive(Clone, Default)]
pub struct Shared {
    by_type: Arc<Mutex<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>>,
}

impl Shared {
    /// The process's only `T`.
    pub fn get_or_init<T: Send + Sync + 'static>(&self, make: impl FnOnce() -> T) -> Arc<T> {
        // A panic in another `make` leaves the map as it was, so it is still good.
        let mut by_type = self.by_type.lock().unwrap_or_else(PoisonError::into_inner);
        let any = by_type
            .entry(TypeId::of::<T>())
            .or_insert_with(|| Arc::new(make()));
        Arc::clone(any)
            .downcast()
            .expect("the map is keyed by the type of its values")
    }
}

/// One mistake in a component's settings.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Problem {
    /// Path below `config:`, such as `identity.tenant_id` or `hubs[1]`.
    pub path: String,
    /// What is wrong and what was expected.
    pub message: String,
}

impl Problem {
    /// A mistake at a path.
    pub fn new(path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            message: message.into(),
        }
    }
}

/// A component's settings are well formed, but what they name cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{path}")]
pub struct BuildError {
    /// Path below `config:` of the setting.
    pub path: String,
    /// What is wrong with what it names.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}

impl BuildError {
    /// An error of the setting at `path`.
    pub fn new(path: impl Into<String>, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            path: path.into(),
            source: source.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_that_ask_for_one_type_share_it() {
        let shared = Shared::default();
        let first = shared.get_or_init(|| Mutex::new(1));
        *first.lock().expect("not poisoned") = 7;
        let second = shared.clone().get_or_init(|| Mutex::new(1));
        assert_eq!(*second.lock().expect("not poisoned"), 7);
    }
}
