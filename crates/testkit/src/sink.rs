//! The contract of sinks: what they say was delivered, was.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;
use tapline_core::{Delivery, Event, Fault, Sink};

use crate::{PATIENCE, events, eventually};

/// The far end of a sink under test.
#[async_trait(?Send)]
pub trait Receiver {
    /// The bodies received until now, in order; repeats included.
    fn bodies(&self) -> Vec<Vec<u8>>;
    /// Goes away: connections end, new ones are refused.
    async fn go_away(&self);
    /// Is there again.
    async fn come_back(&self);
}

/// What a delivery does while the receiver is away.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum WhileAway {
    /// It ends in time, and says what is to be handed over once more.
    Answers,
    /// It goes on, since a client library keeps and repeats the events until the receiver is there.
    Waits,
}

/// How long a delivery that waits is seen to wait.
const SOME_TIME: Duration = Duration::from_secs(2);

/// Proves that a sink delivers in order, loses nothing while the receiver is away, and survives a
/// delivery that was given up half-way.
///
/// Events are given as `core` has them; the sink must take bodies of JSON.
///
/// # Panics
/// With a sentence that says which promise was broken.
pub async fn check_sink(sink: &dyn Sink, receiver: &dyn Receiver, while_away: WhileAway) {
    let nothing = deliver(sink, &[]).await;
    assert!(nothing.exceptions.is_empty(), "no events, no exceptions");

    delivers_in_order(sink, receiver, &events(0, 50)).await;
    let later = events(50, 50);
    match while_away {
        WhileAway::Answers => {
            keeps_for_a_retry_what_it_cannot_deliver(sink, receiver, &later).await
        }
        WhileAway::Waits => waits_for_the_receiver(sink, receiver, &later).await,
    }
    survives_a_delivery_given_up(sink, receiver, &events(100, 50)).await;
    sink.close().await;
}

async fn delivers_in_order(sink: &dyn Sink, receiver: &dyn Receiver, events: &[Event]) {
    let delivery = deliver(sink, events).await;
    assert!(
        delivery.exceptions.is_empty(),
        "a receiver that is there takes all: {delivery:?}"
    );
    wait_for(receiver, events).await;
    let wanted: Vec<_> = events.iter().map(|event| event.body().to_vec()).collect();
    let mut received = receiver.bodies();
    received.retain(|body| wanted.contains(body));
    assert_eq!(
        received, wanted,
        "events arrive once and in the order of the call"
    );
}

async fn keeps_for_a_retry_what_it_cannot_deliver(
    sink: &dyn Sink,
    receiver: &dyn Receiver,
    events: &[Event],
) {
    receiver.go_away().await;
    let mut left = undelivered(events, &deliver(sink, events).await);
    assert!(
        !left.is_empty(),
        "nothing is delivered to a receiver that is away"
    );
    receiver.come_back().await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !left.is_empty() {
        assert!(
            tokio::time::Instant::now() < deadline,
            "a retry never succeeds"
        );
        left = undelivered(&left, &deliver(sink, &left).await);
    }
    wait_for(receiver, events).await;
}

async fn waits_for_the_receiver(sink: &dyn Sink, receiver: &dyn Receiver, events: &[Event]) {
    receiver.go_away().await;
    let mut delivery = pin!(deliver(sink, events));
    let early = tokio::time::timeout(SOME_TIME, &mut delivery).await;
    assert!(
        early.is_err(),
        "nothing is decided while the receiver is away: {early:?}"
    );
    receiver.come_back().await;
    let delivery = delivery.await;
    assert!(
        delivery.exceptions.is_empty(),
        "a receiver that is there again takes all: {delivery:?}"
    );
    wait_for(receiver, events).await;
}

async fn survives_a_delivery_given_up(sink: &dyn Sink, receiver: &dyn Receiver, events: &[Event]) {
    {
        let mut given_up = pin!(sink.deliver(events));
        poll_fn(|cx| {
            let _either = given_up.as_mut().poll(cx);
            Poll::Ready(())
        })
        .await;
    }
    let mut left = events.to_vec();
    while !left.is_empty() {
        left = undelivered(&left, &deliver(sink, &left).await);
    }
    wait_for(receiver, events).await;
}

/// One delivery that ends in time and whose exceptions make sense.
async fn deliver(sink: &dyn Sink, events: &[Event]) -> Delivery {
    let delivery = tokio::time::timeout(PATIENCE * 3, sink.deliver(events))
        .await
        .expect("a delivery ends in time");
    let positions: Vec<_> = delivery.exceptions.iter().map(|(at, _)| *at).collect();
    let ascending = positions.windows(2).all(|pair| pair[0] < pair[1]);
    assert!(
        ascending,
        "exceptions are in ascending order: {positions:?}"
    );
    assert!(
        positions.last().is_none_or(|last| *last < events.len()),
        "exceptions are about events of the call: {positions:?}"
    );
    delivery
}

/// The events to hand over once more.
fn undelivered(events: &[Event], delivery: &Delivery) -> Vec<Event> {
    let again = delivery.exceptions.iter().map(|(at, fault)| {
        let patient = matches!(fault, Fault::Retry { .. } | Fault::Denied { .. });
        assert!(
            patient,
            "an outage is no reason to give events up: {fault:?}"
        );
        events[*at].clone()
    });
    again.collect()
}

async fn wait_for(receiver: &dyn Receiver, events: &[Event]) {
    eventually("everything that was delivered is received", || {
        let bodies = receiver.bodies();
        events
            .iter()
            .all(|event| bodies.iter().any(|body| body == event.body()))
    })
    .await;
}
