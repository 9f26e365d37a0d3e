//! Sinks that are down, slow, or picky.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tapline_core::{Fault, SinkLimits};
use tapline_runtime::status::{State, StatusBoard};
use tapline_runtime::topology::Topology;
use tapline_runtime::{Runtime, Stopped};
use tokio::time::Instant;

use crate::fakes::{
    Counting, Told, line, number_of, retry, setup, sink, source, start, until, up_to,
};

fn shown(board: &StatusBoard) -> (State, Option<String>) {
    let lake = &board.snapshot().components["lake"];
    (lake.state, lake.detail.clone())
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_was_down_for_minutes_gets_everything_in_order_without_being_hammered() {
    let folder = tempfile::tempdir().expect("a folder");
    let back = Instant::now() + Duration::from_secs(600);
    let mut lake = Told::answers(
        move |_, _| {
            if Instant::now() < back { retry() } else { None }
        },
    );
    lake.limits.max_in_flight = 4;
    let mut numbers = Counting::to(2000);
    numbers.ids = 7;
    let running = start(folder.path(), line(&numbers, &lake)).await;
    tokio::time::sleep(Duration::from_secs(600)).await;
    let calls = lake.calls.load(Ordering::Relaxed);
    assert!((20..100).contains(&calls), "{calls} calls in ten minutes");
    lake.has(2000).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    for id in 0..7 {
        let of_id = lake.delivered().into_iter().filter(|n| n % 7 == id);
        assert!(of_id.is_sorted(), "lane {id} is out of order");
    }
    assert_eq!(numbers.read.load(Ordering::Relaxed), 2000, "read once");
}

#[tokio::test(start_paused = true)]
async fn a_slow_sink_bounds_what_is_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lake = Told::takes_all();
    lake.delay = Duration::from_secs(3600);
    lake.limits.max_events = 10;
    let mut numbers = Counting::to(100_000);
    numbers.body = 1024;
    let mut setup = setup(folder.path(), line(&numbers, &lake));
    setup.budget_bytes = Some(256 << 10);
    setup.shutdown = Duration::from_secs(1);
    let running = Runtime::start(setup).await.expect("starts");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let read = numbers.read.load(Ordering::Relaxed);
    // Three or four batches wait in front of the budget, the rest weighs 1,5 KiB each.
    assert!((100..230).contains(&read), "{read} events were read");
    assert!(matches!(running.stop().await, Stopped::DeadlinePassed(_)));
}

#[tokio::test(start_paused = true)]
async fn a_blocked_sink_does_not_stop_an_unrelated_pipeline() {
    let folder = tempfile::tempdir().expect("a folder");
    let blocked = Told::answers(|_, _| retry());
    let lake = Told::takes_all();
    let mut stuck = Counting::to(100_000);
    stuck.body = 4096;
    let numbers = Counting::to(5000);
    let topology = Topology {
        sources: vec![source("stuck", &stuck), source("alerts", &numbers)],
        transforms: Vec::new(),
        sinks: vec![
            sink("away", "stuck", &blocked),
            sink("lake", "alerts", &lake),
        ],
        ..Topology::default()
    };
    let mut setup = setup(folder.path(), topology);
    setup.budget_bytes = Some(1 << 20);
    let running = Runtime::start(setup).await.expect("starts");
    lake.has(5000).await;
    assert_eq!(lake.delivered(), up_to(5000));
    running.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_the_lane_of_a_picky_event_waits() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lake = Told::answers(|event, attempt| {
        (number_of(event) == 3 && attempt < 3).then(|| Fault::Retry {
            after: Some(Duration::from_secs(60)),
            reason: "busy",
        })
    });
    lake.limits = SinkLimits {
        max_events: 4,
        ..SinkLimits::default()
    };
    let mut numbers = Counting::to(60);
    numbers.ids = 6;
    let running = start(folder.path(), line(&numbers, &lake)).await;
    lake.has(50).await;
    assert!(!lake.delivered().contains(&3));
    lake.has(60).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    let lane = lake.delivered().into_iter().filter(|n| n % 6 == 3);
    assert!(lane.is_sorted());
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_back_is_asked_at_once_when_the_drain_begins() {
    let folder = tempfile::tempdir().expect("a folder");
    let back = Instant::now() + Duration::from_secs(1000);
    let lake = Told::answers(move |_, _| if Instant::now() < back { retry() } else { None });
    let mut setup = setup(folder.path(), line(&Counting::to(10), &lake));
    setup.shutdown = Duration::from_secs(1);
    let running = Runtime::start(setup).await.expect("starts");
    tokio::time::sleep_until(back).await;
    assert_eq!(lake.delivered().len(), 0, "it waits for longer");
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(lake.delivered(), up_to(10));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_is_refused_says_what_to_do_until_all_its_events_go_through() {
    let folder = tempfile::tempdir().expect("a folder");
    let away = Arc::new(AtomicBool::new(true));
    let state = Arc::clone(&away);
    let lake = Told::answers(move |event, _| {
        let refused = state.load(Ordering::Relaxed) && !number_of(event).is_multiple_of(5);
        refused.then(|| Fault::Denied {
            reason: "authorization",
            why: "allow WRITE on the topic".to_owned(),
        })
    });
    let setup = setup(folder.path(), line(&Counting::to(40), &lake));
    let board = setup.board.clone();
    let shown = || shown(&board);
    let running = Runtime::start(setup).await.expect("starts");
    let detail = "refused: allow WRITE on the topic";
    let degraded = (State::Degraded, Some(detail.to_owned()));
    until(|| shown() == degraded).await;
    lake.has(8).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(shown(), degraded, "although others go through");
    away.store(false, Ordering::Relaxed);
    lake.has(40).await;
    until(|| shown() == (State::Running, None)).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(shown(), (State::Stopped, None));
}

#[tokio::test(start_paused = true)]
async fn a_sink_that_takes_nothing_is_shown_as_degraded_until_it_takes_something() {
    let folder = tempfile::tempdir().expect("a folder");
    let back = Instant::now() + Duration::from_secs(100);
    let lake = Told::answers(move |_, _| if Instant::now() < back { retry() } else { None });
    let setup = setup(folder.path(), line(&Counting::to(40), &lake));
    let board = setup.board.clone();
    let shown = || shown(&board);
    let running = Runtime::start(setup).await.expect("starts");
    let away = (State::Degraded, Some("takes nothing: away".to_owned()));
    until(|| shown() == away).await;
    until(|| shown() == (State::Running, None)).await;
    assert!(Instant::now() >= back);
    running.stop().await;
}
