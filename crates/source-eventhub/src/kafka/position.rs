//! Where to begin in a partition that the group gave us.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Offset, TopicPartitionList};
use tokio::time::sleep;
use tracing::warn;

use super::context::{HubPartition, list};
use super::reader::KafkaConsumer;
use crate::cursor::{HubCursor, Mark, Wanted};
use crate::start::{StartAt, begin};

/// Longest wait for an answer of the service; its own floor is 20 s.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// A group that is being balanced refuses commits for a moment.
const ATTEMPTS: usize = 10;
const AGAIN: Duration = Duration::from_secs(1);

/// The offset to read next.
///
/// Another replica may have gone on where we stopped, so a committed offset of the group that is
/// newer than our checkpoint wins; and the checkpoint wins where the last commit did not come
/// through. `start_at` counts only where there is neither.
///
/// # Errors
/// What the service answered.
pub(super) async fn next_offset(
    consumer: &Arc<KafkaConsumer>,
    partition: &HubPartition,
    checkpoint: Option<&HubCursor>,
    start_at: StartAt,
) -> KafkaResult<i64> {
    let committed = committed(consumer, partition).await?;
    let known = [checkpoint.map(HubCursor::next), committed];
    match known.into_iter().flatten().max() {
        Some(next) => Ok(next),
        None => first_offset(consumer, partition, start_at).await,
    }
}

/// Resolves where somebody wants a partition to be read, and tells the group: its offset, which
/// may be newer, would win at the next opening otherwise.
///
/// # Errors
/// What the service answered again and again.
pub(super) async fn go_to(
    consumer: &Arc<KafkaConsumer>,
    partition: &HubPartition,
    wanted: &Wanted,
) -> KafkaResult<i64> {
    let mut attempts = 1;
    loop {
        match try_to_go_to(consumer, partition, wanted).await {
            Err(error) if attempts < ATTEMPTS => {
                warn!(hub = partition.0, partition = partition.1, %error, "cannot go to the wanted place yet");
                attempts += 1;
                sleep(AGAIN).await;
            }
            answer => return answer,
        }
    }
}

async fn try_to_go_to(
    consumer: &Arc<KafkaConsumer>,
    partition: &HubPartition,
    wanted: &Wanted,
) -> KafkaResult<i64> {
    let mark = Mark::Wanted {
        wanted: wanted.clone(),
    };
    let next = match begin(Some(mark), StartAt::Earliest) {
        (Some(cursor), _) => cursor.next(),
        (None, start_at) => first_offset(consumer, partition, start_at).await?,
    };
    let offsets = list([(partition, Some(next))]);
    asking(consumer, move |consumer| {
        consumer.commit(&offsets, CommitMode::Sync)
    })
    .await?;
    Ok(next)
}

async fn committed(
    consumer: &Arc<KafkaConsumer>,
    partition: &HubPartition,
) -> KafkaResult<Option<i64>> {
    let asked = list([(partition, None)]);
    let answer = asking(consumer, move |consumer| {
        consumer.committed_offsets(asked, PATIENCE)
    });
    offset_of(&answer.await?)
}

async fn first_offset(
    consumer: &Arc<KafkaConsumer>,
    partition: &HubPartition,
    start_at: StartAt,
) -> KafkaResult<i64> {
    if let StartAt::Time(time) = start_at {
        let asked = list([(partition, Some(time.as_millisecond()))]);
        let answer = asking(consumer, move |consumer| {
            consumer.offsets_for_times(asked, PATIENCE)
        });
        if let Some(offset) = offset_of(&answer.await?)? {
            return Ok(offset);
        }
        // Nothing is as new as that.
    }
    let (oldest, end) = bounds(consumer, partition).await?;
    Ok(if start_at == StartAt::Earliest {
        oldest
    } else {
        end
    })
}

/// The oldest offset that the service still has, and the one that its next message will get.
///
/// # Errors
/// What the service answered.
pub(super) async fn bounds(
    consumer: &Arc<KafkaConsumer>,
    partition: &HubPartition,
) -> KafkaResult<(i64, i64)> {
    let (hub, number) = partition.clone();
    asking(consumer, move |consumer| {
        consumer.fetch_watermarks(&hub, number, PATIENCE)
    })
    .await
}

fn offset_of(answer: &TopicPartitionList) -> KafkaResult<Option<i64>> {
    let elements = answer.elements();
    let Some(first) = elements.first() else {
        return Ok(None);
    };
    first.error()?;
    Ok(match first.offset() {
        Offset::Offset(offset) if offset >= 0 => Some(offset),
        _ => None,
    })
}

/// Asks the service, which blocks, beside the runtime's own threads.
pub(super) async fn asking<T: Send + 'static>(
    consumer: &Arc<KafkaConsumer>,
    ask: impl FnOnce(&KafkaConsumer) -> KafkaResult<T> + Send + 'static,
) -> KafkaResult<T> {
    let consumer = Arc::clone(consumer);
    let answer = tokio::task::spawn_blocking(move || ask(&consumer)).await;
    answer.unwrap_or(Err(KafkaError::Canceled))
}
