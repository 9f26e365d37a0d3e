//! Several receivers: tried in order, kept while they work, the first preferred.

use std::time::Duration;

use serde_json::json;
use tapline_core::Sink;
use tapline_testkit::{Receiver, events, eventually};

use crate::receiver::Server;
use crate::{messages, reasons, sink};

/// Sends the event of a number, and waits until one of the two has read it.
async fn send(sink: &dyn Sink, number: usize, receivers: [&Server; 2]) {
    assert_eq!(reasons(&sink.deliver(&events(number, 1)).await), []);
    eventually("it is read, and nothing twice", || {
        let read: usize = receivers.iter().map(|server| server.bodies().len()).sum();
        read == number + 1
    })
    .await;
}

#[tokio::test]
async fn the_next_receiver_takes_over_and_is_kept_until_the_first_is_due_again() {
    let (first, second) = (Server::start().await, Server::start().await);
    let both = [&first, &second];
    let endpoints = both.map(Server::endpoint);
    let settings = json!({"endpoints": endpoints, "format": "none", "failback_secs": 2});
    let sink = sink(settings);
    send(&*sink, 0, both).await;
    first.go_away().await;
    send(&*sink, 1, both).await;
    first.come_back().await;
    send(&*sink, 2, both).await;
    assert_eq!(second.bodies().len(), 2, "it is kept");

    let mut number = 3;
    while first.bodies().len() < 2 {
        send(&*sink, number, both).await;
        number += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    send(&*sink, number, both).await;
    assert_eq!(first.bodies().len(), 3, "and left once the first is back");
}

#[tokio::test]
async fn with_no_receiver_left_all_were_tried_and_a_retry_is_asked_for() {
    let (first, second) = (Server::start().await, Server::start().await);
    first.go_away().await;
    second.go_away().await;
    let settings = json!({"endpoints": [first.endpoint(), second.endpoint()]});
    let delivery = sink(settings).deliver(&messages(&["a"])).await;
    assert_eq!(reasons(&delivery), [(0, "connect")]);
}
