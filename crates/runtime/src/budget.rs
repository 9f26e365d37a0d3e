//! One bound, in bytes, for all unsettled events of the process.
//!
//! Half of it is reserved in equal shares, one per source; the other half goes to whoever comes
//! first. So a source whose sink is blocked cannot starve the others. What is larger than all
//! that a source may hold goes alone.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tapline_core::metrics::Gauge;
use tokio::sync::Notify;

/// The budget of the process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Inner>);

struct Inner {
    bytes: usize,
    used: Mutex<Used>,
    released: Notify,
    gauge: Gauge,
}

struct Used {
    /// By source; those that are gone stay until the last of their bytes is given back.
    by_source: BTreeMap<u64, usize>,
    /// How many sources share the reserved half.
    sources: usize,
    next: u64,
}

/// One source's part of the budget. Its partitions queue up in order.
pub(crate) struct Share {
    budget: Budget,
    source: u64,
    turn: tokio::sync::Mutex<()>,
}

/// Bytes in use; dropping it gives them back.
pub(crate) struct Permit {
    budget: Budget,
    source: u64,
    bytes: AtomicUsize,
}

impl Budget {
    /// A budget that nobody has a share of yet.
    pub(crate) fn new(bytes: usize, gauge: Gauge) -> Self {
        let used = Used {
            by_source: BTreeMap::new(),
            sources: 0,
            next: 0,
        };
        Self(Arc::new(Inner {
            bytes,
            used: Mutex::new(used),
            released: Notify::new(),
            gauge,
        }))
    }

    /// The part of one more source; the parts of the others become smaller, until it is dropped.
    pub(crate) fn share(&self) -> Share {
        let mut used = self.used();
        let source = used.next;
        used.next += 1;
        used.sources += 1;
        Share {
            budget: self.clone(),
            source,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    fn try_take(&self, source: u64, bytes: usize) -> bool {
        let mut used = self.used();
        let before = used.of(source);
        let (reserved, common) = self.parts(used.sources);
        let over = |bytes: usize| bytes.saturating_sub(reserved);
        let from_common = over(before + bytes) - over(before);
        let taken: usize = used.by_source.values().map(|bytes| over(*bytes)).sum();
        let alone = before == 0;
        if !alone && from_common > 0 && taken + from_common > common {
            return false;
        }
        used.by_source.insert(source, before + bytes);
        true
    }

    fn give_back(&self, source: u64, bytes: usize) {
        {
            let mut used = self.used();
            match used.of(source) - bytes {
                0 => used.by_source.remove(&source),
                left => used.by_source.insert(source, left),
            };
        }
        self.0.gauge.sub(bytes as f64);
        self.0.released.notify_waiters();
    }

    /// What is reserved for each of so many sources, and what goes to whoever comes first.
    fn parts(&self, sources: usize) -> (usize, usize) {
        let bytes = self.0.bytes;
        match sources {
            0 | 1 => (bytes, 0),
            _ => (bytes / 2 / sources, bytes - bytes / 2),
        }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // Nothing between lock and unlock can panic half-way.
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Used {
    fn of(&self, source: u64) -> usize {
        self.by_source.get(&source).copied().unwrap_or_default()
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used().sources -= 1;
        self.budget.0.released.notify_waiters();
    }
}

impl Share {
    /// Waits until so many bytes are free.
    ///
    /// # Cancel safety
    /// Cancel-safe: nothing is taken before it completes.
    pub(crate) async fn take(&self, bytes: usize) -> Permit {
        let _turn = self.turn.lock().await;
        loop {
            let released = self.budget.0.released.notified();
            tokio::pin!(released);
            released.as_mut().enable();
            if self.budget.try_take(self.source, bytes) {
                break;
            }
            released.await;
        }
        self.budget.0.gauge.add(bytes as f64);
        Permit {
            budget: self.budget.clone(),
            source: self.source,
            bytes: bytes.into(),
        }
    }
}

impl Permit {
    /// Gives back what is not needed any more.
    pub(crate) fn shrink_to(&self, bytes: usize) {
        let before = self.bytes.fetch_min(bytes, Ordering::Relaxed);
        if bytes < before {
            self.budget.give_back(self.source, before - bytes);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.give_back(self.source, *self.bytes.get_mut());
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn shares(bytes: usize, sources: usize) -> Vec<Share> {
        let gauge = Gauge::new("g", "g").expect("legal");
        let budget = Budget::new(bytes, gauge);
        (0..sources).map(|_| budget.share()).collect()
    }

    #[test]
    fn a_source_that_holds_all_it_can_leaves_the_others_their_share() {
        let shares = shares(400, 2);
        let mut held: Vec<Permit> = Vec::new();
        while let Some(permit) = shares[0].take(50).now_or_never() {
            held.push(permit);
        }
        assert_eq!(held.len(), 6, "its own 100 and the common 200");
        assert!(shares[1].take(100).now_or_never().is_some());
        drop(held);
        assert!(shares[0].take(300).now_or_never().is_some());
    }

    #[test]
    fn a_source_that_comes_later_gets_its_share_and_one_that_goes_leaves_it() {
        let shares = shares(400, 1);
        let all = shares[0].take(400).now_or_never().expect("free");
        let later = shares[0].budget.share();
        let own = later.take(100).now_or_never();
        assert!(own.is_some(), "what it has reserved, at once");
        drop(all);
        assert!(shares[0].take(350).now_or_never().is_some());
        drop(later);
        assert!(shares[0].take(300).now_or_never().is_some());
        drop(own);
        assert!(shares[0].take(400).now_or_never().is_some());
    }

    #[test]
    fn what_became_smaller_gives_back_the_rest_once() {
        let shares = shares(100, 1);
        let permit = shares[0].take(100).now_or_never().expect("free");
        permit.shrink_to(30);
        permit.shrink_to(50);
        let rest = shares[0].take(70).now_or_never();
        assert!(rest.is_some() && shares[0].take(1).now_or_never().is_none());
        drop(permit);
        assert!(shares[0].take(30).now_or_never().is_some());
    }

    #[test]
    fn what_is_larger_than_the_share_goes_alone() {
        let shares = shares(100, 1);
        let small = shares[0].take(1).now_or_never().expect("free");
        assert!(shares[0].take(1000).now_or_never().is_none());
        drop(small);
        let large = shares[0].take(1000).now_or_never().expect("alone");
        assert!(shares[0].take(1).now_or_never().is_none());
        drop(large);
        assert!(shares[0].take(1).now_or_never().is_some());
    }
}
