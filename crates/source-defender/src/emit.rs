//! Which versions of a record are sent on, and what has to be remembered for that.

use std::collections::HashMap;

use bytes::Bytes;
use serde::Deserialize;

use crate::seen::{Print, print_of};
use crate::times::Ticks;

/// Which versions of a record are sent on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Emit {
    /// Every version that is seen.
    #[default]
    EveryVersion,
    /// The first version that is seen of each record.
    First,
    /// The first version, and each later one with another `status`.
    StatusChanges,
}

/// Entries of the checkpoint that this table owns start with this byte.
pub(crate) const TAG: u8 = b'i';
const KEY_LENGTH: usize = 1 + 16;

/// What the last version of each record said, for the modes that need it.
///
/// A record that did not change for [`crate::limits::REMEMBER_RECORDS`] is forgotten; when it
/// changes after that, it counts as new.
#[derive(Debug)]
pub(crate) struct Gate {
    mode: Emit,
    known: HashMap<Print, (Ticks, Print)>,
}

/// What to do with a version, and what becomes durable with it.
#[derive(Debug, Default, Eq, PartialEq)]
pub(crate) struct Decision {
    pub(crate) send: bool,
    pub(crate) put: Option<(Bytes, Bytes)>,
}

impl Gate {
    pub(crate) fn new(mode: Emit) -> Self {
        Self {
            mode,
            known: HashMap::new(),
        }
    }

    /// The mode it decides by.
    pub(crate) fn mode(&self) -> Emit {
        self.mode
    }

    /// Decides about the next version of a record.
    pub(crate) fn pass(&mut self, id: &[u8], status: &str, time: Ticks) -> Decision {
        if self.mode == Emit::EveryVersion {
            return Decision {
                send: true,
                put: None,
            };
        }
        let record = print_of(id, b"");
        let status = match self.mode {
            Emit::StatusChanges => print_of(status.as_bytes(), b""),
            Emit::First | Emit::EveryVersion => Print::default(),
        };
        let before = self.known.insert(record, (time, status));
        Decision {
            send: before.is_none_or(|(_, before)| before != status),
            put: Some((key(&record), value(time, &status))),
        }
    }

    /// Takes an entry of a checkpoint back in; `false` if it is of another table.
    pub(crate) fn restore(&mut self, key: &[u8], value: &[u8]) -> bool {
        let entry = parse(key, value);
        if let Some((record, said)) = entry {
            self.known.insert(record, said);
        }
        entry.is_some()
    }

    /// Forgets records that did not change since `horizon`; returns their keys.
    pub(crate) fn prune(&mut self, horizon: Ticks) -> Vec<Bytes> {
        let gone = self.known.extract_if(|_, (time, _)| *time < horizon);
        gone.map(|(record, _)| key(&record)).collect()
    }
}

/// When the record that an entry of this table is about last changed.
pub(crate) fn time_of(key: &[u8], value: &[u8]) -> Option<Ticks> {
    parse(key, value).map(|(_, (time, _))| time)
}

fn key(record: &Print) -> Bytes {
    let mut key = Vec::with_capacity(KEY_LENGTH);
    key.push(TAG);
    key.extend_from_slice(record);
    key.into()
}

fn value(time: Ticks, status: &Print) -> Bytes {
    [&time.to_bytes()[..], status].concat().into()
}

fn parse(key: &[u8], value: &[u8]) -> Option<(Print, (Ticks, Print))> {
    let record = key.strip_prefix(&[TAG])?.try_into().ok()?;
    let (time, status) = value.split_first_chunk::<8>()?;
    Some((record, (Ticks::from_bytes(*time), status.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds versions of one record with these statuses and says which were sent.
    fn check(mode: Emit, statuses: &[&str], expected: &[bool]) {
        let mut gate = Gate::new(mode);
        let mut sent = Vec::new();
        for status in statuses {
            let decision = gate.pass(b"da1", status, Ticks::ONE);
            sent.push(decision.send);
            // A restart between any two versions changes nothing.
            let mut restarted = Gate::new(mode);
            if let Some((key, value)) = decision.put {
                assert!(restarted.restore(&key, &value));
            }
            gate = restarted;
        }
        assert_eq!(sent, expected);
    }

    #[test]
    fn each_mode_sends_the_versions_it_promises() {
        let statuses = ["new", "new", "resolved", "new"];
        check(Emit::EveryVersion, &statuses, &[true, true, true, true]);
        check(Emit::First, &statuses, &[true, false, false, false]);
        check(Emit::StatusChanges, &statuses, &[true, false, true, true]);
    }

    #[test]
    fn records_that_rest_for_long_are_forgotten() {
        let mut gate = Gate::new(Emit::First);
        gate.pass(b"da1", "new", Ticks::default());
        assert_eq!(gate.prune(Ticks::ONE).len(), 1);
        assert!(gate.pass(b"da1", "new", Ticks::ONE).send);
    }
}
