//! Who has a step for the next transaction, and when it takes them.
//!
//! A step is put together only when its turn has come: what settles until then goes with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use super::{Commit, Kept};

/// A partition's place in line. Dropping it gives the place up.
pub(crate) struct Turn(Option<Place>);

struct Place {
    load: Load,
    called: oneshot::Receiver<()>,
    has_come: bool,
    step: oneshot::Sender<Given>,
}

/// A step, and who waits for what becomes of it.
pub(super) struct Given {
    pub(super) commit: Commit,
    pub(super) reply: oneshot::Sender<Kept>,
}

/// What all in line have together.
#[derive(Default)]
struct Line {
    bytes: AtomicUsize,
    grown: Notify,
}

/// What one of them added to it.
struct Load {
    line: Arc<Line>,
    bytes: usize,
}

/// The end of the line.
pub(super) struct Turns {
    line: Arc<Line>,
    waiting: mpsc::UnboundedSender<Waiting>,
}

/// The head of the line.
pub(super) struct Caller {
    line: Arc<Line>,
    waiting: mpsc::UnboundedReceiver<Waiting>,
}

/// Tells how much waits.
pub(super) struct Scale(Arc<Line>);

/// A partition in line.
pub(super) struct Waiting {
    pub(super) since: Instant,
    call: oneshot::Sender<()>,
    step: oneshot::Receiver<Given>,
}

/// A line in which nobody stands yet.
pub(super) fn line() -> (Turns, Caller) {
    let line = Arc::<Line>::default();
    let (sender, waiting) = mpsc::unbounded_channel();
    let turns = Turns {
        line: Arc::clone(&line),
        waiting: sender,
    };
    (turns, Caller { line, waiting })
}

impl Turns {
    /// Takes a place in line.
    pub(super) fn take(&self) -> Turn {
        let (call, called) = oneshot::channel();
        let (step, given) = oneshot::channel();
        let waiting = Waiting {
            since: Instant::now(),
            call,
            step: given,
        };
        // Where nobody calls any more, the turn has come, and nobody takes the step.
        let _unheard = self.waiting.send(waiting);
        let load = Load {
            line: Arc::clone(&self.line),
            bytes: 0,
        };
        Turn(Some(Place {
            load,
            called,
            has_come: false,
            step,
        }))
    }
}

impl Turn {
    /// For a store that takes every step at once.
    pub(crate) fn at_once() -> Self {
        Self(None)
    }

    /// Whether the store takes the step now.
    pub(crate) fn has_come(&mut self) -> bool {
        let Some(place) = &mut self.0 else {
            return true;
        };
        place.has_come |= place.called.try_recv() != Err(oneshot::error::TryRecvError::Empty);
        place.has_come
    }

    /// Completes when it does. Cancel-safe.
    pub(crate) async fn comes(&mut self) {
        if self.has_come() {
            return;
        }
        if let Some(place) = &mut self.0 {
            // An error means that nobody calls any more.
            let _gone = (&mut place.called).await;
            place.has_come = true;
        }
    }

    /// So many bytes wait with it now.
    pub(crate) fn weigh(&mut self, bytes: usize) {
        if let Some(place) = &mut self.0 {
            place.load.weigh(bytes);
        }
    }

    /// Hands the step over, and waits for what becomes of it.
    pub(super) async fn give(self, commit: Commit) -> Kept {
        let (reply, kept) = oneshot::channel();
        let taken = self
            .0
            .map(|place| place.step.send(Given { commit, reply }).is_ok());
        match taken {
            Some(true) => kept.await.unwrap_or(Kept::Void),
            _ => Kept::Void,
        }
    }
}

impl Load {
    fn weigh(&mut self, bytes: usize) {
        let before = std::mem::replace(&mut self.bytes, bytes);
        if bytes > before {
            self.line.bytes.fetch_add(bytes - before, Ordering::Relaxed);
            self.line.grown.notify_one();
        } else {
            self.line.bytes.fetch_sub(before - bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.weigh(0);
    }
}

impl Caller {
    /// The next partition in line; none if there will be no more. Cancel-safe.
    pub(super) async fn next(&mut self) -> Option<Waiting> {
        self.waiting.recv().await
    }

    /// How much waits, to be looked at while others are waited for.
    pub(super) fn scale(&self) -> Scale {
        Scale(Arc::clone(&self.line))
    }
}

impl Scale {
    /// Completes when at least so many bytes wait. Cancel-safe.
    pub(super) async fn reaches(&self, bytes: usize) {
        while self.0.bytes.load(Ordering::Relaxed) < bytes {
            self.0.grown.notified().await;
        }
    }
}

impl Waiting {
    /// Takes its step; none if it gave its place up.
    pub(super) async fn take(self) -> Option<Given> {
        // Closed if the place was given up.
        let _given_up = self.call.send(());
        self.step.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures_util::FutureExt;
    use tapline_core::{Cursor, PartitionKey, StreamIdentity, Tenure};

    use super::*;

    fn step(cursor: &'static str) -> Commit {
        Commit {
            key: PartitionKey::new("alerts", "a"),
            stream: StreamIdentity::default(),
            cursor: Cursor::new(Bytes::from_static(cursor.as_bytes())),
            changes: Default::default(),
            tenure: Tenure(0),
            events: Arc::default(),
        }
    }

    #[tokio::test]
    async fn a_step_is_put_together_when_its_turn_has_come() {
        let (turns, mut caller) = line();
        let mut turn = turns.take();
        assert!(!turn.has_come());
        let waiting = caller.next().await.expect("one waits");
        let keeper = tokio::spawn(async move {
            turn.comes().await;
            turn.give(step("late")).await
        });
        let given = waiting.take().await.expect("a step");
        assert_eq!(given.commit.cursor, step("late").cursor);
        given.reply.send(Kept::Durable).expect("the keeper waits");
        assert_eq!(keeper.await.expect("no panic"), Kept::Durable);
    }

    #[tokio::test]
    async fn whoever_gave_the_place_up_holds_up_nobody() {
        let (turns, mut caller) = line();
        drop(turns.take());
        let waiting = caller.next().await.expect("it stood in line");
        assert!(waiting.take().await.is_none());
    }

    #[tokio::test]
    async fn without_a_caller_the_turn_has_come_and_the_step_is_void() {
        let (turns, caller) = line();
        let mut turn = turns.take();
        drop(caller);
        turn.comes().await;
        assert!(turn.has_come());
        assert_eq!(turn.give(step("1")).await, Kept::Void);
        assert_eq!(turns.take().give(step("1")).await, Kept::Void);
    }

    #[tokio::test]
    async fn what_waits_is_weighed_as_long_as_it_waits() {
        let (turns, caller) = line();
        let scale = caller.scale();
        let (mut one, mut other) = (turns.take(), turns.take());
        one.weigh(60);
        other.weigh(30);
        assert!(scale.reaches(100).now_or_never().is_none());
        other.weigh(50);
        assert!(scale.reaches(100).now_or_never().is_some());
        other.weigh(20);
        drop(one);
        assert!(scale.reaches(21).now_or_never().is_none());
        assert!(scale.reaches(20).now_or_never().is_some());
    }
}
