use crate::hub_client::{HubClient, Wish, bytes, end, next, number, offset, signature};
use fe2o3_amqp::types::messaging::Body;
use std::collections::HashSet;
use std::time::Duration;
use tapline_simulators::{Faults, HubHandle, Settings, Simulation};

/// A hub whose messages were made with these faults.
async fn made(faults: &str) -> (Simulation, HubHandle) {
    let settings = Settings {
        rate: 1e6,
        events: Some(600),
        faults: Faults::parse(faults).unwrap(),
        hub: true,
        ..Settings::default()
    };
    let simulation = Simulation::start(settings).await.unwrap();
    let all = async {
        while !simulation.finished() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), all)
        .await
        .expect("all are made");
    let hub = simulation.hub();
    (simulation, hub)
}

/// A scripted hub with one message in its first partition.
async fn scripted(faults: &str) -> (Simulation, HubHandle) {
    let settings = Settings {
        faults: Faults::parse(faults).unwrap(),
        ..Settings::default()
    };
    let simulation = Simulation::scripted_with(settings).await.unwrap();
    let hub = simulation.hub();
    hub.put(0, "first");
    (simulation, hub)
}

#[tokio::test]
async fn offsets_can_be_texts_and_are_places_to_begin_at() {
    let (_simulation, hub) = made("hub_offset=1,hub_empty=1").await;
    let mut client = HubClient::connect(&hub).await;
    let mut receiver = client.read(Wish::default()).await.unwrap();
    let first = next(&mut receiver).await.unwrap();
    let offset = offset(&first);
    assert!(offset.contains(':'), "{offset}");
    let filter = format!("amqp.annotation.x-opt-offset > '{offset}'");
    let wish = Wish {
        filter: Some(&filter),
        ..Wish::default()
    };
    let mut after = client.read(wish).await.unwrap();
    assert_eq!(number(&next(&mut after).await.unwrap()), number(&first) + 1);
}

#[tokio::test]
async fn partitions_can_stay_empty_and_become_more() {
    let (_simulation, hub) = made("hub_empty=1").await;
    let sizes = (0..4).map(|partition| hub.messages(partition) > 0);
    assert_eq!(sizes.collect::<Vec<_>>(), [true, false, false, false]);
    let (_simulation, hub) = made("hub_grow=0.5").await;
    assert_eq!(hub.partitions(), 8);
    assert!(hub.messages(7) > 0);
}

#[tokio::test]
async fn messages_can_be_of_a_megabyte_and_of_every_form() {
    let (_simulation, hub) = made("hub_large=0.1,hub_empty=1,hub_form=1").await;
    let mut client = HubClient::connect(&hub).await;
    let mut receiver = client.read(Wish::default()).await.unwrap();
    let (mut forms, mut large) = (HashSet::new(), 0);
    for _ in 0..hub.messages(0) {
        let delivery = next(&mut receiver).await.unwrap();
        let form = match &delivery.message().body {
            Body::Data(pieces) if pieces.iter().count() > 1 => "pieces",
            Body::Data(_) => "data",
            Body::Value(_) => "value",
            Body::Sequence(_) => "sequence",
            Body::Empty => "empty",
        };
        forms.insert(form);
        if form == "data" && bytes(&delivery).len() > 1_000_000 {
            large += 1;
        }
        receiver.accept(&delivery).await.unwrap();
    }
    assert_eq!(
        forms,
        HashSet::from(["pieces", "data", "value", "sequence"])
    );
    assert!(large > 0);
}

#[tokio::test]
async fn what_is_named_strikes() {
    for (name, ends) in [
        ("hub_detach", true),
        ("hub_busy", true),
        ("hub_drop", true),
        ("hub_cut_off", true),
        ("hub_session_end", true),
        ("hub_token_expired", true),
        ("hub_stolen", true),
        ("hub_twice", false),
        ("hub_trickle", false),
        ("hub_slow", false),
    ] {
        let (_simulation, hub) = scripted(&format!("{name}=1")).await;
        let mut client = HubClient::connect(&hub).await;
        let mut receiver = client.read(Wish::default()).await.unwrap();
        if ends {
            end(&mut receiver).await;
        } else {
            hub.put(0, "second");
            let (first, second) = (next(&mut receiver).await, next(&mut receiver).await);
            let seen = [number(&first.unwrap()), number(&second.unwrap())];
            let expected = [0, i64::from(name != "hub_twice")];
            assert_eq!(seen, expected, "{name}");
        }
    }
    let (_simulation, hub) = scripted("hub_attach_refused=1").await;
    let mut client = HubClient::connect(&hub).await;
    client.read(Wish::default()).await.unwrap_err();
    assert!(hub.attaches()[0].refused.is_some());
    let (_simulation, hub) = scripted("hub_token_refused=1").await;
    let mut client = HubClient::stranger(&hub).await;
    client.show(&signature(&hub, 60)).await.unwrap_err();
}
