//! Which fields of which kind went where, for `tapline normalize --coverage`.

use std::collections::BTreeMap;

/// Where a field of a record went.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Placed {
    /// Wholly in typed places.
    Mapped,
    /// At least in part among the unmapped, as the mapping means it.
    Unmapped,
    /// Among the unmapped, and not known to the mapping.
    Unknown,
}

/// How often each field of each kind went where. Empty values (null, `""`, `[]`, `{}`) do not count.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    kinds: BTreeMap<String, BTreeMap<String, [u64; 3]>>,
}

impl Coverage {
    /// Adds the fields of one record.
    pub(crate) fn add(&mut self, kind: &str, fields: impl Iterator<Item = (String, Placed)>) {
        for (field, placed) in fields {
            let kind = self.kinds.entry(kind.to_owned()).or_default();
            kind.entry(field).or_default()[placed as usize] += 1;
        }
    }

    /// All fields in alphabetical order: kind, field, and how often it was mapped, kept unmapped,
    /// and unknown.
    pub fn fields(&self) -> impl Iterator<Item = (&str, &str, [u64; 3])> {
        self.kinds.iter().flat_map(|(kind, fields)| {
            fields
                .iter()
                .map(move |(field, counts)| (kind.as_str(), field.as_str(), *counts))
        })
    }
}
