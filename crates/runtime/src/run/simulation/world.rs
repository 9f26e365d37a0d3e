//! One schedule: what there is to read, who reads it, and what goes wrong.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::Instant;

use super::Broken;
use super::book::{Book, Counts};
use super::disk::Disk;
use super::life::{Life, Outside};
use super::microsoft::Microsoft;
use super::scenery::Scenery;

const ROWS: usize = 30;
const PARTITIONS: usize = 2;
/// A schedule that is not through by then is stuck.
const STEPS: u32 = 200_000;

/// How likely what is, in one schedule.
pub(super) struct Weather {
    /// A destination takes nothing of a call.
    pub(super) away: f64,
    /// It does not take one event of a call.
    pub(super) picky: f64,
    /// It took an event, but says that it did not.
    pub(super) unheard: f64,
    /// The disk takes nothing.
    pub(super) refuses: f64,
    /// A transform forgets an event.
    pub(super) forgets: f64,
    /// The process is killed, at each step.
    crashes: f64,
    /// The process is stopped politely, at each step.
    stops: f64,
}

impl Weather {
    fn of(rng: &mut SmallRng) -> Self {
        let mut one_of = |values: [f64; 3]| values[rng.random_range(0..3)];
        Self {
            away: one_of([0.0, 0.1, 0.5]),
            picky: one_of([0.0, 0.1, 0.4]),
            unheard: one_of([0.0, 0.0, 0.3]),
            refuses: one_of([0.0, 0.2, 0.8]),
            forgets: one_of([0.0, 0.0, 0.1]),
            crashes: one_of([0.0, 0.002, 0.01]),
            stops: one_of([0.0, 0.001, 0.005]),
        }
    }
}

/// What happened, over one schedule or many.
#[derive(Debug, Default)]
pub(super) struct Tally {
    steps: u64,
    crashes: u64,
    polite_stops: u64,
    delivered: u64,
    dead_letters: u64,
    unsettled_at_losses: u64,
    repeats: u64,
}

impl Tally {
    pub(super) fn add(&mut self, other: &Self) {
        self.steps += other.steps;
        self.crashes += other.crashes;
        self.polite_stops += other.polite_stops;
        self.delivered += other.delivered;
        self.dead_letters += other.dead_letters;
        self.unsettled_at_losses += other.unsettled_at_losses;
        self.repeats += other.repeats;
    }

    /// Schedules in which nothing goes wrong prove nothing.
    pub(super) fn check(&self) {
        let counts = [
            self.crashes,
            self.polite_stops,
            self.dead_letters,
            self.unsettled_at_losses,
            self.repeats,
        ];
        assert!(counts.iter().all(|count| *count > 0), "{self:?}");
    }
}

pub(super) struct World<'a> {
    scenery: &'a Scenery,
    rng: SmallRng,
    now: Instant,
    microsoft: Microsoft,
    disk: Disk,
    book: Book,
    weather: Weather,
    tally: Tally,
}

impl<'a> World<'a> {
    pub(super) fn new(seed: u64, scenery: &'a Scenery) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        Self {
            scenery,
            weather: Weather::of(&mut rng),
            rng,
            now: Instant::now(),
            microsoft: Microsoft::new(PARTITIONS, ROWS),
            disk: Disk::new(PARTITIONS),
            book: Book::new(),
            tally: Tally::default(),
        }
    }

    pub(super) fn tally(&self) -> Tally {
        let Counts {
            delivered,
            letters,
            repeats,
            unsettled,
        } = self.book.counts;
        Tally {
            delivered,
            dead_letters: letters,
            repeats,
            unsettled_at_losses: unsettled,
            ..self.tally
        }
    }

    /// Processes come and go until everything is where it is owed.
    pub(super) fn run(&mut self) -> Result<(), Broken> {
        let scenery = self.scenery;
        while !self.is_complete() {
            let mut life = Life::new(scenery, &mut self.outside(), PARTITIONS);
            self.live(&mut life)?;
            if !life.stopping {
                self.tally.crashes += 1;
                life.crash(&mut self.outside())?;
                self.forget();
                continue;
            }
            self.tally.polite_stops += 1;
            let lost = life.lost;
            drop(life);
            if self.forget() > 0 && !lost {
                return Err("a polite stop left something unsettled".to_owned());
            }
        }
        Ok(())
    }

    /// Until it is killed, has stopped, or everything is done.
    fn live(&mut self, life: &mut Life) -> Result<(), Broken> {
        loop {
            self.tally.steps += 1;
            if self.tally.steps > STEPS.into() {
                return Err("stuck".to_owned());
            }
            self.pass_time(life);
            life.step(&mut self.outside())?;
            // The last processes are left alone, so that schedules end.
            let disturbed = self.tally.steps < u64::from(STEPS) / 10;
            if disturbed && self.rng.random_bool(self.weather.crashes) {
                life.stopping = false;
                return Ok(());
            }
            let stops = disturbed && self.rng.random_bool(self.weather.stops);
            if !life.stopping && (stops || self.is_complete()) {
                life.stop();
            }
            if life.stopping && life.is_drained() {
                return Ok(());
            }
        }
    }

    fn pass_time(&mut self, life: &Life) {
        if self.rng.random_bool(0.1) {
            self.microsoft.make_one(&mut self.rng);
        }
        if self.rng.random_bool(0.2) {
            let most = 10_u64.pow(self.rng.random_range(0..5));
            self.now += Duration::from_millis(self.rng.random_range(0..=most));
        }
        if self.rng.random_bool(0.05)
            && let Some(due) = life.wakes_at(self.now)
        {
            self.now = due;
        }
    }

    /// What is not durable is read again by the next process; so many rows are that.
    fn forget(&mut self) -> u64 {
        let partitions = 0..PARTITIONS;
        let forgotten = partitions.map(|it| self.book.forget(it, &self.disk, &self.microsoft));
        forgotten.sum()
    }

    fn is_complete(&mut self) -> bool {
        self.microsoft.is_complete() && self.book.is_complete(&self.disk, &self.microsoft)
    }

    fn outside(&mut self) -> Outside<'_> {
        Outside {
            now: self.now,
            microsoft: &self.microsoft,
            disk: &mut self.disk,
            book: &mut self.book,
            weather: &self.weather,
            rng: &mut self.rng,
        }
    }
}
