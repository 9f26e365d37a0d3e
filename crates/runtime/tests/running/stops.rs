//! Stop, start again, and what must not be started.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tapline_core::Fault;
use tapline_runtime::state::StateDesk;
use tapline_runtime::{Ended, Runtime, StartError, Stopped, StoreError};

use crate::fakes::{Counting, Told, line, retry, setup, start, until, up_to};
use crate::state::{forms, stands_at};

#[tokio::test(start_paused = true)]
async fn a_polite_stop_leaves_no_repeats() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(1000);
    let lake = Told::takes_fifty_at_a_time();
    let running = start(folder.path(), line(&numbers, &lake)).await;
    lake.has(300).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(lake.closed.load(Ordering::Relaxed), 1);
    assert!(
        lake.delivered().len() < 1000,
        "it was stopped in the middle"
    );

    let running = start(folder.path(), line(&numbers, &lake)).await;
    lake.has(1000).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(lake.delivered(), up_to(1000));
}

#[tokio::test(start_paused = true)]
async fn what_is_unsettled_at_the_deadline_is_read_again_at_the_next_start() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(100);
    let away = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&away);
    let lake = Told::answers(move |event, _| {
        let blocked = state.load(Ordering::Relaxed) && crate::fakes::number_of(event) > 50;
        if blocked { retry() } else { None }
    });
    away.store(true, Ordering::Relaxed);
    let running = start(folder.path(), line(&numbers, &lake)).await;
    lake.has(50).await;
    let begin = tokio::time::Instant::now();
    let stopped = running.stop().await;
    assert_eq!(stopped, Stopped::DeadlinePassed(50));
    assert!(
        begin.elapsed() < Duration::from_secs(25),
        "{:?}",
        begin.elapsed()
    );

    away.store(false, Ordering::Relaxed);
    let running = start(folder.path(), line(&numbers, &lake)).await;
    lake.has(100).await;
    running.stop().await;
    assert_eq!(lake.delivered(), up_to(100));
}

#[tokio::test(start_paused = true)]
async fn a_stop_takes_no_longer_than_it_may_however_long_the_goodbye() {
    let check = async |mut lake: Told, delivered: usize, goodbyes: usize| {
        let folder = tempfile::tempdir().expect("a folder");
        lake.goodbye = Duration::from_secs(3600);
        let mut setup = setup(folder.path(), line(&Counting::to(100), &lake));
        setup.shutdown = Duration::from_secs(2);
        let running = Runtime::start(setup).await.expect("it starts");
        until(|| lake.calls.load(Ordering::Relaxed) > 0).await;
        lake.has(delivered).await;
        let begin = tokio::time::Instant::now();
        let left = 100 - delivered as u64;
        assert_eq!(running.stop().await, Stopped::DeadlinePassed(left));
        let took = begin.elapsed();
        assert!(took < Duration::from_millis(2100), "{took:?}");
        assert_eq!(lake.closed.load(Ordering::Relaxed), goodbyes);
    };
    // With nothing delivered there is nobody to say goodbye to.
    check(Told::answers(|_, _| retry()), 0, 0).await;
    check(Told::takes_all(), 100, 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_kill_repeats_at_most_what_was_not_yet_durable() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(2000);
    let lake = Told::takes_fifty_at_a_time();
    let running = start(folder.path(), line(&numbers, &lake)).await;
    lake.has(700).await;
    drop(running);
    let seen = loop {
        let seen = lake.delivered().len();
        tokio::time::sleep(Duration::from_secs(10)).await;
        if lake.delivered().len() == seen {
            break seen;
        }
    };
    assert!(seen < 2000, "it was not stopped in the middle");
    let desk = StateDesk::open(folder.path(), forms()).await;
    let (durable, _) = stands_at(&desk.expect("nobody works on it")).await;
    let running = start(folder.path(), line(&numbers, &lake)).await;
    crate::fakes::until(|| lake.delivered().ends_with(&[2000])).await;
    running.stop().await;
    let mut all = lake.delivered();
    let repeats = all.len() - 2000;
    let unsettled = seen - durable as usize;
    assert!(repeats <= unsettled, "{repeats} repeats of {unsettled}");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, up_to(2000), "none is lost");
}

#[tokio::test]
async fn two_pipelines_cannot_share_a_data_folder() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(1);
    let lake = Told::takes_all();
    let _first = start(folder.path(), line(&numbers, &lake)).await;
    let second = Runtime::start(setup(folder.path(), line(&numbers, &lake))).await;
    let error = second.err().expect("refused");
    assert!(
        matches!(&error, StartError::Store(StoreError::InUse(path)) if path.starts_with(folder.path())),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_checkpoint_of_another_stream_ends_the_pipeline_with_both_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut numbers = Counting::to(10);
    let lake = Told::takes_all();
    let running = start(folder.path(), line(&numbers, &lake)).await;
    lake.has(10).await;
    running.stop().await;

    numbers.tenant = "fabrikam";
    let running = start(folder.path(), line(&numbers, &lake)).await;
    let Ended::Refused(text) = running.ended().await else {
        panic!("fenced");
    };
    for part in ["alerts", "contoso", "fabrikam"] {
        assert!(text.contains(part), "{text}");
    }
    running.stop().await;
    assert_eq!(lake.delivered().len(), 10, "nothing was read");
}

#[tokio::test(start_paused = true)]
async fn a_fenced_sink_says_so() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Told::answers(|_, _| Some(Fault::Fenced));
    let running = start(folder.path(), line(&Counting::to(5), &lake)).await;
    running.fenced().await;
    assert_eq!(running.stop().await, Stopped::DeadlinePassed(5));
}
