//! What a spool promises to the pipeline around it.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

use std::path::Path;

use serde_json::json;
use tapline_core::{ComponentKind, Event, Fault, Sink};
use tapline_spool::{Spool, SpoolSettings};
use tapline_testkit::{RecordingHost, Running, Settling, build_context, events, eventually, uids};

/// A spool in a folder, as one process has it.
struct Rig {
    spool: Spool,
    folder: std::path::PathBuf,
    sink: Box<dyn Sink>,
}

impl Rig {
    fn open(folder: &Path) -> Self {
        Self::with(folder, json!({"max_bytes": 16 << 20}))
    }

    fn with(folder: &Path, settings: serde_json::Value) -> Self {
        let settings: SpoolSettings = serde_json::from_value(settings).unwrap();
        let spool = Spool::new("siem".into(), settings);
        let cx = build_context(ComponentKind::Sink, "spool", "siem:spool", folder);
        let sink = spool.sink(&cx).unwrap();
        Self {
            spool,
            folder: folder.to_owned(),
            sink,
        }
    }

    async fn take(&self, events: &[Event]) {
        let delivery = self.sink.deliver(events).await;
        assert!(delivery.exceptions.is_empty(), "{delivery:?}");
    }

    fn feed(&self, host: &RecordingHost) -> Running {
        let cx = build_context(ComponentKind::Source, "spool", "siem:spooled", &self.folder);
        host.run(self.spool.source(&cx).unwrap())
    }

    fn files(&self) -> usize {
        let files = std::fs::read_dir(self.folder.join("spool/siem")).unwrap();
        files.count()
    }
}

fn bodies(events: &[Event]) -> Vec<Vec<u8>> {
    events.iter().map(|event| event.body().to_vec()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_taken_in_comes_out_in_order_after_any_number_of_crashes() {
    let folder = tempfile::tempdir().unwrap();
    let host = RecordingHost::new();
    for part in 0..5 {
        let rig = Rig::open(folder.path());
        rig.take(&events(part * 100, 60)).await;
        let running = rig.feed(&host);
        rig.take(&events(part * 100 + 60, 40)).await;
        running.kill().await;
    }
    let rig = Rig::open(folder.path());
    let running = rig.feed(&host);
    eventually("all came out", || host.settled().len() == 500).await;
    running.stop().await;
    let expected: Vec<Event> = (0..5).flat_map(|part| events(part * 100, 100)).collect();
    assert_eq!(bodies(&host.settled()), bodies(&expected));
    assert_eq!(uids(&host.settled()), uids(&expected));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_not_settled_comes_again_and_what_was_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let host = RecordingHost::new();
    let rig = Rig::open(folder.path());
    rig.take(&events(0, 10)).await;
    let running = rig.feed(&host);
    host.wait_for_events(10).await;
    host.set_settling(Settling::Held);
    rig.take(&events(10, 10)).await;
    host.wait_for_events(20).await;
    host.lose("spool").await;
    host.wait_for_events(30).await;
    running.kill().await;
    host.set_settling(Settling::AtOnce);
    let rig = Rig::open(folder.path());
    let running = rig.feed(&host);
    eventually("the rest is settled", || host.settled().len() == 20).await;
    running.stop().await;
    assert_eq!(host.events().len(), 40);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sink_that_takes_nothing_holds_little_in_memory() {
    let folder = tempfile::tempdir().unwrap();
    let host = RecordingHost::new();
    host.set_settling(Settling::Held);
    let rig = Rig::open(folder.path());
    let running = rig.feed(&host);
    let body = vec![b'x'; 100_000];
    let big = |n: usize| tapline_testkit::event("graph.alert", &n.to_string(), "1", &body);
    let all: Vec<Event> = (0..100).map(big).collect();
    for part in all.chunks(10) {
        rig.take(part).await;
    }
    host.wait_for_events(10).await;
    let held = host.events().len();
    assert!(held <= 14, "{held} events of 100 kB are with the sink");
    host.set_settling(Settling::AtOnce);
    host.settle_all();
    eventually("all are settled", || host.settled().len() == 100).await;
    running.stop().await;
    eventually("delivered files are gone", || rig.files() == 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_spool_says_so_and_takes_more_once_something_is_delivered() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::open(folder.path());
    let body = vec![b'x'; 1_000_000];
    let big = |n: usize| tapline_testkit::event("graph.alert", &n.to_string(), "1", &body);
    let mut taken = 0;
    let refused = loop {
        let delivery = rig.sink.deliver(&[big(taken)]).await;
        if !delivery.exceptions.is_empty() {
            break delivery;
        }
        taken += 1;
    };
    assert!((10..17).contains(&taken), "{taken}");
    let is_full =
        |fault: &Fault| matches!(fault, Fault::Retry { reason, .. } if *reason == "spool_full");
    assert!(is_full(&refused.exceptions[0].1), "{refused:?}");

    let host = RecordingHost::new();
    let running = rig.feed(&host);
    eventually("all came out", || host.settled().len() == taken).await;
    rig.take(&[big(taken)]).await;
    eventually("and the last", || host.settled().len() == taken + 1).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_never_fits_is_rejected_alone() {
    let folder = tempfile::tempdir().unwrap();
    let rig = Rig::open(folder.path());
    let body = vec![b'x'; 17 << 20];
    let huge = tapline_testkit::event("graph.alert", "huge", "1", &body);
    let [small] = &events(0, 1)[..] else {
        unreachable!("one was asked for")
    };
    let delivery = rig.sink.deliver(&[huge, small.clone()]).await;
    assert!(matches!(delivery.exceptions[0], (0, Fault::Reject { .. })));
    assert!(matches!(delivery.exceptions[1], (1, Fault::Retry { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_spool_that_was_emptied_by_hand_starts_over_and_loses_nothing_new() {
    let folder = tempfile::tempdir().unwrap();
    let host = RecordingHost::new();
    let rig = Rig::open(folder.path());
    rig.take(&events(0, 100)).await;
    let running = rig.feed(&host);
    eventually("all came out", || host.settled().len() == 100).await;
    running.stop().await;
    std::fs::remove_dir_all(folder.path().join("spool")).unwrap();

    let rig = Rig::open(folder.path());
    host.set_settling(Settling::Held);
    let running = rig.feed(&host);
    rig.take(&events(100, 300)).await;
    host.wait_for_events(400).await;
    host.lose("spool").await;
    host.set_settling(Settling::AtOnce);
    eventually("all came out", || {
        host.settle_all();
        host.settled().len() == 400
    })
    .await;
    running.stop().await;
    assert_eq!(uids(&host.settled()).len(), 400);
}
