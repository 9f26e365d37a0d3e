//! Telling the group what is settled.

use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::KafkaResult;
use tokio::time::sleep;
use tracing::warn;

use super::context::{HubPartition, list};
use super::group::Group;
use super::position::asking;

/// A group that is being balanced refuses commits for a moment.
const ATTEMPTS: usize = 6;
const AGAIN: Duration = Duration::from_millis(500);

impl Group {
    /// Tells the group what is settled since the last time, without waiting for its answer.
    pub(super) fn commit(&mut self) {
        if self.board.take_commit_failed() {
            self.owned
                .values_mut()
                .for_each(|owned| owned.committed = None);
        }
        let due = self.due(|_| true);
        if due.is_empty() {
            return;
        }
        let offsets = list(due.iter().map(|(at, next)| (at, Some(*next))));
        self.note(self.consumer.commit(&offsets, CommitMode::Async), &due);
    }

    /// Tells the group what is settled, and waits until it knows. What an earlier commit said does
    /// not count, since its answer may still be on its way.
    pub(super) async fn commit_now(&mut self, partitions: &[HubPartition]) {
        for owned in self.owned.values_mut() {
            owned.committed = None;
        }
        let due = self.due(|at| partitions.contains(at));
        if due.is_empty() {
            return;
        }
        for _ in 0..ATTEMPTS {
            let offsets = list(due.iter().map(|(at, next)| (at, Some(*next))));
            let told = asking(&self.consumer, move |consumer| {
                consumer.commit(&offsets, CommitMode::Sync)
            });
            let told = told.await;
            let is_told = told.is_ok();
            self.note(told, &due);
            if is_told {
                return;
            }
            sleep(AGAIN).await;
        }
    }

    fn note(&mut self, told: KafkaResult<()>, due: &[(HubPartition, i64)]) {
        match told {
            Ok(()) => {
                for (at, next) in due {
                    if let Some(owned) = self.owned.get_mut(at) {
                        owned.committed = Some(*next);
                    }
                }
            }
            Err(error) => {
                warn!(%error, "offsets not committed to the group; the checkpoint has them")
            }
        }
    }

    /// The group is told nothing where it does not decide who reads.
    fn due(&self, wanted: impl Fn(&HubPartition) -> bool) -> Vec<(HubPartition, i64)> {
        let wanted = |at: &HubPartition| !self.is_divided && wanted(at);
        let ours = self.owned.iter().filter(|(at, _)| wanted(at));
        let due = ours.filter_map(|(at, owned)| {
            let next = owned.settled_next()?;
            (owned.committed != Some(next)).then(|| (at.clone(), next))
        });
        due.collect()
    }
}
