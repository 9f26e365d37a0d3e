//! Thousands of random schedules against the lanes.

use std::collections::{HashMap, HashSet};

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};

use super::*;

const SEEDS: u64 = 5_000;
const EVENTS: u32 = 60;

/// Lane, and number within the lane.
type Numbered = (u64, u32);

struct World {
    rng: SmallRng,
    lanes: Lanes<Numbered, SmallRng>,
    limits: SinkLimits,
    now: Instant,
    pushed: u32,
    last_pushed: HashMap<u64, u32>,
    last_decided: HashMap<u64, u32>,
    flying: Vec<Call<Numbered>>,
    decided: u32,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut rng = SmallRng::seed_from_u64(seed);
        let limits = SinkLimits {
            max_events: rng.random_range(1..8),
            max_bytes: rng.random_range(1..40),
            max_in_flight: rng.random_range(1..4),
        };
        let own = SmallRng::seed_from_u64(!seed);
        Self {
            lanes: Lanes::new(limits, Backoff::default(), own),
            rng,
            limits,
            now: Instant::now(),
            pushed: 0,
            last_pushed: HashMap::new(),
            last_decided: HashMap::new(),
            flying: Vec::new(),
            decided: 0,
        }
    }

    fn run(&mut self) -> Result<(), String> {
        let mut rounds = 0;
        while self.decided < EVENTS {
            rounds += 1;
            if rounds > 100_000 {
                return Err(format!("stuck at {} of {EVENTS}", self.decided));
            }
            match self.rng.random_range(0..4) {
                0 => self.push(),
                1 => self.start()?,
                2 => self.finish()?,
                _ => self.pass_time(),
            }
        }
        match self.lanes.is_empty() && self.lanes.busy.is_empty() {
            true => Ok(()),
            false => Err("something is left".to_owned()),
        }
    }

    fn push(&mut self) {
        if self.pushed < EVENTS && self.lanes.has_room() {
            let lane = self.rng.random_range(0..6);
            let number = self.last_pushed.entry(lane).or_default();
            *number += 1;
            let bytes = self.rng.random_range(0..30);
            self.lanes.push((lane, *number), lane, bytes);
            self.pushed += 1;
        }
    }

    fn start(&mut self) -> Result<(), String> {
        let Some(call) = self.lanes.next_call(self.now) else {
            return Ok(());
        };
        self.flying.push(call);
        if self.flying.len() > self.limits.max_in_flight {
            return Err("too many calls".to_owned());
        }
        let mut lanes = HashSet::new();
        let events = self.flying.iter().flat_map(|call| &call.events);
        match events.into_iter().all(|(lane, _)| lanes.insert(*lane)) {
            true => Ok(()),
            false => Err("two events of one lane in flight".to_owned()),
        }
    }

    fn finish(&mut self) -> Result<(), String> {
        if self.flying.is_empty() {
            return Ok(());
        }
        let index = self.rng.random_range(0..self.flying.len());
        let call = self.flying.swap_remove(index);
        let delivery = self.delivery(call.events.len());
        let taken = self
            .lanes
            .outcome(call.slots, call.events, delivery, self.now);
        let rejected = taken.rejected.into_iter().map(|(event, ..)| event);
        for (lane, number) in taken.delivered.into_iter().chain(rejected) {
            let last = self.last_decided.entry(lane).or_default();
            if number != *last + 1 {
                return Err(format!("lane {lane}: {number} after {last}"));
            }
            *last = number;
            self.decided += 1;
        }
        Ok(())
    }

    fn delivery(&mut self, events: usize) -> Delivery {
        let away = self.rng.random_bool(0.2);
        let mut exceptions = Vec::new();
        for index in 0..events {
            let fault = match self.rng.random_range(0..10) {
                _ if away => Fault::Retry {
                    after: None,
                    reason: "away",
                },
                0 => Fault::Retry {
                    after: Some(Duration::from_secs(self.rng.random_range(0..90))),
                    reason: "busy",
                },
                1 => Fault::Denied {
                    reason: "forbidden",
                    why: String::new(),
                },
                2 => Fault::Reject {
                    reason: "bad",
                    why: String::new(),
                },
                _ => continue,
            };
            exceptions.push((index, fault));
        }
        Delivery { exceptions }
    }

    /// Jumps to where the machine wants to be woken, now and then; a wrong time would get stuck.
    fn pass_time(&mut self) {
        if let Some(due) = self.lanes.wakes_at()
            && self.rng.random_bool(0.5)
        {
            self.now = self.now.max(due);
        }
        if self.rng.random_bool(0.2) {
            self.now += Duration::from_millis(self.rng.random_range(0..50));
        }
    }
}

#[test]
fn no_schedule_loses_repeats_or_reorders_events_of_a_lane() {
    for seed in 0..SEEDS {
        if let Err(broken) = World::new(seed).run() {
            panic!("seed {seed}: {broken}");
        }
    }
}
