//! A link to one partition: where it begins, and how much the service may send ahead on it.

use fe2o3_amqp::Session;
use fe2o3_amqp::link::Receiver;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::session::SessionHandle;
use fe2o3_amqp::types::definitions::{Fields, ReceiverSettleMode, SenderSettleMode};
use fe2o3_amqp::types::messaging::Source;
use fe2o3_amqp::types::primitives::{Symbol, Value};
use jiff::Timestamp;
use tokio::time::timeout;

use super::faults::{Fault, gone, of_attaching, of_beginning};
use super::{PATIENCE, Shared};
use crate::cursor::HubCursor;
use crate::start::StartAt;

const SELECTOR: &str = "apache.org:selector-filter:string";
const EPOCH: &str = "com.microsoft:epoch";
const RUNTIME_METRIC: &str = "com.microsoft:enable-receiver-runtime-metric";
/// Frames of a link that may wait for us, more than the credit lets come as long as the size of
/// messages is foreseen. If it is not, the connection is held up at this bound of memory (64 KiB
/// each): the alternative, no bound, would be paid with the process.
const WAITING_FRAMES: usize = 256;
const WAITING_SESSION_FRAMES: usize = 64;

/// One that is open.
pub(super) struct Link {
    pub(super) receiver: Receiver,
    /// Dropped, it ends.
    _session: SessionHandle<()>,
}

/// What a link is to read.
pub(super) struct Wanted<'a> {
    /// `HUB/ConsumerGroups/GROUP/Partitions/ID`.
    pub(super) address: &'a str,
    pub(super) partition: &'a str,
    pub(super) selector: String,
    pub(super) owner_level: i64,
    pub(super) credit: u32,
}

impl Link {
    /// Makes a link on a session of its own, so that the end of one is not that of others.
    pub(super) async fn attach(connection: &Shared, wanted: Wanted<'_>) -> Result<Self, Fault> {
        match timeout(PATIENCE, Self::attach_now(connection, wanted)).await {
            Ok(attached) => attached,
            Err(_) => Err(gone("no answer to an attach")),
        }
    }

    async fn attach_now(connection: &Shared, wanted: Wanted<'_>) -> Result<Self, Fault> {
        let mut session = Session::builder()
            .buffer_size(WAITING_SESSION_FRAMES)
            .begin(&mut *connection.lock().await)
            .await
            .map_err(|error| of_beginning(&error))?;
        let source = Source::builder()
            .address(wanted.address)
            .add_to_filter_using_legacy_format(Symbol::from(SELECTOR), wanted.selector);
        let mut properties = Fields::new();
        properties.insert(Symbol::from(EPOCH), Value::Long(wanted.owner_level));
        let now = Timestamp::now().as_nanosecond();
        let mut builder = Receiver::builder()
            .name(format!("tapline-{}-{now}", wanted.partition))
            .source(source.build())
            .sender_settle_mode(SenderSettleMode::Settled)
            .receiver_settle_mode(ReceiverSettleMode::First)
            .credit_mode(CreditMode::Manual)
            .properties(properties)
            .add_desired_capabilities(Symbol::from(RUNTIME_METRIC));
        builder.buffer_size = WAITING_FRAMES;
        let receiver = builder.attach(&mut session).await;
        let mut link = Self {
            receiver: receiver.map_err(|error| of_attaching(&error))?,
            _session: session,
        };
        link.adjust(wanted.credit).await;
        Ok(link)
    }

    /// Grants anew when half of the grant is used up. A grant is never taken back, since what is
    /// on its way already would then be too much.
    ///
    /// Not left to the library: it counts only deliveries that it is asked to settle, and these
    /// come settled (seen in fe2o3-amqp 0.18).
    pub(super) async fn adjust(&mut self, credit: u32) {
        if self.receiver.credit() <= credit / 2 {
            // A link that has ended meanwhile says so at the next message.
            drop(self.receiver.set_credit(credit).await);
        }
    }
}

/// The selector for what comes after a cursor.
///
/// By offset, which is what Microsoft's clients do, or else by sequence number: after a restart
/// where only that is known, or where the service no longer takes the offset.
pub(super) fn selector(received: Option<&HubCursor>, start_at: StartAt) -> String {
    let after = match (received, start_at) {
        (Some(cursor), _) => match cursor.offset.as_ref().filter(|it| !it.contains('\'')) {
            Some(offset) => format!("offset > '{offset}'"),
            None => format!("sequence-number > '{}'", cursor.sequence),
        },
        (None, StartAt::Earliest) => "offset > '-1'".to_owned(),
        (None, StartAt::Latest) => "offset > '@latest'".to_owned(),
        (None, StartAt::Time(time)) => format!("enqueued-time > '{}'", time.as_millisecond() - 1),
    };
    format!("amqp.annotation.x-opt-{after}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_begins_after_what_is_known_by_the_best_that_is_known_of_it() {
        let at = |sequence, offset: Option<&str>| HubCursor {
            sequence,
            offset: offset.map(str::to_owned),
            enqueued_ms: None,
        };
        let time = "2026-08-01T00:00:00Z".parse().expect("a time");
        for (received, start_at, expected) in [
            (Some(at(7, Some("x/1"))), StartAt::Latest, "offset > 'x/1'"),
            (Some(at(7, None)), StartAt::Latest, "sequence-number > '7'"),
            (
                Some(at(7, Some("it's"))),
                StartAt::Earliest,
                "sequence-number > '7'",
            ),
            (None, StartAt::Earliest, "offset > '-1'"),
            (None, StartAt::Latest, "offset > '@latest'"),
            (None, StartAt::Time(time), "enqueued-time > '1785542399999'"),
        ] {
            let made = selector(received.as_ref(), start_at);
            assert_eq!(made, format!("amqp.annotation.x-opt-{expected}"));
        }
    }
}
