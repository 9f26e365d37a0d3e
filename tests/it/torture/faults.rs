//! What goes wrong, and for how long.

use std::time::{Duration, Instant};

use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use tapline_e2e::cable::{Cable, Weather};
use tapline_e2e::pipeline::SHUTDOWN;
use tapline_e2e::process::Process;

use super::Mode;
use super::scene::Scene;

/// One kind of fault.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Fault {
    KillTapline,
    KillBroker,
    KillReceiver,
    RestartTapline,
    PauseTapline,
    PauseBroker,
    PauseReceiver,
    PauseMicrosoft,
    CutBroker,
    CutReceiver,
    SlowBroker,
    SlowReceiver,
    FullDisk,
    ClockAhead,
    ClockBehind,
}

/// How wrong a clock is at most, in seconds.
const WRONG: i64 = 300;

/// Whose unsettled events a fault may repeat.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Repeats {
    Nobody,
    /// A connection that broke: what was sent on it and not confirmed goes again.
    Receiver,
    Everybody,
}

impl Fault {
    const ALL: [Fault; 15] = [
        Fault::KillTapline,
        Fault::KillBroker,
        Fault::KillReceiver,
        Fault::RestartTapline,
        Fault::PauseTapline,
        Fault::PauseBroker,
        Fault::PauseReceiver,
        Fault::PauseMicrosoft,
        Fault::CutBroker,
        Fault::CutReceiver,
        Fault::SlowBroker,
        Fault::SlowReceiver,
        Fault::FullDisk,
        Fault::ClockAhead,
        Fault::ClockBehind,
    ];

    /// Each once, and the kills of ours four times, in random order. Clocks jump only in a long run: a
    /// clock that is set back may hold librdkafka for minutes.
    pub(super) fn shuffled(mode: Mode, is_long: bool, random: &mut StdRng) -> Vec<Fault> {
        let mut faults = [&Self::ALL[..], &[Fault::KillTapline; 3]].concat();
        faults.retain(|fault| mode == Mode::AtLeastOnce || !fault.is_of_receiver());
        faults.retain(|fault| is_long || !fault.is_of_clock());
        faults.shuffle(random);
        faults
    }

    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::KillTapline => "kill -9 of tapline",
            Fault::KillBroker => "kill -9 of the broker",
            Fault::KillReceiver => "kill -9 of rsyslog",
            Fault::RestartTapline => "polite restart of tapline",
            Fault::PauseTapline => "SIGSTOP of tapline",
            Fault::PauseBroker => "SIGSTOP of the broker",
            Fault::PauseReceiver => "SIGSTOP of rsyslog",
            Fault::PauseMicrosoft => "SIGSTOP of Microsoft's side",
            Fault::CutBroker => "network to the broker cut",
            Fault::CutReceiver => "network to rsyslog cut",
            Fault::SlowBroker => "network to the broker slow",
            Fault::SlowReceiver => "network to rsyslog slow",
            Fault::FullDisk => "full disk",
            Fault::ClockAhead => "clock of tapline ahead",
            Fault::ClockBehind => "clock of tapline behind",
        }
    }

    /// Whether it is a kill.
    pub(super) fn is_kill(self) -> bool {
        matches!(
            self,
            Fault::KillTapline | Fault::KillBroker | Fault::KillReceiver
        )
    }

    fn is_of_receiver(self) -> bool {
        matches!(
            self,
            Fault::KillReceiver | Fault::PauseReceiver | Fault::CutReceiver | Fault::SlowReceiver
        )
    }

    fn is_of_clock(self) -> bool {
        matches!(self, Fault::ClockAhead | Fault::ClockBehind)
    }

    /// Whose, if a polite stop is in time.
    pub(super) fn repeats(self) -> Repeats {
        match self {
            Fault::KillTapline => Repeats::Everybody,
            receiver if receiver.is_of_receiver() => Repeats::Receiver,
            _ => Repeats::Nobody,
        }
    }
}

impl Scene {
    /// Lets a fault happen, and puts it right.
    /// Says whose events it may have repeated.
    pub(super) async fn inject(
        &mut self,
        fault: Fault,
        random: &mut StdRng,
    ) -> anyhow::Result<Repeats> {
        let short = Duration::from_millis(random.random_range(200..3000));
        match fault {
            Fault::KillTapline => {
                self.process.kill();
                self.start().await?;
            }
            Fault::RestartTapline => {
                let all_settled = self.stop();
                self.start().await?;
                if !all_settled {
                    return Ok(Repeats::Everybody);
                }
            }
            Fault::KillBroker => {
                self.kafka.kill();
                self.kafka.restart().await?;
            }
            Fault::KillReceiver => {
                self.rsyslog.kill();
                tokio::time::sleep(short).await;
                self.rsyslog.restart().await?;
            }
            Fault::PauseTapline => pause(&self.process, short).await,
            Fault::PauseBroker => pause(self.kafka.process(), short).await,
            Fault::PauseReceiver => pause(self.rsyslog.process(), short).await,
            Fault::PauseMicrosoft => pause(self.microsoft.process(), short).await,
            Fault::CutBroker => weather(&self.to_kafka, Weather::Cut, short).await,
            Fault::CutReceiver => weather(&self.to_rsyslog, Weather::Cut, short).await,
            Fault::SlowBroker => weather(&self.to_kafka, slow(random), short).await,
            Fault::SlowReceiver => weather(&self.to_rsyslog, slow(random), short).await,
            Fault::FullDisk => self.fill_disk(short).await?,
            Fault::ClockAhead => self.jump(random.random_range(2..=WRONG), short).await?,
            Fault::ClockBehind => self.jump(-random.random_range(2..=WRONG), short).await?,
        }
        Ok(fault.repeats())
    }

    /// A polite stop; false if not everything was settled.
    fn stop(&mut self) -> bool {
        let begin = Instant::now();
        let all_settled = self.pipeline.stop_in_time(&mut self.process);
        // With exactly-once, the group may be about to take it in again after an earlier fault.
        let had_its_time = self.mode == Mode::ExactlyOnce || begin.elapsed() >= SHUTDOWN;
        assert!(all_settled || had_its_time, "{}", self.pipeline.log());
        all_settled
    }

    /// The clock jumps, and jumps back.
    async fn jump(&self, seconds: i64, how_long: Duration) -> anyhow::Result<()> {
        self.clock.set_ahead(seconds)?;
        tokio::time::sleep(how_long).await;
        self.clock.set_ahead(0)?;
        Ok(())
    }

    async fn fill_disk(&mut self, how_long: Duration) -> anyhow::Result<()> {
        if let Some(disk) = &self.disk {
            let full = disk.fill()?;
            tokio::time::sleep(how_long).await;
            drop(full);
        }
        Ok(())
    }
}

fn slow(random: &mut StdRng) -> Weather {
    Weather::Slow(Duration::from_millis(random.random_range(20..400)))
}

async fn pause(process: &Process, how_long: Duration) {
    process.signal("STOP");
    tokio::time::sleep(how_long).await;
    process.signal("CONT");
}

async fn weather(cable: &Cable, weather: Weather, how_long: Duration) {
    cable.set(weather);
    tokio::time::sleep(how_long).await;
    cable.set(Weather::Fine);
}
