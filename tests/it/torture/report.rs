//! What happened, as a table.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use tapline_e2e::ledger::Version;

use super::Mode;
use super::faults::Fault;

/// One destination.
pub(super) struct Destination {
    pub(super) name: &'static str,
    pub(super) delivered: usize,
    pub(super) lost: Vec<String>,
    pub(super) repeated: usize,
    pub(super) bound: usize,
}

impl Destination {
    pub(super) fn new(
        name: &'static str,
        arrived: &HashMap<String, usize>,
        made: &[Version],
        promised: &HashSet<String>,
        bound: usize,
    ) -> Self {
        let missing = promised.iter().filter(|uid| !arrived.contains_key(*uid));
        Self {
            name,
            delivered: made.iter().filter_map(|it| arrived.get(&it.uid)).sum(),
            lost: missing.cloned().collect(),
            repeated: arrived.values().map(|times| times - 1).sum(),
            bound,
        }
    }
}

pub(super) struct Report {
    pub(super) mode: Mode,
    pub(super) seed: u64,
    pub(super) lasted: Duration,
    pub(super) faults: BTreeMap<Fault, usize>,
    /// Faults that this machine does not allow, and why.
    pub(super) impossible: Vec<(Fault, String)>,
    pub(super) made: usize,
    pub(super) promised: usize,
    pub(super) destinations: Vec<Destination>,
    /// What rsyslog's kernel had confirmed and rsyslog did not write: syslog cannot promise more.
    /// None without rsyslog.
    pub(super) unwritten: Option<usize>,
}

impl Report {
    /// Fails if anything was lost, or repeated beyond what was unsettled.
    pub(super) fn check(&self) {
        for it in &self.destinations {
            let first = &it.lost[..it.lost.len().min(10)];
            assert!(it.lost.is_empty(), "{}: lost, such as {first:?}", it.name);
            assert!(
                it.repeated <= it.bound,
                "{}: repeats over the bound",
                it.name
            );
            assert!(it.delivered >= self.promised, "{}: too few", it.name);
        }
        assert!(self.promised > 0, "a run without events proves nothing");
        assert!(
            !self.faults.is_empty(),
            "a run without faults proves nothing"
        );
        if let Some(unwritten) = self.unwritten
            && !self.faults.contains_key(&Fault::KillReceiver)
        {
            assert_eq!(unwritten, 0, "rsyslog was never killed");
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let minutes = self.lasted.as_secs_f64() / 60.0;
        let mode = match self.mode {
            Mode::AtLeastOnce => "At least once",
            Mode::ExactlyOnce => "Exactly once",
        };
        writeln!(f, "\n{mode}, seed {}, {minutes:.1} minutes\n", self.seed)?;
        writeln!(f, "| fault | times |\n| --- | ---: |")?;
        for (fault, times) in &self.faults {
            writeln!(f, "| {} | {times} |", fault.name())?;
        }
        for (fault, why) in &self.impossible {
            writeln!(f, "| {} | not possible here: {why} |", fault.name())?;
        }
        let kills: usize = self
            .faults
            .iter()
            .filter(|it| it.0.is_kill())
            .map(|it| it.1)
            .sum();
        let all: usize = self.faults.values().sum();
        writeln!(f, "| **kills, others** | {kills}, {} |\n", all - kills)?;
        writeln!(
            f,
            "| destination | made visible | promised | delivered | lost | repeated | at most |"
        )?;
        writeln!(f, "| --- | ---: | ---: | ---: | ---: | ---: | ---: |")?;
        for it in &self.destinations {
            let (made, promised) = (self.made, self.promised);
            let (name, delivered, repeated, bound) = (it.name, it.delivered, it.repeated, it.bound);
            let lost = it.lost.len();
            writeln!(
                f,
                "| {name} | {made} | {promised} | {delivered} | {lost} | {repeated} | {bound} |"
            )?;
        }
        if let Some(unwritten) = self.unwritten {
            writeln!(
                f,
                "\nConfirmed by the kernel and not written by rsyslog, which was killed: {unwritten}."
            )?;
        }
        Ok(())
    }
}
