//! All records that exist, and when each can be read.

use crate::hub::{Packer, Streamed};
use crate::ledger::{Ledger, Line};
use crate::ticks;
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;

/// The kinds of records, and what the ledger calls them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Alert,
    Incident,
    Detection,
    /// A row that is streamed, with `hunting.` and the table's name, and the number of its message.
    Hunting(&'static str, u64),
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Alert => "graph.alert",
            Self::Incident => "graph.incident",
            Self::Detection => "siem.detection",
            Self::Hunting(name, _) => name,
        }
    }
}

/// One version of one record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: Arc<str>,
    /// The identity's version: the raw text of the time.
    pub(crate) version: Box<str>,
    /// The same time in ticks.
    pub(crate) updated: i64,
    pub(crate) created: i64,
    /// The incident that an alert belongs to.
    pub(crate) incident: Option<Arc<str>>,
    pub(crate) body: Bytes,
}

/// A record on its way into the world.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) kind: Kind,
    pub(crate) tenant: Arc<str>,
    pub(crate) record: Record,
    pub(crate) visible_at: Instant,
}

/// The records of one kind and tenant, by id and by time.
#[derive(Debug, Default)]
pub(crate) struct Records {
    by_id: HashMap<Arc<str>, (Arc<Record>, Instant)>,
    by_time: BTreeMap<(i64, Arc<str>), Arc<Record>>,
    by_incident: HashMap<Arc<str>, BTreeSet<Arc<str>>>,
}

impl Records {
    pub(crate) fn get(&self, id: &str) -> Option<&Arc<Record>> {
        self.by_id.get(id).map(|entry| &entry.0)
    }

    /// The records last changed within these ticks, oldest first; one time's records stand in the order of their ids.
    pub(crate) fn changed(
        &self,
        ticks: &RangeInclusive<i64>,
    ) -> impl DoubleEndedIterator<Item = &Arc<Record>> {
        let (from, to) = (*ticks.start(), (*ticks.end()).max(*ticks.start()));
        let range = self
            .by_time
            .range((from, Arc::from(""))..(to.saturating_add(1), Arc::from("")));
        range
            .map(|entry| entry.1)
            .filter(|record| ticks.contains(&record.updated))
    }

    /// The alerts of one incident.
    pub(crate) fn of_incident(&self, incident: &str) -> impl Iterator<Item = &Arc<Record>> {
        let ids = self.by_incident.get(incident).into_iter().flatten();
        ids.filter_map(|id| self.get(id))
    }

    fn insert(&mut self, record: Record, now: Instant) {
        self.remove(&record.id);
        let record = Arc::new(record);
        if let Some(incident) = &record.incident {
            self.by_incident
                .entry(Arc::clone(incident))
                .or_default()
                .insert(Arc::clone(&record.id));
        }
        self.by_time.insert(
            (record.updated, Arc::clone(&record.id)),
            Arc::clone(&record),
        );
        self.by_id.insert(Arc::clone(&record.id), (record, now));
    }

    fn remove(&mut self, id: &Arc<str>) {
        let Some((old, _)) = self.by_id.remove(id) else {
            return;
        };
        self.by_time.remove(&(old.updated, Arc::clone(id)));
        if let Some(alerts) = old
            .incident
            .as_ref()
            .and_then(|incident| self.by_incident.get_mut(incident))
        {
            alerts.remove(id);
        }
    }
}

/// What one tenant has.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) alerts: Records,
    pub(crate) incidents: Records,
    pub(crate) detections: Records,
}

impl Tenant {
    /// Where records of a kind are kept; nowhere, if they are streamed.
    fn of(&mut self, kind: Kind) -> Option<&mut Records> {
        match kind {
            Kind::Alert => Some(&mut self.alerts),
            Kind::Incident => Some(&mut self.incidents),
            Kind::Detection => Some(&mut self.detections),
            Kind::Hunting(..) => None,
        }
    }
}

/// All tenants, what is still to come, and the ledger.
#[derive(Debug)]
pub(crate) struct World {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    tenants: HashMap<Arc<str>, Tenant>,
    pending: BTreeMap<(Instant, u64), Publication>,
    numbered: u64,
    made: u64,
    ledger: Option<Ledger>,
    /// Takes what is streamed.
    packer: Option<Packer>,
    /// What is streamed as soon as the ledger tells of it.
    streamed: Vec<Streamed>,
    /// Whether the ledger could not be written once; nothing is shown from then on.
    broken: bool,
}

impl World {
    pub(crate) fn new(ledger: Option<Ledger>, packer: Option<Packer>) -> Self {
        Self {
            state: Mutex::new(State {
                ledger,
                packer,
                ..State::default()
            }),
        }
    }

    /// Takes records in: those that are due can be read when this returns, the others from their time on.
    ///
    /// # Errors
    /// When the ledger cannot be written; nothing at all can be read from then on.
    pub(crate) fn publish(&self, batch: impl IntoIterator<Item = Publication>) -> io::Result<()> {
        let mut state = self.lock();
        for publication in batch {
            state.numbered += 1;
            let place = (publication.visible_at, state.numbered);
            state.pending.insert(place, publication);
        }
        state.promote()
    }

    /// How many versions can be read, or could until a newer one came.
    pub(crate) fn made(&self) -> u64 {
        self.lock().made
    }

    /// Reads one tenant's records as they are now; `None` when it has none.
    pub(crate) fn read<T>(&self, tenant: &str, look: impl FnOnce(&Tenant) -> T) -> Option<T> {
        let mut state = self.lock();
        if let Err(error) = state.promote() {
            tracing::error!(%error, "the ledger cannot be written; nothing is shown any more");
        }
        if state.broken {
            None
        } else {
            state.tenants.get(tenant).map(look)
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Moves what is due into sight. Nobody sees it before the ledger tells of it, since the state is locked until then.
    fn promote(&mut self) -> io::Result<()> {
        let now = Instant::now();
        if self
            .pending
            .first_key_value()
            .is_none_or(|entry| entry.0.0 > now)
        {
            return Ok(());
        }
        let later = self.pending.split_off(&(now, u64::MAX));
        let due = std::mem::replace(&mut self.pending, later);
        let shown = due
            .into_values()
            .try_for_each(|publication| self.show(publication, now));
        let told = shown.and_then(|()| self.ledger.as_mut().map_or(Ok(()), Ledger::flush));
        self.broken |= told.is_err();
        let streamed = std::mem::take(&mut self.streamed);
        if let Some(packer) = self.packer.as_mut().filter(|_| !self.broken) {
            packer.stream(streamed);
        }
        told
    }

    fn show(&mut self, publication: Publication, now: Instant) -> io::Result<()> {
        let Publication {
            kind,
            tenant,
            record,
            ..
        } = publication;
        let records = self
            .tenants
            .entry(Arc::clone(&tenant))
            .or_default()
            .of(kind);
        if let Some(ledger) = &mut self.ledger {
            let old = records
                .as_ref()
                .and_then(|records| records.by_id.get(&record.id));
            let line = |version, superseded_after_ms| Line {
                kind: kind.name(),
                tenant: &tenant,
                id: &record.id,
                version,
                superseded_after_ms,
            };
            if let Some((old, since)) = old {
                let lasted =
                    u64::try_from(now.duration_since(*since).as_millis()).unwrap_or(u64::MAX);
                ledger.note(&line(&old.version, Some(lasted)))?;
            }
            ledger.note(&line(&record.version, None))?;
        }
        match (records, kind) {
            (Some(records), _) => records.insert(record, now),
            (None, Kind::Hunting(kind, message)) => self.streamed.push(Streamed {
                kind,
                tenant,
                properties: record.body,
                message,
            }),
            (None, _) => {}
        }
        self.made += 1;
        Ok(())
    }
}

/// All ticks that a filter may name.
pub(crate) const ALL_TIME: RangeInclusive<i64> = -(1 << 60)..=(1 << 60);

/// Now and the length of time before it, in ticks.
pub(crate) fn last_ticks(length: i64) -> RangeInclusive<i64> {
    let now = ticks::now();
    now.saturating_sub(length)..=now
}
