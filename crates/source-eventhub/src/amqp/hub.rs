//! Reads one hub over connections that come and go.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tapline_core::metrics::SOURCE_RECONNECTS;
use tapline_core::{
    Cursor, OpenError, Partition, SourceConfig, SourceContext, SourceError, StreamIdentity,
};
use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep};
use tracing::{error, info};

use super::Reading;
use super::faults::Fault;
use super::intake::Intake;
use super::manage::Bounds;
use super::seat::Seat;
use super::session::{Over, Session};
use crate::config::EventHubConfig;
use crate::cursor::{HubCursor, Mark};
use crate::events::Reaper;
use crate::health::ConnectionHealth;
use crate::standing::Standing;
use crate::start::StartAt;
use crate::start::begin;

const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const TICK: Duration = Duration::from_secs(1);
/// Bytes of messages that a hub may send ahead, over all its partitions; and of one partition, at
/// least, so that links are not idle, and at most, since more brings nothing.
const AHEAD: usize = 8 << 20;
const LEAST_AHEAD: usize = 256 << 10;
const MOST_AHEAD: usize = 2 << 20;

/// One hub, over all its connections.
pub(super) struct HubReader {
    pub(super) name: String,
    pub(super) reading: Arc<Reading>,
    pub(super) health: ConnectionHealth,
    /// Partitions that are not read now, but were over a connection before.
    pub(super) seats: HashMap<String, Seat>,
    /// The partitions that were there at the first count.
    pub(super) first: Option<BTreeSet<String>>,
    /// Those that were there at the last count.
    known: Vec<String>,
    cx: SourceContext,
    heard: Arc<AtomicBool>,
    shown: Arc<Mutex<Shown>>,
}

/// What is shown of partitions, by their ids, whether they can be read or not.
type Shown = HashMap<String, (watch::Receiver<Cursor>, Weak<Standing>)>;

impl HubReader {
    pub(super) fn new(name: &str, reading: Arc<Reading>, cx: SourceContext) -> Self {
        Self {
            name: name.to_owned(),
            health: ConnectionHealth::new(&cx, &reading.metrics, name),
            reading,
            seats: HashMap::new(),
            first: None,
            known: Vec::new(),
            cx,
            heard: Arc::default(),
            shown: Arc::default(),
        }
    }

    pub(super) async fn run(mut self) -> Result<(), SourceError> {
        let (cx, shown) = (self.cx.clone(), Arc::clone(&self.shown));
        tokio::select! {
            biased;
            () = cx.stopped() => Ok(()),
            () = show(&shown) => Ok(()),
            ended = self.connections() => if cx.is_stopped() { Ok(()) } else { Err(ended) },
        }
    }

    /// Ends only when the source cannot go on.
    async fn connections(&mut self) -> SourceError {
        let mut wait = FIRST_WAIT;
        loop {
            let began = Instant::now();
            let fault = match self.connection().await {
                Over::Fault(fault) => fault,
                Over::Source(error) => return error,
            };
            self.tell(&fault);
            let metrics = &self.reading.metrics;
            metrics.counter(&SOURCE_RECONNECTS, &[fault.reason]).inc();
            let was_of_use = self.heard.swap(false, Ordering::Relaxed);
            if was_of_use || began.elapsed() > LONGEST_WAIT {
                wait = FIRST_WAIT;
            }
            sleep(wait.max(fault.least_wait())).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    async fn connection(&mut self) -> Over {
        match Session::open(self).await {
            Ok(session) => session.run().await,
            Err(fault) => Over::Fault(fault),
        }
    }

    pub(super) fn tell(&self, fault: &Fault) {
        let why = format!("hub {}: {}", self.name, fault.why);
        if fault.needs_a_human() {
            self.health.denied(fault.reason, &why);
        } else {
            self.health.failed(fault.reason, &why);
        }
    }

    /// The standing of a partition from which nothing was heard for a while.
    pub(super) fn silent(&self, id: &str) -> Option<Arc<Standing>> {
        let standing = self.shown().get(id)?.1.upgrade()?;
        standing.is_silent().then_some(standing)
    }

    /// Notes which partitions there are.
    pub(super) fn note(&mut self, ids: &[String]) {
        self.known = ids.to_vec();
        let first = || ids.iter().cloned().collect();
        self.first.get_or_insert_with(first);
    }

    /// Whether the runtime decides what this process reads.
    pub(super) fn is_divided(&self) -> bool {
        self.cx.owns(&self.partition("0")).is_some()
    }

    /// The partitions that the runtime gives this process; none if it does not decide that.
    pub(super) fn divided(&self) -> Option<BTreeSet<String>> {
        let ours = |id: &&String| self.cx.owns(&self.partition(id)) == Some(true);
        let ours = || self.known.iter().filter(ours).cloned().collect();
        self.is_divided().then(ours)
    }

    /// Whether that is another set than what is read.
    pub(super) fn is_divided_anew(&self, read: &BTreeSet<String>) -> bool {
        self.divided().is_some_and(|ours| ours != *read)
    }

    /// The name of a partition, in checkpoints and metrics.
    fn partition(&self, id: &str) -> String {
        format!("{}/{id}", self.name)
    }

    /// Completes when another process is to read a partition. Cancel-safe.
    async fn taken_away(&self, name: &str) {
        while self.cx.owns(name) != Some(false) {
            sleep(TICK).await;
        }
    }

    /// Opens a partition that this process does not read yet; none if another one reads it by now.
    pub(super) async fn open(
        &self,
        id: &str,
        bounds: Bounds,
        partitions: usize,
    ) -> Result<Option<Seat>, SourceError> {
        let reading = &self.reading;
        let name = self.partition(id);
        let wrong = |error: OpenError| SourceError(error.to_string());
        let opened = tokio::select! {
            opened = self.cx.open(&name, self.identity(id)) => opened,
            () = self.taken_away(&name) => return Ok(None),
        };
        let partition = opened.map_err(wrong)?;
        let (received, start_at) = self.place(id, &partition, bounds).await?;
        let next = received.as_ref().map_or(bounds.oldest, HubCursor::next);
        let standing = Arc::new(Standing::new(&reading.metrics, &name, next));
        standing.has(bounds.oldest, bounds.end);
        standing.answered(None);
        self.show(id, &partition, &standing);
        info!(partition = name, next, "reading");
        let memory = reading.memory.as_ref();
        let recall =
            memory.map(|memory| memory.open(&name, partition.checkpoint(), &reading.metrics));
        let labels = Arc::clone(&reading.labels);
        let reaper = Reaper::new(&reading.tables, labels, &reading.metrics, recall);
        Ok(Some(Seat {
            id: id.to_owned(),
            address: format!(
                "{}/ConsumerGroups/{}/Partitions/{id}",
                self.name, reading.group
            ),
            owner_level: reading.owner_level,
            partition,
            received,
            start_at,
            intake: Intake::new(&self.name, id, reaper, &reading.metrics),
            ahead: (AHEAD / partitions.max(1)).clamp(LEAST_AHEAD, MOST_AHEAD),
            pause: reading.pause,
            standing,
            health: ConnectionHealth::new(&self.cx, &reading.metrics, &name),
            metrics: reading.metrics.clone(),
            throttled: Seat::throttled(&reading.metrics, &name),
            heard: Arc::clone(&self.heard),
            rests_until: None,
            yields: 0,
        }))
    }

    fn identity(&self, id: &str) -> StreamIdentity {
        let Reading { access, group, .. } = &*self.reading;
        let parts = [
            ("namespace", access.namespace.to_ascii_lowercase()),
            ("hub", self.name.clone()),
            ("group", group.clone()),
            ("partition", id.to_owned()),
        ];
        StreamIdentity {
            source: EventHubConfig::TYPE.to_owned(),
            parts: parts.map(|(part, value)| (part.to_owned(), value)).to_vec(),
        }
    }

    /// After what to read, or where to begin; nothing to read after where only a time is known yet.
    async fn place(
        &self,
        id: &str,
        partition: &Partition,
        bounds: Bounds,
    ) -> Result<(Option<HubCursor>, StartAt), SourceError> {
        let name = partition.name();
        let checkpoint = Mark::decode(&partition.checkpoint().cursor)
            .map_err(|error| SourceError(format!("{name}: {error}")))?;
        let (checkpoint, start_at) = begin(checkpoint, self.start_of(id));
        let next = match checkpoint {
            Some(cursor) if cursor.next() > bounds.end => {
                error!(
                    partition = name,
                    wanted = cursor.next(),
                    end = bounds.end,
                    "the hub ends before what was read already: it was made anew; reading it from its beginning"
                );
                bounds.oldest
            }
            Some(cursor) => return Ok((Some(cursor), start_at)),
            None => match start_at {
                StartAt::Earliest => bounds.oldest,
                StartAt::Latest => bounds.end,
                StartAt::Time(time) if bounds.ends_before(time.as_millisecond()) => bounds.end,
                StartAt::Time(_) => return Ok((None, start_at)),
            },
        };
        // From here on nothing is lost, also if nothing can be read yet.
        let cursor = HubCursor::before(next);
        let durable = partition.commit(cursor.encode()).await;
        durable.map_err(|error| SourceError(error.to_string()))?;
        Ok((Some(cursor), start_at))
    }

    /// A partition that was added while we read has nothing but new messages.
    fn start_of(&self, id: &str) -> StartAt {
        let is_new = self.first.as_ref().is_some_and(|first| !first.contains(id));
        if is_new {
            StartAt::Earliest
        } else {
            self.reading.start_at
        }
    }

    fn show(&self, id: &str, partition: &Partition, standing: &Arc<Standing>) {
        let shown = (partition.settled(), Arc::downgrade(standing));
        self.shown().insert(id.to_owned(), shown);
    }

    fn shown(&self) -> MutexGuard<'_, Shown> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Shows every second how far partitions are; never ends.
async fn show(shown: &Mutex<Shown>) {
    let mut ticks = interval(TICK);
    loop {
        ticks.tick().await;
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        shown.retain(|_, (settled, standing)| {
            let Some(standing) = standing.upgrade() else {
                return false;
            };
            if let Ok(Some(settled)) = HubCursor::settled(&settled.borrow()) {
                standing.settled(settled.next());
            }
            standing.show();
            true
        });
    }
}
