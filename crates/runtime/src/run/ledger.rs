//! The settling machine of a partition, shared by its two tasks and by its tickets; and the events
//! that wait to become durable together with the cursor behind them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tapline_core::{Event, Outcome};
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

use super::pipe::Held;
use crate::settling::{Pending, Seq, Settling, SettlingLimits, Step};

/// Who waits for a batch to be durable.
pub(super) type Waiter = oneshot::Sender<()>;

pub(super) struct Ledger {
    settling: Mutex<Settling<Waiter>>,
    staged: Mutex<BTreeMap<Seq, Staged>>,
    /// Wakes the keeper; there is only one.
    keeper: Notify,
    /// Wakes the intake; there is only one.
    intake: Notify,
    intake_ended: AtomicBool,
    revoked: AtomicBool,
    closed: AtomicBool,
}

/// Events of one batch for a sink that makes them durable together with the cursor.
pub(super) struct Staged {
    pub(super) events: Vec<Event>,
    pub(super) weight: usize,
    /// What the batch holds in memory.
    pub(super) held: Arc<Held>,
}

impl Ledger {
    pub(super) fn new(limits: SettlingLimits) -> Self {
        Self {
            settling: Mutex::new(Settling::new(limits)),
            staged: Mutex::default(),
            keeper: Notify::new(),
            intake: Notify::new(),
            intake_ended: AtomicBool::new(false),
            revoked: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        }
    }

    /// Waits until another batch may come in; false if none ever may. Cancel-safe.
    pub(super) async fn room(&self) -> bool {
        loop {
            if self.closed.load(Ordering::Acquire) {
                return false;
            }
            if self.is_revoked() || self.settling().has_room() {
                return true;
            }
            self.intake.notified().await;
        }
    }

    pub(super) fn accept(&self, epoch: u64, pending: Pending<Waiter>) -> Option<Seq> {
        let mut settling = self.settling();
        // Looked at under the lock, so that nothing comes in after a revocation.
        if self.is_revoked() {
            return None;
        }
        settling.accept(epoch, pending)
    }

    /// Keeps events of an open batch until its cursor becomes durable; those of a batch that is void
    /// meanwhile are dropped.
    pub(super) fn stage(&self, seq: Seq, staged: Staged) {
        let settling = self.settling();
        if settling.is_open(seq) {
            self.staged().insert(seq, staged);
        }
    }

    /// The events that the commit under way covers, in reading order.
    pub(super) fn take_staged(&self) -> Vec<Staged> {
        let committing = self.settling().committing();
        let mut staged = self.staged();
        let later = staged.split_off(&committing.end);
        let taken = std::mem::replace(&mut *staged, later);
        taken.into_values().collect()
    }

    /// The commit under way did not become durable.
    pub(super) fn voided(&self) {
        self.settling().voided();
    }

    /// The partition was taken away: everything open is void, and whatever still comes.
    pub(super) fn revoke(&self) {
        let mut settling = self.settling();
        self.revoked.store(true, Ordering::Release);
        settling.voided();
        settling.rewound();
        self.staged().clear();
        self.intake.notify_one();
    }

    /// Whether the partition was taken away.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }

    pub(super) fn settle(&self, seq: Seq, outcome: Outcome) {
        self.settling().settle(seq, outcome);
        self.keeper.notify_one();
    }

    /// How often the partition was rewound without any progress in between.
    pub(super) fn losses(&self) -> u32 {
        self.settling().rewinds()
    }

    /// No more batches come in.
    pub(super) fn end_intake(&self) {
        self.intake_ended.store(true, Ordering::Release);
        self.keeper.notify_one();
    }

    /// Whether no batch is open and none will come.
    pub(super) fn is_finished(&self) -> bool {
        self.intake_ended.load(Ordering::Acquire) && self.settling().is_idle()
    }

    pub(super) fn step(&self, now: Instant) -> Step {
        self.settling().step(now)
    }

    /// The next step, unless it may be a commit and nobody has called for one: then the bytes that
    /// wait for it.
    pub(super) fn step_if(&self, is_called: bool, now: Instant) -> Result<Step, usize> {
        let mut settling = self.settling();
        match settling.committable_now() {
            Some(batches) if !is_called => {
                let staged = self.staged();
                let weights = staged.range(batches).map(|(_, staged)| staged.weight);
                Err(weights.sum())
            }
            _ => Ok(settling.step(now)),
        }
    }

    pub(super) fn hurry(&self) {
        self.settling().hurry();
    }

    /// The last commit is durable: wakes who waited for it.
    pub(super) fn committed(&self) {
        let waiters = self.settling().committed();
        for waiter in waiters {
            // Whoever waited may have given up.
            let _gone = waiter.send(());
        }
        self.intake.notify_one();
    }

    pub(super) fn rewound(&self) {
        let mut settling = self.settling();
        settling.rewound();
        self.staged().clear();
        self.intake.notify_one();
    }

    /// Nothing moves any more. Returns how many events were not settled; of a partition that was taken
    /// away whoever reads it now has to say that.
    pub(super) fn close(&self) -> usize {
        self.closed.store(true, Ordering::Release);
        self.intake.notify_one();
        match self.is_revoked() {
            true => 0,
            false => self.settling().unsettled_events(),
        }
    }

    /// Events that came in and are not durable yet.
    pub(super) fn open_events(&self) -> usize {
        self.settling().open_events()
    }

    /// Completes when something changed for the keeper. Cancel-safe.
    pub(super) async fn changed(&self) {
        self.keeper.notified().await;
    }

    fn staged(&self) -> MutexGuard<'_, BTreeMap<Seq, Staged>> {
        self.staged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settling(&self) -> MutexGuard<'_, Settling<Waiter>> {
        // The machine does not panic half-way through a change.
        self.settling.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
