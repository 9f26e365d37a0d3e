//! The hand-filled list of component types that a pipeline file may name.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, BTreeSet};

use tapline_core::{
    BuildContext, BuildError, ComponentKind, CursorForm, Problem, Sink, SinkConfig, Source,
    SourceConfig, TransactionalSink, Transform, TransformConfig,
};

use crate::config::{AnyFactory, ConfigBlock, Findings, Mistake};
use crate::filter::FilterConfig;

/// Reads a `config:` block and makes the factory that builds from it.
type ReadConfig = fn(&ConfigBlock<'_>, &mut Findings) -> Option<AnyFactory>;

/// Component types by the name written after `type:`.
///
/// ```
/// let mut registry = tapline_runtime::Registry::default();
/// registry.transform::<tapline_runtime::FilterConfig>();
/// ```
///
/// The `filter` transform is in every registry. Two types of one name are reported, with both,
/// when a pipeline file is read.
pub struct Registry {
    types: BTreeMap<(ComponentKind, &'static str), Registered>,
    cursors: CursorForms,
    backfills: BTreeSet<&'static str>,
    doubles: Vec<String>,
}

/// How cursors read, by the source type that they belong to.
pub type CursorForms = BTreeMap<&'static str, CursorForm>;

struct Registered {
    id: TypeId,
    rust_name: &'static str,
    read: ReadConfig,
}

impl Default for Registry {
    fn default() -> Self {
        let mut registry = Self {
            types: BTreeMap::new(),
            cursors: CursorForms::new(),
            backfills: BTreeSet::new(),
            doubles: Vec::new(),
        };
        registry.transform::<FilterConfig>();
        registry
    }
}

impl Registry {
    /// Adds a source type.
    pub fn source<C: SourceConfig>(&mut self) -> &mut Self {
        if let Some(form) = C::CURSORS {
            self.cursors.insert(C::TYPE, form);
        }
        if C::BACKFILLS {
            self.backfills.insert(C::TYPE);
        }
        self.add::<C>(ComponentKind::Source, C::TYPE, |block, findings| {
            block
                .factory::<OfSource<C>, _>(findings)
                .map(AnyFactory::Source)
        })
    }

    /// Adds a transform type.
    pub fn transform<C: TransformConfig>(&mut self) -> &mut Self {
        self.add::<C>(ComponentKind::Transform, C::TYPE, |block, findings| {
            block
                .factory::<OfTransform<C>, _>(findings)
                .map(AnyFactory::Transform)
        })
    }

    /// Adds a sink type.
    pub fn sink<C: SinkConfig>(&mut self) -> &mut Self {
        self.add::<C>(ComponentKind::Sink, C::TYPE, |block, findings| {
            let settings = block.read::<OfSink<C>, dyn Sink>(findings)?;
            if settings.config.0.transactional().is_none() {
                return Some(AnyFactory::Sink(settings.factory()));
            }
            let settings = settings.map(|OfSink(config)| OfTransactionalSink(config));
            Some(AnyFactory::Transactional(settings.factory()))
        })
    }

    /// The names of all types of a kind, in alphabetical order.
    pub fn types(&self, kind: ComponentKind) -> Vec<&'static str> {
        let of_kind = self.types.keys().filter(|(known, _)| *known == kind);
        of_kind.map(|(_, name)| *name).collect()
    }

    /// How the cursors of all source types read that say so.
    pub fn cursors(&self) -> CursorForms {
        self.cursors.clone()
    }

    /// Whether sources of a type can read a span of the past and then end.
    pub fn backfills(&self, source_type: &str) -> bool {
        self.backfills.contains(source_type)
    }

    /// The kind that has a type of this name, if any has.
    pub(crate) fn kind_of(&self, name: &str) -> Option<ComponentKind> {
        let mut names = self.types.keys();
        names
            .find(|(_, known)| *known == name)
            .map(|(kind, _)| *kind)
    }

    pub(crate) fn find(
        &self,
        kind: ComponentKind,
        name: &str,
    ) -> Option<(&'static str, ReadConfig)> {
        let found = self
            .types
            .iter()
            .find(|((k, n), _)| *k == kind && *n == name);
        found.map(|((_, name), registered)| (*name, registered.read))
    }

    /// Types that share a name, as mistakes of the program that no pipeline file can mend.
    pub(crate) fn doubles(&self) -> impl Iterator<Item = Mistake> {
        self.doubles.iter().map(Mistake::of_file)
    }

    fn add<C: 'static>(
        &mut self,
        kind: ComponentKind,
        name: &'static str,
        read: ReadConfig,
    ) -> &mut Self {
        let new = Registered {
            id: TypeId::of::<C>(),
            rust_name: type_name::<C>(),
            read,
        };
        match self.types.get(&(kind, name)) {
            Some(first) if first.id != new.id => self.doubles.push(format!(
                "the program has two {} types named {name}: {} and {}",
                kind.as_str(),
                first.rust_name,
                new.rust_name
            )),
            Some(_) => {}
            None => {
                self.types.insert((kind, name), new);
            }
        }
        self
    }
}

/// What the three kinds of settings have in common.
pub(crate) trait Configurable<T: ?Sized>: Send + Sync + 'static {
    fn problems(&self) -> Vec<Problem>;
    fn build(&self, cx: &BuildContext) -> Result<Box<T>, BuildError>;
}

macro_rules! configurable {
    ($name:ident: $config:ident => $component:ident) => {
        /// Settings that build one kind of component.
        #[derive(serde::Deserialize)]
        #[serde(transparent, bound = "")]
        struct $name<C: $config>(C);

        impl<C: $config> Configurable<dyn $component> for $name<C> {
            fn problems(&self) -> Vec<Problem> {
                self.0.problems()
            }

            fn build(&self, cx: &BuildContext) -> Result<Box<dyn $component>, BuildError> {
                self.0.build(cx)
            }
        }
    };
}

configurable!(OfSource: SourceConfig => Source);
configurable!(OfTransform: TransformConfig => Transform);
configurable!(OfSink: SinkConfig => Sink);

/// Settings of a sink that ask for events and cursors that become durable together.
struct OfTransactionalSink<C: SinkConfig>(C);

impl<C: SinkConfig> Configurable<dyn TransactionalSink> for OfTransactionalSink<C> {
    fn problems(&self) -> Vec<Problem> {
        self.0.problems()
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn TransactionalSink>, BuildError> {
        match self.0.transactional() {
            Some(config) => config.build(cx),
            None => Err(BuildError::new("", "it no longer asks for transactions")),
        }
    }
}
