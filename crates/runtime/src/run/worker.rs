//! Feeds one sink: lanes decide what goes next, deliveries overlap, outcomes settle events.

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, poll};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use tapline_core::metrics::{
    ComponentMetrics, DISCARDED_EVENTS, ERRORS, IN_FLIGHT_EVENTS, Metric, RECEIVED_EVENTS,
    SENT_EVENTS, SINK_DELIVERY_SECONDS, SINK_RETRIES,
};
use tapline_core::metrics::{Gauge, Histogram, IntCounter};
use tapline_core::{BuildContext, ComponentName, Delivery, Event, Fault, Rejected, Sink, Verdict};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{Instrument, Span};

use super::engine::Engine;
use super::{Ended, trace};
use crate::dead_letters::{DeadLetters, Letter};
use crate::lanes::{Backoff, Call, Lanes, Slots, Taken};
use crate::status::{State, Trouble};

/// A sink that confirms nothing for so long is shown as degraded. It is not hurried: librdkafka, for
/// one, waits for its broker inside of a delivery.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a sink may take to say goodbye, within the time of the drain.
const GOODBYE: Duration = Duration::from_secs(5);

pub(super) struct Worker {
    component: ComponentName,
    sink: Arc<dyn Sink>,
    inbox: mpsc::Receiver<Vec<Event>>,
    /// Whether more may come in.
    open: bool,
    max_in_flight: usize,
    lanes: Lanes<Event, SmallRng>,
    calls: FuturesUnordered<BoxFuture<'static, Done>>,
    engine: Arc<Engine>,
    dead_letters: DeadLetters,
    counters: WorkerCounters,
    degraded: bool,
    /// When a delivery last came back, or the first of those under way began.
    heard: Instant,
    /// Whether the stop signal was seen.
    stopping: bool,
}

/// A delivery that came back.
struct Done {
    slots: Slots,
    events: Vec<Event>,
    delivery: Delivery,
    took: Duration,
}

enum Turn {
    Go,
    End,
}

struct WorkerCounters {
    metrics: ComponentMetrics,
    received: IntCounter,
    sent: IntCounter,
    in_flight: Gauge,
    delivery: Histogram,
    by_reason: HashMap<(&'static str, &'static str), IntCounter>,
}

impl Worker {
    pub(super) fn new(
        cx: &BuildContext,
        sink: Arc<dyn Sink>,
        inbox: mpsc::Receiver<Vec<Event>>,
        engine: Arc<Engine>,
        dead_letters: DeadLetters,
    ) -> Self {
        let limits = sink.limits();
        Self {
            component: cx.component.clone(),
            sink,
            inbox,
            open: true,
            max_in_flight: limits.max_in_flight.max(1),
            lanes: Lanes::new(limits, Backoff::default(), SmallRng::from_os_rng()),
            calls: FuturesUnordered::new(),
            engine,
            dead_letters,
            counters: WorkerCounters::new(&cx.metrics),
            degraded: false,
            heard: Instant::now(),
            stopping: false,
        }
    }

    /// Runs until nothing can come in any more and everything is decided, or all is given up.
    pub(super) async fn run(mut self) {
        self.show(State::Running);
        let engine = Arc::clone(&self.engine);
        tokio::select! {
            () = self.deliver_all() => {}
            () = engine.abandoned() => {}
        }
        let drained = !self.open && self.lanes.is_empty();
        // Whatever is left is lost by being dropped.
        self.calls.clear();
        drop(self.lanes.abandon());
        self.counters.in_flight.set(0.0);
        if drained {
            self.say_goodbye().await;
        }
        self.show(State::Stopped);
    }

    /// Nobody is told goodbye after work was given up: a destination that takes nothing would only
    /// hold up the stop.
    async fn say_goodbye(&mut self) {
        let in_time = tokio::select! {
            biased;
            () = self.engine.abandoned() => false,
            closed = timeout(GOODBYE, self.sink.close()) => closed.is_ok(),
        };
        if !in_time {
            tracing::warn!(component = %self.component, "sink did not close in time");
        }
    }

    async fn deliver_all(&mut self) {
        loop {
            self.start_calls().await;
            if !self.open && self.lanes.is_empty() {
                return;
            }
            if let Turn::End = self.turn().await {
                return;
            }
            self.counters.in_flight.set(self.lanes.len() as f64);
        }
    }

    async fn turn(&mut self) -> Turn {
        let wake = self.lanes.wakes_at();
        let engine = Arc::clone(&self.engine);
        tokio::select! {
            biased;
            Some(done) = self.calls.next(), if !self.calls.is_empty() => self.finish(done).await,
            chunk = self.inbox.recv(), if self.open && self.lanes.has_room() => {
                self.take_in(chunk);
                Turn::Go
            }
            () = sleep_until(self.heard + PATIENCE), if !self.calls.is_empty() && !self.degraded => {
                let detail = format!("nothing was confirmed for {} s", PATIENCE.as_secs());
                self.degrade("no_answer", detail);
                Turn::Go
            }
            () = sleep_until(wake.unwrap_or_else(Instant::now)), if wake.is_some() => Turn::Go,
            () = engine.stopping(), if !self.stopping => {
                // A destination that is back should not miss the drain because of a long wait.
                self.stopping = true;
                self.lanes.try_now();
                Turn::Go
            }
        }
    }

    /// Takes in all that is there, so that calls are as large as they may be.
    fn take_in(&mut self, chunk: Option<Vec<Event>>) {
        let Some(chunk) = chunk else {
            self.open = false;
            return;
        };
        self.push(chunk);
        while self.lanes.has_room()
            && let Ok(chunk) = self.inbox.try_recv()
        {
            self.push(chunk);
        }
    }

    fn push(&mut self, chunk: Vec<Event>) {
        self.counters.received.inc_by(chunk.len() as u64);
        for event in chunk {
            let lane = event.meta().lane();
            let bytes = event.body().len();
            self.lanes.push(event, lane, bytes);
        }
    }

    /// Starts what may be started; each is polled once before the next, so that they begin in
    /// order.
    async fn start_calls(&mut self) {
        while self.calls.len() < self.max_in_flight
            && let Some(call) = self.lanes.next_call(Instant::now())
        {
            if self.calls.is_empty() {
                self.heard = Instant::now();
            }
            let mut delivery =
                deliver(self.component.clone(), Arc::clone(&self.sink), call).boxed();
            match poll!(&mut delivery) {
                Poll::Ready(done) => self.calls.push(std::future::ready(done).boxed()),
                Poll::Pending => self.calls.push(delivery),
            }
        }
    }

    async fn finish(&mut self, done: Done) -> Turn {
        self.counters.delivery.observe(done.took.as_secs_f64());
        self.heard = Instant::now();
        let taken = self
            .lanes
            .outcome(done.slots, done.events, done.delivery, Instant::now());
        self.report(&taken);
        let fenced = taken.fenced;
        self.counters.sent.inc_by(taken.delivered.len() as u64);
        for event in taken.delivered {
            event.settle(Verdict::Delivered);
        }
        self.give_up(taken.rejected).await;
        if fenced {
            tracing::error!(component = %self.component, "another process took our place; stopping, do not restart");
            self.engine.end(Ended::Fenced);
            return Turn::End;
        }
        Turn::Go
    }

    async fn give_up(&mut self, rejected: Vec<(Event, &'static str, String)>) {
        if rejected.is_empty() {
            return;
        }
        let mut letters = Vec::with_capacity(rejected.len());
        for (event, reason, why) in rejected {
            self.counters.count(&DISCARDED_EVENTS, "", reason, 1);
            let rejected = Rejected { event, reason, why };
            letters.push(Letter::new(&self.component, rejected));
        }
        self.dead_letters.send(letters).await;
    }

    /// Counts what will be repeated, and says when the destination goes away or comes back.
    fn report(&mut self, taken: &Taken<Event>) {
        for (reason, count) in &taken.retried {
            self.counters.count(&SINK_RETRIES, "", reason, *count);
            self.counters.count(&ERRORS, "sending", reason, *count);
        }
        let decided = !taken.delivered.is_empty() || !taken.rejected.is_empty();
        if let Some((reason, why)) = &taken.denied {
            self.degrade(reason, format!("refused: {why}"));
        } else if taken.outage {
            let reason = taken.retried.first();
            let reason = reason.map_or("unknown", |(reason, _)| reason);
            self.degrade(reason, format!("takes nothing: {reason}"));
        } else if self.degraded && decided && !self.lanes.is_denied() {
            self.degraded = false;
            tracing::info!(component = %self.component, "sink takes events again");
            self.trouble(None);
        }
    }

    fn degrade(&mut self, reason: &str, detail: String) {
        if !self.degraded {
            self.degraded = true;
            tracing::warn!(component = %self.component, reason, detail, "sink does not take events; trying again");
        }
        self.trouble(Some(detail));
    }

    fn show(&self, state: State) {
        self.engine.board.component(&self.component.id, state);
    }

    fn trouble(&self, detail: Option<String>) {
        let board = &self.engine.board;
        board.trouble(&self.component.id, Trouble::Itself, detail);
    }
}

/// One call. A sink that panics is asked again with the same events, like one that is away.
async fn deliver(component: ComponentName, sink: Arc<dyn Sink>, call: Call<Event>) -> Done {
    let begin = Instant::now();
    let Call { events, slots } = call;
    let traced = trace::deliveries(&component, &events);
    let first = traced.first().cloned().unwrap_or_else(Span::none);
    let attempt = AssertUnwindSafe(sink.deliver(&events)).catch_unwind();
    let attempt = attempt.instrument(first).await;
    let delivery = attempt.unwrap_or_else(|_| {
        let panicked = Fault::Retry {
            after: None,
            reason: "panicked",
        };
        Delivery::none(events.len(), panicked)
    });
    Done {
        slots,
        events,
        delivery,
        took: begin.elapsed(),
    }
}

impl WorkerCounters {
    fn new(metrics: &ComponentMetrics) -> Self {
        Self {
            received: metrics.counter(&RECEIVED_EVENTS, &[]),
            sent: metrics.counter(&SENT_EVENTS, &[]),
            in_flight: metrics.gauge(&IN_FLIGHT_EVENTS, &[]),
            delivery: metrics.histogram(&SINK_DELIVERY_SECONDS, &[]),
            by_reason: HashMap::new(),
            metrics: metrics.clone(),
        }
    }

    /// Handles by reason are resolved when the reason is first met.
    fn count(&mut self, metric: &Metric, stage: &'static str, reason: &'static str, by: u64) {
        let metrics = &self.metrics;
        let handle = self.by_reason.entry((metric.name, reason));
        let handle = handle.or_insert_with(|| match stage {
            "" => metrics.counter(metric, &[reason]),
            stage => metrics.counter(metric, &[stage, reason]),
        });
        handle.inc_by(by);
    }
}
