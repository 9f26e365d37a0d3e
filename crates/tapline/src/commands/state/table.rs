//! A table of where partitions stand, for a terminal.

use jiff::{SignedDuration, Timestamp};
use tapline_runtime::state::Standing;

const HEADS: [&str; 7] = [
    "COMPONENT",
    "PARTITION",
    "STREAM",
    "CURSOR",
    "AGE",
    "ENTRIES",
    "BYTES",
];
/// Columns with numbers, which stand to the right.
const FIRST_NUMBER: usize = 4;

/// One line for each partition.
pub(super) fn of(standings: &[Standing]) -> String {
    let now = Timestamp::now();
    let rows: Vec<[String; 7]> = standings.iter().map(|it| row(it, now)).collect();
    let width = |column: usize| {
        let lengths = rows.iter().map(|row| row[column].chars().count());
        lengths.fold(HEADS[column].len(), usize::max)
    };
    let widths: [usize; 7] = std::array::from_fn(width);
    let mut table = line(&HEADS.map(str::to_owned), &widths);
    for row in &rows {
        table.push_str(&line(row, &widths));
    }
    table
}

fn row(standing: &Standing, now: Timestamp) -> [String; 7] {
    let cursor = standing.position.clone();
    let age = standing.at.map(|at| age(now.duration_since(at)));
    [
        standing.component.clone(),
        standing.partition.clone(),
        standing.stream.to_string(),
        cursor.unwrap_or_else(|| standing.cursor.0.clone()),
        age.unwrap_or_else(|| "-".to_owned()),
        standing.entries.to_string(),
        standing.entry_bytes.to_string(),
    ]
}

fn line(cells: &[String; 7], widths: &[usize; 7]) -> String {
    let mut line = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        match column < FIRST_NUMBER {
            true => line.push_str(&format!("{cell:width$}  ")),
            false => line.push_str(&format!("{cell:>width$}  ")),
        }
    }
    format!("{}\n", line.trim_end())
}

/// The two largest units are enough for people.
fn age(age: SignedDuration) -> String {
    let seconds = age.as_secs().max(0);
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{minutes}m {}s", seconds % 60),
        3600..86_400 => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_reads_at_a_glance() {
        for (seconds, expected) in [
            (-3, "0s"),
            (59, "59s"),
            (60, "1m 0s"),
            (3_700, "1h 1m"),
            (200_000, "2d 7h"),
        ] {
            assert_eq!(age(SignedDuration::from_secs(seconds)), expected);
        }
    }
}
