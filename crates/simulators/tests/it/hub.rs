use crate::client::Client;
use crate::hub_client::{HubClient, Wish, bytes, end, next, number, numbers, signature};
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::primitives::Value;
use std::time::{Duration, Instant};
use tapline_simulators::{
    HUB_CONDITIONS, HubBody, HubError, HubFault, HubHandle, HubMessage, Simulation,
};

async fn filled(messages: usize) -> (Simulation, HubHandle) {
    let simulation = Simulation::scripted().await.unwrap();
    let hub = simulation.hub();
    for n in 0..messages {
        hub.put(
            0,
            HubMessage::from(format!("{n}").as_str()).enqueued_ms(1_000 * n as i64),
        );
    }
    (simulation, hub)
}

#[tokio::test]
async fn a_reader_begins_where_its_selector_says() {
    let (_simulation, hub) = filled(10).await;
    let offset = hub
        .put(
            0,
            HubMessage::from("last")
                .offset("strange:offset")
                .enqueued_ms(10_000),
        )
        .offset;
    assert_eq!(offset, "strange:offset");
    let mut client = HubClient::connect(&hub).await;
    // the fourth message stands at three times the size of a message: one letter and 56 bytes around it
    for (filter, first) in [
        ("amqp.annotation.x-opt-offset > '-1'", 0),
        ("amqp.annotation.x-opt-offset >'171'", 4),
        ("amqp.annotation.x-opt-offset >= '171'", 3),
        ("amqp.annotation.x-opt-offset > '172'", 4),
        ("amqp.annotation.x-opt-offset >= 'strange:offset'", 10),
        ("amqp.annotation.x-opt-sequence-number > '6'", 7),
        ("amqp.annotation.x-opt-sequence-number >= '6'", 6),
        ("amqp.annotation.x-opt-enqueued-time > '4000'", 5),
        ("amqp.annotation.x-opt-enqueued-time >= '4000'", 4),
        ("amqp.annotation.x-opt-enqueued-time > '4001'", 5),
    ] {
        let wish = Wish {
            filter: Some(filter),
            ..Wish::default()
        };
        let mut receiver = client.read(wish).await.unwrap();
        assert_eq!(
            numbers(&mut receiver, 11 - first).await,
            (first as i64..11).collect::<Vec<_>>(),
            "{filter}"
        );
        receiver.close().await.unwrap();
    }
}

#[tokio::test]
async fn only_what_comes_later_is_the_latest() {
    let (_simulation, hub) = filled(3).await;
    let mut client = HubClient::connect(&hub).await;
    let wish = Wish {
        filter: Some("amqp.annotation.x-opt-offset > '@latest'"),
        ..Wish::default()
    };
    let mut receiver = client.read(wish).await.unwrap();
    hub.put(0, "new");
    let delivery = next(&mut receiver).await.unwrap();
    assert_eq!((number(&delivery), bytes(&delivery)), (3, b"new".to_vec()));
}

#[tokio::test]
async fn a_body_arrives_as_it_was_put_in_whatever_its_form_and_size() {
    let (_simulation, hub) = filled(0).await;
    let large: Vec<u8> = (0..1_000_000_u32).map(|n| n as u8).collect();
    hub.put(0, large.clone());
    hub.put(0, HubMessage::pieces(["ab", "", "cd"]));
    hub.put(0, HubMessage::new(HubBody::Text("text".to_owned())));
    hub.put(0, HubMessage::new(HubBody::Binary("binary".into())));
    hub.put(
        0,
        HubMessage::new(HubBody::Sequence(vec!["one".to_owned()])),
    );
    hub.put(0, HubMessage::new(HubBody::Missing));
    let mut client = HubClient::connect(&hub).await;
    let mut receiver = client.read(Wish::default()).await.unwrap();
    assert_eq!(bytes(&next(&mut receiver).await.unwrap()), large);
    assert_eq!(bytes(&next(&mut receiver).await.unwrap()), b"abcd");
    let mut bodies = Vec::new();
    for _ in 0..4 {
        bodies.push(next(&mut receiver).await.unwrap().message().body.clone());
    }
    assert!(
        matches!(&bodies[0], Body::Value(value) if value.0 == Value::String("text".to_owned()))
    );
    assert!(
        matches!(&bodies[1], Body::Value(value) if matches!(&value.0, Value::Binary(bytes) if bytes.as_slice() == b"binary"))
    );
    assert!(matches!(&bodies[2], Body::Sequence(_)));
    assert!(matches!(&bodies[3], Body::Empty));
}

#[tokio::test]
async fn no_more_is_sent_than_there_is_credit_for() {
    let (_simulation, hub) = filled(20).await;
    let mut client = HubClient::connect(&hub).await;
    let wish = Wish {
        credit: CreditMode::Manual,
        ..Wish::default()
    };
    let mut receiver = client.read(wish).await.unwrap();
    receiver.set_credit(7).await.unwrap();
    assert_eq!(numbers(&mut receiver, 7).await, (0..7).collect::<Vec<_>>());
    let more =
        tokio::time::timeout(Duration::from_millis(200), receiver.recv::<Body<Value>>()).await;
    assert!(more.is_err(), "an eighth message came");
    receiver.set_credit(2).await.unwrap();
    assert_eq!(numbers(&mut receiver, 2).await, [7, 8]);
    assert_eq!(hub.largest_credit(0), Some(7));
}

#[tokio::test]
async fn a_reader_that_asks_learns_of_the_newest_message_with_each() {
    let (_simulation, hub) = filled(5).await;
    let mut client = HubClient::connect(&hub).await;
    for metric in [true, false] {
        let wish = Wish {
            metric,
            ..Wish::default()
        };
        let mut receiver = client.read(wish).await.unwrap();
        let delivery = next(&mut receiver).await.unwrap();
        let said = format!("{:?}", delivery.message().delivery_annotations);
        assert_eq!(
            said.contains("last_enqueued_sequence_number") && said.contains("Long(4)"),
            metric,
            "{said}"
        );
        receiver.close().await.unwrap();
    }
    assert_eq!(
        hub.attaches()
            .iter()
            .map(|attach| attach.runtime_metric)
            .collect::<Vec<_>>(),
        [true, false]
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_refused_with_the_right_condition() {
    let (_simulation, hub) = filled(3).await;
    let mut client = HubClient::connect(&hub).await;
    let at = |address: &'static str| Wish {
        address,
        ..Wish::default()
    };
    let from = |filter: &'static str| Wish {
        filter: Some(filter),
        ..Wish::default()
    };
    let long = "amqps://localhost/DEFENDER/consumergroups/$default/partitions/3";
    client.read(at(long)).await.unwrap().close().await.unwrap();
    for (wish, condition) in [
        (
            at("other/ConsumerGroups/$Default/Partitions/0"),
            "amqp:not-found",
        ),
        (
            at("defender/ConsumerGroups/nobody/Partitions/0"),
            "amqp:not-found",
        ),
        (
            at("defender/ConsumerGroups/$Default/Partitions/4"),
            "com.microsoft:argument-out-of-range",
        ),
        (
            from("amqp.annotation.x-opt-offset > 'never-there'"),
            "com.microsoft:argument-error",
        ),
        (from("nonsense"), "amqp:invalid-field"),
    ] {
        client.read(wish).await.unwrap_err();
        let refused = hub.attaches().last().unwrap().refused.clone().unwrap();
        assert_eq!(refused, condition);
    }
    hub.add_consumer_group("Nobody");
    hub.grow_to(5);
    let group = at("defender/ConsumerGroups/nobody/Partitions/0");
    let _of_group = client.read(group).await.unwrap();
    let partition = at("defender/ConsumerGroups/$Default/Partitions/4");
    let _of_partition = client.read(partition).await.unwrap();
}

#[tokio::test]
async fn tokens_are_checked_and_needed() {
    let (simulation, hub) = filled(3).await;
    let mut client = HubClient::stranger(&hub).await;
    client.read(Wish::default()).await.unwrap_err();
    assert_eq!(
        hub.attaches()[0].refused.as_deref(),
        Some("amqp:unauthorized-access")
    );
    for (token, status) in [("nonsense".to_owned(), 400), (signature(&hub, -1), 401)] {
        client.show(&token).await.unwrap_err();
        assert_eq!(hub.tokens().last().unwrap().status, status);
    }
    let old = signature(&hub, 60);
    hub.renew_key();
    client.show(&old).await.unwrap_err();
    client.show(&signature(&hub, 60)).await.unwrap();
    let _kept = client.read(Wish::default()).await.unwrap();

    let mut other = HubClient::stranger(&hub).await;
    other.show_as("jwt", "eyJ.never.given").await.unwrap_err();
    for (resource, good) in [
        ("https://graph.microsoft.com", false),
        ("https://eventhubs.azure.net", true),
    ] {
        let token = Client::with_resource(&simulation, resource).await.token;
        assert_eq!(
            other.show_as("jwt", &token).await.is_ok(),
            good,
            "{resource}"
        );
    }
    let _kept_too = other.read(Wish::default()).await.unwrap();

    hub.forbid_listening(true);
    other.read(Wish::default()).await.unwrap_err();
}

#[tokio::test]
async fn links_end_when_their_token_does() {
    let (_simulation, hub) = filled(0).await;
    let mut client = HubClient::connect(&hub).await;
    let mut receiver = client.read(Wish::default()).await.unwrap();
    hub.shorten_tokens(Duration::from_secs(1));
    assert!(end(&mut receiver).await.contains("UnauthorizedAccess"));
    client.read(Wish::default()).await.unwrap_err();
    client.show(&signature(&hub, 3_600)).await.unwrap();
    let mut receiver = client.read(Wish::default()).await.unwrap();
    hub.expire_tokens();
    assert!(end(&mut receiver).await.contains("UnauthorizedAccess"));
}

#[tokio::test]
async fn a_newer_token_stands_for_an_older_one() {
    let (_simulation, hub) = filled(0).await;
    let mut client = HubClient::stranger(&hub).await;
    let old = Duration::from_secs(3);
    let mut ends = Instant::now();
    let mut short = async || {
        let shown = client.show(&signature(&hub, old.as_secs() as i64)).await;
        ends = Instant::now() + old;
        shown.is_err() // when this machine was busy for longer than the token was good
    };
    while short().await {}
    client.show(&signature(&hub, 3_600)).await.unwrap();
    let mut receiver = client.read(Wish::default()).await.unwrap();
    tokio::time::sleep_until(ends.into()).await;
    hub.put(0, "still there");
    assert_eq!(numbers(&mut receiver, 1).await, [0]);
}

#[tokio::test]
async fn a_higher_owner_level_takes_the_partition_and_a_lower_one_is_refused() {
    let (_simulation, hub) = filled(1).await;
    let mut client = HubClient::connect(&hub).await;
    let level = |epoch| Wish {
        epoch,
        ..Wish::default()
    };
    let mut without = client.read(level(None)).await.unwrap();
    let mut first = client.read(level(Some(1))).await.unwrap();
    assert!(end(&mut without).await.contains("Stolen"));
    let mut second = HubClient::connect(&hub).await;
    let mut owner = second.read(level(Some(2))).await.unwrap();
    assert!(end(&mut first).await.contains("Stolen"));
    for epoch in [Some(1), None] {
        second.read(level(epoch)).await.unwrap_err();
        assert_eq!(
            hub.attaches().last().unwrap().refused.as_deref(),
            Some("amqp:link:stolen")
        );
    }
    hub.steal("$Default", 0, 9);
    assert!(end(&mut owner).await.contains("Stolen"));
    client.read(level(Some(8))).await.unwrap_err();
    hub.release();
    client.read(level(Some(0))).await.unwrap();
}

#[tokio::test]
async fn the_sixth_reader_without_an_owner_level_is_refused() {
    let (_simulation, hub) = filled(1).await;
    let mut client = HubClient::connect(&hub).await;
    let mut readers = Vec::new();
    for _ in 0..5 {
        readers.push(client.read(Wish::default()).await.unwrap());
    }
    client.read(Wish::default()).await.unwrap_err();
    assert_eq!(
        hub.attaches().last().unwrap().refused.as_deref(),
        Some("amqp:resource-limit-exceeded")
    );
    assert_eq!(hub.readers(0), 5);
    readers.pop().unwrap().close().await.unwrap();
    client.read(Wish::default()).await.unwrap();
}

#[tokio::test]
async fn every_fault_strikes_after_its_messages() {
    let (_simulation, hub) = filled(10).await;
    let busy = || HubError::new("com.microsoft:server-busy");
    for fault in [
        HubFault::Detach {
            after: 3,
            error: busy(),
        },
        HubFault::EndSession {
            after: 3,
            error: busy(),
        },
        HubFault::CloseConnection {
            after: 3,
            error: HubError::new("amqp:connection:forced"),
        },
        HubFault::Drop { after: 3 },
        HubFault::CutOff { after: 3 },
    ] {
        let mut client = HubClient::connect(&hub).await;
        hub.fail_next_of(0, fault.clone());
        let mut receiver = client.read(Wish::default()).await.unwrap();
        let mut seen = 0;
        while let Ok(delivery) = next(&mut receiver).await {
            assert_eq!(number(&delivery), seen);
            seen += 1;
        }
        assert!(seen <= 3, "{fault:?}: {seen} messages came");
        if matches!(fault, HubFault::Detach { .. }) {
            assert_eq!(seen, 3);
        }
    }
}

#[tokio::test]
async fn requests_can_be_refused_and_messages_held_up_or_sent_twice() {
    let (_simulation, hub) = filled(10).await;
    let mut client = HubClient::connect(&hub).await;
    let busy = HubError::new("com.microsoft:server-busy");
    hub.fail_next(HubFault::RefuseAttach(busy));
    client.read(Wish::default()).await.unwrap_err();
    hub.fail_next(HubFault::RefuseToken(500));
    client.show(&signature(&hub, 60)).await.unwrap_err();
    let pause = Duration::from_millis(100);
    for fault in [
        HubFault::Pause {
            after: 3,
            time: pause * 3,
        },
        HubFault::Trickle {
            after: 3,
            messages: 3,
            pause,
        },
    ] {
        hub.fail_next(fault);
        let started = Instant::now();
        let mut receiver = client.read(Wish::default()).await.unwrap();
        assert_eq!(
            numbers(&mut receiver, 10).await,
            (0..10).collect::<Vec<_>>()
        );
        assert!(started.elapsed() >= pause * 3);
        receiver.close().await.unwrap();
    }
    hub.fail_next(HubFault::Twice { after: 3 });
    let mut receiver = client.read(Wish::default()).await.unwrap();
    assert_eq!(numbers(&mut receiver, 6).await, [0, 1, 2, 3, 3, 4]);
    receiver.close().await.unwrap();
    hub.fail_next(HubFault::RefuseConnection);
    let stream = tokio::net::TcpStream::connect(("127.0.0.1", hub.port()));
    let mut stream = stream.await.unwrap();
    let said = tokio::io::AsyncReadExt::read(&mut stream, &mut [0; 8]).await;
    assert!(matches!(said, Ok(0) | Err(_)), "{said:?}");
}

#[tokio::test]
async fn a_link_can_end_with_every_condition() {
    let (_simulation, hub) = filled(1).await;
    let mut client = HubClient::connect(&hub).await;
    for (condition, _) in HUB_CONDITIONS {
        let mut receiver = client.read(Wish::default()).await.unwrap();
        next(&mut receiver).await.unwrap();
        hub.detach_all(Some(0), &HubError::new(condition));
        let said = end(&mut receiver).await;
        let word = condition.rsplit(':').next().unwrap().replace('-', "");
        assert!(
            said.to_lowercase().replace('-', "").contains(&word),
            "{condition}: {said}"
        );
    }
}

#[tokio::test]
async fn an_expired_place_leads_to_the_oldest_message_left() {
    let (_simulation, hub) = filled(10).await;
    hub.expire_before(0, 6);
    let mut client = HubClient::connect(&hub).await;
    for filter in [
        "amqp.annotation.x-opt-offset > '57'",
        "amqp.annotation.x-opt-sequence-number > '1'",
    ] {
        let wish = Wish {
            filter: Some(filter),
            ..Wish::default()
        };
        let mut receiver = client.read(wish).await.unwrap();
        assert_eq!(numbers(&mut receiver, 4).await, [6, 7, 8, 9]);
    }
}
