//! Reads one partition over links that come and go; what was received is known across all of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tapline_core::metrics::{
    ComponentMetrics, Counter, Gauge, SOURCE_PARTITIONS, SOURCE_RECONNECTS, SOURCE_WAIT_SECONDS,
};
use tapline_core::{Checkpoint, Control, Partition};
use tokio::time::{Instant, interval, sleep_until, timeout};
use tracing::{error, info};

use super::Shared;
use super::faults::{Action, Fault};
use super::intake::{Gathered, Incoming, Intake};
use super::link::{Link, Wanted, selector};
use crate::cursor::{HubCursor, Mark};
use crate::health::ConnectionHealth;
use crate::standing::Standing;
use crate::start::{StartAt, begin};

const FIRST_YIELD: Duration = Duration::from_secs(30);
const LONGEST_YIELD: Duration = Duration::from_secs(300);
/// Who has read for so long is not about to be displaced again.
const SECURE: Duration = Duration::from_secs(900);
/// When the offset was refused, the sequence number is tried so much later.
const OTHER_WAY: Duration = Duration::from_secs(1);
/// How long nothing comes before a look for messages is over.
const SILENCE: Duration = Duration::from_secs(5);
const TICK: Duration = Duration::from_secs(1);

/// A partition, for as long as this process reads it.
pub(super) struct Seat {
    pub(super) id: String,
    pub(super) address: String,
    pub(super) owner_level: i64,
    pub(super) partition: Partition,
    /// The last message that was handed over, on whatever link; none if nothing is known.
    pub(super) received: Option<HubCursor>,
    pub(super) start_at: StartAt,
    pub(super) intake: Intake,
    /// Bytes that the service may send ahead.
    pub(super) ahead: usize,
    /// From one look to the next; none to read all the time.
    pub(super) pause: Option<Duration>,
    pub(super) standing: Arc<Standing>,
    pub(super) health: ConnectionHealth,
    pub(super) metrics: ComponentMetrics,
    pub(super) throttled: Counter,
    /// That the connection brings messages.
    pub(super) heard: Arc<AtomicBool>,
    /// Nothing is done before.
    pub(super) rests_until: Option<Instant>,
    pub(super) yields: u32,
}

/// Why a seat is no longer read.
#[derive(Debug)]
pub(super) enum Left {
    Released,
    /// The runtime takes no more.
    Stopped,
    Connection(Fault),
}

/// Why a link is no longer read.
enum Ended {
    Fault(Fault),
    Rewound,
    Stopped,
    /// Another process reads it now.
    Revoked,
    /// There is nothing more for now.
    CaughtUp,
}

/// Counts a partition for as long as it is read.
struct Counted(Gauge);

impl Counted {
    fn new(metrics: &ComponentMetrics) -> Self {
        let gauge = metrics.gauge(&SOURCE_PARTITIONS, &[]);
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Seat {
    /// A seat's throttle counter, of the name under which the partition is known.
    pub(super) fn throttled(metrics: &ComponentMetrics, name: &str) -> Counter {
        metrics.seconds(&SOURCE_WAIT_SECONDS, &[name, "throttled"])
    }

    /// Reads until released, or the connection is of no more use.
    pub(super) async fn read(
        mut self,
        connection: Shared,
        released: impl Future<Output = ()>,
    ) -> (Self, Left) {
        let left = tokio::select! {
            biased;
            () = released => Left::Released,
            left = self.links(&connection) => left,
        };
        (self, left)
    }

    /// # Cancel safety
    /// Cancel-safe: what was gathered but not handed over is received again.
    async fn links(&mut self, connection: &Shared) -> Left {
        let mut counted = None;
        loop {
            if let Some(left) = self.rest().await {
                return left;
            }
            let ended = match self.attach(connection).await {
                Ok(mut link) => {
                    counted.get_or_insert_with(|| Counted::new(&self.metrics));
                    self.follow(&mut link).await
                }
                Err(fault) => Ended::Fault(fault),
            };
            match ended {
                Ended::Rewound => {}
                Ended::Stopped => return self.stopped(),
                Ended::Revoked => return Left::Released,
                Ended::CaughtUp => self.rest_for(self.pause.unwrap_or_default()),
                Ended::Fault(fault) if fault.action == Action::Connect => {
                    return Left::Connection(fault);
                }
                Ended::Fault(fault) => {
                    counted = None;
                    self.react(&fault);
                }
            }
        }
    }

    async fn attach(&self, connection: &Shared) -> Result<Link, Fault> {
        let wanted = Wanted {
            address: &self.address,
            partition: &self.id,
            selector: selector(self.received.as_ref(), self.start_at),
            owner_level: self.owner_level,
            credit: self.intake.credit(self.ahead),
        };
        Link::attach(connection, wanted).await
    }

    /// Tells what happened, and decides when to go on.
    fn react(&mut self, fault: &Fault) {
        let Fault { reason, why, .. } = fault;
        let why = format!("partition {}: {why}", self.partition.name());
        if fault.needs_a_human() {
            self.health.denied(reason, &why);
        } else {
            self.health.failed(reason, &why);
        }
        self.metrics.counter(&SOURCE_RECONNECTS, &[reason]).inc();
        let wait = match fault.action {
            Action::Yield => self.next_yield(),
            Action::Attach(_) if fault.is_refusal() && self.forgets_the_offset() => OTHER_WAY,
            _ => fault.least_wait(),
        };
        if *reason == "throttled" {
            self.throttled.inc_by(wait.as_secs_f64());
        }
        self.rest_for(wait);
    }

    /// Whether there was an offset; the sequence number is left, and says the same.
    fn forgets_the_offset(&mut self) -> bool {
        let offset = self.received.as_mut().and_then(|it| it.offset.take());
        offset.is_some()
    }

    fn next_yield(&mut self) -> Duration {
        let wait = FIRST_YIELD * 2u32.saturating_pow(self.yields);
        self.yields = (self.yields + 1).min(8);
        wait.min(LONGEST_YIELD)
    }

    fn rest_for(&mut self, wait: Duration) {
        self.rests_until = Some(Instant::now() + wait);
    }

    /// Why the runtime takes no more.
    fn stopped(&mut self) -> Left {
        match self.partition.is_revoked() {
            true => Left::Released,
            false => Left::Stopped,
        }
    }

    /// Rests for as long as decided, over connections; why that was the end, if it was.
    async fn rest(&mut self) -> Option<Left> {
        while let Some(until) = self.rests_until {
            tokio::select! {
                biased;
                control = self.partition.control() => match control {
                    Control::Stop => return Some(Left::Stopped),
                    Control::Revoked => return Some(Left::Released),
                    Control::Rewind(checkpoint) => {
                        if !self.rewind(&checkpoint) {
                            return Some(Left::Stopped);
                        }
                    }
                },
                () = sleep_until(until) => self.rests_until = None,
            }
        }
        None
    }

    /// False if the checkpoint cannot be read: whoever opens the partition anew says more.
    fn rewind(&mut self, checkpoint: &Checkpoint) -> bool {
        match Mark::decode(&checkpoint.cursor) {
            Ok(mark) => (self.received, self.start_at) = begin(mark, self.start_at),
            Err(error) => {
                let partition = self.partition.name();
                error!(partition, %error, "the checkpoint of a rewind cannot be read; opening the partition anew");
                return false;
            }
        }
        self.intake.rewound(checkpoint);
        self.standing.rewound();
        true
    }

    async fn follow(&mut self, link: &mut Link) -> Ended {
        let began = Instant::now();
        let mut ticks = interval(TICK);
        loop {
            let silence = self.pause.map_or(Duration::MAX, |_| SILENCE);
            tokio::select! {
                biased;
                control = self.partition.control() => match control {
                    Control::Stop => return Ended::Stopped,
                    Control::Revoked => return Ended::Revoked,
                    Control::Rewind(checkpoint) => {
                        return match self.rewind(&checkpoint) {
                            true => Ended::Rewound,
                            false => Ended::Stopped,
                        };
                    }
                },
                _ = ticks.tick() => self.answered(began),
                first = timeout(silence, link.receiver.recv()) => {
                    let Ok(first) = first else { return Ended::CaughtUp };
                    if let Err(ended) = self.take(link, first).await {
                        return ended;
                    }
                }
            }
        }
    }

    /// The link is there, so the service answers.
    fn answered(&mut self, began: Instant) {
        self.standing.answered(None);
        self.health.works();
        if began.elapsed() > SECURE {
            self.yields = 0;
        }
    }

    /// Hands over a message, and what came with it.
    async fn take(&mut self, link: &mut Link, first: Incoming) -> Result<(), Ended> {
        let received = self.received.as_ref();
        let mut gathered = self
            .intake
            .gather(&mut link.receiver, first, received)
            .await;
        link.adjust(self.intake.credit(self.ahead)).await;
        let (fault, newest) = (gathered.fault.take(), gathered.newest);
        self.standing.answered(newest.map(|newest| newest + 1));
        if gathered.position != self.received {
            self.hand_over(gathered).await?;
        }
        if let Some(fault) = fault {
            return Err(Ended::Fault(fault));
        }
        let last = self.received.as_ref().map(|it| it.sequence);
        if self.pause.is_some() && newest.is_some() && last >= newest {
            return Err(Ended::CaughtUp);
        }
        Ok(())
    }

    async fn hand_over(&mut self, gathered: Gathered) -> Result<(), Ended> {
        self.heard.store(true, Ordering::Relaxed);
        let Some(after) = gathered.position else {
            return Ok(());
        };
        if self.received.is_none() {
            self.begin(gathered.first.unwrap_or(after.sequence)).await?;
        }
        let newest_ms = after.enqueued_ms.unwrap_or_default();
        self.standing.sent(
            after.sequence,
            gathered.oldest_ms.unwrap_or(newest_ms),
            newest_ms,
        );
        let batch = gathered.harvest.batch(after.encode());
        let sent = self.partition.send(batch).await;
        sent.map_err(|_| Ended::Stopped)?;
        // Not before: a batch that was not handed over must be received again.
        self.received = Some(after);
        Ok(())
    }

    /// Makes the place durable where a time has led to: a start written otherwise later, or none,
    /// must not lead elsewhere.
    async fn begin(&mut self, first: i64) -> Result<(), Ended> {
        let cursor = HubCursor::before(first);
        let durable = self.partition.commit(cursor.encode()).await;
        durable.map_err(|_| Ended::Stopped)?;
        info!(
            partition = self.partition.name(),
            first, "the time is found, and reading begins there"
        );
        self.received = Some(cursor);
        Ok(())
    }
}
