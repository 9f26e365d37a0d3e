//! Holding open partitions still while somebody changes their checkpoints from outside.
//!
//! Whoever changes the state of a partition that is read takes its place from everything that is
//! under way: the keeper stops, the new checkpoint is made durable, and the source reads from it.
//! What was open is void, so that no batch of before commits over the change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tapline_core::{Checkpoint, PartitionKey, StreamIdentity};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock, mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

/// A keeper that cannot write its checkpoint does not come to rest.
const PATIENCE: Duration = Duration::from_secs(5);

/// The partitions that are open now. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct OpenPartitions {
    /// Shared by those who open a partition, exclusive for those who change checkpoints.
    gate: Arc<RwLock<()>>,
    open: Arc<Mutex<HashMap<PartitionKey, Open>>>,
}

struct Open {
    stream: StreamIdentity,
    holds: mpsc::Sender<Hold>,
}

/// Tells a keeper to stand still.
pub(crate) struct Hold {
    pub(super) held: oneshot::Sender<()>,
    /// The checkpoint that was put in place; closed if there is none.
    pub(super) moved: oneshot::Receiver<Checkpoint>,
}

/// Partitions that stand still until this is dropped, and cannot be opened meanwhile.
pub(crate) struct Held {
    _gate: OwnedRwLockWriteGuard<()>,
    waiting: HashMap<PartitionKey, oneshot::Sender<Checkpoint>>,
}

/// A partition does not come to rest.
#[derive(Debug)]
pub(crate) struct Restless(pub(crate) PartitionKey);

impl OpenPartitions {
    /// Nobody changes a checkpoint until the guard is dropped.
    pub(super) async fn opening(&self) -> OwnedRwLockReadGuard<()> {
        Arc::clone(&self.gate).read_owned().await
    }

    /// Notes that a partition is open; its keeper listens to what comes back.
    pub(super) fn join(&self, key: PartitionKey, stream: StreamIdentity) -> mpsc::Receiver<Hold> {
        let (holds, held) = mpsc::channel(1);
        let mut open = self.lock();
        open.retain(|_, open| !open.holds.is_closed());
        open.insert(key, Open { stream, holds });
        held
    }

    /// The stream of a partition that is open.
    pub(crate) fn stream(&self, key: &PartitionKey) -> Option<StreamIdentity> {
        let open = self.lock();
        let open = open.get(key).filter(|open| !open.holds.is_closed());
        open.map(|open| open.stream.clone())
    }

    /// Brings partitions to rest. Those that are not open rest already.
    pub(crate) async fn hold(&self, keys: &[PartitionKey]) -> Result<Held, Restless> {
        let deadline = Instant::now() + PATIENCE;
        let gate = Arc::clone(&self.gate).write_owned();
        let Ok(gate) = timeout_at(deadline, gate).await else {
            return Err(restless(keys));
        };
        let mut waiting = HashMap::new();
        let mut coming = Vec::new();
        for key in keys {
            let Some(holds) = self.lock().get(key).map(|open| open.holds.clone()) else {
                continue;
            };
            let (held, is_held) = oneshot::channel();
            let (moved, is_moved) = oneshot::channel();
            let hold = Hold {
                held,
                moved: is_moved,
            };
            match timeout_at(deadline, holds.send(hold)).await {
                Ok(Ok(())) => coming.push((key, is_held, moved)),
                // The partition ended.
                Ok(Err(_)) => {}
                Err(_) => return Err(Restless(key.clone())),
            }
        }
        for (key, is_held, moved) in coming {
            match timeout_at(deadline, is_held).await {
                Ok(Ok(())) => {
                    waiting.insert(key.clone(), moved);
                }
                // It ended meanwhile, its last commit included.
                Ok(Err(_)) => {}
                Err(_) => return Err(Restless(key.clone())),
            }
        }
        Ok(Held {
            _gate: gate,
            waiting,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PartitionKey, Open>> {
        // Nothing between lock and unlock can panic half-way.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn restless(keys: &[PartitionKey]) -> Restless {
    let first = keys.first().cloned();
    Restless(first.unwrap_or_else(|| PartitionKey::new("", "")))
}

impl Held {
    /// The partition goes on from this checkpoint, which is durable now.
    pub(crate) fn moved(&mut self, key: &PartitionKey, checkpoint: Checkpoint) {
        if let Some(moved) = self.waiting.remove(key) {
            // A keeper that was given up meanwhile needs no word.
            let _gone = moved.send(checkpoint);
        }
    }
}
