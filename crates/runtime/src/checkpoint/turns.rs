//! Who has a step for the next transaction, and when it takes them.
//!
//! A step is put together only when its turn has come: what settles until then goes with it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
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

/// How much waits with a place, shared with the line.
struct Load {
    bytes: Arc<AtomicUsize>,
    line: Arc<Line>,
}

/// The end of the line.
pub(super) struct Turns(Arc<Line>);

/// The head of the line.
pub(super) struct Caller(Arc<Line>);

#[derive(Default)]
struct Line {
    state: Mutex<State>,
    /// Wakes the caller; there is only one.
    changed: Notify,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    /// Nobody takes a place any more.
    is_closed: bool,
    /// Nobody calls any more.
    is_deserted: bool,
}

struct Waiting {
    since: Instant,
    bytes: Arc<AtomicUsize>,
    call: oneshot::Sender<()>,
    step: oneshot::Receiver<Given>,
}

/// A partition that was called.
pub(super) struct Called(oneshot::Receiver<Given>);

/// A line in which nobody stands yet.
pub(super) fn line() -> (Turns, Caller) {
    let line = Arc::<Line>::default();
    (Turns(Arc::clone(&line)), Caller(line))
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it is held.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Turns {
    /// Takes a place in line. Where nobody calls any more, the turn has come and nobody takes the
    /// step.
    pub(super) fn take(&self) -> Turn {
        let (call, called) = oneshot::channel();
        let (step, given) = oneshot::channel();
        let bytes = Arc::<AtomicUsize>::default();
        let waiting = Waiting {
            since: Instant::now(),
            bytes: Arc::clone(&bytes),
            call,
            step: given,
        };
        {
            let mut state = self.0.state();
            if !state.is_deserted {
                state.waiting.push_back(waiting);
            }
        }
        self.0.changed.notify_one();
        let load = Load {
            bytes,
            line: Arc::clone(&self.0),
        };
        Turn(Some(Place {
            load,
            called,
            has_come: false,
            step,
        }))
    }
}

impl Drop for Turns {
    fn drop(&mut self) {
        self.0.state().is_closed = true;
        self.0.changed.notify_one();
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
        if let Some(place) = &mut self.0
            && !place.has_come
        {
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
    fn weigh(&self, bytes: usize) {
        if self.bytes.swap(bytes, Ordering::Relaxed) < bytes {
            self.line.changed.notify_one();
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.weigh(0);
    }
}

impl Caller {
    /// Since when the first in line waits; none if there will be no more. Cancel-safe.
    pub(super) async fn first(&mut self) -> Option<Instant> {
        loop {
            {
                let mut state = self.0.state();
                state.waiting.retain(|one| !one.call.is_closed());
                match state.waiting.front() {
                    Some(first) => return Some(first.since),
                    None if state.is_closed => return None,
                    None => {}
                }
            }
            self.0.changed.notified().await;
        }
    }

    /// Completes when so many bytes wait. Cancel-safe.
    pub(super) async fn reaches(&mut self, bytes: usize) {
        while self.bytes() < bytes {
            self.0.changed.notified().await;
        }
    }

    fn bytes(&self) -> usize {
        let state = self.0.state();
        let loads = state.waiting.iter().map(Waiting::bytes);
        loads.sum()
    }

    /// Calls the first in line, and those behind as long as there is room for some of so many bytes.
    pub(super) fn call(&mut self, bytes: usize) -> Vec<Called> {
        let mut state = self.0.state();
        let mut called = Vec::new();
        let mut taken = 0;
        while (called.is_empty() || taken < bytes)
            && let Some(one) = state.waiting.pop_front()
        {
            taken += one.bytes();
            // Closed if the place was given up meanwhile.
            let _given_up = one.call.send(());
            called.push(Called(one.step));
        }
        called
    }
}

impl Drop for Caller {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.is_deserted = true;
        state.waiting.clear();
    }
}

impl Waiting {
    fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Called {
    /// Its step; none if it gave its place up.
    pub(super) async fn step(self) -> Option<Given> {
        self.0.await.ok()
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
    async fn a_step_is_given_when_its_turn_has_come_and_not_before() {
        let (turns, mut caller) = line();
        let mut turn = turns.take();
        assert!(caller.first().await.is_some());
        assert!(!turn.has_come() && turn.comes().now_or_never().is_none());
        let called = caller.call(1).pop().expect("one waits");
        assert!(turn.comes().now_or_never().is_some() && turn.has_come());
        let keeper = tokio::spawn(turn.give(step("late")));
        let given = called.step().await.expect("a step");
        assert_eq!(given.commit.cursor, step("late").cursor);
        given.reply.send(Kept::Durable).expect("the keeper waits");
        assert_eq!(keeper.await.expect("no panic"), Kept::Durable);
    }

    #[tokio::test]
    async fn whoever_gives_the_place_up_holds_up_nobody() {
        let (turns, mut caller) = line();
        let (early, late) = (turns.take(), turns.take());
        drop(early);
        assert!(caller.first().await.is_some());
        let called = caller.call(1).pop().expect("the later one");
        drop(late);
        assert!(called.step().await.is_none(), "given up when called");
        assert!(caller.first().now_or_never().is_none());
        drop(turns);
        assert!(caller.first().await.is_none(), "no more will come");
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
    async fn what_waits_is_weighed_and_no_more_is_called_than_there_is_room_for() {
        let (turns, mut caller) = line();
        let mut places: Vec<Turn> = (0..4).map(|_| turns.take()).collect();
        places[0].weigh(60);
        places[1].weigh(30);
        assert!(caller.reaches(100).now_or_never().is_none());
        let waiting = tokio::spawn(async move {
            caller.reaches(100).await;
            caller
        });
        tokio::task::yield_now().await;
        places[2].weigh(20);
        let mut caller = waiting.await.expect("no panic");
        assert_eq!(caller.call(80).len(), 2, "there was room before the second");
        drop(places);
        assert!(caller.reaches(1).now_or_never().is_none());
    }
}
