//! What a sink's worker does, and a destination that has moods.

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use std::time::Duration;
use tapline_core::{ComponentKind, Delivery, Event, Fault, Rejected, SinkLimits, Verdict};
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Broken;
use super::book::Book;
use super::microsoft::{Fate, Row};
use super::scenery::{Body, SINKS, name};
use super::world::Weather;
use crate::dead_letters::Letter;
use crate::lanes::{Backoff, Call, Lanes};

pub(super) struct Worker {
    at: usize,
    limits: SinkLimits,
    inbox: mpsc::Receiver<Vec<Event>>,
    lanes: Lanes<Event, SmallRng>,
    calls: Vec<Call<Event>>,
    /// The worker waits until these are handed in.
    letters: Vec<Letter>,
}

impl Worker {
    pub(super) fn new(at: usize, inbox: mpsc::Receiver<Vec<Event>>, rng: &mut SmallRng) -> Self {
        let limits = SinkLimits {
            max_events: rng.random_range(1..6),
            max_bytes: rng.random_range(20..200),
            max_in_flight: rng.random_range(1..4),
        };
        let own = SmallRng::seed_from_u64(rng.random());
        Self {
            at,
            limits,
            inbox,
            lanes: Lanes::new(limits, Backoff::default(), own),
            calls: Vec::new(),
            letters: Vec::new(),
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lanes.is_empty() && self.letters.is_empty() && self.inbox.is_empty()
    }

    pub(super) fn wakes_at(&self) -> Option<Instant> {
        self.lanes.wakes_at()
    }

    /// A destination that is back should not miss the drain because of a long wait.
    pub(super) fn try_now(&mut self) {
        self.lanes.try_now();
    }

    /// Hands letters in; whether the worker may go on.
    pub(super) fn post(&mut self, mut post: impl FnMut(Letter) -> Option<Letter>) -> bool {
        while let Some(letter) = self.letters.pop() {
            if let Some(unsent) = post(letter) {
                self.letters.push(unsent);
                return false;
            }
        }
        true
    }

    pub(super) fn take_in(&mut self) -> Result<(), Broken> {
        while self.lanes.has_room()
            && let Ok(chunk) = self.inbox.try_recv()
        {
            for event in chunk {
                let (lane, bytes) = (event.meta().lane(), event.body().len());
                self.lanes.push(event, lane, bytes);
            }
        }
        // What a chunk can be is bounded by the pipe; here a handful, twice for what is split.
        let bound = 2 * (self.limits.max_in_flight + 1) * self.limits.max_events + 6;
        match self.lanes.len() <= bound {
            true => Ok(()),
            false => Err(format!("a sink holds {} events", self.lanes.len())),
        }
    }

    pub(super) fn start(&mut self, now: Instant) {
        if self.calls.len() < self.limits.max_in_flight {
            self.calls.extend(self.lanes.next_call(now));
        }
    }

    /// One of the calls comes back.
    pub(super) fn finish(
        &mut self,
        now: Instant,
        weather: &Weather,
        rows: &[Row],
        book: &mut Book,
        rng: &mut SmallRng,
    ) -> Result<(), Broken> {
        if self.calls.is_empty() {
            return Ok(());
        }
        let call = self
            .calls
            .swap_remove(rng.random_range(0..self.calls.len()));
        let delivery = self.delivery(&call.events, weather, rows, book, rng)?;
        let taken = self.lanes.outcome(call.slots, call.events, delivery, now);
        for event in taken.delivered {
            event.settle(Verdict::Delivered);
        }
        let component = name(ComponentKind::Sink, SINKS[self.at]);
        for (event, reason, why) in taken.rejected {
            let body = Body::of(&event);
            book.give_up(body.row, body.branch(self.at));
            let rejected = Rejected { event, reason, why };
            self.letters.push(Letter::new(&component, rejected));
        }
        Ok(())
    }

    fn delivery(
        &self,
        events: &[Event],
        weather: &Weather,
        rows: &[Row],
        book: &mut Book,
        rng: &mut SmallRng,
    ) -> Result<Delivery, Broken> {
        let away = rng.random_bool(weather.away);
        let mut exceptions = Vec::new();
        for (index, event) in events.iter().enumerate() {
            let body = Body::of(event);
            let branch = body.branch(self.at);
            let fault = match rows[body.row].fate {
                _ if away => Some(again(None)),
                Fate::Refused(by) if by & branch != 0 => Some(refused()),
                _ => fault(weather, rng),
            };
            let unheard = fault.as_ref().is_some_and(is_again) && rng.random_bool(weather.unheard);
            if fault.is_none() || unheard {
                book.arrive(body, branch, fault.is_none(), rows)?;
            }
            exceptions.extend(fault.map(|fault| (index, fault)));
        }
        Ok(Delivery { exceptions })
    }
}

fn fault(weather: &Weather, rng: &mut SmallRng) -> Option<Fault> {
    if !rng.random_bool(weather.picky) {
        return None;
    }
    Some(match rng.random_range(0..3) {
        0 => again(Some(Duration::from_secs(rng.random_range(0..60)))),
        1 => again(None),
        _ => Fault::Denied {
            reason: "forbidden",
            why: "as it was asked".to_owned(),
        },
    })
}

fn again(after: Option<Duration>) -> Fault {
    Fault::Retry {
        after,
        reason: "busy",
    }
}

fn is_again(fault: &Fault) -> bool {
    matches!(fault, Fault::Retry { .. })
}

fn refused() -> Fault {
    Fault::Reject {
        reason: "too_large",
        why: "as it was asked".to_owned(),
    }
}
