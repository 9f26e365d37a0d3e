//! One bound, in bytes, for all unsettled events of the process.
//!
//! Half of it is reserved in equal shares, one per source; the other half goes to whoever comes
//! first. So a source whose sink is blocked cannot starve the others. What is larger than all
//! that a source may hold goes alone.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tapline_core::metrics::Gauge;
use tokio::sync::Notify;

/// The budget of the process. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Inner>);

struct Inner {
    reserved: usize,
    common: usize,
    used: Mutex<Used>,
    released: Notify,
    gauge: Gauge,
}

struct Used {
    by_source: Vec<usize>,
    common: usize,
}

/// One source's part of the budget. Its partitions queue up in order.
pub(crate) struct Share {
    budget: Budget,
    source: usize,
    turn: tokio::sync::Mutex<()>,
}

/// Bytes in use; dropping it gives them back.
pub(crate) struct Permit {
    budget: Budget,
    source: usize,
    bytes: usize,
}

impl Budget {
    /// A budget of `bytes` for so many sources.
    pub(crate) fn new(bytes: usize, sources: usize, gauge: Gauge) -> Self {
        let (reserved, common) = match sources {
            0 | 1 => (bytes, 0),
            _ => (bytes / 2 / sources, bytes - bytes / 2),
        };
        let used = Used {
            by_source: vec![0; sources.max(1)],
            common: 0,
        };
        Self(Arc::new(Inner {
            reserved,
            common,
            used: Mutex::new(used),
            released: Notify::new(),
            gauge,
        }))
    }

    /// The part of one source, by its position.
    pub(crate) fn share(&self, source: usize) -> Share {
        Share {
            budget: self.clone(),
            source,
            turn: tokio::sync::Mutex::new(()),
        }
    }

    fn try_take(&self, source: usize, bytes: usize) -> bool {
        let mut used = self.used();
        let before = used.by_source[source];
        let from_common = self.over(before + bytes) - self.over(before);
        let alone = before == 0;
        if !alone && used.common + from_common > self.0.common {
            return false;
        }
        used.by_source[source] += bytes;
        used.common += from_common;
        true
    }

    fn give_back(&self, source: usize, bytes: usize) {
        {
            let mut used = self.used();
            let before = used.by_source[source];
            used.by_source[source] = before - bytes;
            used.common -= self.over(before) - self.over(before - bytes);
        }
        self.0.gauge.sub(bytes as f64);
        self.0.released.notify_waiters();
    }

    /// How much of what a source uses is beyond its reserve.
    fn over(&self, bytes: usize) -> usize {
        bytes.saturating_sub(self.0.reserved)
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        // Nothing between lock and unlock can panic half-way.
        self.0.used.lock().unwrap_or_else(PoisonError::into_inner)
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
            bytes,
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.budget.give_back(self.source, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn shares(bytes: usize, sources: usize) -> Vec<Share> {
        let gauge = Gauge::new("g", "g").expect("legal");
        let budget = Budget::new(bytes, sources, gauge);
        (0..sources).map(|source| budget.share(source)).collect()
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
