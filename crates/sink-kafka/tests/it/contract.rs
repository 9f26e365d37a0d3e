//! The contract that every sink keeps.

use async_trait::async_trait;
use rdkafka::message::{Message, OwnedMessage};
use tapline_testkit::{Receiver, WhileAway, check_sink};

use super::{Cluster, cluster, records, sink};

/// A cluster whose broker goes and comes.
struct Broker(Cluster);

#[async_trait(?Send)]
impl Receiver for Broker {
    fn bodies(&self) -> Vec<Vec<u8>> {
        let body = |record: &OwnedMessage| record.payload().map(<[u8]>::to_vec);
        records(&self.0).iter().filter_map(body).collect()
    }

    async fn go_away(&self) {
        self.0.broker_down(1).expect("down");
    }

    async fn come_back(&self) {
        self.0.broker_up(1).expect("up");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract_of_sinks() {
    let broker = Broker(cluster());
    let sink = sink(&broker.0);
    check_sink(&*sink, &broker, WhileAway::Waits).await;
}
