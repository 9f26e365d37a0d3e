//! One transform of one source partition, and what is done when it panics.

use std::panic::{AssertUnwindSafe, catch_unwind};

use tapline_core::metrics::{DISCARDED_EVENTS, ERRORS, IntCounter, RECEIVED_EVENTS, SENT_EVENTS};
use tapline_core::{BuildContext, Event, Output, Ticket, Transform, Verdict, chain};

use crate::dead_letters::Letter;
use crate::topology::Factory;

/// How to build a transform.
#[derive(Clone)]
pub(super) struct Recipe {
    pub(super) cx: BuildContext,
    pub(super) build: Factory<dyn Transform>,
}

/// A transform at work. The instance is built when the first event comes.
pub(super) struct Stage {
    recipe: Recipe,
    transform: Option<Box<dyn Transform>>,
    pub(super) inbox: Vec<Event>,
    pub(super) output: Output,
    counters: Counters,
}

struct Counters {
    received: IntCounter,
    sent: IntCounter,
    filtered: IntCounter,
    panicked: IntCounter,
}

/// A transform panicked, forgot an event, or could not be built anew; its events are lost.
#[derive(Debug)]
pub(super) struct Broken;

/// How events are run through the transforms.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Care {
    /// All in one go: what goes wrong with one of them loses all.
    Together,
    /// Each apart, because they were lost again and again: the one that breaks a transform is
    /// given up, so that it does not hold back its partition for ever.
    OneByOne,
}

impl Stage {
    pub(super) fn new(recipe: Recipe) -> Self {
        let metrics = &recipe.cx.metrics;
        let counters = Counters {
            received: metrics.counter(&RECEIVED_EVENTS, &[]),
            sent: metrics.counter(&SENT_EVENTS, &[]),
            filtered: metrics.counter(&DISCARDED_EVENTS, &["filtered"]),
            panicked: metrics.counter(&ERRORS, &["processing", "panicked"]),
        };
        Self {
            recipe,
            transform: None,
            inbox: Vec::new(),
            output: Output::default(),
            counters,
        }
    }

    /// Drops what is under way.
    pub(super) fn clear(&mut self) {
        self.inbox.clear();
        self.output = Output::default();
    }

    /// Runs what is in the inbox; emitted events stay in the output.
    pub(super) fn apply(&mut self, care: Care, letters: &mut Vec<Letter>) -> Result<(), Broken> {
        self.counters.received.inc_by(self.inbox.len() as u64);
        match care {
            Care::Together => self.run_together()?,
            Care::OneByOne => self.run_one_by_one()?,
        }
        self.counters.sent.inc_by(self.output.emitted.len() as u64);
        self.counters.filtered.inc_by(self.output.discarded);
        self.output.discarded = 0;
        for rejected in self.output.rejected.drain(..) {
            let cx = &self.recipe.cx;
            let reason = rejected.reason;
            cx.metrics.counter(&DISCARDED_EVENTS, &[reason]).inc();
            letters.push(Letter::new(&cx.component, rejected));
        }
        Ok(())
    }

    fn run_together(&mut self) -> Result<(), Broken> {
        let mut inbox = std::mem::take(&mut self.inbox);
        let run = self.run_caught(|transform, output| {
            for event in inbox.drain(..) {
                transform.apply(event, output);
            }
        })?;
        self.inbox = inbox;
        run.map_err(|Panicked| {
            let component = &self.recipe.cx.component;
            tracing::error!(%component, "transform panicked; its events are read again");
            Broken
        })
    }

    fn run_one_by_one(&mut self) -> Result<(), Broken> {
        for event in std::mem::take(&mut self.inbox) {
            self.run_one(event)?;
        }
        Ok(())
    }

    /// The transform gets the event without its ticket, so that the event is not lost with it.
    fn run_one(&mut self, mut event: Event) -> Result<(), Broken> {
        let ticket = event.detach();
        let copy = event.clone();
        let before = Made::of(&self.output);
        let run = self.run_caught(|transform, output| transform.apply(event, output))?;
        if run.is_err() {
            before.restore(&mut self.output);
            self.give_up(copy, "panic", "the transform panics on it");
        } else if before == Made::of(&self.output) {
            self.give_up(
                copy,
                "forgotten",
                "the transform neither passes it on nor ends it",
            );
        }
        if let Some(ticket) = ticket {
            before.attach(&mut self.output, &ticket);
            ticket.settle(Verdict::Delivered);
        }
        Ok(())
    }

    fn give_up(&mut self, event: Event, reason: &'static str, why: &str) {
        let component = &self.recipe.cx.component;
        tracing::error!(%component, reason, uid = event.meta().uid(), "event breaks the transform; given up");
        self.output.reject(event, reason, why);
    }

    /// The instance is built anew after a panic, since nobody knows what it left behind.
    fn run_caught(
        &mut self,
        run: impl FnOnce(&mut dyn Transform, &mut Output),
    ) -> Result<Result<(), Panicked>, Broken> {
        let mut transform = match self.transform.take() {
            Some(transform) => transform,
            None => self.build()?,
        };
        let run = AssertUnwindSafe(|| run(&mut *transform, &mut self.output));
        if catch_unwind(run).is_err() {
            self.counters.panicked.inc();
            return Ok(Err(Panicked));
        }
        self.transform = Some(transform);
        Ok(Ok(()))
    }

    fn build(&self) -> Result<Box<dyn Transform>, Broken> {
        let Recipe { cx, build } = &self.recipe;
        build(cx).map_err(|error| {
            tracing::error!(component = %cx.component, error = chain(&error), "transform cannot be built");
            Broken
        })
    }
}

struct Panicked;

/// How much stood in an output at some moment.
#[derive(Eq, PartialEq)]
struct Made {
    emitted: usize,
    rejected: usize,
    discarded: u64,
}

impl Made {
    fn of(output: &Output) -> Self {
        Self {
            emitted: output.emitted.len(),
            rejected: output.rejected.len(),
            discarded: output.discarded,
        }
    }

    /// Takes back what was made since.
    fn restore(&self, output: &mut Output) {
        output.emitted.truncate(self.emitted);
        output.rejected.truncate(self.rejected);
        output.discarded = self.discarded;
    }

    /// Makes what was made since part of a batch.
    fn attach(&self, output: &mut Output, ticket: &Ticket) {
        let rejected = output.rejected[self.rejected..].iter_mut();
        let rejected = rejected.map(|rejected| &mut rejected.event);
        for event in output.emitted[self.emitted..].iter_mut().chain(rejected) {
            event.attach(ticket.clone());
        }
    }
}
