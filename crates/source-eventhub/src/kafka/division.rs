//! Which partitions to read where the runtime decides that, and not the group of the service.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::Consumer;
use rdkafka::error::KafkaResult;
use tapline_core::SourceContext;
use tokio::time::sleep;
use tracing::debug;

use super::Kafka;
use super::context::{Board, Change, HubPartition};
use super::group::Group;
use super::opening::name;
use super::position::{PATIENCE, asking};
use super::reader::KafkaConsumer;

/// From one count of the partitions to the next; a hub may grow.
const COUNTING: Duration = Duration::from_secs(30);
/// Before a count that did not work is tried again.
const AGAIN: Duration = Duration::from_secs(1);

/// Whether the runtime decides which partitions this process reads.
pub(super) fn is_divided(cx: &SourceContext, hubs: &[String]) -> bool {
    let mut firsts = hubs.iter().map(|hub| name(&(hub.clone(), 0)));
    firsts.any(|first| cx.owns(&first).is_some())
}

impl Kafka {
    /// Keeps the board's list of partitions up to date.
    pub(super) async fn count_partitions(
        &self,
        consumer: Arc<KafkaConsumer>,
        board: &Board,
        is_divided: bool,
    ) -> Infallible {
        if !is_divided {
            return std::future::pending().await;
        }
        loop {
            let mut all = Vec::new();
            let mut wait = COUNTING;
            for hub in &self.shared.access.hubs {
                match partitions(hub, &consumer).await {
                    Ok(found) if !found.is_empty() => all.extend(found),
                    Ok(_) => wait = AGAIN,
                    Err(error) => {
                        debug!(%error, hub, "partitions not counted");
                        wait = AGAIN;
                    }
                }
            }
            if !all.is_empty() {
                board.set_known(all);
            }
            sleep(wait).await;
        }
    }
}

async fn partitions(hub: &str, consumer: &Arc<KafkaConsumer>) -> KafkaResult<Vec<HubPartition>> {
    let asked = hub.to_owned();
    let answer = asking(consumer, move |consumer| {
        consumer.fetch_metadata(Some(&asked), PATIENCE)
    });
    let answer = answer.await?;
    let topic = answer.topics().iter().find(|topic| topic.name() == hub);
    let partitions = topic.into_iter().flat_map(|topic| topic.partitions());
    Ok(partitions.map(|it| (hub.to_owned(), it.id())).collect())
}

impl Group {
    /// Takes over and gives away what the runtime decided.
    pub(super) fn divide(&self) {
        if !self.is_divided || self.board.is_changing() {
            return;
        }
        let known = self.board.known();
        let ours: BTreeSet<_> = known
            .into_iter()
            .filter(|at| self.cx.owns(&name(at)) == Some(true))
            .collect();
        let lost = self.owned.iter();
        let lost = lost.filter(|(at, owned)| owned.is_revoked() || !ours.contains(*at));
        let lost: Vec<_> = lost.map(|(at, _)| at.clone()).collect();
        let gained = ours.iter().filter(|at| !self.owned.contains_key(*at));
        let gained: Vec<_> = gained.cloned().collect();
        if !lost.is_empty() {
            self.board.push(Change::Revoked(lost));
        }
        if !gained.is_empty() {
            self.board.push(Change::Assigned(gained));
        }
    }
}
