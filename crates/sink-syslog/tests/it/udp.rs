//! Over UDP: one datagram per message.

use serde_json::json;
use tokio::net::UdpSocket;

use crate::{message, messages, reasons, sink};

#[tokio::test]
async fn each_message_is_one_datagram_and_one_that_is_too_long_is_rejected() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("udp://{}", receiver.local_addr().unwrap());
    let sink = sink(json!({"endpoint": endpoint, "format": "none"}));
    let batch = [
        message("first"),
        message("x".repeat(2049)),
        message("two\nlines"),
        message("x".repeat(2048)),
    ];
    assert_eq!(reasons(&sink.deliver(&batch).await), [(1, "too_long")]);
    for at in [0, 2, 3] {
        let mut datagram = [0; 4096];
        let count = receiver.recv(&mut datagram).await.unwrap();
        assert_eq!(&datagram[..count], &**batch[at].body());
    }
}

#[tokio::test]
async fn a_refusal_that_the_network_reports_is_worth_a_retry() {
    let receiver = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("udp://{}", receiver.local_addr().unwrap());
    drop(receiver);
    let sink = sink(json!({"endpoint": endpoint}));
    let refused = async {
        loop {
            let delivery = sink.deliver(&messages(&["a"])).await;
            if !delivery.exceptions.is_empty() {
                return delivery;
            }
        }
    };
    let delivery = tokio::time::timeout(tapline_testkit::PATIENCE, refused).await;
    assert_eq!(reasons(&delivery.unwrap()), [(0, "send")]);
}
