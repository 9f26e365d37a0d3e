//! Events that get lost are read again; events that are rejected are kept.

use std::sync::atomic::{AtomicU32, Ordering};

use tapline_core::{Event, Fault, Output};
use tapline_runtime::{Runtime, Stopped};

use crate::fakes::{Counting, Told, line, number_of, setup, sink, source, start, transform, up_to};
use tapline_runtime::topology::Topology;

fn through(numbers: &Counting, apply: fn(Event, &mut Output), lake: &Told) -> Topology {
    Topology {
        sources: vec![source("alerts", numbers)],
        transforms: vec![transform("shape", "alerts", apply)],
        sinks: vec![sink("lake", "shape", lake)],
        ..Topology::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_event_is_read_again_from_the_same_cursor() {
    static DROPS: AtomicU32 = AtomicU32::new(0);
    fn forgets_25_once(event: Event, out: &mut Output) {
        if number_of(&event) != 25 || DROPS.fetch_add(1, Ordering::Relaxed) > 0 {
            out.emit(event);
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(40);
    let lake = Told::takes_all();
    let running = start(folder.path(), through(&numbers, forgets_25_once, &lake)).await;
    crate::fakes::until(|| lake.delivered().contains(&25)).await;
    lake.has(40).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(*numbers.rewinds.lock().expect("whole"), [20]);
    let mut all = lake.delivered();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all, up_to(40));
}

#[tokio::test(start_paused = true)]
async fn a_transform_that_panics_twice_loses_nothing() {
    static PANICS: AtomicU32 = AtomicU32::new(0);
    fn panics_twice(event: Event, out: &mut Output) {
        if number_of(&event) == 13 && PANICS.fetch_add(1, Ordering::Relaxed) < 2 {
            panic!("planted");
        }
        out.emit(event);
    }
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(30);
    let lake = Told::takes_all();
    let setup = setup(folder.path(), through(&numbers, panics_twice, &lake));
    let metrics = setup.metrics.clone();
    let running = Runtime::start(setup).await.expect("starts");
    crate::fakes::until(|| lake.delivered().contains(&30)).await;
    crate::fakes::until(|| lake.delivered().contains(&13)).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(*numbers.rewinds.lock().expect("whole"), [10; 2]);
    let text = String::from_utf8(metrics.render()).expect("text");
    assert!(
        text.contains(r#"reason="panicked",stage="processing"} 2"#),
        "{text}"
    );
}

/// Runs 30 events through a transform that never gets 13 through, and gives back its letter.
async fn letter_of_13(apply: fn(Event, &mut Output)) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(30);
    let lake = Told::takes_all();
    let running = start(folder.path(), through(&numbers, apply, &lake)).await;
    crate::fakes::until(|| lake.delivered().contains(&30)).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(
        *numbers.rewinds.lock().expect("whole"),
        [10; 2],
        "read again twice, then one by one"
    );
    let mut all = lake.delivered();
    all.sort_unstable();
    all.dedup();
    let others: Vec<u64> = up_to(30).into_iter().filter(|n| *n != 13).collect();
    assert_eq!(all, others, "all others arrive");
    let letters = folder.path().join("data/dead-letters/shape.ndjson");
    let text = std::fs::read_to_string(letters).expect("kept");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains(r#""version":"13""#), "{text}");
    text
}

#[tokio::test(start_paused = true)]
async fn an_event_on_which_a_transform_always_panics_does_not_hold_back_its_partition() {
    let letter = letter_of_13(|event, out| {
        if number_of(&event) == 13 {
            // What was made of it already does not get out.
            out.emit(event.child(event.body().clone()));
            panic!("planted");
        }
        out.emit(event);
    });
    assert!(letter.await.contains(r#""reason":"panic""#));
}

#[tokio::test(start_paused = true)]
async fn an_event_that_a_transform_forgets_every_time_does_not_hold_back_its_partition() {
    let letter = letter_of_13(|event, out| {
        if number_of(&event) != 13 {
            out.emit(event);
        }
    });
    assert!(letter.await.contains(r#""reason":"forgotten""#));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_will_take_is_kept_with_its_bytes_and_the_rest_goes_on() {
    fn refuses_7(event: Event, out: &mut Output) {
        match number_of(&event) {
            7 => out.reject(event, "bad_record", "seven"),
            8 => out.discard(event),
            _ => out.emit(event),
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(20);
    let lake = Told::answers(|event, _| {
        (number_of(event) == 9).then(|| Fault::Reject {
            reason: "too_large",
            why: "nine".to_owned(),
        })
    });
    let running = start(folder.path(), through(&numbers, refuses_7, &lake)).await;
    lake.has(17).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(numbers.rewinds.lock().expect("whole").len(), 0);
    let letters = folder.path().join("data/dead-letters");
    for (file, why) in [("shape", "seven"), ("lake", "nine")] {
        let text = std::fs::read_to_string(letters.join(format!("{file}.ndjson")));
        let text = text.expect("kept");
        assert_eq!(text.lines().count(), 1, "{text}");
        assert!(text.contains(why), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn full_dead_letters_stop_and_go_on_when_there_is_room() {
    let folder = tempfile::tempdir().expect("a folder");
    let lake = Told::answers(|event, _| {
        (number_of(event) <= 20).then(|| Fault::Reject {
            reason: "too_large",
            why: String::new(),
        })
    });
    let numbers = Counting::to(30);
    let mut setup = setup(folder.path(), line(&numbers, &lake));
    setup.dead_letter_bytes = 2000;
    let board = setup.board.clone();
    let running = Runtime::start(setup).await.expect("starts");
    crate::fakes::until(|| {
        let status = board.snapshot();
        let detail = &status.components["lake"].detail;
        detail
            .as_ref()
            .is_some_and(|text| text.contains("dead letters"))
    })
    .await;
    let file = folder.path().join("data/dead-letters/lake.ndjson");
    let mut kept = 0;
    while lake.delivered().len() < 10 || kept < 20 {
        if let Ok(text) = std::fs::read_to_string(&file) {
            kept += text.lines().count();
            std::fs::remove_file(&file).expect("purged");
        }
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    }
    assert_eq!(kept, 20, "none was dropped");
    assert_eq!(running.stop().await, Stopped::Drained);
}
