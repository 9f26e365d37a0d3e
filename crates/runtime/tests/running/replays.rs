//! Dead letters are handed back to the component that rejected them.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tapline_core::{Event, Fault, Output};
use tapline_runtime::Stopped;
use tapline_runtime::dead_letters::{Filter, Shelf};
use tapline_runtime::topology::Topology;

use crate::fakes::{Counting, Told, number_of, sink, source, start, transform, until, up_to};

fn letters(shelf: &Shelf) -> u64 {
    let (groups, unreadable) = shelf.list(&Filter::default()).expect("listed");
    assert_eq!(unreadable, 0);
    groups.iter().map(|group| group.letters).sum()
}

fn nothing_waits(data_dir: &Path) -> bool {
    let files = std::fs::read_dir(data_dir.join("replay")).expect("there");
    files.count() == 0
}

#[tokio::test(start_paused = true)]
async fn what_was_rejected_goes_to_who_rejected_it_and_only_there() {
    static REFUSES: AtomicBool = AtomicBool::new(true);
    fn refuses_sevens(event: Event, out: &mut Output) {
        match number_of(&event) % 10 {
            7 if REFUSES.load(Ordering::Relaxed) => out.reject(event, "bad_record", "seven"),
            _ => out.emit(event),
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let data_dir = folder.path().join("data");
    let numbers = Counting::to(30);
    let refuses = Arc::new(AtomicBool::new(true));
    let lake = Told::answers({
        let refuses = Arc::clone(&refuses);
        move |event, _| {
            let refused = number_of(event) % 10 == 9 && refuses.load(Ordering::Relaxed);
            refused.then(|| Fault::Reject {
                reason: "too_large",
                why: "nine".to_owned(),
            })
        }
    });
    let other = Told::takes_all();
    let topology = || Topology {
        sources: vec![source("alerts", &numbers)],
        transforms: vec![transform("shape", "alerts", refuses_sevens)],
        sinks: vec![
            sink("lake", "shape", &lake),
            sink("other", "alerts", &other),
        ],
        ..Topology::default()
    };
    let shelf = Shelf::of(&data_dir);
    let running = start(folder.path(), topology()).await;
    lake.has(24).await;
    until(|| letters(&shelf) == 6).await;

    // While it runs, and still refuses what it refused before.
    let of_lake = Filter {
        component: Some("lake".to_owned()),
        ..Filter::default()
    };
    assert_eq!(shelf.replay(&of_lake).expect("moved"), 3);
    until(|| nothing_waits(&data_dir)).await;
    assert_eq!((letters(&shelf), lake.delivered().len()), (6, 24));
    refuses.store(false, Ordering::Relaxed);
    assert_eq!(shelf.replay(&of_lake).expect("moved"), 3);
    lake.has(27).await;
    assert_eq!(running.stop().await, Stopped::Drained);

    // While nothing runs; what the transform took then goes on behind it.
    REFUSES.store(false, Ordering::Relaxed);
    assert_eq!(shelf.replay(&Filter::default()).expect("moved"), 3);
    let running = start(folder.path(), topology()).await;
    lake.has(30).await;
    until(|| nothing_waits(&data_dir)).await;
    assert_eq!(running.stop().await, Stopped::Drained);

    let mut all = lake.delivered();
    all.sort_unstable();
    assert_eq!(all, up_to(30), "each once");
    assert_eq!(other.delivered(), up_to(30), "nobody else gets them again");
    assert_eq!(letters(&shelf), 0);
}
