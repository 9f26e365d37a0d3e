//! What a sink gets next: a state machine without I/O and without a clock.
//!
//! Events wait in arrival order. A call takes those whose lane is free, at most one of a lane, so
//! that no partial failure can turn the order of a lane around. Whoever comes while its lane is
//! busy (in flight, or waiting to be repeated) is parked behind it; everybody else goes on.
//! When nothing of a call was taken, the whole sink rests before the next, single attempt.

mod backoff;
#[cfg(test)]
mod simulation;
mod taken;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasherDefault, Hasher};
use std::time::Duration;

use rand::Rng;
use tapline_core::{Delivery, Fault, SinkLimits};
use tokio::time::Instant;

pub(crate) use backoff::Backoff;
pub(crate) use taken::Taken;

/// Events to hand over together.
#[derive(Debug)]
pub(crate) struct Call<E> {
    /// In order; no two share a lane.
    pub(crate) events: Vec<E>,
    /// What the machine wants back with the delivery.
    pub(crate) slots: Slots,
}

/// Where the events of a call belong.
#[derive(Debug)]
pub(crate) struct Slots {
    started: Instant,
    slots: Vec<Slot>,
}

/// The events that one sink has still to deliver.
pub(crate) struct Lanes<E, R> {
    limits: SinkLimits,
    backoff: Backoff,
    rng: R,
    /// New events, in arrival order.
    fresh: VecDeque<Item<E>>,
    /// Events that are first of their busy lane, to be taken before fresh ones.
    first: VecDeque<Item<E>>,
    /// Events that are first of their busy lane, and wait until a time.
    resting: BTreeMap<(Instant, u64), Item<E>>,
    /// Busy lanes, and who waits behind their first event.
    busy: HashMap<u64, VecDeque<Item<E>>, BuildHasherDefault<LaneHasher>>,
    held_events: usize,
    held_bytes: usize,
    denied_events: usize,
    in_flight: usize,
    serial: u64,
    outages: u32,
    rests_until: Option<Instant>,
}

#[derive(Debug)]
struct Item<E> {
    event: E,
    slot: Slot,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    lane: u64,
    bytes: usize,
    attempts: u32,
    /// Whether a human has to act before it goes through, by the last attempt.
    denied: bool,
}

/// Lanes are hashes already.
#[derive(Default)]
struct LaneHasher(u64);

impl Hasher for LaneHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("lanes are numbers");
    }

    fn write_u64(&mut self, lane: u64) {
        self.0 = lane;
    }
}

impl<E, R: Rng> Lanes<E, R> {
    /// Nothing to deliver yet. Limits of zero count as one.
    pub(crate) fn new(limits: SinkLimits, backoff: Backoff, rng: R) -> Self {
        let limits = SinkLimits {
            max_events: limits.max_events.max(1),
            max_bytes: limits.max_bytes,
            max_in_flight: limits.max_in_flight.max(1),
        };
        Self {
            limits,
            backoff,
            rng,
            fresh: VecDeque::new(),
            first: VecDeque::new(),
            resting: BTreeMap::new(),
            busy: HashMap::default(),
            held_events: 0,
            held_bytes: 0,
            denied_events: 0,
            in_flight: 0,
            serial: 0,
            outages: 0,
            rests_until: None,
        }
    }

    /// Adds an event behind all others of its lane.
    pub(crate) fn push(&mut self, event: E, lane: u64, bytes: usize) {
        let slot = Slot {
            lane,
            bytes,
            attempts: 0,
            denied: false,
        };
        self.held_events += 1;
        self.held_bytes += bytes;
        self.fresh.push_back(Item { event, slot });
    }

    /// Whether more should be taken in: twice what all calls together can hold.
    pub(crate) fn has_room(&self) -> bool {
        let calls = self.limits.max_in_flight + 1;
        self.held_events < 2 * calls * self.limits.max_events
            && self.held_bytes < (2 * calls * self.limits.max_bytes).max(1)
    }

    /// Whether everything is decided.
    pub(crate) fn is_empty(&self) -> bool {
        self.held_events == 0
    }

    /// Whether the destination refuses us for at least one event.
    pub(crate) fn is_denied(&self) -> bool {
        self.denied_events > 0
    }

    /// Events taken in and not yet decided.
    pub(crate) fn len(&self) -> usize {
        self.held_events
    }

    /// When [`Lanes::next_call`] should be asked again although nothing else happened.
    pub(crate) fn wakes_at(&self) -> Option<Instant> {
        if self.in_flight >= self.allowed_in_flight() {
            return None;
        }
        let resting = self.resting.keys().next().map(|(due, _)| *due);
        let waiting = !self.first.is_empty() || !self.fresh.is_empty();
        match self.rests_until {
            Some(until) if waiting => Some(until),
            Some(until) => resting.map(|due| due.max(until)),
            None => resting,
        }
    }

    /// Takes what may be delivered now.
    pub(crate) fn next_call(&mut self, now: Instant) -> Option<Call<E>> {
        if self.in_flight >= self.allowed_in_flight() || self.rests_until.is_some_and(|t| now < t) {
            return None;
        }
        self.rests_until = None;
        self.wake_rested(now);
        let items = self.take_items();
        if items.is_empty() {
            return None;
        }
        self.in_flight += 1;
        let (events, slots) = items
            .into_iter()
            .map(|item| (item.event, item.slot))
            .unzip();
        let slots = Slots {
            started: now,
            slots,
        };
        Some(Call { events, slots })
    }

    /// Notes what became of a call; `events` are the ones that it took, in the same order.
    pub(crate) fn outcome(
        &mut self,
        slots: Slots,
        events: Vec<E>,
        delivery: Delivery,
        now: Instant,
    ) -> Taken<E> {
        self.in_flight -= 1;
        if delivery.exceptions.is_empty() {
            return self.all_delivered(slots, events);
        }
        let faults = by_position(delivery, events.len());
        let outage = faults.iter().all(|fault| {
            matches!(
                fault,
                Some(Fault::Retry { .. } | Fault::Denied { .. } | Fault::Fenced)
            )
        });
        let mut taken = Taken::new();
        taken.outage = outage;
        let mut again = Vec::new();
        for ((event, slot), fault) in events.into_iter().zip(slots.slots).zip(faults) {
            let item = Item { event, slot };
            match fault {
                None => taken.delivered.push(self.decided(item)),
                Some(Fault::Reject { reason, why }) => {
                    taken.rejected.push((self.decided(item), reason, why));
                }
                Some(fault) => {
                    taken.note(&fault);
                    again.push((item, fault));
                }
            }
        }
        match outage {
            true => self.rest_all(slots.started, again, now),
            false => self.rest_each(again, now),
        }
        taken
    }

    /// Ends all waits: what rests may be tried once more at once.
    pub(crate) fn try_now(&mut self) {
        self.rests_until = None;
        self.first
            .extend(std::mem::take(&mut self.resting).into_values());
    }

    /// Gives up everything that is not in flight.
    pub(crate) fn abandon(&mut self) -> Vec<E> {
        let parked = self.busy.values_mut().flat_map(std::mem::take);
        let items: Vec<Item<E>> = std::mem::take(&mut self.first)
            .into_iter()
            .chain(std::mem::take(&mut self.fresh))
            .chain(std::mem::take(&mut self.resting).into_values())
            .chain(parked)
            .collect();
        self.held_events -= items.len();
        self.held_bytes -= items.iter().map(|item| item.slot.bytes).sum::<usize>();
        self.denied_events -= items.iter().filter(|item| item.slot.denied).count();
        items.into_iter().map(|item| item.event).collect()
    }

    /// After an outage a single call tries whether the destination is back.
    fn allowed_in_flight(&self) -> usize {
        match self.outages {
            0 => self.limits.max_in_flight,
            _ => 1,
        }
    }

    fn wake_rested(&mut self, now: Instant) {
        while let Some(entry) = self.resting.first_entry() {
            if entry.key().0 > now {
                break;
            }
            self.first.push_back(entry.remove());
        }
    }

    fn take_items(&mut self) -> Vec<Item<E>> {
        let mut items = Vec::with_capacity(self.limits.max_events.min(self.held_events));
        let mut bytes = 0;
        while items.len() < self.limits.max_events {
            let queue = match self.first.is_empty() {
                false => &mut self.first,
                true => &mut self.fresh,
            };
            let Some(next) = queue.front().map(|item| item.slot.bytes) else {
                break;
            };
            if !items.is_empty() && bytes + next > self.limits.max_bytes {
                break;
            }
            if let Some(item) = self.take_one() {
                bytes += item.slot.bytes;
                items.push(item);
            }
        }
        items
    }

    /// The next event, unless it has to be parked behind another of its lane.
    fn take_one(&mut self) -> Option<Item<E>> {
        if let Some(item) = self.first.pop_front() {
            return Some(item);
        }
        let item = self.fresh.pop_front()?;
        match self.busy.entry(item.slot.lane) {
            std::collections::hash_map::Entry::Occupied(mut lane) => {
                lane.get_mut().push_back(item);
                None
            }
            std::collections::hash_map::Entry::Vacant(lane) => {
                // An empty deque does not allocate.
                lane.insert(VecDeque::new());
                Some(item)
            }
        }
    }

    fn all_delivered(&mut self, slots: Slots, events: Vec<E>) -> Taken<E> {
        self.recovered();
        for slot in &slots.slots {
            self.release(*slot);
        }
        Taken {
            delivered: events,
            ..Taken::new()
        }
    }

    fn decided(&mut self, item: Item<E>) -> E {
        self.recovered();
        self.release(item.slot);
        item.event
    }

    fn recovered(&mut self) {
        self.outages = 0;
        self.rests_until = None;
    }

    /// Frees the lane, or lets the next of it go.
    fn release(&mut self, slot: Slot) {
        self.held_events -= 1;
        self.held_bytes -= slot.bytes;
        self.denied_events -= usize::from(slot.denied);
        if let std::collections::hash_map::Entry::Occupied(mut lane) = self.busy.entry(slot.lane) {
            match lane.get_mut().pop_front() {
                Some(next) => self.first.push_back(next),
                None => {
                    lane.remove();
                }
            }
        }
    }

    fn failed(&mut self, slot: &mut Slot, fault: &Fault) {
        self.denied_events -= usize::from(slot.denied);
        slot.denied = matches!(fault, Fault::Denied { .. });
        self.denied_events += usize::from(slot.denied);
        slot.attempts = slot.attempts.saturating_add(1);
    }

    /// The destination is away: everything of the call goes back to the front, and all wait.
    fn rest_all(&mut self, started: Instant, again: Vec<(Item<E>, Fault)>, now: Instant) {
        let asked = again
            .iter()
            .filter_map(|(_, fault)| asked_wait(fault))
            .max();
        let denied = again
            .iter()
            .any(|(_, fault)| matches!(fault, Fault::Denied { .. }));
        for (mut item, fault) in again.into_iter().rev() {
            self.failed(&mut item.slot, &fault);
            self.first.push_front(item);
        }
        // Calls that were under way when the rest began tell nothing new.
        if self.rests_until.is_none_or(|until| started >= until) {
            self.outages = self.outages.saturating_add(1);
        }
        let wait = self
            .backoff
            .wait(self.outages, denied, asked, &mut self.rng);
        let until = now + wait;
        self.rests_until = Some(self.rests_until.map_or(until, |known| known.max(until)));
    }

    /// Others of the call went through: each of these waits for itself.
    fn rest_each(&mut self, again: Vec<(Item<E>, Fault)>, now: Instant) {
        for (mut item, fault) in again {
            self.failed(&mut item.slot, &fault);
            let denied = item.slot.denied;
            let asked = asked_wait(&fault);
            let wait = self
                .backoff
                .wait(item.slot.attempts, denied, asked, &mut self.rng);
            self.serial += 1;
            self.resting.insert((now + wait, self.serial), item);
        }
    }
}

fn asked_wait(fault: &Fault) -> Option<Duration> {
    match fault {
        Fault::Retry { after, .. } => *after,
        _ => None,
    }
}

/// One fault or none per event, whatever order a sink named them in.
fn by_position(delivery: Delivery, events: usize) -> Vec<Option<Fault>> {
    let mut faults = Vec::new();
    faults.resize_with(events, || None);
    for (index, fault) in delivery.exceptions {
        if let Some(place) = faults.get_mut(index) {
            *place = Some(fault);
        }
    }
    faults
}
