//! One process from its start to its end.

use std::collections::VecDeque;
use std::sync::Arc;

use rand::Rng;
use rand::rngs::SmallRng;
use tapline_core::Verdict;
use tapline_core::metrics::Gauge;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Broken;
use super::book::Book;
use super::disk::{Asked, Disk};
use super::intake::Intake;
use super::microsoft::{Branches, LAKE, LAKE_TWIN, Microsoft, SIEM};
use super::reader::{Read, Reader};
use super::scenery::{Body, SINKS, SOURCE, Scenery, TRANSFORM};
use super::sink::Worker;
use super::world::Weather;
use crate::budget::Budget;
use crate::dead_letters::Letter;
use crate::run::ledger::Ledger;
use crate::settling::{SettlingLimits, Step};

/// Letters that wait for the disk.
const LETTERS: usize = 4;

pub(super) struct Life {
    partitions: Vec<Partition>,
    workers: Vec<Worker>,
    letters: VecDeque<Letter>,
    budget: usize,
    used: Gauge,
    heaviest: usize,
    pub(super) stopping: bool,
    /// Something was lost, so that a stop may come before it was read again.
    pub(super) lost: bool,
    /// Something was lost while it was stopping, and nobody reads it again.
    abandoned: bool,
}

struct Partition {
    reader: Reader,
    slot: Option<Read>,
    intake: Intake,
    ledger: Arc<Ledger>,
    committing: Option<Asked>,
}

/// What is outside of the process.
pub(super) struct Outside<'a> {
    pub(super) now: Instant,
    pub(super) microsoft: &'a Microsoft,
    pub(super) disk: &'a mut Disk,
    pub(super) book: &'a mut Book,
    pub(super) weather: &'a Weather,
    pub(super) rng: &'a mut SmallRng,
}

impl Life {
    /// Starts from what is durable.
    pub(super) fn new(scenery: &Scenery, outside: &mut Outside<'_>, partitions: usize) -> Self {
        let rng = &mut *outside.rng;
        let (inlets, inboxes): (Vec<_>, Vec<_>) = SINKS.iter().map(|_| mpsc::channel(2)).unzip();
        let budget = rng.random_range(1_000..12_000);
        let used = Gauge::new("bytes", "bytes").expect("legal");
        let share = Arc::new(Budget::new(budget, used.clone()).share());
        let limits = SettlingLimits {
            open_batches: rng.random_range(1..8),
            ..SettlingLimits::default()
        };
        let start = |partition| {
            let ledger = Arc::new(Ledger::new(limits));
            let flow = scenery.flow(&inlets);
            let checkpoint = outside.disk.checkpoint(partition).clone();
            Partition {
                reader: Reader::new(partition, checkpoint, outside.weather.forgets),
                slot: None,
                intake: Intake::new(Arc::clone(&ledger), Arc::clone(&share), flow),
                ledger,
                committing: None,
            }
        };
        let partitions = (0..partitions).map(start).collect();
        let workers = inboxes.into_iter().enumerate();
        Self {
            partitions,
            workers: workers
                .map(|(at, inbox)| Worker::new(at, inbox, rng))
                .collect(),
            letters: VecDeque::new(),
            budget,
            used,
            heaviest: 0,
            stopping: false,
            lost: false,
            abandoned: false,
        }
    }

    /// One part makes one step.
    pub(super) fn step(&mut self, outside: &mut Outside<'_>) -> Result<(), Broken> {
        let partition = outside.rng.random_range(0..self.partitions.len());
        let worker = outside.rng.random_range(0..self.workers.len());
        match outside.rng.random_range(0..12) {
            0 | 1 => self.read(partition, outside)?,
            2..5 => self.take_in(partition, outside.book),
            5 | 6 => self.keep(partition, outside)?,
            7 => self.finish_commit(partition, outside)?,
            8 => self.keep_letters(outside),
            _ => self.work(worker, outside)?,
        }
        self.check_memory()
    }

    fn read(&mut self, at: usize, outside: &mut Outside<'_>) -> Result<(), Broken> {
        let partition = &mut self.partitions[at];
        // Like every source: what the runtime says comes first, and one batch waits at most.
        if partition.reader.rewind() {
            outside.book.forget(at, outside.disk, outside.microsoft);
        } else if !self.stopping && partition.slot.is_none() {
            let (book, rng) = (&mut *outside.book, &mut *outside.rng);
            partition.slot = partition.reader.page(outside.microsoft, book, rng)?;
            let weight = partition.slot.as_ref().map_or(0, |it| it.batch.weight());
            self.heaviest = self.heaviest.max(weight);
        }
        Ok(())
    }

    fn take_in(&mut self, at: usize, book: &mut Book) {
        let Partition { slot, intake, .. } = &mut self.partitions[at];
        intake.step(slot, |letter| {
            let (row, branches) = addressees(&letter);
            book.give_up(row, branches);
            post(&mut self.letters, letter)
        });
    }

    fn keep(&mut self, at: usize, outside: &mut Outside<'_>) -> Result<(), Broken> {
        let partition = &mut self.partitions[at];
        let is_called = outside.rng.random_bool(0.5);
        let Ok(step) = partition.ledger.step_if(is_called, outside.now) else {
            return Ok(());
        };
        match step {
            Step::Commit { cursor, changes } => {
                if partition.committing.is_some() {
                    return Err("two commits at a time".to_owned());
                }
                partition.committing = Some(Asked { cursor, changes });
            }
            Step::Rewind { .. } if self.stopping => (self.lost, self.abandoned) = (true, true),
            Step::Rewind { .. } => {
                self.lost = true;
                partition.ledger.rewound();
                let checkpoint = outside.disk.checkpoint(at).clone();
                partition.reader.rewinds.push_back(checkpoint);
            }
            Step::Wait(_) => {}
        }
        Ok(())
    }

    fn finish_commit(&mut self, at: usize, outside: &mut Outside<'_>) -> Result<(), Broken> {
        let partition = &mut self.partitions[at];
        if outside.rng.random_bool(outside.weather.refuses) {
            return Ok(());
        }
        if let Some(asked) = partition.committing.take() {
            outside.disk.commit(at, asked);
            let (disk, microsoft) = (&*outside.disk, outside.microsoft);
            outside.book.check_durable(at, disk, microsoft)?;
            partition.ledger.committed();
        }
        Ok(())
    }

    /// The store may have what it was asked for at the moment of a crash, or not.
    pub(super) fn crash(mut self, outside: &mut Outside<'_>) -> Result<(), Broken> {
        for at in 0..self.partitions.len() {
            if outside.rng.random_bool(0.5) {
                self.finish_commit(at, outside)?;
            }
        }
        drop(self);
        Ok(())
    }

    fn keep_letters(&mut self, outside: &mut Outside<'_>) {
        if outside.rng.random_bool(outside.weather.refuses) {
            return;
        }
        for letter in self.letters.drain(..) {
            let (row, branches) = addressees(&letter);
            outside.book.keep_letter(row, branches);
            letter.event.settle(Verdict::Rejected);
        }
    }

    fn work(&mut self, at: usize, outside: &mut Outside<'_>) -> Result<(), Broken> {
        let worker = &mut self.workers[at];
        if !worker.post(|letter| post(&mut self.letters, letter)) {
            return Ok(());
        }
        worker.take_in()?;
        if outside.rng.random_bool(0.5) {
            worker.start(outside.now);
            return Ok(());
        }
        let rows = &outside.microsoft.rows;
        let (book, rng) = (&mut *outside.book, &mut *outside.rng);
        worker.finish(outside.now, outside.weather, rows, book, rng)
    }

    /// What is larger than the whole budget goes alone.
    fn check_memory(&self) -> Result<(), Broken> {
        let used = self.used.get() as usize;
        match used <= self.budget.max(self.heaviest) {
            true => Ok(()),
            false => Err(format!("{used} bytes of {} in memory", self.budget)),
        }
    }

    /// From now on nothing is read.
    pub(super) fn stop(&mut self) {
        self.stopping = true;
        for partition in &mut self.partitions {
            partition.ledger.hurry();
        }
        for worker in &mut self.workers {
            worker.try_now();
        }
    }

    /// Whether nothing is under way any more.
    pub(super) fn is_drained(&self) -> bool {
        let quiet = |it: &Partition| {
            let settled = it.ledger.open_events() == 0 && it.committing.is_none();
            it.intake.is_idle() && (self.abandoned || it.slot.is_none() && settled)
        };
        self.letters.is_empty()
            && self.workers.iter().all(Worker::is_idle)
            && self.partitions.iter().all(quiet)
    }

    /// When somebody wants to be woken.
    pub(super) fn wakes_at(&self, now: Instant) -> Option<Instant> {
        let sinks = self.workers.iter().filter_map(Worker::wakes_at);
        sinks.filter(|due| *due > now).min()
    }
}

/// The row that a letter is about, and who will not get it.
fn addressees(letter: &Letter) -> (usize, Branches) {
    let body = Body::of(&letter.event);
    let branches = match &*letter.component.id {
        SOURCE => LAKE | LAKE_TWIN | SIEM,
        TRANSFORM => LAKE | LAKE_TWIN,
        id => body.branch(SINKS.iter().position(|it| *it == id).expect("a sink")),
    };
    (body.row, branches)
}

/// Hands a letter in; gives it back if there is no room.
fn post(letters: &mut VecDeque<Letter>, letter: Letter) -> Option<Letter> {
    if letters.len() == LETTERS {
        return Some(letter);
    }
    letters.push_back(letter);
    None
}
