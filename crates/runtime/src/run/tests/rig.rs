//! A host with one source, one outlet that the test holds, and a store in memory.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use tapline_core::metrics::{CHECKPOINT_COMMITS, Gauge, Metrics};
use tapline_core::{
    BuildContext, BuildError, Checkpoint, ComponentKind, ComponentName, Cursor, Event, Kind,
    Metadata, OpenError, Partition, PartitionKey, Reach, Sink, SourceHost, StreamIdentity, Verdict,
};
use tempfile::TempDir;
use tokio::sync::{mpsc, watch};
use tokio_util::task::TaskTracker;

use crate::budget::Budget;
use crate::checkpoint::{CheckpointStore, Commit, Kept, StoreError, Stored, Turn};
use crate::dead_letters::DeadLetters;
use crate::run::engine::Engine;
use crate::run::flow::{Entrance, Plan};
use crate::run::host::{Host, Plans, Stores};
use crate::status::{State, StatusBoard};
use crate::topology::{Node, Print, Topology};

/// Checkpoints in memory; fails while it is told to.
#[derive(Default)]
pub(super) struct Flaky {
    stored: Mutex<HashMap<PartitionKey, Stored>>,
    fails: AtomicBool,
}

impl Flaky {
    pub(super) fn fail(&self, fails: bool) {
        self.fails.store(fails, Ordering::Relaxed);
    }

    /// The only partition's cursor.
    pub(super) fn cursor(&self) -> Option<Cursor> {
        let stored = self.stored.lock().expect("whole");
        let stored = stored.values().next();
        stored.map(|stored| stored.checkpoint.cursor.clone())
    }

    fn check(&self) -> Result<(), StoreError> {
        match self.fails.load(Ordering::Relaxed) {
            true => Err(redb::Error::Io(std::io::Error::other("disk full")).into()),
            false => Ok(()),
        }
    }
}

#[async_trait]
impl CheckpointStore for Flaky {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn read(&self, key: &PartitionKey) -> Result<Option<Stored>, StoreError> {
        self.check()?;
        Ok(self.stored.lock().expect("whole").get(key).cloned())
    }

    async fn commit(&self, commit: Commit, _turn: Turn) -> Result<Kept, StoreError> {
        self.check()?;
        let checkpoint = Checkpoint {
            cursor: commit.cursor,
            ..Checkpoint::default()
        };
        let stored = Stored {
            stream: commit.stream,
            checkpoint,
        };
        self.stored
            .lock()
            .expect("whole")
            .insert(commit.key, stored);
        Ok(Kept::Durable)
    }
}

pub(super) struct Rig {
    pub(super) store: Arc<Flaky>,
    host: Arc<Host>,
    outlet: mpsc::Receiver<Vec<Event>>,
    board: StatusBoard,
    cx: BuildContext,
    folder: TempDir,
    _signals: (watch::Sender<bool>, watch::Sender<bool>),
}

impl Rig {
    pub(super) fn new(dead_letter_bytes: u64) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let metrics = Metrics::new().expect("the table is right");
        let source = name(ComponentKind::Source, "alerts");
        let board = StatusBoard::new("test");
        board.add(&source, &[]);
        board.component("alerts", State::Running);
        let cx =
            tapline_testkit::build_context(ComponentKind::Source, "fake", "alerts", folder.path());
        let store = Arc::new(Flaky::default());
        let (stop, stopping) = watch::channel(false);
        let (abandon, abandoned) = watch::channel(false);
        let letters = folder.path().join("dead-letters");
        let (dead_letters, _writer) = DeadLetters::start(
            letters,
            dead_letter_bytes,
            &metrics,
            board.clone(),
            abandoned.clone(),
        )
        .expect("a writer");
        let engine = Arc::new(Engine {
            local: Arc::clone(&store) as Arc<dyn CheckpointStore>,
            board: board.clone(),
            data_dir: folder.path().to_owned(),
            stopping,
            abandoned,
            end: watch::channel(None).0,
            ends_refused: true,
            partitions: TaskTracker::new(),
            open: Default::default(),
            unsettled: Default::default(),
        });
        let (inlet, outlet) = mpsc::channel(8);
        let gauge = Gauge::new("g", "g").expect("legal");
        let host = Host {
            cx: cx.clone(),
            engine,
            dead_letters,
            plans: watch::channel(Plans::Same(plan(&source, inlet))).1,
            stores: Stores {
                local: Arc::clone(&store) as Arc<dyn CheckpointStore>,
                transactional: Vec::new(),
            },
            reach: Reach::Everybody,
            share: Arc::new(Budget::new(1 << 20, gauge).share()),
            opened: Default::default(),
            progress: Default::default(),
        };
        Self {
            store,
            host: Arc::new(host),
            outlet,
            board,
            cx,
            folder,
            _signals: (stop, abandon),
        }
    }

    pub(super) fn host(&self) -> Arc<Host> {
        Arc::clone(&self.host)
    }

    pub(super) async fn open(&self) -> Result<Partition, OpenError> {
        open(&self.host).await
    }

    /// The next events that reach the sink.
    pub(super) async fn next_events(&mut self) -> Vec<Event> {
        self.outlet.recv().await.expect("the partition is open")
    }

    pub(super) async fn settle_next(&mut self, verdict: Verdict) {
        for event in self.next_events().await {
            event.settle(verdict);
        }
    }

    /// What the board shows of the source.
    pub(super) fn shown(&self) -> (State, String) {
        let shown = &self.board.snapshot().components["alerts"];
        (shown.state, shown.detail.clone().unwrap_or_default())
    }

    pub(super) fn commits(&self, outcome: &str) -> u64 {
        self.cx
            .metrics
            .counter(&CHECKPOINT_COMMITS, &[outcome])
            .get()
    }

    /// Removes the source's dead letters, and counts them.
    pub(super) fn take_letters(&self) -> usize {
        let path = self.folder.path().join("dead-letters/alerts.ndjson");
        let text = std::fs::read_to_string(&path).expect("kept");
        std::fs::remove_file(path).expect("removed");
        text.lines().count()
    }
}

pub(super) async fn open(host: &Host) -> Result<Partition, OpenError> {
    host.open("only", StreamIdentity::default()).await
}

fn plan(source: &ComponentName, inlet: mpsc::Sender<Vec<Event>>) -> Plan {
    let sink = Node::<dyn Sink> {
        name: name(ComponentKind::Sink, "lake"),
        inputs: vec![Arc::clone(&source.id)],
        build: Arc::new(|_| Err(BuildError::new("", "the test plays the sink"))),
        print: Print::default(),
    };
    let topology = Topology {
        sinks: vec![sink],
        ..Topology::default()
    };
    Plan::of(
        Entrance::Behind(&source.id),
        &topology,
        &HashMap::new(),
        &vec![inlet],
    )
}

fn name(kind: ComponentKind, id: &str) -> ComponentName {
    ComponentName {
        kind,
        type_name: "fake",
        id: id.into(),
    }
}

pub(super) fn cursor(number: u64) -> Cursor {
    Cursor::new(number.to_string())
}

pub(super) fn event(number: u64) -> Event {
    let kind = Kind::new("graph.alert");
    Event::new(
        "{}",
        Metadata::new(kind, "contoso", number.to_string(), "1"),
    )
}

/// Waits until a condition holds; an hour of virtual time at most.
pub(super) async fn until(condition: impl Fn() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(3600), waiting).await;
    waited.expect("it happens within an hour");
}
