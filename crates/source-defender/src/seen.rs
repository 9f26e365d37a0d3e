//! Which records a partition has already sent, so that overlaps can be read again without repeats.

use std::collections::HashMap;

use bytes::Bytes;
use sha2::{Digest, Sha256};

use crate::times::Ticks;

/// The first 16 bytes of SHA-256 over what identifies a record.
///
/// A weak hash would let whoever can choose an id hide another record.
pub(crate) type Print = [u8; 16];

/// The print of a record's id and version.
pub(crate) fn print_of(id: &[u8], version: &[u8]) -> Print {
    let digest = Sha256::new()
        .chain_update(id)
        .chain_update([0])
        .chain_update(version)
        .finalize();
    let mut print = Print::default();
    print.copy_from_slice(&digest[..16]);
    print
}

/// Entries of the checkpoint that this table owns start with this byte.
pub(crate) const TAG: u8 = b's';
const KEY_LENGTH: usize = 1 + 8 + 16;

/// How many records are remembered at most; about 100 MB if it is ever reached.
pub(crate) const MOST: usize = 2_000_000;

/// What was sent, and by which time each entry may be forgotten.
///
/// An entry costs 24 bytes and the map's slack (some 50 bytes all in), and a 25-byte key in the
/// checkpoint. The table covers the 48 hours of the hourly re-read; beyond [`MOST`] entries the
/// oldest go first, and the re-read reaches back less far.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    times: HashMap<Print, Ticks>,
    covered_from: Ticks,
}

impl Seen {
    pub(crate) fn contains(&self, print: &Print) -> bool {
        self.times.contains_key(print)
    }

    /// Remembers a record, and returns the checkpoint entry that makes it durable.
    pub(crate) fn add(&mut self, time: Ticks, print: Print) -> (Bytes, Bytes) {
        self.times.insert(print, time);
        (key(time, &print), Bytes::new())
    }

    /// Takes an entry of a checkpoint back in; `false` if the key is of another table.
    pub(crate) fn restore(&mut self, entry: &[u8]) -> bool {
        let Some((time, print)) = parse_key(entry) else {
            return false;
        };
        self.times.insert(print, time);
        true
    }

    /// Forgets what is older than `horizon`, and the oldest beyond `most`; returns their keys.
    pub(crate) fn prune(&mut self, horizon: Ticks, most: usize) -> Vec<Bytes> {
        let horizon = horizon.max(self.horizon_for(most));
        self.covered_from = self.covered_from.max(horizon);
        let gone = self.times.extract_if(|_, time| *time < horizon);
        gone.map(|(print, time)| key(time, &print)).collect()
    }

    /// Records older than this may have been forgotten.
    pub(crate) fn covered_from(&self) -> Ticks {
        self.covered_from
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.times.len()
    }

    fn horizon_for(&self, most: usize) -> Ticks {
        let Some(excess) = self
            .times
            .len()
            .checked_sub(most)
            .filter(|excess| *excess > 0)
        else {
            return Ticks::default();
        };
        let mut times: Vec<Ticks> = self.times.values().copied().collect();
        let (_, last_to_go, _) = times.select_nth_unstable(excess - 1);
        last_to_go.next()
    }
}

fn key(time: Ticks, print: &Print) -> Bytes {
    let mut key = Vec::with_capacity(KEY_LENGTH);
    key.push(TAG);
    key.extend_from_slice(&time.to_bytes());
    key.extend_from_slice(print);
    key.into()
}

/// The time of the record that an entry of this table is about.
pub(crate) fn time_of(entry: &[u8]) -> Option<Ticks> {
    parse_key(entry).map(|(time, _)| time)
}

fn parse_key(entry: &[u8]) -> Option<(Ticks, Print)> {
    let rest = entry.strip_prefix(&[TAG])?;
    let (time, print) = rest.split_first_chunk::<8>()?;
    Some((Ticks::from_bytes(*time), print.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: u8) -> Ticks {
        Ticks::parse(&format!("2026-01-01T00:00:{second:02}Z")).expect("a time")
    }

    #[test]
    fn what_the_checkpoint_gave_back_is_known_again() {
        let mut seen = Seen::default();
        let print = print_of(b"da1", b"v1");
        let (key, _) = seen.add(at(1), print);
        let mut restored = Seen::default();
        assert!(restored.restore(&key));
        assert!(restored.contains(&print));
        assert!(!restored.contains(&print_of(b"da1", b"v2")));
        assert!(!restored.restore(b"i-something-else"));
    }

    #[test]
    fn an_id_and_a_version_cannot_be_shifted_into_each_other() {
        assert_ne!(print_of(b"ab", b"c"), print_of(b"a", b"bc"));
    }

    #[test]
    fn what_is_pruned_is_deleted_under_the_key_it_was_put_with() {
        let mut seen = Seen::default();
        let (old, _) = seen.add(at(1), print_of(b"a", b"1"));
        seen.add(at(5), print_of(b"b", b"1"));
        assert_eq!(seen.prune(at(3), MOST), [old]);
        assert_eq!((seen.len(), seen.covered_from()), (1, at(3)));
    }

    #[test]
    fn beyond_the_bound_the_oldest_go_and_the_cover_shrinks() {
        let mut seen = Seen::default();
        for second in 0..10 {
            seen.add(at(second), print_of(&[second], b"1"));
        }
        assert_eq!(seen.prune(Ticks::default(), 4).len(), 6);
        assert_eq!((seen.len(), seen.covered_from()), (4, at(5).next()));
    }
}
