//! Reads one partition: decides what to ask when, and makes batches of the answers.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use reqwest::Url;
use tapline_core::{Batch, Checkpoint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tracing::{Instrument, Span, debug, info_span};

use crate::api::Api;
use crate::clock::ServerClock;
use crate::config::DefenderConfig;
use crate::cursor::CursorError;
use crate::error::ReadError;
use crate::health::Health;
use crate::limits::{
    ANSWER_CAP, ANSWER_TARGET, LAST_RESORT_CAP, QUIET_COMMIT, REWIND_PAUSE, SIEM_WINDOW,
};
use crate::pace::Pace;
use crate::page::{self, Page, PageError};
use crate::query::Query;
use crate::sift::{Expanded, Sifted, Stamp};
use crate::tables::Tables;
use crate::times::Ticks;
use crate::walk::{Answered, Ask, Style, Walk, Window};

/// The first re-read comes soon after the start: a process that is often restarted re-reads too.
const FIRST_REREAD: Duration = Duration::from_secs(60);

/// The times of a source's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    pub(crate) poll_interval: Duration,
    pub(crate) lookback: Duration,
    pub(crate) settle: Duration,
    pub(crate) overlap: Duration,
    pub(crate) reread_interval: Option<Duration>,
    pub(crate) reread: Duration,
}

impl Times {
    pub(crate) fn of(config: &DefenderConfig) -> Self {
        let interval = Duration::from_secs(config.reread_interval_secs);
        Self {
            poll_interval: config.poll_interval(),
            lookback: Duration::from_secs(config.initial_lookback_secs),
            settle: Duration::from_secs(config.settle_secs),
            overlap: Duration::from_secs(config.overlap_secs),
            reread_interval: Some(interval).filter(|interval| !interval.is_zero()),
            reread: Duration::from_secs(config.reread_secs),
        }
    }

    /// A span is read once: what is visible of the past has settled, and nothing is looked at again
    /// but what has the time that reading stopped at.
    pub(crate) fn of_span(self) -> Self {
        Self {
            overlap: Duration::ZERO,
            reread_interval: None,
            reread: Duration::ZERO,
            ..self
        }
    }
}

/// Why a window is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Purpose {
    /// The next records.
    Poll,
    /// What became visible later than the overlap.
    Reread,
}

/// What is under way.
#[derive(Debug)]
pub(crate) struct Walking {
    pub(crate) walk: Walk,
    newest: Ticks,
}

/// A batch, and the right to hold its answer in memory.
pub(crate) struct Turn {
    pub(crate) batch: Batch,
    pub(crate) _permit: OwnedSemaphorePermit,
}

/// The reading of one partition.
pub(crate) struct Reading {
    pub(crate) api: Api,
    pub(crate) query: Query,
    pub(crate) stamp: Stamp,
    pub(crate) times: Times,
    pub(crate) tables: Tables,
    pub(crate) answers: Arc<Semaphore>,
    pub(crate) wants_expansion: bool,
    clock: ServerClock,
    pub(crate) pace: Pace,
    poll: Option<Walking>,
    reread: Option<Walking>,
    /// A poll was begun since the last step of a re-read: who is slow does both in turn.
    reread_is_next: bool,
    next_poll: Instant,
    next_reread: Option<Instant>,
    next_quiet_commit: Instant,
    pub(crate) expand_from: Instant,
    pub(crate) top: usize,
    widest: usize,
    pub(crate) last_resort: bool,
    corrects_start: bool,
    until: Option<Ticks>,
}

/// What a reading is made of.
pub(crate) struct Parts {
    pub(crate) api: Api,
    pub(crate) query: Query,
    pub(crate) stamp: Stamp,
    pub(crate) times: Times,
    pub(crate) tables: Tables,
    pub(crate) answers: Arc<Semaphore>,
    pub(crate) wants_expansion: bool,
    /// Whether the starting point came from the local clock, and is corrected by the server's.
    pub(crate) corrects_start: bool,
    /// Nothing from here on is read.
    pub(crate) until: Option<Ticks>,
}

impl Reading {
    pub(crate) fn new(parts: Parts) -> Self {
        let now = Instant::now();
        Self {
            top: parts.query.most_rows(),
            next_reread: parts
                .times
                .reread_interval
                .map(|interval| now + interval.min(FIRST_REREAD)),
            api: parts.api,
            query: parts.query,
            stamp: parts.stamp,
            times: parts.times,
            tables: parts.tables,
            answers: parts.answers,
            wants_expansion: parts.wants_expansion,
            corrects_start: parts.corrects_start,
            until: parts.until,
            clock: ServerClock::default(),
            pace: Pace::default(),
            poll: None,
            reread: None,
            reread_is_next: false,
            next_poll: now,
            next_quiet_commit: now,
            expand_from: now,
            widest: 0,
            last_resort: false,
        }
    }

    /// Starts over from a checkpoint, the tables of what was seen included.
    ///
    /// # Errors
    /// Why it cannot be read. The runtime gives back what it was given, so it is a bug of ours; to read
    /// on would lose what the rewind is for.
    pub(crate) fn rewind(&mut self, checkpoint: &Checkpoint) -> Result<(), CursorError> {
        let (mode, floor) = (self.tables.gate.mode(), self.tables.position.floor);
        let restored = Tables::restore(checkpoint, mode)?;
        self.tables = restored.unwrap_or_else(|| Tables::starting_at(floor, mode));
        (self.poll, self.reread) = (None, None);
        self.health().rewound();
        self.next_poll = Instant::now() + REWIND_PAUSE;
        Ok(())
    }

    /// Reads on until there is a batch to hand over; waits out and reports failures itself. None
    /// when everything up to the end is read.
    ///
    /// # Cancel safety
    /// What was read is lost with the future: call [`Reading::rewind`] before the next call.
    /// While it only waits between two polls, nothing is lost.
    pub(crate) async fn next(&mut self) -> Option<Turn> {
        loop {
            if self.is_done() {
                return None;
            }
            let Some(purpose) = self.due().await else {
                continue;
            };
            match self.step(purpose).await {
                Ok(turn) => {
                    self.pace.worked();
                    if turn.is_some() {
                        return turn;
                    }
                }
                Err(error) => self.recover(purpose, &error).await,
            }
        }
    }

    fn is_done(&self) -> bool {
        let read_to = self.tables.position.read_to;
        self.poll.is_none() && self.until.is_some_and(|until| read_to >= until)
    }

    /// Waits until something is to be read.
    async fn due(&mut self) -> Option<Purpose> {
        let now = Instant::now();
        if self.poll.is_some() {
            return Some(Purpose::Poll);
        }
        let reread_is_due = self.next_reread.is_some_and(|at| now >= at);
        let reread_waits = self.reread.is_some() || reread_is_due;
        if now >= self.next_poll && !(self.reread_is_next && reread_waits) {
            self.reread_is_next = true;
            self.start_poll(now).await;
            return None;
        }
        if self.reread.is_some() {
            self.reread_is_next = false;
            return Some(Purpose::Reread);
        }
        if reread_is_due {
            self.start_reread(now);
            return None;
        }
        let until = self
            .next_reread
            .map_or(self.next_poll, |at| at.min(self.next_poll));
        tokio::time::sleep_until(until).await;
        None
    }

    async fn start_poll(&mut self, now: Instant) {
        let Some(server_now) = self.server_now().await else {
            return;
        };
        let settled = server_now.minus(self.times.settle);
        let to = self.until.map_or(settled, |until| settled.min(until));
        let from = self.edge_of_overlap();
        self.next_poll = now + self.times.poll_interval;
        self.poll = self.walk(Window { from, to });
    }

    /// The overlap starts here; everything older is only read again once an hour.
    fn edge_of_overlap(&self) -> Ticks {
        let position = &self.tables.position;
        position
            .newest
            .minus(self.times.overlap)
            .max(position.floor)
    }

    fn start_reread(&mut self, now: Instant) {
        self.next_reread = self.times.reread_interval.map(|interval| now + interval);
        let position = &self.tables.position;
        let from = position
            .read_to
            .minus(self.times.reread)
            .max(position.floor);
        let to = self.edge_of_overlap();
        self.reread = self.walk(Window { from, to });
    }

    fn walk(&self, window: Window) -> Option<Walking> {
        let walk = Walk::new(self.query.style(), window, self.widest);
        let newest = Ticks::default();
        (!walk.is_done()).then_some(Walking { walk, newest })
    }

    /// The server's time; asks for nothing if it was never heard, because the local clock may
    /// be wrong.
    async fn server_now(&mut self) -> Option<Ticks> {
        if self.clock.now().is_none() {
            let at = self.tables.position.newest;
            let nothing = Ask {
                window: Window { from: at, to: at },
                skip: 0,
                conditions: Vec::new(),
                link: None,
            };
            let url = self.query.page(&nothing, 1, false);
            let asked = self.api.get(&url, ANSWER_CAP, &mut self.clock).await;
            if let Err(error) = asked {
                self.recover(Purpose::Poll, &error).await;
                return None;
            }
            if self.clock.now().is_none() {
                self.health()
                    .notice("no_date", "the server does not say its time");
                self.clock.guess();
            }
        }
        self.correct_start();
        self.clock.now()
    }

    /// A new partition's starting point came from the local clock, which may be ahead.
    fn correct_start(&mut self) {
        let Some(now) = self.clock.now().filter(|_| self.corrects_start) else {
            return;
        };
        self.corrects_start = false;
        let start = now.minus(self.times.lookback);
        if start < self.tables.position.floor {
            self.tables = Tables::starting_at(start, self.tables.gate.mode());
        }
    }

    /// Asks once, outside of a walk.
    pub(crate) async fn get(&mut self, url: &Url, cap: usize) -> Result<Bytes, ReadError> {
        self.api.get(url, cap, &mut self.clock).await
    }

    pub(crate) fn health(&self) -> &Health {
        &self.api.health
    }

    pub(crate) fn walking(&mut self, purpose: Purpose) -> &mut Option<Walking> {
        match purpose {
            Purpose::Poll => &mut self.poll,
            Purpose::Reread => &mut self.reread,
        }
    }

    pub(crate) fn expands(&self) -> bool {
        self.wants_expansion && Instant::now() >= self.expand_from
    }

    fn top(&self) -> usize {
        /// Incidents that are expanded one by one are held in memory together.
        const ONE_BY_ONE: usize = 10;
        let one_by_one = self.wants_expansion && !self.expands();
        if one_by_one {
            self.top.min(ONE_BY_ONE)
        } else {
            self.top
        }
    }

    /// Asks for the next part and makes a batch of the answer.
    async fn step(&mut self, purpose: Purpose) -> Result<Option<Turn>, ReadError> {
        let Some(ask) = self.walking(purpose).as_ref().and_then(|it| it.walk.ask()) else {
            *self.walking(purpose) = None;
            return Ok(None);
        };
        let span = info_span!("page", tenant = %self.stamp.tenant, kind = %self.stamp.kind);
        self.read_part(purpose, &ask).instrument(span).await
    }

    /// The batch's trace is the current one, so that it begins with the request.
    async fn read_part(&mut self, purpose: Purpose, ask: &Ask) -> Result<Option<Turn>, ReadError> {
        let permit = Arc::clone(&self.answers).acquire_owned().await;
        let permit = permit.expect("the semaphore is never closed");
        let (top, expand) = (self.top(), self.expands());
        let url = self.query.page(ask, top, expand);
        let cap = if self.last_resort {
            LAST_RESORT_CAP
        } else {
            ANSWER_CAP
        };
        let answer = self.api.get(&url, cap, &mut self.clock).await?;
        let answer = self.repaired(answer);
        let page = self.parse(&answer)?;
        let expanded = self.expand_one_by_one(&page, expand).await;
        let batch = self.took(purpose, ask, top, &answer, page, &expanded);
        Ok(batch.map(|batch| Turn {
            batch,
            _permit: permit,
        }))
    }

    /// JSON is UTF-8; a record that is not would make every page that holds it unreadable, and
    /// the reading stand still.
    fn repaired(&self, answer: Bytes) -> Bytes {
        if simdutf8::basic::from_utf8(&answer).is_ok() {
            return answer;
        }
        let what = "an answer is not UTF-8; what is not is replaced by U+FFFD";
        self.health().notice("bad_record", what);
        Bytes::from(String::from_utf8_lossy(&answer).into_owned())
    }

    fn parse<'a>(&self, answer: &'a [u8]) -> Result<Page<'a>, ReadError> {
        let answer = simdutf8::basic::from_utf8(answer);
        let answer = answer.map_err(|error| ReadError::NotAPage(error.to_string()))?;
        let page = match self.query.style() {
            Style::Whole(_) => page::detections(answer),
            Style::Paged(_) => page::graph(answer),
        };
        page.map_err(|error: PageError| ReadError::NotAPage(error.to_string()))
    }

    /// Takes an answer into account; no waiting in here, so that it happens as a whole or not.
    fn took(
        &mut self,
        purpose: Purpose,
        ask: &Ask,
        top: usize,
        answer: &Bytes,
        page: Page<'_>,
        expanded: &Expanded,
    ) -> Option<Batch> {
        let rows = page.records.len();
        let mut sifted = (self.stamp).sift(
            &mut self.tables,
            answer,
            page.records,
            expanded,
            ask.window.to,
        );
        let answered = Answered {
            rows,
            times: std::mem::take(&mut sifted.times),
            next_link: self.allowed(page.next_link),
            top,
        };
        self.adapt(purpose, rows, answer.len());
        self.moved(purpose, &answered);
        self.count(purpose, &sifted);
        self.batch(sifted)
    }

    fn allowed(&self, link: Option<String>) -> Option<String> {
        let link = link?;
        let own = self.query.own_link(&link).is_some();
        if !own {
            let what = "a link leads to another host; it is not followed";
            self.health().notice("foreign_link", what);
        }
        own.then_some(link)
    }

    /// Keeps answers below their target size.
    fn adapt(&mut self, purpose: Purpose, rows: usize, bytes: usize) {
        self.last_resort = false;
        if bytes > ANSWER_TARGET && rows > 0 {
            self.top = (rows * (ANSWER_TARGET / 2) / bytes).clamp(1, self.top);
        } else if bytes < ANSWER_TARGET / 4 && rows >= self.top {
            self.top = (self.top * 2).min(self.query.most_rows());
        }
        if bytes < ANSWER_TARGET / 4
            && let Some(walking) = self.walking(purpose)
        {
            walking.walk.widen(SIEM_WINDOW);
        }
    }

    /// Moves walk and position on.
    fn moved(&mut self, purpose: Purpose, answered: &Answered) {
        let overlap = self.times.overlap;
        let Some(walking) = self.walking(purpose) else {
            return;
        };
        let oddity = walking.walk.answered(answered);
        walking.newest = answered
            .times
            .iter()
            .copied()
            .fold(walking.newest, Ticks::max);
        let (safe, end) = (walking.walk.safe(), walking.walk.end());
        let newest = safe.min(walking.newest.max(end.minus(overlap)));
        let (done, widest) = (walking.walk.is_done(), walking.walk.widest());
        self.widest = widest;
        if let Some(oddity) = oddity {
            self.health().odd(oddity);
        }
        if purpose == Purpose::Poll {
            self.tables.position.advance(newest, safe);
        }
        if done {
            *self.walking(purpose) = None;
            self.health().polled();
        }
        self.health().read(self.age(self.tables.position.read_to));
    }

    fn age(&self, time: Ticks) -> Duration {
        let local = || Ticks::from_timestamp(Timestamp::now());
        self.clock.now().unwrap_or_else(local).since(time)
    }

    fn count(&self, purpose: Purpose, sifted: &Sifted) {
        let late = if purpose == Purpose::Reread {
            sifted.new
        } else {
            0
        };
        self.health().saw(sifted.repeated, late, sifted.unchanged);
        for rejected in &sifted.rejected {
            self.health().count(rejected.reason);
        }
        if sifted.new > 0 {
            debug!(
                tenant = %self.stamp.tenant,
                events = sifted.events.len(),
                rejected = sifted.rejected.len(),
                repeated = sifted.repeated,
                late,
                "records read"
            );
        }
    }

    /// The batch of a page, or none if nothing would be gained by it.
    fn batch(&mut self, sifted: Sifted) -> Option<Batch> {
        let mut deletes = Vec::new();
        // A span is one long walk, and is not looked at again.
        if self.poll.is_none() || self.until.is_some() {
            deletes = self.tables.prune(self.times.reread);
        }
        let quiet = sifted.puts.is_empty() && deletes.is_empty();
        if quiet && Instant::now() < self.next_quiet_commit {
            return None;
        }
        self.next_quiet_commit = Instant::now() + QUIET_COMMIT;
        // Before it is handed over: it may be settled before that returns.
        if let Some(oldest) = sifted.oldest {
            self.health().sent(self.tables.position, self.age(oldest));
        }
        let mut batch = Batch::new(self.tables.position.encode(), sifted.events);
        batch.span = Span::current();
        batch.rejected = sifted.rejected;
        batch.puts = sifted.puts;
        batch.deletes = deletes;
        Some(batch)
    }
}
