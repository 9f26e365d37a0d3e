//! What has happened to every row, and what must never happen.

use std::collections::HashSet;

use super::Broken;
use super::disk::Disk;
use super::microsoft::{Branches, Microsoft, Row};
use super::scenery::Body;

/// What is known of one row.
#[derive(Clone, Default)]
struct Fortune {
    reads: u32,
    /// How often it may have been read: once, and again after every loss of what was not durable.
    allowed: u32,
    /// Who has it, or whose letter of it is on disk.
    settled: Branches,
    /// Who will never get it, whether or not the letter is on disk already.
    given_up: Branches,
}

/// Counts over one schedule.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) delivered: u64,
    pub(super) letters: u64,
    pub(super) repeats: u64,
    pub(super) unsettled: u64,
}

pub(super) struct Book {
    fortunes: Vec<Fortune>,
    /// What each reading delivered to whom.
    arrived: HashSet<(u64, Branches)>,
    /// Deliveries that were taken although the answer said that they were not.
    unsure: HashSet<(u64, Branches)>,
    readings: u64,
    pub(super) counts: Counts,
}

impl Book {
    pub(super) fn new() -> Self {
        Self {
            fortunes: Vec::new(),
            arrived: HashSet::new(),
            unsure: HashSet::new(),
            readings: 0,
            counts: Counts::default(),
        }
    }

    /// A source reads a row: the number of this reading.
    pub(super) fn read(&mut self, row: usize) -> Result<u64, Broken> {
        let fortune = self.fortune(row);
        fortune.reads += 1;
        if fortune.reads > fortune.allowed {
            return Err(format!("row {row} is read again though nothing was lost"));
        }
        self.readings += 1;
        Ok(self.readings)
    }

    /// A destination takes an event; `told` is whether the sink hears of it.
    pub(super) fn arrive(
        &mut self,
        body: Body,
        branch: Branches,
        told: bool,
        rows: &[Row],
    ) -> Result<(), Broken> {
        let delivery = (body.reading, branch);
        if !self.arrived.insert(delivery) && !self.unsure.remove(&delivery) {
            return Err(format!("row {} is settled twice", body.row));
        }
        if !told {
            self.unsure.insert(delivery);
        }
        self.check_order(body.row, branch, rows)?;
        let fortune = self.fortune(body.row);
        let repeated = fortune.settled & branch != 0;
        fortune.settled |= branch;
        self.counts.delivered += 1;
        self.counts.repeats += u64::from(repeated);
        Ok(())
    }

    /// The first arrivals of a record's versions come in order.
    fn check_order(&mut self, row: usize, branch: Branches, rows: &[Row]) -> Result<(), Broken> {
        let Some(before) = rows[row].before else {
            return Ok(());
        };
        let owed = rows[before].fate.owed() & branch;
        let fortune = self.fortune(before);
        match owed & !(fortune.settled | fortune.given_up) {
            0 => Ok(()),
            _ => Err(format!("row {row} overtook {before}, its older version")),
        }
    }

    /// Somebody will never take a row.
    pub(super) fn give_up(&mut self, row: usize, branches: Branches) {
        self.fortune(row).given_up |= branches;
    }

    /// The letter of it is on disk.
    pub(super) fn keep_letter(&mut self, row: usize, branches: Branches) {
        self.fortune(row).settled |= branches;
        self.counts.letters += 1;
    }

    /// A checkpoint was made durable: everything that it passes is settled, at every sibling.
    pub(super) fn check_durable(
        &mut self,
        partition: usize,
        disk: &Disk,
        microsoft: &Microsoft,
    ) -> Result<(), Broken> {
        for (at, row) in microsoft.rows.iter().enumerate() {
            if row.partition == partition && disk.covers(at, row) {
                let missing = row.fate.owed() & !self.fortune(at).settled;
                if missing != 0 {
                    return Err(format!(
                        "a checkpoint passes row {at}, owed to {missing:03b}"
                    ));
                }
            }
        }
        Ok(())
    }

    /// What was read of a partition since the last loss, and is not durable, may be read once more;
    /// so many rows are that.
    pub(super) fn forget(&mut self, partition: usize, disk: &Disk, microsoft: &Microsoft) -> u64 {
        let mut unsettled = 0;
        for (at, row) in microsoft.rows.iter().enumerate() {
            let fortune = self.fortune(at);
            let was_read = fortune.reads == fortune.allowed;
            if row.partition == partition && was_read && !disk.covers(at, row) {
                fortune.allowed = fortune.reads + 1;
                unsettled += 1;
            }
        }
        self.counts.unsettled += unsettled;
        unsettled
    }

    /// Whether every row is where it is owed, and durably so.
    pub(super) fn is_complete(&mut self, disk: &Disk, microsoft: &Microsoft) -> bool {
        let mut rows = microsoft.rows.iter().enumerate();
        rows.all(|(at, row)| {
            row.fate.owed() & !self.fortune(at).settled == 0 && disk.covers(at, row)
        })
    }

    fn fortune(&mut self, row: usize) -> &mut Fortune {
        if self.fortunes.len() <= row {
            let fresh = Fortune {
                allowed: 1,
                ..Fortune::default()
            };
            self.fortunes.resize(row + 1, fresh);
        }
        &mut self.fortunes[row]
    }
}
