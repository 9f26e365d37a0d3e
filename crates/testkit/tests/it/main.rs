//! The contract checks themselves: what keeps the contract passes, what breaks it is caught.
#![expect(clippy::unwrap_used, reason = "a step that fails ends its test")]

use std::sync::Mutex;

use async_trait::async_trait;
use tapline_core::{
    Batch, Checkpoint, Control, Cursor, Delivery, Event, Fault, Sink, Source, SourceContext,
    SourceError, StreamIdentity,
};
use tapline_testkit::{Receiver, RecordingHost, WhileAway, check_sink, check_source, events, uids};

/// Reads a list of twenty; its cursor is how many it has read.
struct Counting {
    /// Whether it obeys a rewind.
    honest: bool,
}

const TOTAL: usize = 20;

#[async_trait]
impl Source for Counting {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let opened = cx.open("list", StreamIdentity::default()).await;
        let mut partition = opened.map_err(|error| SourceError(error.to_string()))?;
        let mut at = position(&partition.checkpoint().cursor);
        loop {
            if at < TOTAL {
                let batch = Batch::new(Cursor::new((at + 2).to_string()), events(at, 2));
                if partition.send(batch).await.is_err() {
                    return Ok(());
                }
                at += 2;
            }
            tokio::select! {
                biased;
                () = cx.stopped() => return Ok(()),
                control = partition.control() => match control {
                    Control::Rewind(Checkpoint { cursor, .. }) if self.honest => at = position(&cursor),
                    Control::Rewind(_) => {}
                    Control::Stop | Control::Revoked => return Ok(()),
                },
                () = tokio::task::yield_now(), if at < TOTAL => {}
            }
        }
    }
}

fn position(cursor: &Cursor) -> usize {
    let text = std::str::from_utf8(cursor.as_bytes()).unwrap();
    text.parse().unwrap_or(0)
}

#[tokio::test]
async fn a_source_that_loses_nothing_passes() {
    let expected = uids(&events(0, TOTAL));
    check_source(|| Box::new(Counting { honest: true }), &expected).await;
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "what was lost is read again")]
async fn a_source_that_ignores_a_rewind_is_caught() {
    let expected = uids(&events(0, TOTAL));
    check_source(|| Box::new(Counting { honest: false }), &expected).await;
}

#[tokio::test]
async fn a_checkpoint_of_another_stream_is_refused() {
    let host = RecordingHost::new();
    let stream = StreamIdentity {
        source: "other".to_owned(),
        parts: Vec::new(),
    };
    host.put_checkpoint("list", stream, Checkpoint::default());
    let opened = host.context().open("list", StreamIdentity::default()).await;
    assert!(opened.is_err());
}

/// A sink and its receiver in one, in memory.
#[derive(Default)]
struct Memory {
    state: Mutex<(bool, Vec<Vec<u8>>)>,
    /// Whether it claims to have delivered while the receiver is away.
    lies: bool,
}

#[async_trait]
impl Sink for Memory {
    async fn deliver(&self, events: &[Event]) -> Delivery {
        let (away, bodies) = &mut *self.state.lock().unwrap();
        if !*away {
            bodies.extend(events.iter().map(|event| event.body().to_vec()));
        } else if !self.lies {
            let fault = Fault::Retry {
                after: None,
                reason: "connect",
            };
            return Delivery::none(events.len(), fault);
        }
        Delivery::all()
    }
}

#[async_trait(?Send)]
impl Receiver for Memory {
    fn bodies(&self) -> Vec<Vec<u8>> {
        self.state.lock().unwrap().1.clone()
    }

    async fn go_away(&self) {
        self.state.lock().unwrap().0 = true;
    }

    async fn come_back(&self) {
        self.state.lock().unwrap().0 = false;
    }
}

#[tokio::test]
async fn a_sink_that_says_the_truth_passes() {
    let memory = Memory::default();
    check_sink(&memory, &memory, WhileAway::Answers).await;
}

#[tokio::test]
#[should_panic(expected = "nothing is delivered to a receiver that is away")]
async fn a_sink_that_claims_too_much_is_caught() {
    let memory = Memory {
        lies: true,
        ..Memory::default()
    };
    check_sink(&memory, &memory, WhileAway::Answers).await;
}
