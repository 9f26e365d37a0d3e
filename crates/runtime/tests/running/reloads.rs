//! A changed pipeline takes the place of the one that runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tapline_core::{BuildError, Event, NetworkSettings, Output, Sink, Source};
use tapline_runtime::topology::{Node, Print, Topology};
use tapline_runtime::{NotReloaded, Reload, Reloaded, Running, Runtime, Stopped};

use crate::fakes::{
    Counting, Told, number_of, retry, setup, sink, source, start, transform, until, up_to,
};

/// As if it were written with other settings.
fn other<T: ?Sized>(mut node: Node<T>) -> Node<T> {
    node.print = Print(1);
    node
}

fn reload(topology: Topology) -> Reload {
    Reload {
        topology,
        config_dir: ".".into(),
        network: NetworkSettings::default(),
        shutdown: Duration::from_secs(20),
    }
}

async fn reloaded(running: &mut Running, topology: Topology) -> Reloaded {
    let reloading = running.reload(reload(topology));
    reloading.expect("it is taken").finished().await
}

fn two_sinks(alerts: Node<dyn Source>, lake: Node<dyn Sink>, siem: &Told) -> Topology {
    Topology {
        sources: vec![alerts],
        transforms: Vec::new(),
        sinks: vec![lake, sink("siem", "alerts", siem)],
        ..Topology::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_changed_sink_is_replaced_while_the_others_go_on_and_nothing_is_lost_or_repeated() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(2000);
    let [old, new, siem] = [(); 3].map(|()| Told::takes_fifty_at_a_time());
    let before = two_sinks(
        source("alerts", &numbers),
        sink("lake", "alerts", &old),
        &siem,
    );
    let mut running = start(folder.path(), before).await;
    old.has(300).await;
    let after = two_sinks(
        source("alerts", &numbers),
        other(sink("lake", "alerts", &new)),
        &siem,
    );
    let reloaded = reloaded(&mut running, after).await;
    assert_eq!(reloaded.replaced, ["sinks.lake"]);
    assert_eq!(reloaded.kept, ["sinks.siem", "sources.alerts"]);
    assert_eq!(reloaded.not_drained, [] as [&str; 0]);
    assert_eq!(old.closed.load(Ordering::Relaxed), 1);
    assert_eq!(siem.closed.load(Ordering::Relaxed), 0);
    siem.has(2000).await;
    until(|| new.delivered().ends_with(&[2000])).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    let first = old.delivered().len();
    assert!(first < 2000, "it was replaced in the middle");
    assert_eq!([old.delivered(), new.delivered()].concat(), up_to(2000));
    assert_eq!(siem.delivered(), up_to(2000));
    assert_eq!(numbers.read.load(Ordering::Relaxed), 2000, "read once");
}

#[tokio::test(start_paused = true)]
async fn a_changed_transform_counts_from_one_batch_to_the_next() {
    fn all(event: Event, out: &mut Output) {
        out.emit(event);
    }
    fn odd(event: Event, out: &mut Output) {
        match number_of(&event) % 2 {
            0 => out.discard(event),
            _ => out.emit(event),
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(1000);
    let lake = Told::takes_fifty_at_a_time();
    let topology = |shape| Topology {
        sources: vec![source("alerts", &numbers)],
        transforms: vec![transform("shape", "alerts", shape)],
        sinks: vec![sink("lake", "shape", &lake)],
        ..Topology::default()
    };
    let mut running = start(folder.path(), topology(all)).await;
    lake.has(200).await;
    let mut changed = topology(odd);
    changed.transforms[0].print = Print(1);
    let reloaded = reloaded(&mut running, changed).await;
    assert_eq!(reloaded.replaced, [] as [&str; 0], "nothing was restarted");
    until(|| lake.delivered().ends_with(&[999])).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    let delivered = lake.delivered();
    let last_even = delivered.iter().rposition(|n| n % 2 == 0).expect("some");
    let last_even = last_even + 1;
    assert!(last_even < 1000, "it was changed in the middle");
    let odd: Vec<u64> = up_to(1000)[last_even..]
        .iter()
        .copied()
        .filter(|n| n % 2 == 1)
        .collect();
    assert_eq!(delivered, [up_to(last_even as u64), odd].concat());
}

#[tokio::test(start_paused = true)]
async fn a_stop_counts_what_a_replaced_source_had_not_settled_yet() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(100);
    let stuck = Told::answers(|_, _| retry());
    let topology = |alerts| Topology {
        sources: vec![alerts],
        sinks: vec![sink("lake", "alerts", &stuck)],
        ..Topology::default()
    };
    let mut running = start(folder.path(), topology(source("alerts", &numbers))).await;
    until(|| stuck.calls.load(Ordering::Relaxed) > 0).await;
    let after = topology(other(source("alerts", &numbers)));
    let _reloading = running.reload(reload(after)).expect("it is taken");
    // The old source gives up before the stop would.
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert_eq!(running.stop().await, Stopped::DeadlinePassed(100));
}

#[tokio::test(start_paused = true)]
async fn what_a_replaced_sink_does_not_deliver_in_time_is_read_again_for_the_new_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(500);
    let stuck = Told::answers(|_, _| retry());
    let [new, siem] = [(); 2].map(|()| Told::takes_all());
    let before = two_sinks(
        source("alerts", &numbers),
        sink("lake", "alerts", &stuck),
        &siem,
    );
    let mut running = start(folder.path(), before).await;
    until(|| stuck.calls.load(Ordering::Relaxed) > 0).await;
    let after = two_sinks(
        source("alerts", &numbers),
        other(sink("lake", "alerts", &new)),
        &siem,
    );
    let reloaded = reloaded(&mut running, after).await;
    assert_eq!(reloaded.not_drained, ["sinks.lake"]);
    until(|| new.delivered().ends_with(&[500])).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    let mut delivered = new.delivered();
    delivered.sort_unstable();
    delivered.dedup();
    assert_eq!(delivered, up_to(500), "none is lost");
    assert!(!numbers.rewinds.lock().expect("whole").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_changed_source_goes_on_where_it_was_and_one_that_is_gone_settles_what_it_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let [alerts, gone, new] = [(); 3].map(|()| Counting::to(1000));
    let [lake, siem, third] = [(); 3].map(|()| Told::takes_fifty_at_a_time());
    let builds = Arc::new(AtomicUsize::new(0));
    let counted = |numbers: &Counting| {
        let (numbers, builds) = (numbers.clone(), Arc::clone(&builds));
        let mut node = source("alerts", &numbers);
        node.build = Arc::new(move |_| {
            builds.fetch_add(1, Ordering::Relaxed);
            Ok(Box::new(numbers.clone()))
        });
        node
    };
    let before = Topology {
        sources: vec![counted(&alerts), source("gone", &gone)],
        transforms: Vec::new(),
        sinks: vec![sink("lake", "alerts", &lake), sink("siem", "gone", &siem)],
        ..Topology::default()
    };
    let mut running = start(folder.path(), before).await;
    lake.has(200).await;
    siem.has(200).await;
    let after = Topology {
        sources: vec![other(counted(&alerts)), source("new", &new)],
        transforms: Vec::new(),
        sinks: vec![sink("lake", "alerts", &lake), sink("third", "new", &third)],
        ..Topology::default()
    };
    let reloaded = reloaded(&mut running, after).await;
    assert_eq!(reloaded.replaced, ["sources.alerts"]);
    assert_eq!(reloaded.kept, ["sinks.lake"]);
    let (mut started, mut stopped) = (reloaded.started, reloaded.stopped);
    started.sort();
    stopped.sort();
    assert_eq!(started, ["sinks.third", "sources.new"]);
    assert_eq!(stopped, ["sinks.siem", "sources.gone"]);
    assert_eq!(builds.load(Ordering::Relaxed), 2);
    lake.has(1000).await;
    third.has(1000).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(lake.delivered(), up_to(1000), "none lost, none twice");
    let settled = siem.delivered();
    assert_eq!(settled, up_to(settled.len() as u64));
    assert!(settled.len() < 1000, "it was stopped in the middle");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_built_leaves_everything_as_it_was() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(1000);
    let lake = Told::takes_fifty_at_a_time();
    let siem = Told::takes_all();
    let before = two_sinks(
        source("alerts", &numbers),
        sink("lake", "alerts", &lake),
        &siem,
    );
    let mut running = start(folder.path(), before).await;
    lake.has(100).await;
    let mut broken = other(sink("lake", "alerts", &lake));
    broken.build = Arc::new(|_| Err(BuildError::new("endpoint", "planted")));
    let after = two_sinks(source("alerts", &numbers), broken, &siem);
    let refused = running.reload(reload(after)).err().expect("refused");
    assert!(matches!(&refused, NotReloaded::Build(_)), "{refused}");
    assert!(refused.to_string().contains("planted"), "{refused}");
    lake.has(1000).await;
    assert_eq!(lake.closed.load(Ordering::Relaxed), 0);
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(lake.delivered(), up_to(1000));
}

#[tokio::test(start_paused = true)]
async fn a_foreign_stream_that_a_reload_brings_stops_nothing_but_its_own_source() {
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(10);
    let lake = Told::takes_all();
    let siem = Told::takes_all();
    let before = two_sinks(
        source("alerts", &numbers),
        sink("lake", "alerts", &lake),
        &siem,
    );
    let setup = setup(folder.path(), before);
    let board = setup.board.clone();
    let mut running = Runtime::start(setup).await.expect("it starts");
    siem.has(10).await;
    let foreign = Counting {
        tenant: "fabrikam",
        ..numbers.clone()
    };
    let after = two_sinks(
        other(source("alerts", &foreign)),
        sink("lake", "alerts", &lake),
        &siem,
    );
    reloaded(&mut running, after).await;
    let detail = || board.snapshot().components["alerts"].detail.clone();
    until(|| detail().is_some_and(|text| text.contains("fabrikam"))).await;
    let ended = tokio::time::timeout(Duration::from_secs(600), running.ended());
    assert!(ended.await.is_err(), "the pipeline goes on");
    let back = two_sinks(
        source("alerts", &numbers),
        sink("lake", "alerts", &lake),
        &siem,
    );
    reloaded(&mut running, back).await;
    until(|| detail().is_none()).await;
    assert_eq!(running.stop().await, Stopped::Drained);
}
