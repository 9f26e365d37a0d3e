//! Messages that are built otherwise than in one data section.

use bytes::Bytes;
use tapline_simulators::{HubBody, HubMessage};
use tapline_testkit::uids;

use super::Hub;
use crate::rig::{record, uid};

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_body_is_read_or_goes_to_the_dead_letters_with_its_place() {
    let hub = Hub::scripted().await;
    let text = |name: &str| record("AlertInfo", name);
    let (first, second) = (text("a"), text("d"));
    let forms = [
        HubMessage::pieces([first[..9].to_owned(), first[9..].to_owned()]),
        HubMessage::new(HubBody::Text(text("b"))),
        HubMessage::new(HubBody::Binary(Bytes::from(text("c")))),
        HubMessage::new(HubBody::Sequence(vec![
            second[..20].to_owned(),
            second[20..].to_owned(),
        ])),
        HubMessage::new(HubBody::Text("no record".to_owned())).offset("at/7"),
        HubMessage::new(HubBody::Missing),
        HubMessage::from(text("e").as_str()),
    ];
    for form in forms {
        hub.hub().put(3, form);
    }
    let running = hub.run();
    hub.host.wait_for_events(5).await;
    running.stop().await;
    let expected = ["a", "b", "c", "d", "e"].map(|name| uid("AlertInfo", name));
    assert_eq!(uids(&hub.host.events()), expected.into());
    let refused = hub.host.rejected();
    let told = refused.first().map(|refused| refused.why.as_str());
    let place = "hub defender, partition 3, offset at/7";
    assert!(told.is_some_and(|why| why.contains(place)), "{told:?}");
}
