//! Rows of the Advanced Hunting tables, as the streaming API sends them: the object `properties`, every column in it.
//!
//! Source: the shapes that `tables.txt` lists (names and types of Microsoft's table pages and of captured records, 2026-07), and
//! captured values for what each column looks like.

mod columns;
mod entity;

use super::scene::{Cast, Scene, hex};
use super::story::{STORIES, Story};
use super::write::Json;
use crate::ticks::SECOND;
use bytes::Bytes;
use rand::Rng;
use rand::rngs::StdRng;
use sha2::{Digest, Sha256};
use std::time::Duration;
use tokio::time::Instant;

/// A line per table: `hunting.<Table>`, then `type:Column` for each column. Types are text, time, int, long, bool, dynamic,
/// guid, and real, by their first letter (text is `s`).
const TABLES: &str = include_str!("hunting/tables.txt");

/// Where most rows come from; the others come in turn, one row in four.
const FREQUENT: [&str; 16] = [
    "AlertInfo",
    "AlertEvidence",
    "AlertEvidence",
    "DeviceProcessEvents",
    "DeviceProcessEvents",
    "DeviceProcessEvents",
    "DeviceNetworkEvents",
    "DeviceNetworkEvents",
    "DeviceFileEvents",
    "DeviceEvents",
    "DeviceLogonEvents",
    "DeviceRegistryEvents",
    "EmailEvents",
    "CloudAppEvents",
    "IdentityLogonEvents",
    "UrlClickEvents",
];

/// The longest that a record waits for the others of its message.
const LONGEST_HOLD: f64 = 0.3;

/// The type of a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ColumnType {
    Text,
    Time,
    Whole,
    Truth,
    Dynamic,
    Guid,
    Real,
}

#[derive(Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    pub(super) of: ColumnType,
}

/// One table.
#[derive(Debug)]
struct Table {
    /// `hunting.` and the table's name.
    kind: &'static str,
    columns: Vec<Column>,
    /// The column that makes each row another one.
    unique: usize,
}

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) kind: &'static str,
    pub(super) id: String,
    pub(super) properties: Bytes,
    /// Counts messages; rows with the same number belong into one.
    pub(super) message: u64,
    pub(super) visible_at: Instant,
}

/// What a row is about.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    pub(super) number: u64,
    pub(super) table: &'static str,
    pub(super) scene: &'a Scene<'a>,
    pub(super) story: &'static Story,
    /// The alert of the row, or the last one before it.
    pub(super) alert: &'a str,
}

/// Makes rows.
#[derive(Debug)]
pub(super) struct Hunting {
    tables: Vec<Table>,
    frequent: Vec<usize>,
    in_turn: usize,
    alert: String,
    /// Versions of all kinds per second.
    rate: f64,
    message: u64,
    left_in_message: u64,
    shown_at: Instant,
}

impl Hunting {
    pub(super) fn new(rate: f64) -> Self {
        let tables: Vec<Table> = TABLES.lines().map(table).collect();
        let place = |name: &&str| {
            tables
                .iter()
                .position(|table| &table.kind["hunting.".len()..] == *name)
        };
        Self {
            frequent: FREQUENT.iter().filter_map(place).collect(),
            tables,
            in_turn: 0,
            alert: "da639000000000000000_1".to_owned(),
            rate,
            message: 0,
            left_in_message: 0,
            shown_at: Instant::now(),
        }
    }

    /// Makes the row with this number.
    pub(super) fn row(
        &mut self,
        number: u64,
        now: i64,
        tenant: &str,
        cast: &Cast,
        rng: &mut StdRng,
        json: &mut Json,
    ) -> Row {
        self.assign(rng);
        let place = self.choose(rng);
        let table = &self.tables[place];
        let name = &table.kind["hunting.".len()..];
        let at = now - rng.random_range(SECOND..600 * SECOND);
        let scene = cast.scene(rng, tenant, at);
        if name == "AlertInfo" {
            let digits = 639_000_000_000_000_000 + number;
            self.alert = format!("da{digits}_-{}", rng.random_range(1_000_000..2_000_000_000));
        }
        let subject = Subject {
            number,
            table: name,
            scene: &scene,
            story: &STORIES[rng.random_range(0..STORIES.len())],
            alert: &self.alert,
        };
        json.out.clear();
        write(table, &subject, rng, json);
        Row {
            kind: table.kind,
            id: identity(name, &json.out),
            properties: Bytes::copy_from_slice(&json.out),
            message: self.message,
            visible_at: self.shown_at,
        }
    }

    /// Puts the next row into the message that is being filled, or begins one.
    fn assign(&mut self, rng: &mut StdRng) {
        if self.left_in_message == 0 {
            self.left_in_message = match rng.random_range(0..20) {
                0..4 => 1,
                4..14 => rng.random_range(2..=10),
                14..19 => rng.random_range(11..=50),
                _ => rng.random_range(51..=200),
            };
            self.message += 1;
            let filled_after = 2.0 * self.left_in_message as f64 / self.rate;
            self.shown_at =
                Instant::now() + Duration::from_secs_f64(filled_after.min(LONGEST_HOLD));
        }
        if self.shown_at < Instant::now() && self.left_in_message > 0 {
            // the rows of this message are out already: what is left of it goes into another one
            self.message += 1;
            self.shown_at = Instant::now();
        }
        self.left_in_message -= 1;
    }

    fn choose(&mut self, rng: &mut StdRng) -> usize {
        if rng.random_range(0..4) > 0 {
            return self.frequent[rng.random_range(0..self.frequent.len())];
        }
        self.in_turn += 1;
        self.in_turn % self.tables.len()
    }
}

/// 32 hex digits of SHA-256 over the table's name, a zero byte, and the row's bytes.
fn identity(table: &str, properties: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(table.as_bytes());
    hash.update([0]);
    hash.update(properties);
    let digest = hash.finalize();
    digest[..16]
        .iter()
        .fold(String::with_capacity(32), |text, byte| {
            text + &format!("{byte:02x}")
        })
}

fn write(table: &Table, subject: &Subject<'_>, rng: &mut StdRng, json: &mut Json) {
    let entity = (subject.table == "AlertEvidence").then(|| entity::choose(rng));
    json.open(b'{');
    for (place, column) in table.columns.iter().enumerate() {
        json.key(column.name);
        if place == table.unique {
            columns::unique(column, subject, rng, json);
        } else if entity.is_some_and(|entity| !entity.has(column.name)) {
            json.null();
        } else if let Some(entity) = entity.filter(|_| column.name == "EntityType") {
            json.text(entity.name);
        } else {
            columns::value(column, subject, rng, json);
        }
    }
    json.close(b'}');
}

fn table(line: &'static str) -> Table {
    let (kind, rest) = line.split_once(' ').unwrap_or((line, ""));
    let columns: Vec<Column> = rest.split(' ').filter_map(column).collect();
    let named = |name: &str| columns.iter().position(|column| column.name == name);
    let first_text = || {
        columns
            .iter()
            .position(|column| column.of == ColumnType::Text)
    };
    let unique = match kind {
        "hunting.AlertInfo" => named("AlertId"),
        "hunting.AlertEvidence" => named("AdditionalFields"),
        _ => named("ReportId")
            .or_else(|| named("BehaviorId"))
            .or_else(first_text),
    };
    Table {
        kind,
        unique: unique.unwrap_or(0),
        columns,
    }
}

fn column(text: &'static str) -> Option<Column> {
    let (of, name) = text.split_once(':')?;
    let of = match of {
        "t" => ColumnType::Time,
        "i" | "l" => ColumnType::Whole,
        "b" => ColumnType::Truth,
        "d" => ColumnType::Dynamic,
        "g" => ColumnType::Guid,
        "r" => ColumnType::Real,
        _ => ColumnType::Text,
    };
    Some(Column { name, of })
}

/// A GUID that this number makes another one than all before.
pub(super) fn numbered_guid(number: u64, rng: &mut StdRng) -> String {
    let mut text = hex(rng, 20) + &format!("{number:012x}");
    for place in [20, 16, 12, 8] {
        text.insert(place, '-');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use std::collections::HashSet;

    fn rows(count: u64) -> Vec<Row> {
        let mut rng = StdRng::seed_from_u64(7);
        let cast = Cast::new(&mut rng);
        let (mut hunting, mut json) = (Hunting::new(100.0), Json::default());
        let mut row = |number| {
            hunting.row(
                number,
                1_790_000_000 * SECOND,
                "tenant",
                &cast,
                &mut rng,
                &mut json,
            )
        };
        (0..count).map(&mut row).collect()
    }

    #[test]
    fn every_table_has_rows_with_all_its_columns_and_no_row_comes_twice() {
        let (rows, tables) = (rows(3_000), Hunting::new(1.0).tables);
        let kinds: HashSet<_> = rows.iter().map(|row| row.kind).collect();
        assert_eq!(kinds.len(), tables.len());
        let ids: HashSet<_> = rows.iter().map(|row| &row.id).collect();
        assert_eq!(ids.len(), rows.len());
        for row in &rows {
            let value: serde_json::Value = serde_json::from_slice(&row.properties).unwrap();
            let table = tables.iter().find(|table| table.kind == row.kind).unwrap();
            for column in &table.columns {
                assert!(
                    value.get(column.name).is_some(),
                    "{} has no {}",
                    row.kind,
                    column.name
                );
            }
            assert!(
                !value[table.columns[table.unique].name].is_null(),
                "{}",
                row.kind
            );
        }
    }

    #[test]
    fn an_identity_is_the_hash_of_the_table_and_the_bytes() {
        // printf 'AlertInfo\0{"a":1}' | sha256sum | head -c 32
        let expected = "9fb9ad444383fa1cdb4f57352b952214";
        assert_eq!(identity("AlertInfo", b"{\"a\":1}"), expected);
        assert_ne!(identity("AlertEvidence", b"{\"a\":1}"), expected);
    }
}
