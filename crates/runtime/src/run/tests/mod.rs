//! Promises about one partition in the real shell, around a store that can be told to fail.

mod rig;

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join;
use tapline_core::{Batch, OpenError, Rejected, Verdict};
use tokio::time::sleep;

use crate::status::State;
use rig::{Rig, cursor, event, until};

/// Long enough in virtual time for whatever would happen by itself.
const LONG: Duration = Duration::from_secs(600);

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_lets_nothing_pass_until_it_works_again() {
    let mut rig = Rig::new(1 << 20);
    let partition = rig.open().await.expect("opens");
    rig.store.fail(true);
    let batch = Batch::new(cursor(1), vec![event(1), event(2)]);
    partition.send(batch).await.expect("taken");
    rig.settle_next(Verdict::Delivered).await;
    sleep(LONG).await;
    assert_eq!(rig.store.cursor(), None);
    let (state, detail) = rig.shown();
    assert_eq!(state, State::Degraded);
    assert!(detail.contains("checkpoint not kept"), "{detail}");
    assert!(detail.contains("disk full"), "{detail}");
    assert!(rig.commits("failed") > 100, "tried again and again");

    rig.store.fail(false);
    until(|| rig.store.cursor() == Some(cursor(1))).await;
    until(|| rig.shown().0 == State::Running).await;
    assert_eq!(rig.commits("ok"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_commit_ends_only_when_it_and_all_before_it_are_durable() {
    let mut rig = Rig::new(1 << 20);
    let partition = rig.open().await.expect("opens");
    let batch = Batch::new(cursor(1), vec![event(1)]);
    partition.send(batch).await.expect("taken");
    let mut commit = Box::pin(partition.commit(cursor(2)));
    assert!(tokio::time::timeout(LONG, &mut commit).await.is_err());
    assert_eq!(rig.store.cursor(), None);

    rig.store.fail(true);
    rig.settle_next(Verdict::Delivered).await;
    assert!(tokio::time::timeout(LONG, &mut commit).await.is_err());
    rig.store.fail(false);
    commit.await.expect("durable");
    assert_eq!(rig.store.cursor(), Some(cursor(2)));
}

#[tokio::test(start_paused = true)]
async fn a_partition_is_opened_again_only_after_its_reader_is_gone_and_all_it_left_is_settled() {
    let mut rig = Rig::new(1 << 20);
    let first = rig.open().await.expect("opens");
    let twice = rig.open().await.err().expect("refused");
    assert!(matches!(&twice, OpenError::Store(why) if why.contains("open already")));

    let batch = Batch::new(cursor(1), vec![event(1)]);
    first.send(batch).await.expect("taken");
    drop(first);
    let left = rig.next_events().await;
    let host = rig.host();
    let settle = async {
        sleep(LONG).await;
        for event in left {
            event.settle(Verdict::Delivered);
        }
    };
    let (again, ()) = join(rig::open(&host), settle).await;
    let again = again.expect("opens");
    assert_eq!(
        again.checkpoint().cursor,
        cursor(1),
        "nothing is read twice"
    );
}

#[tokio::test(start_paused = true)]
async fn what_a_source_rejects_is_kept_before_its_checkpoint_moves() {
    const ONE_LETTER: u64 = 600;
    let rig = Rig::new(ONE_LETTER);
    let partition = rig.open().await.expect("opens");
    for number in [1, 2] {
        let mut batch = Batch::new(cursor(number), Vec::new());
        batch.rejected.push(Rejected {
            event: event(number),
            reason: "bad_record",
            why: "no id".to_owned(),
        });
        partition.send(batch).await.expect("taken");
    }
    until(|| rig.store.cursor() == Some(cursor(1))).await;
    sleep(LONG).await;
    assert_eq!(
        rig.store.cursor(),
        Some(cursor(1)),
        "no room for the second"
    );
    assert!(rig.shown().1.contains("dead letters"));
    assert_eq!(rig.take_letters(), 1);
    until(|| rig.store.cursor() == Some(cursor(2))).await;
    assert_eq!(rig.take_letters(), 1);
    until(|| rig.shown().0 == State::Running).await;
}

#[tokio::test(start_paused = true)]
async fn a_lost_batch_takes_with_it_who_waits_behind() {
    let mut rig = Rig::new(1 << 20);
    let partition = rig.open().await.expect("opens");
    let batch = Batch::new(cursor(1), vec![event(1)]);
    partition.send(batch).await.expect("taken");
    let commit = partition.commit(cursor(2));
    let (committed, ()) = join(commit, rig.settle_next(Verdict::Lost)).await;
    assert!(committed.is_err(), "it is read again");
    assert_eq!(rig.store.cursor(), None);
    assert!(rig.next_events().now_or_never().is_none());
}
