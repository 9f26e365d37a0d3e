//! What a running source may ask of the runtime: open a partition at its checkpoint.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use tapline_core::{
    BuildContext, Checkpoint, Control, Health, OpenError, Partition, PartitionKey, Reach,
    SourceHost, Stopped, StreamIdentity, Tenure,
};
use tokio::sync::{Mutex, mpsc, watch};

use super::Ended;
use super::engine::Engine;
use super::flow::{Flow, Plan};
use super::hold::Hold;
use super::keeper::{Keeper, KeeperCounters};
use super::ledger::Ledger;
use super::pipe::{Pipe, PipeCounters};
use super::progress::Paces;
use crate::budget::Share;
use crate::checkpoint::CheckpointStore;
use crate::dead_letters::DeadLetters;
use crate::status::Trouble;

/// Batches between a source and a partition's intake; bytes are bounded by the budget behind it.
const BATCHES: usize = 1;
/// One rewind at a time, a revocation, and a stop.
const CONTROLS: usize = 3;

pub(super) struct Host {
    pub(super) cx: BuildContext,
    pub(super) engine: Arc<Engine>,
    pub(super) dead_letters: DeadLetters,
    pub(super) plans: watch::Receiver<Plans>,
    pub(super) stores: Stores,
    pub(super) reach: Reach,
    pub(super) share: Arc<Share>,
    pub(super) opened: Mutex<HashMap<String, Opened>>,
    pub(super) progress: Paces,
}

/// Where checkpoints are kept. Cheap to clone.
#[derive(Clone)]
pub(super) struct Stores {
    pub(super) local: Arc<dyn CheckpointStore>,
    /// One for each transactional sink.
    pub(super) transactional: Vec<Arc<dyn CheckpointStore>>,
}

impl Stores {
    /// The one that keeps the cursors of what goes through a plan.
    fn of(&self, plan: &Plan) -> &Arc<dyn CheckpointStore> {
        match plan.transactional() {
            Some(position) => &self.transactional[position],
            None => &self.local,
        }
    }
}

/// What the events of each partition go through.
pub(super) enum Plans {
    /// All the same.
    Same(Plan),
    /// By the partition's name; there are no others.
    ByPartition(HashMap<Arc<str>, Plan>),
}

impl Plans {
    pub(super) fn of(&self, partition: &str) -> Result<Plan, OpenError> {
        let plan = match self {
            Plans::Same(plan) => Some(plan),
            Plans::ByPartition(plans) => plans.get(partition),
        };
        plan.cloned()
            .ok_or_else(|| OpenError::Store(format!("nothing reads partition {partition}")))
    }
}

/// A partition that was opened before.
#[derive(Clone)]
pub(super) struct Opened {
    control: mpsc::WeakSender<Control>,
    finished: watch::Receiver<()>,
}

/// A partition that is about to be read.
struct Opening {
    key: PartitionKey,
    stream: StreamIdentity,
    tenure: Tenure,
    checkpoint: Checkpoint,
    plan: Plan,
    plans: watch::Receiver<Plans>,
    store: Arc<dyn CheckpointStore>,
    /// Whoever changes the checkpoint from outside.
    holds: mpsc::Receiver<Hold>,
}

#[async_trait]
impl SourceHost for Host {
    async fn open(&self, partition: &str, stream: StreamIdentity) -> Result<Partition, OpenError> {
        // It stays known until the next one is: who is cut off while it waits asks again.
        let previous = self.opened.lock().await.get(partition).cloned();
        if let Some(previous) = previous {
            self.wait_for(previous, partition).await?;
        }
        if self.engine.is_stopping() {
            return Err(Stopped.into());
        }
        let mut plans = self.plans.clone();
        let plan = plans.borrow_and_update().of(partition)?;
        let key = self.key(partition);
        let store = Arc::clone(self.stores.of(&plan));
        // What is kept at the destination is not changed from here, and may be waited for for long.
        let is_local = plan.transactional().is_none();
        let _unchanged = match is_local {
            true => Some(self.engine.open.opening().await),
            false => None,
        };
        let (tenure, checkpoint) = tokio::select! {
            opened = self.take_over(&*store, &key, &stream) => opened?,
            () = self.engine.stopping() => return Err(Stopped.into()),
        };
        let holds = match is_local {
            true => self.engine.open.join(key.clone(), stream.clone()),
            false => mpsc::channel(1).1,
        };
        let (opened, partition) = self.connect(Opening {
            key: key.clone(),
            stream,
            tenure,
            checkpoint,
            plan,
            plans,
            store,
            holds,
        });
        self.opened.lock().await.insert(key.partition, opened);
        Ok(partition)
    }

    fn owns(&self, partition: &str) -> Option<bool> {
        let plan = self.plans.borrow().of(partition).ok()?;
        self.stores.of(&plan).owns(&self.key(partition))
    }

    fn report(&self, partition: &str, health: Health) {
        let detail = match health {
            Health::Good => None,
            Health::Degraded(detail) => Some(detail),
        };
        let trouble = Trouble::Partition(partition.into());
        let board = &self.engine.board;
        board.trouble(&self.cx.component.id, trouble, detail);
    }

    fn progress(&self, partition: &str, done: f64) {
        let progress = self.progress.note(&self.cx.component, partition, done);
        let board = &self.engine.board;
        board.partition(&self.cx.component.id, partition, |status| {
            status.progress = Some(progress);
        });
    }
}

impl Host {
    /// What the partition's previous reader left in flight settles first, so that nothing is
    /// read twice because a source was rebuilt.
    async fn wait_for(&self, mut previous: Opened, partition: &str) -> Result<(), OpenError> {
        let reader = previous.control.upgrade();
        if reader.is_some_and(|control| !control.is_closed()) {
            let text = format!("partition {partition} is open already");
            return Err(OpenError::Store(text));
        }
        tokio::select! {
            // An error means that both tasks of the partition ended.
            _ = previous.finished.changed() => Ok(()),
            () = self.engine.stopping() => Err(Stopped.into()),
        }
    }

    fn key(&self, partition: &str) -> PartitionKey {
        PartitionKey {
            component: self.cx.component.id.to_string(),
            partition: partition.to_owned(),
            reach: self.reach,
        }
    }

    /// Waits until the partition is ours, and reads what is durable of it since then.
    async fn take_over(
        &self,
        store: &dyn CheckpointStore,
        key: &PartitionKey,
        stream: &StreamIdentity,
    ) -> Result<(Tenure, Checkpoint), OpenError> {
        loop {
            let tenure = store.acquire(key).await;
            tokio::select! {
                checkpoint = self.checkpoint(store, key, stream) => {
                    return Ok((tenure, checkpoint?));
                }
                () = store.tenure_over(key, tenure) => {}
            }
        }
    }

    async fn checkpoint(
        &self,
        store: &dyn CheckpointStore,
        key: &PartitionKey,
        stream: &StreamIdentity,
    ) -> Result<Checkpoint, OpenError> {
        let stored = store.read(key).await;
        let stored = stored.map_err(|error| OpenError::Store(error.to_string()))?;
        match stored {
            None => Ok(Checkpoint::default()),
            Some(stored) if stored.stream == *stream => Ok(stored.checkpoint),
            Some(stored) => Err(self.refuse(key, &stored.stream, stream, &store.place())),
        }
    }

    fn refuse(
        &self,
        key: &PartitionKey,
        stored: &StreamIdentity,
        wanted: &StreamIdentity,
        place: &str,
    ) -> OpenError {
        let id = &self.cx.component.id;
        let text = format!(
            "the checkpoint of source `{id}`, partition `{}`, in {place} belongs to another stream: \
             it was made for {stored}, and the source now reads {wanted}; give the source another id, or put \
             its old settings back, or delete the state there",
            key.partition,
        );
        tracing::error!(component = %self.cx.component, "{text}");
        let board = &self.engine.board;
        board.trouble(id, Trouble::Itself, Some(text.clone()));
        if self.engine.ends_refused {
            self.engine.end(Ended::Refused(text.clone()));
        }
        OpenError::ForeignCheckpoint(text)
    }

    /// Starts the two tasks of a partition.
    fn connect(&self, opening: Opening) -> (Opened, Partition) {
        let Opening {
            key,
            stream,
            tenure,
            checkpoint,
            plan,
            plans,
            store,
            holds,
        } = opening;
        let (sender, batches) = mpsc::channel(BATCHES);
        let (control, controlled) = mpsc::channel(CONTROLS);
        let (finish, finished) = watch::channel(());
        let (settled, follow_settled) = watch::channel(checkpoint.cursor.clone());
        let name: Arc<str> = key.partition.as_str().into();
        let ledger = Arc::new(Ledger::new(store.limits()));
        let opened = Opened {
            control: control.downgrade(),
            finished,
        };
        let pipe = Pipe {
            engine: Arc::clone(&self.engine),
            ledger: Arc::clone(&ledger),
            component: self.cx.component.clone(),
            partition: Arc::clone(&name),
            batches,
            share: Arc::clone(&self.share),
            flow: Flow::new(plan),
            plans,
            dead_letters: self.dead_letters.clone(),
            counters: PipeCounters::new(&self.cx.metrics),
        };
        let keeper = Keeper {
            engine: Arc::clone(&self.engine),
            store,
            ledger,
            control,
            settled,
            counters: KeeperCounters::new(&self.cx.metrics, &key.partition),
            holds,
            key,
            stream,
            tenure,
            turn: None,
            told_to_stop: false,
        };
        self.engine.partitions.spawn(pipe.run());
        self.engine.partitions.spawn(async move {
            keeper.run().await;
            drop(finish);
        });
        let partition = Partition::new(name, checkpoint, sender, controlled);
        (opened, partition.telling_settled(follow_settled))
    }
}
