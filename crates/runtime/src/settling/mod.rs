//! When a partition's checkpoint may move: a state machine without I/O and without a clock.
//!
//! Batches are accepted in reading order and settle in any order. A commit covers only the
//! settled batches at the front; a lost batch stops everything behind it until the partition was
//! rewound to what is durable.

#[cfg(test)]
mod simulation;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::Duration;

use bytes::Bytes;
use tapline_core::{Cursor, Outcome};
use tokio::time::Instant;

/// How much may be open, and how often commits are made.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SettlingLimits {
    /// Commits of one partition are at least this far apart, unless somebody waits for one.
    pub(crate) commit_interval: Duration,
    /// Events of one commit, unless a single batch has more.
    pub(crate) commit_events: usize,
    /// Batches accepted and not yet committed.
    pub(crate) open_batches: usize,
    /// Bytes of keyed entries accepted and not yet committed.
    pub(crate) entry_bytes: usize,
    /// Wait before the second rewind without progress in between; doubles with each.
    pub(crate) rewind_backoff: Duration,
    /// The longest such wait.
    pub(crate) rewind_backoff_max: Duration,
}

impl Default for SettlingLimits {
    fn default() -> Self {
        Self {
            commit_interval: Duration::from_millis(100),
            commit_events: usize::MAX,
            open_batches: 256,
            entry_bytes: 4 << 20,
            rewind_backoff: Duration::from_millis(100),
            rewind_backoff_max: Duration::from_secs(30),
        }
    }
}

/// The place of a batch in its partition's reading; never used twice, not even after a rewind.
pub(crate) type Seq = u64;

/// What a batch asks to be made durable once it is settled. `W` is who waits for that.
#[derive(Debug)]
pub(crate) struct Pending<W> {
    pub(crate) after: Cursor,
    pub(crate) puts: Vec<(Bytes, Bytes)>,
    pub(crate) deletes: Vec<Bytes>,
    pub(crate) events: usize,
    pub(crate) waiter: Option<W>,
}

/// The changed entries of one or several batches: a value to put, or none to delete.
pub(crate) type Changes = BTreeMap<Bytes, Option<Bytes>>;

/// What to do next.
#[derive(Debug, PartialEq)]
pub(crate) enum Step {
    /// Make this durable, then call [`Settling::committed`].
    Commit { cursor: Cursor, changes: Changes },
    /// Tell the source to read again from what is durable, then call [`Settling::rewound`].
    /// `repeats` counts the rewinds in a row without any event made durable in between.
    Rewind { repeats: u32 },
    /// Nothing before this time, or before something else happens.
    Wait(Option<Instant>),
}

/// The open batches of one partition.
#[derive(Debug)]
pub(crate) struct Settling<W> {
    limits: SettlingLimits,
    epoch: u64,
    first: Seq,
    open: VecDeque<Open<W>>,
    entry_bytes: usize,
    lost: bool,
    committing: usize,
    last_commit: Option<Instant>,
    rewinds: u32,
    rewind_at: Option<Instant>,
    /// Events that were open at rewinds, while nothing has become durable since.
    void_events: usize,
    hurried: bool,
}

#[derive(Debug)]
struct Open<W> {
    pending: Pending<W>,
    outcome: Option<Outcome>,
}

impl<W> Settling<W> {
    /// A partition of which nothing was read yet.
    pub(crate) fn new(limits: SettlingLimits) -> Self {
        Self {
            limits,
            epoch: 0,
            first: 0,
            open: VecDeque::new(),
            entry_bytes: 0,
            lost: false,
            committing: 0,
            last_commit: None,
            rewinds: 0,
            rewind_at: None,
            void_events: 0,
            hurried: false,
        }
    }

    /// Whether another batch may be accepted now.
    pub(crate) fn has_room(&self) -> bool {
        !self.lost
            && self.open.len() < self.limits.open_batches
            && self.entry_bytes < self.limits.entry_bytes
    }

    /// Takes the next batch in reading order.
    ///
    /// None if it is void: read before the last rewind, or after something was lost.
    pub(crate) fn accept(&mut self, epoch: u64, pending: Pending<W>) -> Option<Seq> {
        if epoch != self.epoch || self.lost {
            return None;
        }
        self.entry_bytes += pending.entry_bytes();
        self.open.push_back(Open {
            pending,
            outcome: None,
        });
        Some(self.first + self.open.len() as Seq - 1)
    }

    /// Notes what became of a batch. Batches of an older reading are ignored.
    pub(crate) fn settle(&mut self, seq: Seq, outcome: Outcome) {
        let open = seq
            .checked_sub(self.first)
            .and_then(|index| self.open.get_mut(usize::try_from(index).ok()?));
        if let Some(open) = open
            && open.outcome.is_none()
        {
            open.outcome = Some(outcome);
            self.lost |= outcome == Outcome::Lost;
        }
    }

    /// Commits without waiting for more from now on.
    pub(crate) fn hurry(&mut self) {
        self.hurried = true;
    }

    /// Says what to do next.
    pub(crate) fn step(&mut self, now: Instant) -> Step {
        if self.committing > 0 {
            return Step::Wait(None);
        }
        match self.settled_prefix() {
            0 => self.rewind_step(now),
            settled => self.commit_step(settled, now),
        }
    }

    /// The last [`Step::Commit`] is durable. Returns who waited for it.
    pub(crate) fn committed(&mut self) -> Vec<W> {
        let mut waiters = Vec::new();
        for open in self.open.drain(..self.committing) {
            self.entry_bytes -= open.pending.entry_bytes();
            if open.pending.events > 0 {
                self.rewinds = 0;
                self.rewind_at = None;
                self.void_events = 0;
            }
            waiters.extend(open.pending.waiter);
        }
        self.first += self.committing as Seq;
        self.committing = 0;
        waiters
    }

    /// Whether a batch is neither durable nor void.
    pub(crate) fn is_open(&self, seq: Seq) -> bool {
        (self.first..self.first + self.open.len() as Seq).contains(&seq)
    }

    /// Which batches the commit under way covers.
    pub(crate) fn committing(&self) -> Range<Seq> {
        self.first..self.first + self.committing as Seq
    }

    /// The last [`Step::Commit`] did not become durable, or nobody can say: its batches are lost.
    pub(crate) fn voided(&mut self) {
        self.committing = 0;
        if let Some(front) = self.open.front_mut() {
            front.outcome = Some(Outcome::Lost);
            self.lost = true;
        }
    }

    /// The source was told to read again: everything open is void, and nobody waits for it.
    pub(crate) fn rewound(&mut self) {
        self.void_events = self.unsettled_events();
        self.first += self.open.len() as Seq;
        self.open.clear();
        self.entry_bytes = 0;
        self.lost = false;
        self.epoch += 1;
    }

    /// Rewinds in a row without any event made durable in between.
    pub(crate) fn rewinds(&self) -> u32 {
        self.rewinds
    }

    /// Whether nothing is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.open.is_empty()
    }

    /// Events of the open batches.
    pub(crate) fn open_events(&self) -> usize {
        self.open.iter().map(|open| open.pending.events).sum()
    }

    /// Events that a stop would leave to be read again: also those of a rewind that nobody has
    /// followed yet.
    pub(crate) fn unsettled_events(&self) -> usize {
        self.open_events().max(self.void_events)
    }

    /// Which batches could be committed together now; none if none could.
    pub(crate) fn committable_now(&self) -> Option<Range<Seq>> {
        let settled = self.settled_prefix();
        let is_any = self.committing == 0 && settled > 0;
        is_any.then(|| self.first..self.first + self.committable(settled) as Seq)
    }

    fn settled_prefix(&self) -> usize {
        let settled = |open: &&Open<W>| open.outcome == Some(Outcome::Settled);
        self.open.iter().take_while(settled).count()
    }

    /// So many of the settled batches go in one commit.
    fn committable(&self, settled: usize) -> usize {
        let mut events = 0;
        let fits = |open: &&Open<W>| {
            events += open.pending.events;
            events <= self.limits.commit_events
        };
        let fitting = self.open.iter().take(settled).take_while(fits).count();
        fitting.max(1)
    }

    fn commit_step(&mut self, settled: usize, now: Instant) -> Step {
        let urgent = self.hurried || self.lost || self.is_awaited(settled);
        let due = self
            .last_commit
            .map_or(now, |last| last + self.limits.commit_interval);
        if !urgent && now < due && self.open.len() < self.limits.open_batches {
            return Step::Wait(Some(due));
        }
        let part = self.committable(settled);
        self.committing = part;
        self.last_commit = Some(now);
        self.merged(part)
    }

    fn is_awaited(&self, settled: usize) -> bool {
        let mut prefix = self.open.iter().take(settled);
        prefix.any(|open| open.pending.waiter.is_some())
    }

    fn merged(&self, settled: usize) -> Step {
        let mut changes = Changes::new();
        for Open { pending, .. } in self.open.iter().take(settled) {
            let deletes = pending.deletes.iter().map(|key| (key.clone(), None));
            let puts = pending.puts.iter().cloned();
            changes.extend(deletes);
            changes.extend(puts.map(|(key, value)| (key, Some(value))));
        }
        let cursor = self.open[settled - 1].pending.after.clone();
        Step::Commit { cursor, changes }
    }

    fn rewind_step(&mut self, now: Instant) -> Step {
        if self.open.front().and_then(|open| open.outcome) != Some(Outcome::Lost) {
            return Step::Wait(None);
        }
        let due = *self
            .rewind_at
            .get_or_insert_with(|| now + rewind_wait(&self.limits, self.rewinds));
        if now < due {
            return Step::Wait(Some(due));
        }
        self.rewinds += 1;
        self.rewind_at = None;
        Step::Rewind {
            repeats: self.rewinds,
        }
    }
}

impl<W> Pending<W> {
    fn entry_bytes(&self) -> usize {
        let puts = self.puts.iter().map(|(key, value)| key.len() + value.len());
        let deletes = self.deletes.iter().map(Bytes::len);
        puts.chain(deletes).sum()
    }
}

/// None before the first rewind, then doubling.
fn rewind_wait(limits: &SettlingLimits, rewinds: u32) -> Duration {
    match rewinds.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => limits
            .rewind_backoff
            .saturating_mul(1 << doublings.min(20))
            .min(limits.rewind_backoff_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(at: u8, waiter: Option<u8>) -> Pending<u8> {
        Pending {
            after: Cursor::new(vec![at]),
            puts: vec![(Bytes::from_static(b"key"), Bytes::from(vec![at]))],
            deletes: Vec::new(),
            events: 1,
            waiter,
        }
    }

    fn cursor_of(step: &Step) -> Option<u8> {
        match step {
            Step::Commit { cursor, .. } => Some(cursor.as_bytes()[0]),
            _ => None,
        }
    }

    #[test]
    fn a_checkpoint_waits_for_the_batch_in_front() {
        let mut settling = Settling::new(SettlingLimits::default());
        let now = Instant::now();
        let first = settling.accept(0, batch(1, None)).expect("accepted");
        let second = settling.accept(0, batch(2, None)).expect("accepted");
        settling.settle(second, Outcome::Settled);
        assert_eq!(settling.step(now), Step::Wait(None));
        settling.settle(first, Outcome::Settled);
        let step = settling.step(now);
        assert_eq!(cursor_of(&step), Some(2), "both in one commit");
        let Step::Commit { changes, .. } = step else {
            panic!("not a commit");
        };
        assert_eq!(changes.len(), 1, "the later value wins");
        assert_eq!(settling.step(now), Step::Wait(None), "one commit at a time");
        settling.committed();
        assert!(settling.is_idle());
    }

    #[test]
    fn commits_keep_their_distance_unless_somebody_waits() {
        let mut settling = Settling::new(SettlingLimits::default());
        let now = Instant::now();
        let accept = |settling: &mut Settling<u8>, at, waiter| {
            let seq = settling.accept(0, batch(at, waiter)).expect("accepted");
            settling.settle(seq, Outcome::Settled);
        };
        accept(&mut settling, 1, None);
        assert_eq!(cursor_of(&settling.step(now)), Some(1));
        settling.committed();
        accept(&mut settling, 2, None);
        let due = now + Duration::from_millis(100);
        assert_eq!(settling.step(now), Step::Wait(Some(due)));
        accept(&mut settling, 3, Some(9));
        assert_eq!(cursor_of(&settling.step(now)), Some(3));
        assert_eq!(settling.committed(), [9]);
    }

    #[test]
    fn a_loss_rewinds_to_the_batch_before_it_and_voids_the_rest() {
        let mut settling = Settling::new(SettlingLimits::default());
        let now = Instant::now();
        let seqs: Vec<Seq> = (1..=3)
            .filter_map(|at| settling.accept(0, batch(at, None)))
            .collect();
        settling.settle(seqs[1], Outcome::Lost);
        assert_eq!(settling.step(now), Step::Wait(None), "the first is open");
        assert!(settling.accept(0, batch(4, None)).is_none());
        settling.settle(seqs[0], Outcome::Settled);
        assert_eq!(cursor_of(&settling.step(now)), Some(1));
        settling.committed();
        assert_eq!(settling.step(now), Step::Rewind { repeats: 1 });
        settling.rewound();
        assert_eq!(settling.unsettled_events(), 2, "until they are read again");
        settling.settle(seqs[2], Outcome::Lost);
        assert_eq!(settling.step(now), Step::Wait(None), "it is void");
        assert!(settling.accept(0, batch(4, None)).is_none(), "read before");
        assert!(settling.accept(1, batch(2, None)).is_some());
    }

    #[test]
    fn a_commit_is_no_larger_than_it_may_be_unless_one_batch_is() {
        let mut settling = Settling::new(SettlingLimits {
            commit_events: 3,
            commit_interval: Duration::ZERO,
            ..SettlingLimits::default()
        });
        let now = Instant::now();
        for (at, events) in [(1, 2), (2, 1), (3, 5), (4, 1)] {
            let pending = Pending {
                events,
                ..batch(at, None)
            };
            let seq = settling.accept(0, pending).expect("accepted");
            settling.settle(seq, Outcome::Settled);
        }
        for cursor in [2, 3, 4] {
            assert_eq!(cursor_of(&settling.step(now)), Some(cursor));
            settling.committed();
        }
        assert!(settling.is_idle());
    }

    #[test]
    fn what_did_not_become_durable_is_read_again() {
        let mut settling = Settling::new(SettlingLimits::default());
        let now = Instant::now();
        for at in 1..=2 {
            let seq = settling.accept(0, batch(at, None)).expect("accepted");
            settling.settle(seq, Outcome::Settled);
        }
        assert_eq!(cursor_of(&settling.step(now)), Some(2));
        assert_eq!(settling.committing(), 0..2);
        settling.voided();
        assert!(settling.committing().is_empty());
        assert_eq!(settling.step(now), Step::Rewind { repeats: 1 });
        settling.rewound();
        assert!(settling.is_idle());
        assert!(settling.accept(1, batch(1, None)).is_some());
    }

    #[test]
    fn losing_the_same_batch_again_and_again_slows_down() {
        let mut settling = Settling::new(SettlingLimits::default());
        let mut now = Instant::now();
        let begin = now;
        for (epoch, expected) in (0..12).zip(1..) {
            let seq = settling.accept(epoch, batch(1, None)).expect("accepted");
            settling.settle(seq, Outcome::Lost);
            if let Step::Wait(Some(due)) = settling.step(now) {
                now = due;
                assert_eq!(settling.step(now), Step::Rewind { repeats: expected });
            }
            settling.rewound();
        }
        assert!(now - begin > Duration::from_secs(50));
    }
}
