//! Sources that end although nobody told them to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tapline_core::{ComponentKind, Health, Source, SourceContext, SourceError};
use tapline_runtime::status::State;
use tapline_runtime::topology::{Node, Print, Topology};
use tapline_runtime::{Runtime, Stopped};
use tokio::time::Instant;

use crate::fakes::{Counting, Told, name, setup, sink, until, up_to};

/// How a source ends that nobody told to.
#[derive(Clone, Copy)]
enum End {
    Error,
    Panic,
    Quietly,
}

/// Reads like [`Counting`], but ends after 95 ms as long as it has lives.
struct Mortal {
    numbers: Counting,
    end: End,
    lives: Arc<AtomicU32>,
}

#[async_trait]
impl Source for Mortal {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let dies = self.lives.load(Ordering::Relaxed) > 0;
        cx.report("only", Health::Degraded("feels unwell".to_owned()));
        tokio::select! {
            ended = self.numbers.run(cx) => return ended,
            () = tokio::time::sleep(Duration::from_millis(95)), if dies => {}
        }
        self.lives.fetch_sub(1, Ordering::Relaxed);
        match self.end {
            End::Error => Err(SourceError("planted".to_owned())),
            End::Panic => panic!("planted"),
            End::Quietly => Ok(()),
        }
    }
}

async fn check(end: End, reason: &str) {
    const DEATHS: u32 = 5;
    let folder = tempfile::tempdir().expect("a folder");
    let numbers = Counting::to(2000);
    let lives = Arc::new(AtomicU32::new(DEATHS));
    let left = Arc::clone(&lives);
    let template = numbers.clone();
    let source = Node::<dyn Source> {
        name: name(ComponentKind::Source, "alerts"),
        print: Print::default(),
        inputs: Vec::new(),
        build: Arc::new(move |_| {
            Ok(Box::new(Mortal {
                numbers: template.clone(),
                end,
                lives: Arc::clone(&lives),
            }))
        }),
    };
    let lake = Told::takes_fifty_at_a_time();
    let topology = Topology {
        sources: vec![source],
        transforms: Vec::new(),
        sinks: vec![sink("lake", "alerts", &lake)],
        ..Topology::default()
    };
    let setup = setup(folder.path(), topology);
    let (board, metrics) = (setup.board.clone(), setup.metrics.clone());
    let begin = Instant::now();
    let running = Runtime::start(setup).await.expect("starts");
    let detail = || board.snapshot().components["alerts"].detail.clone();
    until(|| detail().is_some_and(|text| text.contains("being built anew"))).await;
    until(|| left.load(Ordering::Relaxed) == 0).await;
    assert!(
        begin.elapsed() > Duration::from_secs(3),
        "it is not hurried"
    );
    lake.has(2000).await;
    assert_eq!(running.stop().await, Stopped::Drained);
    assert_eq!(lake.delivered(), up_to(2000), "none lost, none twice");
    let text = String::from_utf8(metrics.render()).expect("text");
    let counted = format!(r#"reason="{reason}",stage="receiving"}} {DEATHS}"#);
    assert!(text.contains(&counted), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_with_an_error_is_built_anew_and_loses_nothing() {
    check(End::Error, "ended").await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_panics_is_built_anew_and_loses_nothing() {
    check(End::Panic, "panicked").await;
}

#[tokio::test(start_paused = true)]
async fn a_source_that_ends_quietly_is_built_anew_and_loses_nothing() {
    check(End::Quietly, "ended").await;
}

/// Reads nothing, and says what it is told to.
#[derive(Clone)]
struct Says(Arc<tokio::sync::Mutex<tokio::sync::mpsc::Receiver<(&'static str, Health)>>>);

#[async_trait]
impl Source for Says {
    async fn run(&mut self, cx: SourceContext) -> Result<(), SourceError> {
        let mut said = self.0.lock().await;
        loop {
            tokio::select! {
                Some((partition, health)) = said.recv() => cx.report(partition, health),
                () = cx.stopped() => return Ok(()),
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_source_is_shown_as_degraded_while_any_of_its_partitions_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (say, said) = tokio::sync::mpsc::channel(1);
    let says = Says(Arc::new(tokio::sync::Mutex::new(said)));
    let source = Node::<dyn Source> {
        name: name(ComponentKind::Source, "alerts"),
        print: Print::default(),
        inputs: Vec::new(),
        build: Arc::new(move |_| Ok(Box::new(says.clone()))),
    };
    let topology = Topology {
        sources: vec![source],
        transforms: Vec::new(),
        sinks: vec![sink("lake", "alerts", &Told::takes_all())],
        ..Topology::default()
    };
    let setup = setup(folder.path(), topology);
    let board = setup.board.clone();
    let running = Runtime::start(setup).await.expect("starts");
    let shown = |state: State, detail: Option<&str>| {
        let source = &board.snapshot().components["alerts"];
        (source.state, source.detail.as_deref()) == (state, detail)
    };
    let refused = || Health::Degraded("token refused".to_owned());
    for (partition, health, state, detail) in [
        (
            "contoso",
            refused(),
            State::Degraded,
            Some("contoso: token refused"),
        ),
        (
            "fabrikam",
            refused(),
            State::Degraded,
            Some("contoso: token refused (and 1 more)"),
        ),
        (
            "contoso",
            Health::Good,
            State::Degraded,
            Some("fabrikam: token refused"),
        ),
        ("fabrikam", Health::Good, State::Running, None),
    ] {
        say.send((partition, health)).await.expect("it listens");
        until(|| shown(state, detail)).await;
    }
    running.stop().await;
}
