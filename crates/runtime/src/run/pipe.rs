//! Takes the batches of one partition in, runs the transforms, and hands the events to the sinks.

use std::sync::Arc;

use tapline_core::metrics::{
    ComponentMetrics, DISCARDED_EVENTS, IN_FLIGHT_EVENTS, RECEIVED_EVENTS, SEND_WAIT_SECONDS,
    SENT_EVENTS,
};
use tapline_core::metrics::{Counter, Gauge, IntCounter};
use tapline_core::{Batch, ComponentName, Event, Origin, Rejected, Ticket, Verdict};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tracing::{Instrument, Span, debug_span, info_span};

use super::engine::Engine;
use super::flow::Flow;
use super::host::Plans;
use super::ledger::{Ledger, Staged};
use super::stage::{Broken, Care};
use crate::budget::{Permit, Share};
use crate::dead_letters::{DeadLetters, Letter};
use crate::settling::{Pending, Seq};

/// Events that are transformed before other tasks get a turn: about a millisecond of mapping.
const CHUNK: usize = 128;

/// Events that were lost so often without progress are transformed one by one.
const LOSSES_TOGETHER: u32 = 2;

pub(super) struct Pipe {
    pub(super) engine: Arc<Engine>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) component: ComponentName,
    pub(super) partition: Arc<str>,
    pub(super) batches: mpsc::Receiver<Batch>,
    pub(super) share: Arc<Share>,
    pub(super) flow: Flow,
    /// What the events go through from the next batch on, once it changes.
    pub(super) plans: watch::Receiver<Plans>,
    pub(super) dead_letters: DeadLetters,
    pub(super) counters: PipeCounters,
}

/// Handles of a source's metrics.
pub(super) struct PipeCounters {
    metrics: ComponentMetrics,
    received: IntCounter,
    sent: IntCounter,
    waited: Counter,
    in_flight: Gauge,
}

/// What a batch holds until its last ticket is settled, and what is staged of it is durable.
pub(super) struct Held {
    permit: Permit,
    in_flight: Gauge,
    events: f64,
}

impl PipeCounters {
    pub(super) fn new(metrics: &ComponentMetrics) -> Self {
        Self {
            metrics: metrics.clone(),
            received: metrics.counter(&RECEIVED_EVENTS, &[]),
            sent: metrics.counter(&SENT_EVENTS, &[]),
            waited: metrics.seconds(&SEND_WAIT_SECONDS, &[]),
            in_flight: metrics.gauge(&IN_FLIGHT_EVENTS, &[]),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.in_flight.sub(self.events);
    }
}

impl Pipe {
    /// Runs until the source lets go of the partition, or everything is given up.
    pub(super) async fn run(mut self) {
        let engine = Arc::clone(&self.engine);
        tokio::select! {
            () = self.take_all() => {}
            () = engine.abandoned() => {}
        }
        self.ledger.end_intake();
    }

    async fn take_all(&mut self) {
        loop {
            tokio::select! {
                biased;
                Ok(()) = self.plans.changed() => self.exchange_flow(),
                batch = next_batch(&self.ledger, &mut self.batches) => {
                    let Some(batch) = batch else {
                        return;
                    };
                    // Waiting for memory on behalf of what is void would hold up the others.
                    if self.ledger.is_revoked() {
                        continue;
                    }
                    let span = self.span_of(&batch);
                    self.take(batch).instrument(span).await;
                }
            }
        }
    }

    /// Between two batches nothing is under way in here. The old flow lets go of its sinks, also
    /// of those that wait for that to end.
    fn exchange_flow(&mut self) {
        let plan = self.plans.borrow_and_update().of(&self.partition);
        // Who has no plan any more is about to be stopped.
        if let Ok(plan) = plan {
            self.flow = Flow::new(plan);
        }
    }

    /// The source's own trace of the batch, or a new one.
    fn span_of(&self, batch: &Batch) -> Span {
        match batch.span.is_none() {
            true => {
                info_span!("batch", component = %self.component.id, partition = &*self.partition)
            }
            false => batch.span.clone(),
        }
    }

    async fn take(&mut self, mut batch: Batch) {
        let events = batch.events.len() + batch.rejected.len();
        let weight = batch.weight();
        let permit = self.permit(weight).await;
        let pending = Pending {
            after: batch.after.clone(),
            puts: std::mem::take(&mut batch.puts),
            deletes: std::mem::take(&mut batch.deletes),
            events,
            waiter: batch.take_durable(),
        };
        let Some(seq) = self.ledger.accept(batch.epoch(), pending) else {
            tracing::debug!(component = %self.component, events, "batch is void, the partition was rewound");
            return;
        };
        self.counters.received.inc_by(events as u64);
        let held = Arc::new(self.hold(permit, events));
        let until_settled = Arc::clone(&held);
        let ledger = Arc::clone(&self.ledger);
        let span = Span::current();
        let settled = span.clone();
        let ticket = Ticket::issue_in(span, move |outcome| {
            let _held = &until_settled;
            // Tracers take the last time that a span was left for its end.
            settled.in_scope(|| tracing::debug!(?outcome, "batch settled"));
            ledger.settle(seq, outcome);
        });
        self.mark(&mut batch, &ticket);
        self.pass_on(batch, events, &ticket).await;
        self.stage(seq, held);
        ticket.settle(Verdict::Delivered);
    }

    /// Events for a transaction are settled as far as their batch goes: it is durable only after
    /// they are.
    fn stage(&mut self, seq: Seq, held: Arc<Held>) {
        let mut events = self.flow.take_staged();
        if events.is_empty() {
            return;
        }
        let weight = events.iter().map(Event::weight).sum();
        if !self.flow.has_outlets() {
            // Nothing else is left of the batch.
            events.iter_mut().for_each(Event::unshare);
            held.permit.shrink_to(weight);
        }
        let tickets: Vec<Ticket> = events.iter_mut().filter_map(Event::detach).collect();
        self.ledger.stage(
            seq,
            Staged {
                events,
                weight,
                held,
            },
        );
        for ticket in tickets {
            ticket.settle(Verdict::Delivered);
        }
    }

    async fn permit(&mut self, bytes: usize) -> Permit {
        let begin = Instant::now();
        let permit = self.share.take(bytes).await;
        self.counters.waited.inc_by(begin.elapsed().as_secs_f64());
        permit
    }

    fn hold(&self, permit: Permit, events: usize) -> Held {
        let held = Held {
            permit,
            in_flight: self.counters.in_flight.clone(),
            events: events as f64,
        };
        held.in_flight.add(held.events);
        held
    }

    /// Says of every event where it was read, and who waits for it. What comes out of a spool knows
    /// already where it was read.
    fn mark(&self, batch: &mut Batch, ticket: &Ticket) {
        let rejected = batch
            .rejected
            .iter_mut()
            .map(|rejected| &mut rejected.event);
        for event in batch.events.iter_mut().chain(rejected) {
            let meta = event.meta_mut();
            if meta.component.is_empty() {
                meta.component = Arc::clone(&self.component.id);
                meta.origin = Origin {
                    partition: Arc::clone(&self.partition),
                    cursor: batch.after.clone(),
                };
            }
            event.attach(ticket.clone());
        }
    }

    /// Every event that is not handed on here is dropped, which makes the batch lost.
    async fn pass_on(&mut self, batch: Batch, events: usize, ticket: &Ticket) {
        self.give_up(batch.rejected).await;
        let span = debug_span!("transform", events = batch.events.len());
        let Ok(()) = self.transform(batch.events, ticket).instrument(span).await else {
            return;
        };
        self.counters.sent.inc_by(events as u64);
        tracing::debug!(component = %self.component, partition = %self.partition, events, "batch passed on");
    }

    async fn give_up(&mut self, rejected: Vec<Rejected>) {
        for one in &rejected {
            let metrics = &self.counters.metrics;
            metrics.counter(&DISCARDED_EVENTS, &[one.reason]).inc();
        }
        let letters = rejected.into_iter();
        let letters = letters.map(|rejected| Letter::new(&self.component, rejected));
        self.dead_letters.send(letters.collect()).await;
    }

    async fn transform(&mut self, events: Vec<Event>, ticket: &Ticket) -> Result<(), Broken> {
        let care = match self.ledger.losses() < LOSSES_TOGETHER {
            true => Care::Together,
            false => Care::OneByOne,
        };
        let mut events = events.into_iter().peekable();
        while events.peek().is_some() {
            self.flow.apply(events.by_ref().take(CHUNK), care)?;
            if ticket.is_lost() {
                // A transform forgot one. Newer versions must not go before it: it is read again.
                self.flow.clear();
                return Err(Broken);
            }
            let letters = self.flow.take_letters();
            if !letters.is_empty() {
                self.dead_letters.send(letters).await;
            }
            let begin = Instant::now();
            self.flow.hand_over().await;
            self.counters.waited.inc_by(begin.elapsed().as_secs_f64());
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

/// None once no more will come. Cancel-safe.
async fn next_batch(ledger: &Ledger, batches: &mut mpsc::Receiver<Batch>) -> Option<Batch> {
    match ledger.room().await {
        true => batches.recv().await,
        false => None,
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        // Also after a panic of ours, so that the keeper does not wait for ever.
        self.flow.clear();
        self.ledger.end_intake();
    }
}
