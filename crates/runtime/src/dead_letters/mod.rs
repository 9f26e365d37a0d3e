//! Events that some component will never take, kept on disk for a human.
//!
//! An event counts as rejected only after its letter is synced. When the folder is full, letters
//! wait, and with them everything that waits for their batches: nothing is dropped.

mod files;
mod letter;
mod replay;
mod shelf;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tapline_core::metrics::{DEAD_LETTER_BYTES, Metrics};
use tapline_core::{ComponentName, Event, Rejected, Verdict};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::status::{StatusBoard, Trouble};
use crate::topology::Topology;
use files::{Files, WriteError};

pub(crate) use replay::Replay;
pub use shelf::{Filter, Shelf, Summary};

/// Letters written and synced together.
const LETTERS_PER_SYNC: usize = 256;
/// How often a full or broken folder is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is said that it is still full, in attempts.
const SAY_EVERY: u64 = 60;

/// One event given up, and by whom.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) component: ComponentName,
    pub(crate) event: Event,
    pub(crate) reason: &'static str,
    pub(crate) why: String,
    pub(crate) at: Timestamp,
}

impl Letter {
    /// A letter for what a component rejected just now.
    pub(crate) fn new(component: &ComponentName, rejected: Rejected) -> Self {
        Self {
            component: component.clone(),
            event: rejected.event,
            reason: rejected.reason,
            why: rejected.why,
            at: Timestamp::now(),
        }
    }
}

/// Where letters are handed in. Cheap to clone; the writer ends when all are gone.
#[derive(Clone)]
pub(crate) struct DeadLetters(mpsc::Sender<Letter>);

/// Where a sink keeps what it rejects if that is not in the data folder, as a sentence.
pub fn kept_elsewhere(name: &str, topology: &Topology) -> Option<String> {
    let id = &topology.transactional.first()?.name.id;
    Some(format!(
        "sinks.{id} is exactly_once: what Kafka never takes is in topic {name}.{id}.dead-letters, and not part of this"
    ))
}

impl DeadLetters {
    /// Opens the folder and starts the writer.
    ///
    /// # Errors
    /// What the system says if the folder cannot be made or read.
    pub(crate) fn start(
        folder: PathBuf,
        max_bytes: u64,
        metrics: &Metrics,
        board: StatusBoard,
        abandoned: watch::Receiver<bool>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let gauge = metrics.gauge(&DEAD_LETTER_BYTES, &[]);
        let files = Files::open(folder, max_bytes, gauge)?;
        let (letters, inbox) = mpsc::channel(LETTERS_PER_SYNC);
        let writer = Writer {
            metrics: metrics.clone(),
            board,
            abandoned,
            files: Some(files),
        };
        Ok((Self(letters), tokio::spawn(writer.run(inbox))))
    }

    /// Hands in letters; waits while the writer is behind. What cannot be handed in is Lost.
    pub(crate) async fn send(&self, letters: Vec<Letter>) {
        for letter in letters {
            if self.0.send(letter).await.is_err() {
                return;
            }
        }
    }
}

struct Writer {
    metrics: Metrics,
    board: StatusBoard,
    abandoned: watch::Receiver<bool>,
    files: Option<Files>,
}

impl Writer {
    async fn run(mut self, mut inbox: mpsc::Receiver<Letter>) {
        let mut letters = Vec::new();
        while inbox.recv_many(&mut letters, LETTERS_PER_SYNC).await > 0 {
            if !self.store(std::mem::take(&mut letters)).await {
                return;
            }
        }
    }

    /// Stores letters, however long it takes; false if the runtime gave up meanwhile.
    async fn store(&mut self, letters: Vec<Letter>) -> bool {
        let mut left = letters;
        let mut failures = 0;
        let mut stuck = HashSet::new();
        while !left.is_empty() {
            let Some(mut files) = self.files.take() else {
                return false;
            };
            let work = move || {
                let result = files.append(&left);
                (files, left, result)
            };
            let Ok((files, all, result)) = tokio::task::spawn_blocking(work).await else {
                return false;
            };
            self.files = Some(files);
            left = all;
            let (stored, error) = result;
            let rest = left.split_off(stored);
            self.settle(left);
            left = rest;
            if let Some(error) = error {
                self.no_longer_stuck(&mut stuck, &left);
                self.complain(&error, &left, &mut stuck, failures);
                failures += 1;
                tokio::select! {
                    () = tokio::time::sleep(AGAIN) => {}
                    // An error means that the runtime is gone.
                    _ = self.abandoned.wait_for(|abandoned| *abandoned) => return false,
                }
            }
        }
        self.no_longer_stuck(&mut stuck, &[]);
        true
    }

    /// Says so of the components that have no letter among those that still wait.
    fn no_longer_stuck(&self, stuck: &mut HashSet<Arc<str>>, waiting: &[Letter]) {
        stuck.retain(|component| {
            let waits = waiting.iter().any(|it| it.component.id == *component);
            if !waits {
                tracing::info!(%component, "dead letters are kept again");
                self.board.trouble(component, Trouble::DeadLetters, None);
            }
            waits
        });
    }

    fn settle(&self, letters: Vec<Letter>) {
        for letter in letters {
            let component = self.metrics.component(&letter.component);
            component
                .counter(&tapline_core::metrics::DEAD_LETTERS, &[letter.reason])
                .inc();
            tracing::debug!(
                component = %letter.component,
                reason = letter.reason,
                why = letter.why,
                "event given up, kept in the dead letters"
            );
            letter.event.settle(Verdict::Rejected);
        }
    }

    fn complain(
        &self,
        error: &WriteError,
        waiting: &[Letter],
        stuck: &mut HashSet<Arc<str>>,
        failures: u64,
    ) {
        let Some(first) = waiting.first() else {
            return;
        };
        let component = self.metrics.component(&first.component);
        let labels = ["processing", error.reason()];
        component
            .counter(&tapline_core::metrics::ERRORS, &labels)
            .inc();
        let is_news = stuck.insert(Arc::clone(&first.component.id));
        if is_news || failures.is_multiple_of(SAY_EVERY) {
            let detail = format!("dead letters cannot be kept: {error}");
            tracing::error!(component = %first.component, %error, waiting = waiting.len(),
                "dead letters cannot be kept; rejected events wait, and their streams with them");
            let id = &first.component.id;
            self.board.trouble(id, Trouble::DeadLetters, Some(detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tapline_core::{ComponentKind, Kind, Metadata};

    use super::*;

    fn sink(id: &str) -> ComponentName {
        ComponentName {
            kind: ComponentKind::Sink,
            type_name: "kafka",
            id: id.into(),
        }
    }

    fn letter(component: &str) -> Letter {
        let meta = Metadata::new(Kind::new("graph.alert"), "contoso", "1", "2");
        let rejected = Rejected {
            event: Event::new(b"{}".as_slice(), meta),
            reason: "too_large",
            why: String::new(),
        };
        Letter::new(&sink(component), rejected)
    }

    #[tokio::test]
    async fn each_component_is_told_that_its_letters_wait_and_that_they_wait_no_more() {
        let folder = tempfile::tempdir().expect("a folder");
        let board = StatusBoard::new("test");
        board.add(&sink("lake"), &[]);
        board.add(&sink("siem"), &[]);
        let told = |id: &str| board.snapshot().components[id].detail.is_some();
        let until = async |lake: bool, siem: bool| {
            let told = async {
                while (told("lake"), told("siem")) != (lake, siem) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            let told = tokio::time::timeout(Duration::from_secs(30), told).await;
            told.expect("it is told");
        };
        // Room for one letter, or for none.
        let size = letter::encode(&letter("lake")).len() as u64;
        let max = size * 3 / 2;
        let ballast = folder.path().join("ballast.ndjson");
        fs::write(&ballast, vec![b' '; max as usize]).expect("written");
        let metrics = Metrics::new().expect("the table is right");
        let (_abandon, abandoned) = watch::channel(false);
        let path = folder.path().to_owned();
        let started = DeadLetters::start(path, max, &metrics, board.clone(), abandoned);
        let (letters, _writer) = started.expect("starts");
        letters.send(vec![letter("lake"), letter("siem")]).await;

        until(true, false).await;
        fs::remove_file(&ballast).expect("purged");
        until(false, true).await;
        fs::remove_file(folder.path().join("lake.ndjson")).expect("purged");
        until(false, false).await;
    }
}
