//! What cannot change while a pipeline runs.

use super::tree::Node;
use crate::topology::Print;

/// The prints of settings that a process takes at its start and never again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Fixed([Print; KEYS.len()]);

const KEYS: [&str; 5] = [
    "name",
    "data_dir",
    "admin",
    "memory_budget_bytes",
    "telemetry",
];

impl Fixed {
    pub(crate) fn of(root: &Node) -> Self {
        Self(KEYS.map(|key| root.print_of(key)))
    }

    /// One line for each setting that is another one in a changed file.
    pub fn differences(&self, changed: &Self) -> Vec<String> {
        let pairs = self.0.iter().zip(&changed.0).zip(KEYS);
        let different = pairs.filter(|((old, new), _)| old != new);
        different
            .map(|(_, key)| {
                format!("{key} cannot change while the pipeline runs; restart it for that")
            })
            .collect()
    }
}
