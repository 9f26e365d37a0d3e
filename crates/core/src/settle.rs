//! How the life of an event ends, and how the runtime hears of it.
//!
//! Every event of a batch holds a [`Ticket`]. When the last one is settled, or the first is lost,
//! the batch's [`Outcome`] goes to whoever issued the tickets. A ticket that is dropped unsettled
//! counts as [`Verdict::Lost`], so that a bug or a panic can cause a second read, never a gap.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tracing::Span;

/// The end of an event's life.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Confirmed by the destination, or filtered on purpose.
    Delivered,
    /// Never will be delivered; its bytes are in the dead letters.
    Rejected,
    /// Nobody decided; the source has to read it again.
    Lost,
}

/// What became of a whole batch.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Outcome {
    /// Every event was delivered or rejected: the checkpoint may pass the batch.
    Settled,
    /// At least one event was lost: the partition must be read again.
    Lost,
}

/// The right, and the duty, to settle one event.
///
/// A clone is one more event to settle: it is how an event fans out to several components.
pub struct Ticket {
    stub: Arc<Stub>,
    settled: bool,
}

struct Stub {
    unsettled: AtomicUsize,
    lost: AtomicBool,
    span: Span,
    done: Box<dyn Fn(Outcome) + Send + Sync>,
}

impl Ticket {
    /// Issues the first ticket of a batch. `done` is called once: after the last clone is settled, or
    /// when the first one is lost, so that nothing behind it is taken in before it is read again. It
    /// is dropped with the last clone.
    pub fn issue(done: impl Fn(Outcome) + Send + Sync + 'static) -> Self {
        Self::issue_in(Span::none(), done)
    }

    /// The same for a batch that is traced; its span stays open until the last clone is settled.
    pub fn issue_in(span: Span, done: impl Fn(Outcome) + Send + Sync + 'static) -> Self {
        Self {
            stub: Arc::new(Stub {
                unsettled: AtomicUsize::new(1),
                lost: AtomicBool::new(false),
                span,
                done: Box::new(done),
            }),
            settled: false,
        }
    }

    /// The trace that the batch belongs to.
    pub fn span(&self) -> &Span {
        &self.stub.span
    }

    /// Whether some event of the batch is lost, so that all of it will be read again.
    pub fn is_lost(&self) -> bool {
        self.stub.lost.load(Ordering::Relaxed)
    }

    /// Ends the event's life.
    pub fn settle(mut self, verdict: Verdict) {
        self.finish(verdict);
    }

    fn finish(&mut self, verdict: Verdict) {
        self.settled = true;
        let stub = &self.stub;
        if verdict == Verdict::Lost && !stub.lost.swap(true, Ordering::Relaxed) {
            (stub.done)(Outcome::Lost);
        }
        // AcqRel: whoever brings the count to zero sees every `lost` stored before.
        let is_last = stub.unsettled.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last && !stub.lost.load(Ordering::Relaxed) {
            (stub.done)(Outcome::Settled);
        }
    }
}

impl Clone for Ticket {
    fn clone(&self) -> Self {
        self.stub.unsettled.fetch_add(1, Ordering::Relaxed);
        Self {
            stub: Arc::clone(&self.stub),
            settled: false,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.settled {
            self.finish(Verdict::Lost);
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ticket")
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn outcomes() -> (Ticket, Arc<Mutex<Vec<Outcome>>>) {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let ticket = Ticket::issue(move |outcome| log.lock().expect("not poisoned").push(outcome));
        (ticket, seen)
    }

    #[test]
    fn a_batch_is_done_once_and_only_after_its_last_ticket() {
        let (first, seen) = outcomes();
        let second = first.clone();
        first.settle(Verdict::Delivered);
        assert!(seen.lock().expect("not poisoned").is_empty());
        second.settle(Verdict::Rejected);
        assert_eq!(*seen.lock().expect("not poisoned"), [Outcome::Settled]);
    }

    #[test]
    fn a_dropped_ticket_makes_the_batch_lost_at_once_and_once() {
        let (first, seen) = outcomes();
        let (second, third) = (first.clone(), first.clone());
        assert!(!first.is_lost());
        drop(second);
        assert!(first.is_lost());
        assert_eq!(*seen.lock().expect("not poisoned"), [Outcome::Lost]);
        drop(third);
        first.settle(Verdict::Delivered);
        assert_eq!(*seen.lock().expect("not poisoned"), [Outcome::Lost]);
    }
}
