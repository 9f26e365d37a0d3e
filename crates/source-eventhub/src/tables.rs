//! Which tables are read, and what is known of a table by its name.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use tapline_core::metrics::{ComponentMetrics, IntCounter, SOURCE_TABLE_RECORDS};
use tapline_core::{Kind, Problem, Text, hunting_table};

/// What `category` begins with in rows of advanced hunting, in any case.
const STREAMED: &str = "AdvancedHunting-";
/// More spellings than this come from no service; they are looked up anew each time.
const SPELLINGS: usize = 512;

/// The tables to read, as written in the pipeline file.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum TableChoice {
    /// `all`.
    Word(String),
    /// A list of tables.
    List(Vec<String>),
}

impl Default for TableChoice {
    /// Detections; everything else is telemetry with thousands of times the volume.
    fn default() -> Self {
        Self::List(["AlertInfo", "AlertEvidence"].map(str::to_owned).to_vec())
    }
}

impl TableChoice {
    pub(crate) fn problems(&self) -> Vec<Problem> {
        match self {
            TableChoice::Word(word) if word == "all" => Vec::new(),
            TableChoice::Word(_) => {
                vec![Problem::new("tables", "expected a list of tables, or all")]
            }
            TableChoice::List(tables) if tables.is_empty() => {
                vec![Problem::new(
                    "tables",
                    "expected at least one table, or all",
                )]
            }
            TableChoice::List(tables) => {
                let legal = |table: &String| {
                    !table.is_empty()
                        && table
                            .bytes()
                            .all(|b| b.is_ascii_alphanumeric() || b == b'_')
                };
                let wrong = tables.iter().enumerate().filter(|(_, table)| !legal(table));
                let problem = |(index, table): (usize, &String)| {
                    let message =
                        format!("expected the name of a table such as AlertInfo, found {table:?}");
                    Problem::new(format!("tables[{index}]"), message)
                };
                wrong.map(problem).collect()
            }
        }
    }

    fn allows(&self, table: Option<&str>) -> bool {
        match (self, table) {
            (TableChoice::Word(_), _) => true,
            (TableChoice::List(_), None) => false,
            (TableChoice::List(tables), Some(name)) => {
                tables.iter().any(|table| table.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// What is known of a record by its category.
#[derive(Clone)]
pub(crate) struct Table {
    /// The name as it came; none if the category is not one of advanced hunting.
    pub(crate) name: Option<Text>,
    pub(crate) kind: Kind,
    /// Whether it is to be read.
    pub(crate) is_wanted: bool,
    pub(crate) records: IntCounter,
}

/// All tables seen so far.
pub(crate) struct Tables {
    choice: TableChoice,
    metrics: ComponentMetrics,
    by_category: HashMap<Box<[u8]>, Arc<Table>>,
    /// Records without a category.
    none: Arc<Table>,
}

impl Tables {
    pub(crate) fn new(choice: TableChoice, metrics: ComponentMetrics) -> Self {
        let none = Arc::new(table(&choice, &metrics, None));
        Self {
            choice,
            metrics,
            by_category: HashMap::new(),
            none,
        }
    }

    /// What is known of a category, given as it stands in the message.
    pub(crate) fn of(&mut self, category: Option<&[u8]>) -> Arc<Table> {
        let Some(category) = category else {
            return Arc::clone(&self.none);
        };
        if let Some(known) = self.by_category.get(category) {
            return Arc::clone(known);
        }
        let name = plain(category);
        let made = Arc::new(table(
            &self.choice,
            &self.metrics,
            name.as_deref().and_then(streamed),
        ));
        if self.by_category.len() < SPELLINGS {
            self.by_category.insert(category.into(), Arc::clone(&made));
        }
        made
    }
}

fn table(choice: &TableChoice, metrics: &ComponentMetrics, name: Option<&str>) -> Table {
    let known = name.and_then(hunting_table);
    let label = known.unwrap_or("unknown");
    Table {
        name: name.map(Text::from),
        kind: Kind::new(&format!("hunting.{label}")),
        is_wanted: choice.allows(name),
        records: metrics.counter(&SOURCE_TABLE_RECORDS, &[label]),
    }
}

/// The table of a category, as it was sent.
fn streamed(category: &str) -> Option<&str> {
    let (prefix, table) = category.split_at_checked(STREAMED.len())?;
    prefix.eq_ignore_ascii_case(STREAMED).then_some(table)
}

/// A text as it stands between quotes, without its escapes.
pub(crate) fn plain(raw: &[u8]) -> Option<String> {
    if !raw.contains(&b'\\') {
        return std::str::from_utf8(raw).ok().map(str::to_owned);
    }
    let quoted = [b"\"", raw, b"\""].concat();
    serde_json::from_slice(&quoted).ok()
}
