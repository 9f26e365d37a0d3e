//! What there is to read: rows of a table that a poller reads by time, some of them late.

use rand::Rng;
use rand::rngs::SmallRng;

/// A row becomes visible at most so much later than its time says.
pub(super) const LATE: u64 = 6;
/// How far back every poll reads again.
pub(super) const OVERLAP: u64 = 8;

/// Who is owed a row: a set of bits.
pub(super) type Branches = u8;
/// The sink behind the transform.
pub(super) const LAKE: Branches = 1;
/// The second event that the transform makes of some rows.
pub(super) const LAKE_TWIN: Branches = 2;
/// The sink that reads the source itself.
pub(super) const SIEM: Branches = 4;

/// What becomes of a row, however often it is read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fate {
    Fine,
    /// The source cannot accept it.
    Unreadable,
    /// The transform cannot map it.
    Unmappable,
    /// The transform filters it.
    Filtered,
    /// The transform makes two of it.
    Split,
    /// This sink's destination will never take it.
    Refused(Branches),
}

impl Fate {
    pub(super) fn owed(self) -> Branches {
        match self {
            Fate::Split => LAKE | LAKE_TWIN | SIEM,
            Fate::Filtered => SIEM,
            _ => LAKE | SIEM,
        }
    }
}

/// One version of a record.
#[derive(Clone, Debug)]
pub(super) struct Row {
    pub(super) partition: usize,
    /// Its time by the server, which may lie before it became visible.
    pub(super) time: u64,
    pub(super) record: u32,
    pub(super) version: u32,
    /// The row with the version before.
    pub(super) before: Option<usize>,
    pub(super) fate: Fate,
}

/// All rows that are visible, and the server's clock.
pub(super) struct Microsoft {
    pub(super) rows: Vec<Row>,
    pub(super) clock: u64,
    partitions: usize,
    left: usize,
}

impl Microsoft {
    pub(super) fn new(partitions: usize, rows: usize) -> Self {
        Self {
            rows: Vec::new(),
            clock: OVERLAP,
            partitions,
            left: rows,
        }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.left == 0
    }

    pub(super) fn make_one(&mut self, rng: &mut SmallRng) {
        if rng.random_bool(0.5) {
            self.clock += rng.random_range(1..4);
        }
        if self.left == 0 {
            return;
        }
        self.left -= 1;
        let partition = rng.random_range(0..self.partitions);
        let row = match self.newest_of_one(partition, rng) {
            Some(before) if rng.random_bool(0.6) => self.next_version(before, rng),
            _ => self.first_version(partition, rng),
        };
        self.rows.push(row);
    }

    /// A record that may be replaced: the newest version of one that did not come late.
    fn newest_of_one(&self, partition: usize, rng: &mut SmallRng) -> Option<usize> {
        let newest = |at: &usize| {
            let row = &self.rows[*at];
            let replaced = self.rows.iter().any(|other| other.before == Some(*at));
            row.partition == partition && !replaced && row.record.is_multiple_of(2)
        };
        let candidates: Vec<usize> = (0..self.rows.len()).filter(newest).collect();
        match candidates.is_empty() {
            true => None,
            false => Some(candidates[rng.random_range(0..candidates.len())]),
        }
    }

    fn next_version(&self, before: usize, rng: &mut SmallRng) -> Row {
        Row {
            time: self.clock,
            version: self.rows[before].version + 1,
            before: Some(before),
            fate: fate(rng),
            ..self.rows[before].clone()
        }
    }

    /// Records with odd numbers may be late, and are never replaced.
    fn first_version(&self, partition: usize, rng: &mut SmallRng) -> Row {
        let late = rng.random_bool(0.3);
        let number = u32::try_from(self.rows.len()).expect("a few");
        Row {
            partition,
            time: self.clock - if late { rng.random_range(1..=LATE) } else { 0 },
            record: 2 * number + u32::from(late),
            version: 1,
            before: None,
            fate: fate(rng),
        }
    }
}

fn fate(rng: &mut SmallRng) -> Fate {
    match rng.random_range(0..20) {
        0 => Fate::Unreadable,
        1 => Fate::Unmappable,
        2 => Fate::Filtered,
        3 | 4 => Fate::Split,
        5 => Fate::Refused(LAKE),
        6 => Fate::Refused(SIEM),
        _ => Fate::Fine,
    }
}
