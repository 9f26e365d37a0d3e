//! A sink that makes events and cursors durable together.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use tapline_core::{
    Advance, Advanced, ComponentKind, Cursor, Durable, Fenced, PartitionKey, Source, SourceContext,
    SourceError, StreamIdentity, Tenure, TransactionalSink,
};
use tapline_runtime::topology::{Node, Print, Topology};
use tapline_runtime::{Runtime, Stopped};
use tokio::sync::watch;

use crate::fakes::{Counting, name, number_of, setup, source, start, until, up_to};

/// A destination that takes everything.
#[derive(Clone)]
struct Bank {
    interval: Duration,
    takes: Duration,
    kept: Arc<Mutex<Kept>>,
    trouble: watch::Sender<Option<String>>,
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct Kept {
    durable: HashMap<PartitionKey, Durable>,
    /// Numbers of events by source, in the order in which they became durable.
    events: HashMap<String, Vec<u64>>,
    /// Events of each transaction.
    transactions: Vec<usize>,
}

impl Bank {
    fn new(interval: Duration, takes: Duration) -> Self {
        Self {
            interval,
            takes,
            kept: Arc::default(),
            trouble: watch::Sender::new(None),
            changes: watch::Sender::new(0),
        }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("whole")
    }

    fn events(&self) -> usize {
        self.kept().events.values().map(Vec::len).sum()
    }
}

#[async_trait]
impl TransactionalSink for Bank {
    fn interval(&self) -> Duration {
        self.interval
    }

    fn place(&self) -> String {
        "a bank".to_owned()
    }

    async fn run(&self) -> Fenced {
        std::future::pending().await
    }

    fn trouble(&self) -> watch::Receiver<Option<String>> {
        self.trouble.subscribe()
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn tenure(&self, _: &PartitionKey) -> Option<Tenure> {
        Some(Tenure(1))
    }

    async fn recover(&self, key: &PartitionKey) -> Durable {
        self.kept().durable.get(key).cloned().unwrap_or_default()
    }

    async fn commit(&self, steps: Vec<Arc<Advance>>) -> Result<Vec<Advanced>, Fenced> {
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        let mut kept = self.kept();
        let events = steps.iter().map(|step| step.events.len()).sum();
        kept.transactions.push(events);
        for step in &steps {
            let numbers = step.events.iter().map(number_of);
            let component = step.key.component.clone();
            kept.events.entry(component).or_default().extend(numbers);
            let durable = kept.durable.entry(step.key.clone()).or_default();
            durable.record = Some(step.record.clone());
            for (key, value) in &step.changes {
                put(durable, key, value.as_ref());
            }
        }
        Ok(vec![Advanced::Durable { rejected: 0 }; steps.len()])
    }
}

fn put(durable: &mut Durable, key: &Bytes, value: Option<&Bytes>) {
    match value {
        Some(value) => durable.entries.insert(key.clone(), value.clone()),
        None => durable.entries.remove(key),
    };
}

/// Sources straight into the bank.
fn into(bank: &Bank, sources: &[(String, Counting)]) -> Topology {
    let built = bank.clone();
    Topology {
        sources: sources
            .iter()
            .map(|(id, counting)| source(id, counting))
            .collect(),
        transactional: vec![Node {
            name: name(ComponentKind::Sink, "bank"),
            print: Print::default(),
            inputs: sources.iter().map(|(id, _)| id.as_str().into()).collect(),
            build: Arc::new(move |_| Ok(Box::new(built.clone()))),
        }],
        ..Topology::default()
    }
}

fn sources(count: usize, last: u64) -> Vec<(String, Counting)> {
    let source = |n| (format!("alerts{n}"), Counting::to(last));
    (0..count).map(source).collect()
}

async fn run_to_the_end(folder: &Path, bank: &Bank, sources: &[(String, Counting)], events: usize) {
    let running = start(folder, into(bank, sources)).await;
    until(|| bank.events() >= events).await;
    assert_eq!(running.stop().await, Stopped::Drained);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_takes_all_that_settled_until_it_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let bank = Bank::new(Duration::from_millis(100), Duration::from_millis(10));
    let sources = sources(3, 500);
    run_to_the_end(folder.path(), &bank, &sources, 1500).await;
    let kept = bank.kept();
    assert_eq!(kept.transactions, [1500], "150 batches were read meanwhile");
    for (id, _) in &sources {
        assert_eq!(kept.events[id], up_to(500));
    }
}

#[tokio::test(start_paused = true)]
async fn a_stop_does_not_wait_for_the_interval() {
    let folder = tempfile::tempdir().expect("a folder");
    let bank = Bank::new(Duration::from_secs(3600), Duration::ZERO);
    let sources = sources(2, 40);
    let running = start(folder.path(), into(&bank, &sources)).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(bank.events(), 0, "the interval is an hour");
    let begin = tokio::time::Instant::now();
    assert_eq!(running.stop().await, Stopped::Drained);
    assert!(begin.elapsed() < Duration::from_secs(1));
    assert_eq!(bank.events(), 80);
    // And what is durable is not read again.
    run_to_the_end(folder.path(), &bank, &sources, 80).await;
    assert_eq!(bank.events(), 80);
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_transaction_takes_no_more_of_the_budget_than_is_left_of_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let bank = Bank::new(Duration::ZERO, Duration::from_secs(5));
    let mut sources = sources(1, 1000);
    sources[0].1.body = 1000;
    let mut setup = setup(folder.path(), into(&bank, &sources));
    // As read an event counts three times, and 512 bytes; what waits counts once.
    setup.budget_bytes = Some(100 * 3512);
    let running = Runtime::start(setup).await.expect("it starts");
    tokio::time::sleep(Duration::from_secs(1)).await;
    let read = sources[0].1.read.load(Ordering::Relaxed);
    assert!((200..=240).contains(&read), "{read} events");
    assert_eq!(running.stop().await, Stopped::Drained);
}

/// Commits one cursor after the other, each when the one before is durable.
#[derive(Clone)]
struct Patient {
    commits: u64,
    done: Arc<AtomicU64>,
}

#[async_trait]
impl Source for Patient {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let opened = cx.open("only", StreamIdentity::default()).await;
        let partition = opened.map_err(|error| SourceError(error.to_string()))?;
        for number in 1..=self.commits {
            let cursor = Cursor::new(number.to_be_bytes().to_vec());
            if partition.commit(cursor).await.is_err() {
                return Ok(());
            }
            self.done.fetch_add(1, Ordering::Relaxed);
        }
        cx.stopped().await;
        Ok(())
    }
}

/// Turns are called on one thread while partitions look at them and wait on others.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_call_is_missed_however_threads_meet() {
    let folder = tempfile::tempdir().expect("a folder");
    let bank = Bank::new(Duration::ZERO, Duration::ZERO);
    let patient = Patient {
        commits: 4_000,
        done: Arc::default(),
    };
    let ids = ["a", "b", "c", "d"];
    let mut topology = into(&bank, &[]);
    topology.transactional[0].inputs = ids.map(Into::into).to_vec();
    topology.sources = ids.map(|id| source(id, &patient)).into();
    let running = start(folder.path(), topology).await;
    let all = patient.commits * ids.len() as u64;
    let waiting = async {
        while patient.done.load(Ordering::Relaxed) < all {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(60), waiting).await;
    let done = patient.done.load(Ordering::Relaxed);
    assert!(in_time.is_ok(), "{done} of {all} commits");
    assert_eq!(running.stop().await, Stopped::Drained);
}
