//! Our place in the group of replicas, which shares the control topic's partitions among them.
//!
//! The group has static members: a process that comes back, or a copy of its folder, takes the
//! place at once, and the one before hears that it is fenced.

use std::ffi::CStr;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rdkafka::bindings::{rd_kafka_mem_free, rd_kafka_memberid};
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer, ConsumerContext, ConsumerGroupMetadata, Rebalance,
    StreamConsumer,
};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::types::RDKafkaErrorCode as Code;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use tracing::{debug, info};

use super::board::Board;
use super::topics::Names;

/// Before the group is joined anew after an error that ended a consumer.
const AGAIN: Duration = Duration::from_secs(1);

/// How long a stop waits for a consumer to close.
const LEAVING: Duration = Duration::from_secs(1);

/// A consumer that reads nothing and only has a place.
pub(super) struct Member(Option<Placed>);

type Placed = StreamConsumer<Callbacks>;

impl Member {
    /// The name that the group gave it last; empty while it is taken in anew.
    pub(super) fn name(&self) -> String {
        name(&**self)
    }

    /// It says nothing more on the board.
    pub(super) fn retire(&self) {
        let context = self.context();
        context.is_retired.store(true, Ordering::Relaxed);
    }
}

impl Deref for Member {
    type Target = Placed;

    fn deref(&self) -> &Placed {
        self.0.as_ref().expect("gone only once it is dropped")
    }
}

impl Drop for Member {
    /// librdkafka may take long, and the group hears nothing of it, since the place of a static
    /// member is kept: whoever drops it waits a moment only.
    fn drop(&mut self) {
        self.retire();
        let placed = self.0.take();
        let (done, is_done) = std::sync::mpsc::sync_channel(1);
        let closing = std::thread::Builder::new().name("leave-group".to_owned());
        let closing = closing.spawn(move || {
            drop(placed);
            // Nobody waits any more if it took long.
            let _late = done.send(());
        });
        let is_left = closing.is_ok() && is_done.recv_timeout(LEAVING).is_err();
        if is_left {
            debug!("librdkafka does not close its place in the group, and is left to itself");
        }
    }
}

/// Turns callbacks into entries of the board.
pub(super) struct Callbacks {
    board: Arc<Board>,
    /// Another member may write on the board now.
    is_retired: AtomicBool,
}

impl Callbacks {
    fn board(&self) -> Option<&Board> {
        let is_retired = self.is_retired.load(Ordering::Relaxed);
        (!is_retired).then_some(&*self.board)
    }
}

impl ClientContext for Callbacks {
    fn log(&self, _level: RDKafkaLogLevel, facility: &str, message: &str) {
        debug!(facility, message, "librdkafka");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        debug!(%error, reason, "librdkafka");
    }
}

impl ConsumerContext for Callbacks {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Revoke(list) => {
                let Some(board) = self.board() else { return };
                let shares = shares(list);
                info!(shares = shares.len(), "shares taken away");
                if consumer.assignment_lost() {
                    board.given_up();
                }
                board.revoked(&shares);
            }
            Rebalance::Error(error) => debug!(%error, "group"),
            Rebalance::Assign(_) => {}
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        let Some(board) = self.board() else { return };
        let Ok(assignment) = consumer.assignment() else {
            return;
        };
        if let Rebalance::Assign(list) = rebalance {
            // There is nothing to fetch.
            if let Err(error) = consumer.pause(list) {
                debug!(%error, "a control partition is not paused");
            }
            info!(shares = list.count(), "shares gained");
            board.taken_in(name(consumer));
        }
        board.assigned(shares(&assignment));
    }
}

fn shares(list: &TopicPartitionList) -> Vec<i32> {
    let elements = list.elements();
    elements.iter().map(|element| element.partition()).collect()
}

/// Settings of a member, beside those of the connection.
const SETTINGS: &[(&str, &str)] = &[
    ("group.protocol", "classic"),
    ("partition.assignment.strategy", "cooperative-sticky"),
    // How long others wait for one that is gone without a word.
    ("session.timeout.ms", "15000"),
    ("heartbeat.interval.ms", "3000"),
    ("enable.auto.commit", "false"),
    ("enable.auto.offset.store", "false"),
    ("auto.offset.reset", "latest"),
    // A question that a cut network swallowed is asked again.
    ("socket.timeout.ms", "10000"),
];

/// Joins the group.
pub(super) fn join(
    connection: &ClientConfig,
    names: &Names,
    board: &Arc<Board>,
) -> KafkaResult<Member> {
    let mut config = connection.clone();
    for (key, value) in SETTINGS {
        config.set(*key, *value);
    }
    config.set("group.id", &names.group);
    config.set("group.instance.id", &names.identity);
    let callbacks = Callbacks {
        board: Arc::clone(board),
        is_retired: AtomicBool::new(false),
    };
    let placed: Placed = config.create_with_context(callbacks)?;
    placed.subscribe(&[&names.control])?;
    Ok(Member(Some(placed)))
}

/// Serves the group until the consumer is of no more use. Cancel-safe.
pub(super) async fn serve(member: &Member, board: &Board) {
    loop {
        let error = match member.recv().await {
            // The control topic has no records; one that somebody wrote says nothing.
            Ok(_) => continue,
            Err(error) => error,
        };
        debug!(%error, "told by the group");
        // A member that was given up and asks again may be told of its own last question.
        if is_fenced(member) && board.is_known_as(&member.name()) {
            board.fence();
        }
        if member.client().fatal_error().is_some() {
            tokio::time::sleep(AGAIN).await;
            return;
        }
    }
}

/// Whether a copy of our folder took our place in the group.
fn is_fenced(member: &Member) -> bool {
    let fatal = member.client().fatal_error();
    matches!(fatal, Some((Code::FencedInstanceId, _)))
}

/// What the group says when it is asked whether our place is still ours.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Place {
    Ours,
    /// A copy has it.
    Taken,
    /// It cannot say now.
    Unknown,
}

/// Asks the group whether our place is still ours: it takes an offset from nobody else. Blocks.
pub(super) fn prove(member: &Member, names: &Names, share: i32) -> Place {
    match member.commit(&offsets(names, share), CommitMode::Sync) {
        Ok(()) => Place::Ours,
        Err(error) if error.rdkafka_error_code() == Some(Code::FencedInstanceId) => Place::Taken,
        Err(_) if is_fenced(member) => Place::Taken,
        Err(error) => {
            debug!(%error, "the group does not say whose our place is");
            Place::Unknown
        }
    }
}

/// An offset of the control topic: what it says is of no matter, that it is taken is the proof.
pub(super) fn offsets(names: &Names, share: i32) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(&names.control, share, Offset::Offset(0))
        .expect("zero is an offset");
    list
}

/// librdkafka asks for another name without a word when the group has given the old one up, and only
/// tells what is ours under the new one once it knows.
#[expect(unsafe_code, reason = "rdkafka does not hand out the name")]
fn name(consumer: &impl Consumer<Callbacks>) -> String {
    let client = consumer.client().native_ptr();
    // SAFETY: the handle is valid while the consumer lives. What comes back is null, or a string with
    // a zero byte at its end that is ours to give back.
    unsafe {
        let name = rd_kafka_memberid(client);
        if name.is_null() {
            return String::new();
        }
        let text = CStr::from_ptr(name).to_string_lossy().into_owned();
        rd_kafka_mem_free(client, name.cast());
        text
    }
}

/// Who we are to the group now.
pub(super) fn metadata(member: &Member) -> Option<ConsumerGroupMetadata> {
    member.group_metadata()
}
