//! Thousands of random schedules against the settling machine.

use std::collections::BTreeMap;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const SEEDS: u64 = 10_000;
const STREAM: u64 = 40;

#[derive(Clone, Copy, PartialEq)]
enum Fate {
    Open,
    Ended(Outcome),
}

/// A source that reads batches 1, 2, 3, .. and everything that it can observe.
struct World {
    rng: SmallRng,
    settling: Settling<u64>,
    now: Instant,
    epoch: u64,
    next: u64,
    in_flight: Vec<(Seq, u64, u64)>,
    fates: BTreeMap<(u64, u64), Fate>,
    durable: u64,
    entries: BTreeMap<Bytes, Bytes>,
    committing: Option<(u64, Changes)>,
    awaited: Vec<u64>,
}

impl World {
    fn new(seed: u64) -> Self {
        let limits = SettlingLimits {
            open_batches: 8,
            ..SettlingLimits::default()
        };
        Self {
            rng: SmallRng::seed_from_u64(seed),
            settling: Settling::new(limits),
            now: Instant::now(),
            epoch: 0,
            next: 1,
            in_flight: Vec::new(),
            fates: BTreeMap::new(),
            durable: 0,
            entries: BTreeMap::new(),
            committing: None,
            awaited: Vec::new(),
        }
    }

    fn run(&mut self) -> Result<(), String> {
        let mut rounds = 0;
        while self.durable < STREAM {
            rounds += 1;
            if rounds > 100_000 {
                return Err(format!("stuck at {} of {STREAM}", self.durable));
            }
            self.now += Duration::from_millis(self.rng.random_range(0..40));
            match self.rng.random_range(0..4) {
                0 => self.read()?,
                1 => self.end_one(),
                2 => self.finish_commit()?,
                _ => self.step()?,
            }
        }
        self.check_end()
    }

    fn read(&mut self) -> Result<(), String> {
        if !self.settling.has_room() || self.next > STREAM {
            return Ok(());
        }
        let at = self.next;
        let waiter = self.rng.random_bool(0.1).then_some(at);
        self.awaited.extend(waiter);
        let pending = Pending {
            after: Cursor::new(at.to_be_bytes().to_vec()),
            puts: vec![(key(at), Bytes::from(at.to_be_bytes().to_vec()))],
            deletes: at.checked_sub(3).map(key).into_iter().collect(),
            events: 1,
            waiter,
        };
        let seq = self.settling.accept(self.epoch, pending);
        let seq = seq.ok_or("a batch of this epoch was refused")?;
        self.in_flight.push((seq, self.epoch, at));
        self.fates.insert((self.epoch, at), Fate::Open);
        self.next += 1;
        Ok(())
    }

    fn end_one(&mut self) {
        if self.in_flight.is_empty() {
            return;
        }
        let index = self.rng.random_range(0..self.in_flight.len());
        let (seq, epoch, at) = self.in_flight.swap_remove(index);
        let outcome = match self.rng.random_bool(0.1) {
            true => Outcome::Lost,
            false => Outcome::Settled,
        };
        self.fates.insert((epoch, at), Fate::Ended(outcome));
        self.settling.settle(seq, outcome);
    }

    fn step(&mut self) -> Result<(), String> {
        match self.settling.step(self.now) {
            Step::Wait(_) => Ok(()),
            Step::Commit { cursor, changes } => self.begin_commit(&cursor, changes),
            Step::Rewind { .. } => self.rewind(),
        }
    }

    fn begin_commit(&mut self, cursor: &Cursor, changes: Changes) -> Result<(), String> {
        let bytes: [u8; 8] = cursor.as_bytes().try_into().map_err(|_| "odd cursor")?;
        let upto = u64::from_be_bytes(bytes);
        if self.committing.is_some() {
            return Err("two commits at a time".to_owned());
        }
        for at in self.durable + 1..=upto {
            if self.fates.get(&(self.epoch, at)) != Some(&Fate::Ended(Outcome::Settled)) {
                return Err(format!("checkpoint {upto} passes unsettled {at}"));
            }
        }
        self.committing = Some((upto, changes));
        Ok(())
    }

    fn finish_commit(&mut self) -> Result<(), String> {
        let Some((upto, changes)) = self.committing.take() else {
            return Ok(());
        };
        if upto <= self.durable {
            return Err(format!("checkpoint moved back to {upto}"));
        }
        for (key, value) in changes {
            match value {
                Some(value) => self.entries.insert(key, value),
                None => self.entries.remove(&key),
            };
        }
        self.durable = upto;
        let woken = self.settling.committed();
        if woken.iter().any(|at| *at > upto) {
            return Err("somebody was woken too early".to_owned());
        }
        self.awaited.retain(|at| !woken.contains(at));
        if self.awaited.iter().any(|at| *at <= upto) {
            return Err("somebody was not woken".to_owned());
        }
        Ok(())
    }

    fn rewind(&mut self) -> Result<(), String> {
        if self.committing.is_some() {
            return Err("rewound during a commit".to_owned());
        }
        self.settling.rewound();
        self.awaited.clear();
        self.epoch += 1;
        self.next = self.durable + 1;
        Ok(())
    }

    fn check_end(&self) -> Result<(), String> {
        let kept: Vec<Bytes> = self.entries.keys().cloned().collect();
        let expected: Vec<Bytes> = (STREAM - 2..=STREAM).map(key).collect();
        match kept == expected {
            true => Ok(()),
            false => Err(format!("entries {kept:?}")),
        }
    }
}

fn key(at: u64) -> Bytes {
    Bytes::from(at.to_be_bytes().to_vec())
}

#[test]
fn no_schedule_moves_a_checkpoint_past_an_unsettled_batch() {
    for seed in 0..SEEDS {
        if let Err(broken) = World::new(seed).run() {
            panic!("seed {seed}: {broken}");
        }
    }
}
