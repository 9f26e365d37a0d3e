//! From a pipeline file to a [`Pipeline`] that can be started, or to everything wrong with it.
//!
//! The file is read once into a tree that remembers positions; settings of any type are then read
//! out of the tree. Nothing here opens a connection or a file other than the pipeline file.

mod attempts;
mod choice;
mod components;
mod fault;
mod file;
mod fixed;
mod graph;
mod mistake;
mod reader;
mod scalar;
#[cfg(test)]
mod tests;
mod tree;
mod words;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tapline_core::NetworkSettings;

pub(crate) use attempts::Findings;
pub(crate) use components::{AnyFactory, ConfigBlock};
pub use fixed::Fixed;
pub use mistake::{Mistake, Mistakes, Position};

use crate::admin::AdminConfig;
use crate::registry::Registry;
use crate::telemetry::TelemetrySettings;
use crate::topology::Topology;
use file::FileSettings;
use scalar::Lookup;
use tree::Node;

/// A pipeline file that is right.
pub struct Pipeline {
    /// Name of the pipeline; prefix of groups and topics of ours.
    pub name: Arc<str>,
    /// Folder for checkpoints, tokens, and dead letters. Not yet made.
    pub data_dir: PathBuf,
    /// Folder of the pipeline file; relative paths start here.
    pub config_dir: PathBuf,
    /// Where the admin HTTP listens; nowhere if the file does not say.
    pub admin: Option<AdminConfig>,
    /// How long a drain may take.
    pub shutdown: Duration,
    /// How components reach the outside; what one says of itself is applied when it is built.
    pub network: NetworkSettings,
    /// Where traces go.
    pub telemetry: TelemetrySettings,
    /// Bytes of unsettled events that may be in memory, if the file says.
    pub memory_budget_bytes: Option<u64>,
    /// Says which of the settings beside components are the same in another file.
    pub fixed: Fixed,
    /// The checked graph.
    pub topology: Topology,
    /// What is allowed but unwise, such as a secret in the file itself; to be logged.
    pub warnings: Vec<Mistake>,
}

/// Larger files are no pipeline files.
const MAX_FILE_BYTES: u64 = 4 << 20;

/// Loads a pipeline file.
///
/// # Errors
/// [`Mistakes`]: everything that is wrong with it, at once.
pub fn load(path: &Path, registry: &Registry) -> Result<Pipeline, Mistakes> {
    let name = path.display().to_string();
    let text = read(path).map_err(|mistake| Mistakes::new(&*name, vec![mistake]))?;
    let dir = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    parse(&text, &name, dir, registry)
}

/// Reads the text of a pipeline file. `name` is how messages call it; relative paths start at `dir`.
///
/// # Errors
/// [`Mistakes`]: everything that is wrong with it, at once.
pub fn parse(
    text: &str,
    name: &str,
    dir: &Path,
    registry: &Registry,
) -> Result<Pipeline, Mistakes> {
    parse_with(text, dir, registry, &|name| std::env::var(name).ok())
        .map_err(|list| Mistakes::new(name, list))
}

fn parse_with(
    text: &str,
    dir: &Path,
    registry: &Registry,
    lookup: Lookup<'_>,
) -> Result<Pipeline, Vec<Mistake>> {
    let mut findings = Findings::default();
    findings.mistakes.extend(registry.doubles());
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let root = match tree::read(text, lookup, &mut findings.mistakes) {
        Ok(root) => root,
        Err(mistake) => {
            findings.mistakes.push(mistake);
            return Err(findings.mistakes);
        }
    };
    interpret(&root, dir, registry, findings)
}

fn interpret(
    root: &Node,
    dir: &Path,
    registry: &Registry,
    mut findings: Findings,
) -> Result<Pipeline, Vec<Mistake>> {
    let settings = attempts::settings::<FileSettings>(root, "", &mut findings);
    if let Some(settings) = &settings {
        settings.check(root, &mut findings);
    }
    if !matches!(root.value, tree::Value::Table(_)) {
        return Err(findings.mistakes);
    }
    let components = components::read(root, registry, dir, &mut findings);
    graph::check(&components, &mut findings.mistakes);
    match settings {
        Some(settings) if findings.mistakes.is_empty() => {
            let topology = graph::arrange(components);
            let fixed = Fixed::of(root);
            Ok(pipeline(settings, dir, fixed, topology, findings.warnings))
        }
        _ => Err(findings.mistakes),
    }
}

fn pipeline(
    settings: FileSettings,
    dir: &Path,
    fixed: Fixed,
    topology: Topology,
    mut warnings: Vec<Mistake>,
) -> Pipeline {
    // A component behind an alias says the same thing at the same place.
    warnings.sort_by_key(|warning| warning.position);
    warnings.dedup_by_key(|warning| warning.position);
    Pipeline {
        name: Arc::from(settings.name.as_str()),
        data_dir: dir.join(&settings.data_dir),
        config_dir: dir.to_owned(),
        shutdown: settings.shutdown(),
        network: settings.network(dir),
        admin: settings.admin,
        telemetry: settings.telemetry,
        memory_budget_bytes: settings.memory_budget_bytes,
        fixed,
        topology,
        warnings,
    }
}

fn read(path: &Path) -> Result<String, Mistake> {
    let cannot = |error: std::io::Error| Mistake::of_file(format!("cannot be read: {error}"));
    let file = std::fs::File::open(path).map_err(cannot)?;
    if file.metadata().map_err(cannot)?.is_dir() {
        return Err(Mistake::of_file(
            "is a folder; a pipeline file was expected",
        ));
    }
    let mut bytes = Vec::new();
    let mut capped = file.take(MAX_FILE_BYTES + 1);
    capped.read_to_end(&mut bytes).map_err(cannot)?;
    if bytes.len() as u64 > MAX_FILE_BYTES {
        let message = format!("is larger than {MAX_FILE_BYTES} bytes, which no pipeline file is");
        return Err(Mistake::of_file(message));
    }
    String::from_utf8(bytes).map_err(|error| not_utf8(&error))
}

fn not_utf8(error: &std::string::FromUtf8Error) -> Mistake {
    let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
    let line = good.iter().filter(|byte| **byte == b'\n').count() + 1;
    let column = good.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    let position = Position { line, column };
    Mistake::at(position, "", "not UTF-8 text; save the file as UTF-8")
}
