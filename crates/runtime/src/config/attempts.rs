//! Reads settings again and again around the mistakes found so far, until all are found.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};

use serde::de::DeserializeOwned;

use super::fault::{Fault, What};
use super::mistake::{Mistake, Position};
use super::reader::Reader;
use super::scalar::Variable;
use super::tree::Node;

/// What reading one settings type brought to light.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) warnings: Vec<Mistake>,
}

/// Reads settings of type `C` that stand at `path`.
///
/// After a mistake it reads again with the mistake taken out (an unknown key skipped, a missing or
/// wrong value replaced), so that all mistakes come to light at once. The settings are returned
/// only if there was none.
pub(crate) fn settings<C: DeserializeOwned>(
    node: &Node,
    path: &str,
    findings: &mut Findings,
) -> Option<C> {
    settings_beside(node, path, &[], findings).map(|(settings, _)| settings)
}

/// As [`settings`], for a table whose keys `others` belong to somebody else unless `C` knows them.
///
/// Returns also those of `others` that `C` does not know.
pub(crate) fn settings_beside<C: DeserializeOwned>(
    node: &Node,
    path: &str,
    others: &'static [&'static str],
    findings: &mut Findings,
) -> Option<(C, Vec<&'static str>)> {
    let mut attempts = Attempts::new(node, path, others);
    let settings = attempts.run();
    findings.warnings.extend(attempts.patches.warnings.take());
    if attempts.mistakes.is_empty() {
        let left = |key: &&str| attempts.patches.skipped.contains(&join(path, key));
        let left = others.iter().copied().filter(left).collect();
        return settings.map(|settings| (settings, left));
    }
    findings.mistakes.append(&mut attempts.mistakes);
    None
}

/// How to read around the mistakes found so far. All are full paths.
#[derive(Default)]
pub(super) struct Patches {
    /// Keys that are read as if they were not there.
    pub(super) skipped: HashSet<String>,
    /// Missing keys by the path of their table, read as if they were there.
    pub(super) added: BTreeMap<String, Vec<String>>,
    /// Values that are read as if they fitted.
    pub(super) replaced: HashSet<String>,
    /// What is allowed but unwise, found on the way.
    pub(super) warnings: RefCell<Vec<Mistake>>,
}

struct Attempts<'n> {
    root: &'n Node,
    path: &'n str,
    others: &'static [&'static str],
    patches: Patches,
    mistakes: Vec<Mistake>,
}

/// More mistakes than this in one component are found in the second run.
const MAX_ATTEMPTS: usize = 100;

impl<'n> Attempts<'n> {
    fn new(root: &'n Node, path: &'n str, others: &'static [&'static str]) -> Self {
        Self {
            root,
            path,
            others,
            patches: Patches::default(),
            mistakes: Vec::new(),
        }
    }

    fn run<C: DeserializeOwned>(&mut self) -> Option<C> {
        for _ in 0..MAX_ATTEMPTS {
            self.patches.warnings.take();
            let value = Reader {
                patches: &self.patches,
                node: Some(self.root),
                path: self.path.to_owned(),
            };
            match C::deserialize(value) {
                Ok(settings) => return Some(settings),
                Err(fault) => {
                    if !self.learn(fault) {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Notes a mistake and how to read around it; false if there is no way around.
    fn learn(&mut self, fault: Fault) -> bool {
        let path = fault.path.clone().unwrap_or_else(|| self.path.to_owned());
        self.note(&path, &fault);
        match fault.what {
            What::UnknownKey { key, .. } => self.patches.skipped.insert(join(&path, &key)),
            What::MissingKey { key } => {
                let added = self.patches.added.entry(path).or_default();
                let new = !added.contains(&key);
                added.push(key);
                new
            }
            What::Value { .. } => self.patches.replaced.insert(path),
        }
    }

    fn note(&mut self, path: &str, fault: &Fault) {
        if self.is_patched(path) || self.is_explained(path, fault) || self.is_others(path, fault) {
            return;
        }
        let full = match &fault.what {
            What::UnknownKey { key, .. } => join(path, key),
            _ => path.to_owned(),
        };
        let position = self.position(&full);
        let message = match &fault.what {
            What::UnknownKey { hint, .. } => format!("unknown key{hint}"),
            _ => fault.to_string(),
        };
        let message = redact(&message, &self.root.variables());
        self.mistakes.push(Mistake::at(position, full, message));
    }

    /// Whether the value was put there by us, or was reported when the file was read.
    fn is_patched(&self, path: &str) -> bool {
        let within = |known: &String| is_within(path, known);
        let added = self.patches.added.iter();
        let mut added = added.flat_map(|(table, keys)| keys.iter().map(|key| join(table, key)));
        self.patches.replaced.iter().any(within) || added.any(|known| within(&known))
    }

    /// Whether the unknown key belongs to somebody else.
    fn is_others(&self, path: &str, fault: &Fault) -> bool {
        match &fault.what {
            What::UnknownKey { key, .. } => {
                path == self.path && self.others.contains(&key.as_str())
            }
            _ => false,
        }
    }

    /// Whether a complaint about a whole table only follows from one about something in it.
    fn is_explained(&self, path: &str, fault: &Fault) -> bool {
        matches!(fault.what, What::Value { .. })
            && self
                .mistakes
                .iter()
                .any(|known| is_within(&known.path, path))
    }

    fn position(&self, full: &str) -> Position {
        let below = full.strip_prefix(self.path).unwrap_or(full);
        self.root.find(below.trim_start_matches('.'))
    }
}

/// Takes values of environment variables out of a message.
pub(crate) fn redact(message: &str, variables: &[Variable]) -> String {
    // One or two letters are no secret, and would be found in every word.
    let long = variables.iter().filter(|(_, value)| value.len() > 2);
    long.fold(message.to_owned(), |message, (name, value)| {
        message.replace(value, &format!("${{{name}}}"))
    })
}

fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// The path of a key of the table at `path`.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}
