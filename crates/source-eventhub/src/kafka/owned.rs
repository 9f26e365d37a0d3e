//! One partition that this process reads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tapline_core::Cursor;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use super::reader::Reader;
use crate::cursor::HubCursor;
use crate::standing::Standing;

/// One partition that we read.
pub(super) struct Owned {
    release: watch::Sender<bool>,
    settled: watch::Receiver<Cursor>,
    pub(super) standing: Arc<Standing>,
    /// What the group was told last.
    pub(super) committed: Option<i64>,
    reader: Task,
    /// Raised when its reader heard that another process is to read it.
    revoked: Arc<AtomicBool>,
}

/// Ends with its owner.
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Owned {
    /// Reads it from now on.
    pub(super) fn start(reader: Reader) -> Self {
        let (release, released) = watch::channel(false);
        let revoked = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&revoked);
        Self {
            release,
            settled: reader.partition.settled(),
            standing: Arc::clone(&reader.standing),
            committed: None,
            revoked,
            reader: Task(tokio::spawn(async move {
                let is_revoked = reader.run(released).await;
                told.store(is_revoked, Ordering::Release);
            })),
        }
    }

    /// The offset before which everything is settled.
    pub(super) fn settled_next(&self) -> Option<i64> {
        let cursor = HubCursor::settled(&self.settled.borrow());
        Some(cursor.ok()??.next())
    }

    /// Tells its reader to let go.
    pub(super) fn release(&self) {
        self.release.send_replace(true);
    }

    /// Waits until nothing of it is in flight any more.
    pub(super) async fn settle(&mut self, deadline: Instant) {
        // A reader that panicked is released too.
        drop((&mut self.reader.0).await);
        let settled = async { while self.settled.changed().await.is_ok() {} };
        if timeout_at(deadline, settled).await.is_err() {
            warn!("some of a partition is still in flight; its next reader repeats that");
        }
    }

    /// Whether its reader ended, and not because another process reads it.
    pub(super) fn is_abandoned(&self) -> bool {
        self.reader.0.is_finished() && !self.is_revoked()
    }

    /// Whether another process is to read it.
    pub(super) fn is_revoked(&self) -> bool {
        self.revoked.load(Ordering::Acquire)
    }
}
