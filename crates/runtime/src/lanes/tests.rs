//! Calls, lanes, and rests, one at a time.

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;

fn lanes(max_events: usize, max_in_flight: usize) -> Lanes<&'static str, SmallRng> {
    let limits = SinkLimits {
        max_events,
        max_bytes: 100,
        max_in_flight,
    };
    Lanes::new(limits, Backoff::default(), SmallRng::seed_from_u64(1))
}

fn retry(after: Option<Duration>) -> Fault {
    Fault::Retry {
        after,
        reason: "busy",
    }
}

#[test]
fn only_the_lane_of_a_retried_event_waits() {
    let mut lanes = lanes(2, 1);
    let mut now = Instant::now();
    for (event, lane) in [("a1", 1), ("b1", 2), ("a2", 1), ("b2", 2)] {
        lanes.push(event, lane, 1);
    }
    let call = lanes.next_call(now).expect("due");
    assert_eq!(call.events, ["a1", "b1"]);
    assert!(lanes.next_call(now).is_none(), "one call at a time");
    let delivery = Delivery {
        exceptions: vec![(0, retry(Some(Duration::from_secs(5))))],
    };
    let taken = lanes.outcome(call.slots, call.events, delivery, now);
    assert_eq!((taken.delivered, taken.outage), (vec!["b1"], false));
    let call = lanes.next_call(now).expect("lane b is free");
    assert_eq!(call.events, ["b2"]);
    lanes.outcome(call.slots, call.events, Delivery::all(), now);
    assert!(lanes.next_call(now).is_none());
    let due = lanes.wakes_at().expect("a1 waits");
    assert!(due >= now + Duration::from_secs(5), "the wait asked for");
    now = due;
    let call = lanes.next_call(now).expect("due");
    assert_eq!(call.events, ["a1"]);
    lanes.outcome(call.slots, call.events, Delivery::all(), now);
    assert_eq!(lanes.next_call(now).expect("due").events, ["a2"]);
}

#[test]
fn a_sink_that_takes_nothing_is_asked_less_and_less_by_one_call() {
    let mut lanes = lanes(1, 4);
    let mut now = Instant::now();
    let begin = now;
    for lane in 0..6 {
        lanes.push("x", lane, 1);
    }
    let calls: Vec<_> = std::iter::from_fn(|| lanes.next_call(now)).collect();
    assert_eq!(calls.len(), 4);
    for call in calls {
        let nothing = Delivery::none(1, retry(None));
        assert!(lanes.outcome(call.slots, call.events, nothing, now).outage);
    }
    for _ in 0..20 {
        now = lanes.wakes_at().expect("a next attempt");
        let call = lanes.next_call(now).expect("due");
        assert!(lanes.next_call(now).is_none(), "a single attempt");
        lanes.outcome(call.slots, call.events, Delivery::none(1, retry(None)), now);
    }
    assert!(now - begin > Duration::from_secs(200), "{:?}", now - begin);
}

#[test]
fn a_call_keeps_to_the_bounds_and_a_larger_event_goes_alone() {
    let mut lanes = lanes(10, 9);
    let now = Instant::now();
    for (lane, bytes) in [(1, 60), (2, 60), (3, 500), (4, 1)] {
        lanes.push("x", lane, bytes);
    }
    let sizes: Vec<usize> = std::iter::from_fn(|| lanes.next_call(now))
        .map(|call| call.events.len())
        .collect();
    assert_eq!(sizes, [1, 1, 1, 1]);
}

#[test]
fn a_rejected_event_lets_its_lane_go_on() {
    let mut lanes = lanes(5, 1);
    let now = Instant::now();
    lanes.push("bad", 1, 1);
    lanes.push("good", 1, 1);
    let call = lanes.next_call(now).expect("due");
    let reject = Fault::Reject {
        reason: "too_large",
        why: "1 byte over".to_owned(),
    };
    let taken = lanes.outcome(call.slots, call.events, Delivery::none(1, reject), now);
    assert_eq!(taken.rejected.len(), 1);
    assert!(!taken.outage, "a decision is no outage");
    assert_eq!(lanes.next_call(now).expect("due").events, ["good"]);
}
