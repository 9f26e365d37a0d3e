//! Who arrived where: counts, repeats, and what is missing.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::Context;
use serde::Deserialize;

/// How kinds of rows of hunting tables begin.
const HUNTING: &str = "hunting.";

/// The identity of one version of a record.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq)]
pub(super) struct Identity {
    pub(super) kind: String,
    pub(super) tenant: String,
    pub(super) id: String,
    pub(super) version: String,
}

impl Identity {
    fn uid(&self) -> String {
        let Self {
            kind,
            tenant,
            id,
            version,
        } = self;
        format!("{tenant}:{kind}:{id}:{version}")
    }
}

/// The newest detection, as the view shows it.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
pub(super) struct Newest {
    #[serde(default)]
    pub(super) severity: String,
    #[serde(default)]
    pub(super) message: String,
    #[serde(default)]
    pub(super) class_name: String,
}

/// What has arrived; a clone counts the same.
#[derive(Clone)]
pub(super) struct Arrivals(Arc<Mutex<Counts>>);

struct Counts {
    kafka: HashMap<String, u64>,
    syslog: HashMap<String, u64>,
    /// Rows in Kafka by the kind of their table, repeats left out.
    tables: HashMap<String, u64>,
    unidentified: u64,
    newest: Newest,
    last: Instant,
}

/// The counts of one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Snapshot {
    pub(super) kafka: u64,
    pub(super) syslog: u64,
    /// How many of those in Kafka are rows of hunting tables, and of how many tables.
    pub(super) rows: u64,
    pub(super) tables: u64,
    pub(super) repeats: u64,
    /// Syslog messages without an identity.
    pub(super) unidentified: u64,
    pub(super) newest: Newest,
}

/// What the ledger lists and one of the two did not get, or got twice.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Verdict {
    pub(super) missing: Vec<String>,
    pub(super) repeated: Vec<String>,
}

impl Arrivals {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Counts {
            kafka: HashMap::new(),
            syslog: HashMap::new(),
            tables: HashMap::new(),
            unidentified: 0,
            newest: Newest::default(),
            last: Instant::now(),
        })))
    }

    /// A record arrived in Kafka.
    pub(super) fn kafka(&self, identity: Identity, body: Option<&[u8]>) {
        let newest = body.and_then(|body| serde_json::from_slice(body).ok());
        let mut counts = self.lock();
        let times = counts.kafka.entry(identity.uid()).or_default();
        *times += 1;
        if *times == 1 && identity.kind.starts_with(HUNTING) {
            *counts.tables.entry(identity.kind).or_default() += 1;
        }
        counts.newest = newest.unwrap_or_default();
        counts.last = Instant::now();
    }

    /// A message arrived at the receiver.
    pub(super) fn syslog(&self, line: &str) {
        let uid = uid_of(line);
        let mut counts = self.lock();
        match uid {
            Some(uid) => *counts.syslog.entry(uid).or_default() += 1,
            None => counts.unidentified += 1,
        }
        counts.last = Instant::now();
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        let counts = self.lock();
        let repeats = |seen: &HashMap<String, u64>| seen.values().map(|n| n - 1).sum::<u64>();
        Snapshot {
            kafka: counts.kafka.len() as u64,
            syslog: counts.syslog.len() as u64,
            rows: counts.tables.values().sum(),
            tables: counts.tables.len() as u64,
            repeats: repeats(&counts.kafka) + repeats(&counts.syslog),
            unidentified: counts.unidentified,
            newest: counts.newest.clone(),
        }
    }

    /// When the last record or message arrived.
    pub(super) fn last(&self) -> Instant {
        self.lock().last
    }

    /// Compares what arrived with what the simulator says it made.
    pub(super) fn judge(&self, ledger: &Path) -> anyhow::Result<Verdict> {
        let expected = read_ledger(ledger)?;
        let counts = self.lock();
        let mut verdict = Verdict::default();
        for (place, seen) in [("kafka", &counts.kafka), ("syslog", &counts.syslog)] {
            for uid in &expected {
                match seen.get(uid) {
                    None => verdict.missing.push(format!("{place}: {uid}")),
                    Some(1) => {}
                    Some(times) => verdict
                        .repeated
                        .push(format!("{place}: {uid}, {times} times")),
                }
            }
        }
        Ok(verdict)
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Every version the simulator made, in its order.
fn read_ledger(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).context("reading the simulator's ledger")?;
    let mut uids = Vec::new();
    for line in text.lines() {
        let identity: Identity = serde_json::from_str(line).context("a line of the ledger")?;
        uids.push(identity.uid());
    }
    Ok(uids)
}

/// The identity that the sink put into the structured data, unescaped.
fn uid_of(line: &str) -> Option<String> {
    let (_, rest) = line.split_once(" uid=\"")?;
    let mut uid = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => return Some(uid),
            '\\' => uid.push(characters.next()?),
            other => uid.push(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn identity(id: &str) -> Identity {
        let text = |text: &str| text.to_owned();
        Identity {
            kind: text("graph.alert"),
            tenant: text("t"),
            id: text(id),
            version: text("v"),
        }
    }

    #[test]
    fn what_is_missing_and_what_is_repeated_is_named() {
        let arrivals = Arrivals::new();
        arrivals.kafka(identity("a"), Some(br#"{"severity":"High","message":"m"}"#));
        arrivals.kafka(identity("a"), None);
        arrivals.syslog(r#"<130>1 - - - - - [tapline@32473 uid="t:graph.alert:b:v"] CEF:0|"#);
        let mut ledger = tempfile::NamedTempFile::new().expect("file");
        for id in ["a", "b"] {
            let line = format!(
                r#"{{"kind":"graph.alert","tenant":"t","id":"{id}","version":"v","superseded_after_ms":null}}"#
            );
            writeln!(ledger, "{line}").expect("written");
        }
        let verdict = arrivals.judge(ledger.path()).expect("judged");
        assert_eq!(verdict.repeated, ["kafka: t:graph.alert:a:v, 2 times"]);
        assert_eq!(
            verdict.missing,
            ["kafka: t:graph.alert:b:v", "syslog: t:graph.alert:a:v"]
        );
        assert_eq!(arrivals.snapshot().repeats, 1);
    }

    #[test]
    fn rows_are_counted_once_and_by_their_tables() {
        let arrivals = Arrivals::new();
        let row = |table: &str, id: &str| Identity {
            kind: format!("hunting.{table}"),
            ..identity(id)
        };
        for arrived in [
            row("AlertInfo", "a"),
            row("AlertInfo", "a"),
            row("UrlClickEvents", "b"),
        ] {
            arrivals.kafka(arrived, None);
        }
        arrivals.kafka(identity("c"), None);
        let snapshot = arrivals.snapshot();
        assert_eq!((snapshot.rows, snapshot.tables), (2, 2));
    }

    #[test]
    fn an_identity_is_unescaped() {
        let line = r#"<1>1 - - - - - [tapline@32473 uid="t:k:a\"\]\\:1"] x"#;
        assert_eq!(uid_of(line).as_deref(), Some(r#"t:k:a"]\:1"#));
    }
}
