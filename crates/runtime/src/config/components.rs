//! One component of the pipeline file: its type, its inputs, and its settings.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use tapline_core::{
    BuildContext, BuildError, ComponentKind, ComponentName, Problem, Sink, Source,
    TransactionalSink, Transform, chain,
};
use tapline_spool::SpoolSettings;

use super::attempts::{Findings, redact, settings, settings_beside};
use super::file::{ProxySettings, TlsSettings, check_name};
use super::mistake::{Mistake, Position};
use super::tree::{Entry, Node, Value};
use super::words::nearest;
use crate::registry::{Configurable, Registry};
use crate::topology::{Factory, Print};

/// What users write beside `config:`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ComponentSettings {
    #[serde(rename = "type")]
    type_name: String,
    #[serde(default)]
    inputs: Option<Vec<String>>,
    #[serde(rename = "config", default)]
    _config: Option<IgnoredAny>,
    #[serde(default)]
    spool: Option<SpoolSettings>,
    #[serde(default)]
    proxy: Option<ProxySettings>,
    #[serde(default)]
    tls: Option<TlsSettings>,
}

/// A component as the graph check needs it, right or wrong.
pub(crate) struct Component {
    pub(crate) id: Arc<str>,
    pub(crate) kind: ComponentKind,
    /// Where its id stands.
    pub(crate) position: Position,
    /// As written, with their places; nothing if they could not be read.
    pub(crate) inputs: Option<Vec<(Arc<str>, Position)>>,
    /// Nothing if something is wrong with it.
    pub(crate) built: Option<Built>,
    /// A queue on disk in front of it, and its print.
    pub(crate) spool: Option<(SpoolSettings, Print)>,
    /// Of everything but inputs and spool.
    pub(crate) print: Print,
}

/// A component that can be started.
pub(crate) struct Built {
    pub(crate) type_name: &'static str,
    pub(crate) factory: AnyFactory,
}

/// A factory of any kind.
pub(crate) enum AnyFactory {
    Source(Factory<dyn Source>),
    Transform(Factory<dyn Transform>),
    Sink(Factory<dyn Sink>),
    Transactional(Factory<dyn TransactionalSink>),
}

impl Component {
    /// Its path in the file.
    pub(crate) fn path(&self) -> String {
        format!("{}s.{}", self.kind.as_str(), self.id)
    }

    /// Whether its events become durable together with the cursors behind them.
    pub(crate) fn is_transactional(&self) -> bool {
        let factory = self.built.as_ref().map(|built| &built.factory);
        matches!(factory, Some(AnyFactory::Transactional(_)))
    }

    /// Kind, type, and id.
    pub(crate) fn name(&self, type_name: &'static str) -> ComponentName {
        ComponentName {
            kind: self.kind,
            type_name,
            id: Arc::clone(&self.id),
        }
    }
}

/// Reads the components of all sections.
pub(crate) fn read(
    root: &Node,
    registry: &Registry,
    dir: &Path,
    findings: &mut Findings,
) -> Vec<Component> {
    let mut components = Vec::new();
    for kind in [
        ComponentKind::Source,
        ComponentKind::Transform,
        ComponentKind::Sink,
    ] {
        let section = format!("{}s", kind.as_str());
        let Some(entry) = root.entry(&section) else {
            continue;
        };
        if !is_table(&entry.node) {
            let message = format!("expected a table of {section} by their ids");
            findings
                .mistakes
                .push(Mistake::at(entry.node.position, section, message));
            continue;
        }
        for entry in entry.node.entries() {
            let reader = ComponentReader {
                kind,
                entry,
                path: format!("{section}.{}", entry.key),
                dir,
                network_print: root.print_of("proxy").and(root.print_of("tls")),
            };
            components.push(reader.read(registry, findings));
        }
    }
    components
}

/// `sources:` with nothing after it is an empty table.
fn is_table(node: &Node) -> bool {
    match &node.value {
        Value::Table(_) | Value::Broken => true,
        Value::Scalar(scalar) => scalar.plain && matches!(scalar.text.as_str(), "~" | "" | "null"),
        Value::List(_) => false,
    }
}

struct ComponentReader<'a> {
    kind: ComponentKind,
    entry: &'a Entry,
    path: String,
    dir: &'a Path,
    network_print: Print,
}

impl ComponentReader<'_> {
    fn read(&self, registry: &Registry, findings: &mut Findings) -> Component {
        if let Err(message) = check_name(&self.entry.key) {
            self.report(self.entry.position, "", message, findings);
        }
        let read = settings::<ComponentSettings>(&self.entry.node, &self.path, findings);
        if let Some(read) = &read {
            self.check(read, findings);
        }
        // A wrong key beside `config:` must not hide what is wrong inside it.
        let type_name = match &read {
            Some(read) => Some(read.type_name.as_str()),
            None => self.scalar("type"),
        };
        let network = read.as_ref().map(|read| Network::of(read, self.dir));
        let built = type_name.and_then(|type_name| {
            self.build(type_name, network.unwrap_or_default(), registry, findings)
        });
        Component {
            id: Arc::from(self.entry.key.as_str()),
            kind: self.kind,
            position: self.entry.position,
            inputs: self.inputs(),
            built,
            spool: read.and_then(|read| read.spool).map(|spool| {
                let print = self.entry.node.entry("spool").map(|it| it.node.print(&[]));
                (spool, print.unwrap_or_default())
            }),
            print: self.print(),
        }
    }

    fn check(&self, read: &ComponentSettings, findings: &mut Findings) {
        let mut wrong = |key: &str, message: &str| {
            self.report(self.entry.node.find(key), key, message, findings);
        };
        if read.spool.is_some() && self.kind != ComponentKind::Sink {
            wrong("spool", "only a sink has a spool");
        }
        for problem in read.spool.iter().flat_map(SpoolSettings::problems) {
            wrong(&format!("spool.{}", problem.path), &problem.message);
        }
        if read.inputs.is_some() && self.kind == ComponentKind::Source {
            wrong("inputs", "a source reads from outside and has no inputs");
        }
        if self.kind == ComponentKind::Transform {
            let keys = [("proxy", read.proxy.is_some()), ("tls", read.tls.is_some())];
            for (key, _) in keys.iter().filter(|(_, is_given)| *is_given) {
                wrong(key, "a transform connects to nothing");
            }
        }
        if let Some(Err(message)) = read.proxy.as_ref().map(ProxySettings::check) {
            wrong("proxy.https", &message);
        }
    }

    /// Proxy and trust of the process are settings of every component that speaks with somebody.
    fn print(&self) -> Print {
        let own = self.entry.node.print(&["inputs", "spool"]);
        match self.kind {
            ComponentKind::Transform => own,
            ComponentKind::Source | ComponentKind::Sink => own.and(self.network_print),
        }
    }

    /// As written, also where something else in the component is wrong; nothing if they cannot be
    /// read, or if the key is missing because the whole component could not be.
    fn inputs(&self) -> Option<Vec<(Arc<str>, Position)>> {
        let Some(entry) = self.entry.node.entry("inputs") else {
            return matches!(self.entry.node.value, Value::Table(_)).then(Vec::new);
        };
        let Value::List(items) = &entry.node.value else {
            return None;
        };
        let texts = items.iter().map(|item| match &item.value {
            Value::Scalar(scalar) => Some((Arc::from(scalar.text.as_str()), item.position)),
            _ => None,
        });
        texts.collect()
    }

    fn build(
        &self,
        type_name: &str,
        network: Network,
        registry: &Registry,
        findings: &mut Findings,
    ) -> Option<Built> {
        let Some((type_name, configurable)) = registry.find(self.kind, type_name) else {
            let message = unknown_type(self.kind, type_name, registry);
            self.report(self.entry.node.find("type"), "type", message, findings);
            return None;
        };
        let empty = Node::new(self.entry.node.position, Value::Table(Vec::new()));
        let entry = self.entry.node.entry("config");
        let block = ConfigBlock {
            others: match self.kind {
                ComponentKind::Transform => &[],
                ComponentKind::Source | ComponentKind::Sink => NETWORK_KEYS,
            },
            node: entry.map_or(&empty, |entry| entry.node.as_ref()),
            path: format!("{}.config", self.path),
            dir: self.dir,
            network,
        };
        let factory = configurable(&block, findings)?;
        Some(Built { type_name, factory })
    }

    fn scalar(&self, key: &str) -> Option<&str> {
        match &self.entry.node.entry(key)?.node.value {
            Value::Scalar(scalar) => Some(&scalar.text),
            _ => None,
        }
    }

    fn report(&self, at: Position, key: &str, message: impl Into<String>, findings: &mut Findings) {
        let path = match key {
            "" => self.path.clone(),
            key => format!("{}.{key}", self.path),
        };
        findings.mistakes.push(Mistake::at(at, path, message));
    }
}

fn unknown_type(kind: ComponentKind, word: &str, registry: &Registry) -> String {
    let known = registry.types(kind);
    let kind_name = kind.as_str();
    if let Some(other) = registry.kind_of(word) {
        return format!("{word} is a {}, not a {kind_name}", other.as_str());
    }
    let near = nearest(word, known.iter().copied());
    let near = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
    format!(
        "unknown {kind_name} type {word}{near} (known are {})",
        known.join(", ")
    )
}

/// What a component says of how to reach the outside; relative paths are already resolved.
#[derive(Clone, Debug, Default)]
pub(crate) struct Network {
    https_proxy: Option<String>,
    extra_ca: Option<PathBuf>,
}

impl Network {
    fn of(settings: &ComponentSettings, dir: &Path) -> Self {
        Self {
            https_proxy: settings.proxy.as_ref().map(|proxy| proxy.https.clone()),
            extra_ca: settings.tls.as_ref().map(|tls| dir.join(&tls.ca)),
        }
    }

    /// The context with what the component says of itself in place of what the process says.
    fn apply(&self, cx: &BuildContext) -> BuildContext {
        let mut cx = cx.clone();
        if let Some(proxy) = &self.https_proxy {
            cx.network.https_proxy = Some(proxy.clone());
        }
        if let Some(ca) = &self.extra_ca {
            cx.network.extra_ca = Some(ca.clone());
        }
        cx
    }
}

/// The `config:` block of one component.
pub(crate) struct ConfigBlock<'a> {
    /// Keys that are ours where the plugin does not know them.
    others: &'static [&'static str],
    node: &'a Node,
    path: String,
    dir: &'a Path,
    network: Network,
}

/// Settings without mistakes, and where they stand.
pub(crate) struct Settings<C> {
    pub(crate) config: C,
    network: Network,
    node: Node,
    block: String,
}

impl<C> Settings<C> {
    /// The same, of another view on the settings.
    pub(crate) fn map<D>(self, view: impl FnOnce(C) -> D) -> Settings<D> {
        Settings {
            config: view(self.config),
            network: self.network,
            node: self.node,
            block: self.block,
        }
    }

    /// Builds from the settings whenever it is asked.
    pub(crate) fn factory<T: ?Sized + 'static>(self) -> Factory<T>
    where
        C: Configurable<T>,
    {
        Arc::new(move |cx: &BuildContext| {
            let built = self.config.build(&self.network.apply(cx));
            built.map_err(|error| located(error, &self.node, &self.block))
        })
    }
}

/// The error with the place of its setting in the file.
fn located(error: BuildError, node: &Node, block: &str) -> BuildError {
    let path = format!("{block}.{}", error.path);
    let message = chain(&*error.source);
    let place = Mistake::at(node.find(&error.path), path, message);
    BuildError::new(error.path, place)
}

/// Keys inside `config:` that the runtime takes care of for plugins that do not know them.
const NETWORK_KEYS: &[&str] = &["proxy", "tls"];

impl ConfigBlock<'_> {
    /// Reads the settings and makes the factory that builds from them.
    pub(crate) fn factory<C, T>(&self, findings: &mut Findings) -> Option<Factory<T>>
    where
        C: Configurable<T> + DeserializeOwned,
        T: ?Sized + 'static,
    {
        Some(self.read::<C, T>(findings)?.factory())
    }

    /// Reads the settings.
    pub(crate) fn read<C, T>(&self, findings: &mut Findings) -> Option<Settings<C>>
    where
        C: Configurable<T> + DeserializeOwned,
        T: ?Sized,
    {
        let (config, left) = settings_beside::<C>(self.node, &self.path, self.others, findings)?;
        let mut network = self.network.clone();
        self.read_network(&left, &mut network, findings);
        let problems = config.problems();
        if !problems.is_empty() {
            findings
                .mistakes
                .extend(problems.into_iter().map(|problem| self.mistake(problem)));
            return None;
        }
        Some(Settings {
            config,
            network,
            node: self.node.skeleton(),
            block: self.path.clone(),
        })
    }

    fn read_network(&self, keys: &[&str], network: &mut Network, findings: &mut Findings) {
        for key in keys {
            let Some(entry) = self.node.entry(key) else {
                continue;
            };
            let path = format!("{}.{key}", self.path);
            if *key == "tls" {
                let tls = settings::<TlsSettings>(&entry.node, &path, findings);
                network.extra_ca = tls.map(|tls| self.dir.join(tls.ca));
            } else if let Some(proxy) = settings::<ProxySettings>(&entry.node, &path, findings) {
                if let Err(message) = proxy.check() {
                    findings
                        .mistakes
                        .push(Mistake::at(entry.position, path, message));
                }
                network.https_proxy = Some(proxy.https);
            }
        }
    }

    fn mistake(&self, problem: Problem) -> Mistake {
        let path = match problem.path.as_str() {
            "" => self.path.clone(),
            below => format!("{}.{below}", self.path),
        };
        let message = redact(&problem.message, &self.node.variables());
        Mistake::at(self.node.find(&problem.path), path, message)
    }
}
