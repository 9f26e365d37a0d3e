//! Records of the cursor topic: what is durable of partitions.
//!
//! A key names component and partition, each with its length in two bytes before it, then a byte
//! that tells the partition's own record from its keyed entries, then the entry's key. A value
//! begins with a byte of format version; no value deletes.

use std::collections::HashMap;

use bytes::Bytes;
use tapline_core::{Advance, Durable, PartitionKey};

const FORMAT: u8 = 1;
const RECORD: u8 = b'r';
const ENTRY: u8 = b'e';

/// Key and value of one record.
pub(super) type Record = (Vec<u8>, Option<Vec<u8>>);

/// The records of a step: the partition's own, and one for each changed entry.
///
/// What a folder alone has stands under its instance, since every folder has such a partition.
pub(super) fn records(step: &Advance, owner: Option<&str>) -> impl Iterator<Item = Record> {
    let prefix = prefix(&step.key, owner);
    let own = (with(&prefix, RECORD, &[]), Some(value(&step.record)));
    let changes = step.changes.iter().map(move |(key, changed)| {
        let changed = changed.as_ref().map(|bytes| value(bytes));
        (with(&prefix, ENTRY, key), changed)
    });
    std::iter::once(own).chain(changes)
}

fn prefix(key: &PartitionKey, owner: Option<&str>) -> Vec<u8> {
    let mut prefix = Vec::with_capacity(64);
    let component = match owner {
        Some(owner) => format!("{}@{owner}", key.component),
        None => key.component.clone(),
    };
    for part in [&component, &key.partition] {
        let length = u16::try_from(part.len()).expect("names are a few words");
        prefix.extend_from_slice(&length.to_be_bytes());
        prefix.extend_from_slice(part.as_bytes());
    }
    prefix
}

fn with(prefix: &[u8], tag: u8, key: &[u8]) -> Vec<u8> {
    let mut whole = Vec::with_capacity(prefix.len() + 1 + key.len());
    whole.extend_from_slice(prefix);
    whole.push(tag);
    whole.extend_from_slice(key);
    whole
}

fn value(bytes: &[u8]) -> Vec<u8> {
    let mut value = Vec::with_capacity(1 + bytes.len());
    value.push(FORMAT);
    value.extend_from_slice(bytes);
    value
}

/// A record that is not of this version, or not ours.
#[derive(Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("its key is not one of ours")]
    Key,
    #[error("its format is {0}, this version knows {FORMAT}")]
    Format(u8),
    #[error("its value is empty")]
    Empty,
}

/// What is durable of some partitions, put together from records in the order of the topic.
pub(super) struct Tally {
    wanted: HashMap<Vec<u8>, (PartitionKey, Durable)>,
}

impl Tally {
    /// Nothing is known yet of these partitions. What a folder alone has stands under `instance`.
    pub(super) fn new(wanted: impl IntoIterator<Item = PartitionKey>, instance: &str) -> Self {
        let wanted = wanted.into_iter().map(|key| {
            let prefix = prefix(&key, super::owner(&key, instance));
            (prefix, (key, Durable::default()))
        });
        Self {
            wanted: wanted.collect(),
        }
    }

    /// Takes in the next record, unless it is of another partition.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn add(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), Unreadable> {
        let (prefix, rest) = split(key).ok_or(Unreadable::Key)?;
        let Some((_, durable)) = self.wanted.get_mut(prefix) else {
            return Ok(());
        };
        let value = value.map(body).transpose()?;
        match rest.split_first().ok_or(Unreadable::Key)? {
            (&RECORD, []) => durable.record = value,
            (&ENTRY, key) => {
                let key = Bytes::copy_from_slice(key);
                match value {
                    Some(value) => durable.entries.insert(key, value),
                    None => durable.entries.remove(&key),
                };
            }
            _ => return Err(Unreadable::Key),
        }
        Ok(())
    }

    /// What was put together.
    pub(super) fn finish(self) -> HashMap<PartitionKey, Durable> {
        self.wanted.into_values().collect()
    }
}

/// The names at the front of a key, and what follows.
fn split(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut end = 0;
    for _ in 0..2 {
        let length = key.get(end..)?.first_chunk::<2>()?;
        end += 2 + usize::from(u16::from_be_bytes(*length));
    }
    key.split_at_checked(end)
}

fn body(value: &[u8]) -> Result<Bytes, Unreadable> {
    match value.split_first() {
        Some((&FORMAT, body)) => Ok(Bytes::copy_from_slice(body)),
        Some((format, _)) => Err(Unreadable::Format(*format)),
        None => Err(Unreadable::Empty),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tapline_core::{Reach, Tenure};

    use super::*;

    fn key(component: &str, partition: &str, reach: Reach) -> PartitionKey {
        PartitionKey {
            component: component.to_owned(),
            partition: partition.to_owned(),
            reach,
        }
    }

    fn step(
        key: &PartitionKey,
        record: &'static [u8],
        changes: &[(&str, Option<&str>)],
    ) -> Advance {
        let bytes = |text: &str| Bytes::copy_from_slice(text.as_bytes());
        let changes = changes
            .iter()
            .map(|(key, value)| (bytes(key), value.map(bytes)));
        Advance {
            key: key.clone(),
            tenure: Tenure(0),
            record: Bytes::from_static(record),
            changes: changes.collect(),
            events: Arc::default(),
        }
    }

    fn tally(steps: &[Advance], wanted: &PartitionKey, instance: &str) -> Durable {
        let mut tally = Tally::new([wanted.clone()], instance);
        for step in steps {
            for (key, value) in records(step, super::super::owner(&step.key, "one")) {
                tally.add(&key, value.as_deref()).expect("ours");
            }
        }
        tally.finish().remove(wanted).expect("wanted")
    }

    #[test]
    fn the_last_record_of_each_key_counts_and_what_was_deleted_is_gone() {
        let alerts = key("alerts", "t/a", Reach::Everybody);
        // Names that would run into each other without their lengths.
        let other = key("alertst", "/a", Reach::Everybody);
        let steps = [
            step(&alerts, b"1", &[("x", Some("1")), ("y", Some(""))]),
            step(&other, b"other", &[("x", Some("other"))]),
            step(&alerts, b"2", &[("x", None)]),
        ];
        let entries = BTreeMap::from([(Bytes::from_static(b"y"), Bytes::new())]);
        let expected = Durable {
            record: Some(Bytes::from_static(b"2")),
            entries,
        };
        assert_eq!(tally(&steps, &alerts, "one"), expected);
    }

    #[test]
    fn what_a_folder_alone_has_is_not_another_folders() {
        let letters = key("dead-letters:replay", "lake", Reach::Folder);
        let steps = [step(&letters, b"1", &[])];
        assert!(tally(&steps, &letters, "one").record.is_some());
        assert!(tally(&steps, &letters, "two").record.is_none());
    }

    #[test]
    fn damage_and_newer_formats_are_errors() {
        let alerts = key("alerts", "t/a", Reach::Everybody);
        let mut tally = Tally::new([alerts.clone()], "one");
        let advance = step(&alerts, b"1", &[]);
        let (good, _) = records(&advance, None).next().expect("one");
        for cut in 0..good.len() {
            let cut = tally.add(&good[..cut], Some(&[FORMAT]));
            assert_eq!(cut, Err(Unreadable::Key));
        }
        assert_eq!(tally.add(&good, Some(&[2])), Err(Unreadable::Format(2)));
        assert_eq!(tally.add(&good, Some(&[])), Err(Unreadable::Empty));
    }
}
