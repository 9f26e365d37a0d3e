//! The contract of sources, and the metrics that every start has.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use tapline_core::metrics;
use tapline_testkit::{assert_metrics, check_source, eventually};

use crate::rig::Rig;

#[tokio::test(flavor = "multi_thread")]
async fn the_source_keeps_the_contract_of_sources() {
    let rig = Rig::new();
    let expected = rig.fill(60, 0).await;
    // Each part of the contract begins with an empty store; for this source that takes a group
    // of its own too. The first and the third part run it twice.
    let groups = ["a", "a", "b", "c", "c", "d", "e"];
    let runs = AtomicUsize::new(0);
    let make = || {
        let run = runs.fetch_add(1, Ordering::Relaxed);
        rig.source(json!({"consumer_group": groups[run]}))
    };
    check_source(make, &expected).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_required_metric_is_there_while_it_reads() {
    let rig = Rig::new();
    rig.fill(3, 0).await;
    let running = rig.run(json!({}));
    rig.host.wait_for_events(6).await;
    eventually("the service has told where the partitions end", || {
        rig.metrics().contains(metrics::SOURCE_BACKLOG_EVENTS.name)
    })
    .await;
    assert_metrics(
        &rig.cx,
        &[
            metrics::ERRORS,
            metrics::SOURCE_LAG_SECONDS,
            metrics::SOURCE_BACKLOG_EVENTS,
            metrics::SOURCE_LAST_SUCCESS,
            metrics::SOURCE_PARTITIONS,
            metrics::SOURCE_RECONNECTS,
            metrics::SOURCE_TABLE_RECORDS,
            metrics::SOURCE_MISSED_RECORDS,
            metrics::SOURCE_WAIT_SECONDS,
        ],
    );
    running.stop().await;
}
