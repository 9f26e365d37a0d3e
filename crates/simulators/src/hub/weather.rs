//! What goes wrong by itself: at the chances and in the rhythm that [`Faults`] say.

use super::connection::Connection;
use super::trouble::{PASSING, Place};
use super::{CONDITIONS, HubError, HubFault};
use crate::faults::{Faults, Named};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::io;
use std::time::Duration;
use tokio::time::Instant;

/// The faults that can meet a message on its way out.
const OF_MESSAGES: [Named; 10] = [
    Named::HubDetach,
    Named::HubBusy,
    Named::HubDrop,
    Named::HubSlow,
    Named::HubCutOff,
    Named::HubSessionEnd,
    Named::HubTrickle,
    Named::HubTokenExpired,
    Named::HubStolen,
    Named::HubTwice,
];
/// How many of them, the first ones, are mild.
const MILD: usize = 7;
/// Messages that come one by one when a link trickles.
const TRICKLE: u32 = 5;
/// No fault that is mild lasts longer.
const SHORT: Duration = Duration::from_millis(1_900);

/// The faults of one connection.
#[derive(Debug)]
pub(super) struct Weather {
    faults: Faults,
    rng: StdRng,
    next_scheduled: Instant,
}

impl Weather {
    pub(super) fn new(faults: Faults, seed: u64) -> Self {
        Self {
            faults,
            rng: StdRng::seed_from_u64(seed),
            next_scheduled: Instant::now() + Duration::from_secs(5),
        }
    }

    fn happens(&mut self, fault: Named) -> bool {
        let chance = self.faults.chance(fault);
        chance > 0.0 && self.rng.random_bool(chance)
    }

    fn by_chance(&mut self) -> Option<Named> {
        OF_MESSAGES.into_iter().find(|fault| self.happens(*fault))
    }

    fn by_schedule(&mut self) -> Option<Named> {
        let now = Instant::now();
        if !self.faults.scheduled || now < self.next_scheduled {
            return None;
        }
        self.next_scheduled = now + Duration::from_millis(self.rng.random_range(4_000..6_000));
        let choices = if self.faults.is_harsh() {
            OF_MESSAGES.len()
        } else {
            MILD
        };
        Some(OF_MESSAGES[self.rng.random_range(0..choices)])
    }

    /// An error after which a reader only has to try again.
    fn passing(&mut self) -> HubError {
        HubError::new(CONDITIONS[self.rng.random_range(0..PASSING)].0)
    }

    fn a_while(&mut self) -> Duration {
        SHORT.mul_f64(self.rng.random_range(0.1..1.0))
    }
}

impl Connection {
    /// What goes wrong with a request, or at a place without a partition.
    pub(super) fn strike_here(&mut self, place: Place) -> Option<HubFault> {
        let asked = self.hub.lock().asked.take(place, None);
        asked.or_else(|| {
            let refused = place == Place::Token && self.weather.happens(Named::HubTokenRefused);
            refused.then_some(HubFault::RefuseToken(401))
        })
    }

    /// What goes wrong with an attempt to read a partition.
    pub(super) fn strike_attach(&mut self, partition: Option<&str>) -> Option<HubFault> {
        let partition = partition.and_then(|id| id.parse().ok());
        let mut state = self.hub.lock();
        state.calm_down(Instant::now());
        let busy = || HubFault::RefuseAttach(HubError::new("com.microsoft:server-busy"));
        let asked = state.asked.take(Place::Attach, partition);
        let busy = asked.or_else(|| state.busy_until.is_some().then(busy));
        busy.or_else(|| {
            let refused = self.weather.happens(Named::HubAttachRefused);
            refused.then(|| HubFault::RefuseAttach(self.weather.passing()))
        })
    }

    /// What goes wrong with the next message of a partition; nothing by chance if it is spared.
    pub(super) fn strike_at(&mut self, partition: usize, spared: bool) -> Option<HubFault> {
        let asked = self.hub.lock().asked.take(Place::Transfer, Some(partition));
        asked.or_else(|| {
            let named = (!spared).then(|| self.weather.by_chance())??;
            Some(self.make(named, partition))
        })
    }

    /// Lets something go wrong with a link when its time has come.
    pub(super) fn change_weather(&mut self) -> io::Result<()> {
        let links = self.readings(|_| true);
        if links.is_empty() {
            return Ok(());
        }
        let Some(named) = self.weather.by_schedule() else {
            return Ok(());
        };
        let (channel, handle) = links[self.weather.rng.random_range(0..links.len())];
        let partition = self
            .link(channel, handle)
            .and_then(|link| link.reading())
            .map(|reading| reading.partition);
        match partition {
            Some(partition) => {
                let fault = self.make(named, partition);
                self.suffer(channel, handle, fault)
            }
            None => Ok(()),
        }
    }

    fn make(&mut self, named: Named, partition: usize) -> HubFault {
        let detach = |error| HubFault::Detach { after: 0, error };
        match named {
            Named::HubDetach => detach(self.weather.passing()),
            Named::HubSessionEnd => HubFault::EndSession {
                after: 0,
                error: self.weather.passing(),
            },
            Named::HubTrickle => HubFault::Trickle {
                after: 0,
                messages: TRICKLE,
                pause: self.weather.a_while() / TRICKLE,
            },
            Named::HubTwice => HubFault::Twice { after: 0 },
            Named::HubBusy => {
                let until = Instant::now() + self.weather.a_while();
                self.hub.lock().busy_until = Some(until);
                detach(HubError::new("com.microsoft:server-busy"))
            }
            Named::HubSlow => HubFault::Pause {
                after: 0,
                time: self.weather.a_while(),
            },
            Named::HubCutOff => HubFault::CutOff { after: 0 },
            Named::HubTokenExpired => {
                self.claims.clear();
                detach(HubError::new("amqp:unauthorized-access"))
            }
            Named::HubStolen => {
                self.hub
                    .haunt(partition, Instant::now() + self.weather.a_while());
                HubFault::Pause {
                    after: 0,
                    time: SHORT, // the order to go comes before
                }
            }
            _ => HubFault::Drop { after: 0 },
        }
    }
}
