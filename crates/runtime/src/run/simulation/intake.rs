//! What a partition's pipe does, in the steps between which it may wait.

use std::sync::Arc;

use futures_util::FutureExt;
use tapline_core::{Batch, ComponentKind, Event, Ticket, Verdict};

use super::reader::Read;
use super::scenery::{SOURCE, name};
use crate::budget::Share;
use crate::dead_letters::Letter;
use crate::run::flow::Flow;
use crate::run::ledger::Ledger;
use crate::run::stage::Care;
use crate::settling::Pending;

/// Events that are transformed at once.
const CHUNK: usize = 3;
const LOSSES_TOGETHER: u32 = 2;

pub(super) struct Intake {
    ledger: Arc<Ledger>,
    share: Arc<Share>,
    flow: Flow,
    at: At,
}

enum At {
    Idle,
    /// Waits for memory.
    Outside(Read),
    /// On its way through the transforms.
    Inside(Passing),
}

struct Passing {
    ticket: Ticket,
    letters: Vec<Letter>,
    events: std::vec::IntoIter<Event>,
    /// Whether events wait for room at the sinks.
    handing: bool,
}

impl Intake {
    pub(super) fn new(ledger: Arc<Ledger>, share: Arc<Share>, flow: Flow) -> Self {
        Self {
            ledger,
            share,
            flow,
            at: At::Idle,
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self.at, At::Idle)
    }

    /// Goes on as far as it gets without waiting.
    pub(super) fn step(
        &mut self,
        slot: &mut Option<Read>,
        mut post: impl FnMut(Letter) -> Option<Letter>,
    ) {
        self.at = match std::mem::replace(&mut self.at, At::Idle) {
            At::Idle if self.ledger.room().now_or_never() == Some(true) => {
                slot.take().map_or(At::Idle, At::Outside)
            }
            At::Idle => At::Idle,
            At::Outside(read) => self.enter(read),
            At::Inside(passing) => self.pass_on(passing, &mut post),
        };
    }

    fn enter(&mut self, read: Read) -> At {
        let Some(permit) = self.share.take(read.batch.weight()).now_or_never() else {
            return At::Outside(read);
        };
        let Read { epoch, mut batch } = read;
        let pending = Pending {
            after: batch.after.clone(),
            puts: std::mem::take(&mut batch.puts),
            deletes: std::mem::take(&mut batch.deletes),
            events: batch.events.len() + batch.rejected.len(),
            waiter: None,
        };
        let Some(seq) = self.ledger.accept(epoch, pending) else {
            return At::Idle;
        };
        let ledger = Arc::clone(&self.ledger);
        let ticket = Ticket::issue(move |outcome| {
            let _until_settled = &permit;
            ledger.settle(seq, outcome);
        });
        At::Inside(inside(batch, ticket))
    }

    fn pass_on(
        &mut self,
        mut passing: Passing,
        post: &mut impl FnMut(Letter) -> Option<Letter>,
    ) -> At {
        while let Some(letter) = passing.letters.pop() {
            if let Some(unsent) = post(letter) {
                passing.letters.push(unsent);
                return At::Inside(passing);
            }
        }
        if passing.handing {
            passing.handing = self.flow.hand_over().now_or_never().is_none();
            return At::Inside(passing);
        }
        if passing.events.as_slice().is_empty() {
            passing.ticket.settle(Verdict::Delivered);
            return At::Idle;
        }
        let care = match self.ledger.losses() < LOSSES_TOGETHER {
            true => Care::Together,
            false => Care::OneByOne,
        };
        let chunk = passing.events.by_ref().take(CHUNK);
        match self.flow.apply(chunk, care) {
            Ok(()) if !passing.ticket.is_lost() => {
                passing.letters = self.flow.take_letters();
                passing.letters.reverse();
                passing.handing = true;
                At::Inside(passing)
            }
            _ => {
                self.flow.clear();
                drop(passing.events);
                passing.ticket.settle(Verdict::Delivered);
                At::Idle
            }
        }
    }
}

fn inside(mut batch: Batch, ticket: Ticket) -> Passing {
    let rejected = batch
        .rejected
        .iter_mut()
        .map(|rejected| &mut rejected.event);
    for event in batch.events.iter_mut().chain(rejected) {
        event.attach(ticket.clone());
    }
    let source = name(ComponentKind::Source, SOURCE);
    let letters = batch.rejected.into_iter();
    Passing {
        ticket,
        letters: letters.map(|it| Letter::new(&source, it)).collect(),
        events: batch.events.into_iter(),
        handing: false,
    }
}
