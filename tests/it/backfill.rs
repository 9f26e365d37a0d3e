//! `tapline run --backfill`: a span of the past is read beside the live cursor.

use std::time::Duration;

use tapline_e2e::enabled;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::receiver::Receiver;
use tapline_e2e::wait_for;
use tapline_simulators::Simulation;

use crate::bad_input::scene::{alert, time, times, to_receiver};
use crate::state::cursors;

const DAY: i64 = 86_400;

#[tokio::test(flavor = "multi_thread")]
async fn a_span_of_the_past_is_delivered_once_and_the_live_cursor_stays_where_it_was()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    let graph = microsoft.graph();
    graph.put_alert(alert("too-old", -4 * DAY));
    for number in 0..250 {
        graph.put_alert(alert(&format!("past-{number}"), -2 * DAY + number));
    }
    graph.put_alert(alert("live", -60));
    let receiver = Receiver::start().await?;
    let pipeline = Pipeline::new(&to_receiver(&microsoft, &receiver))?;
    let secret = microsoft.announcement().client_secret;
    let environment = [("TAPLINE_TEST_SECRET", secret.as_str())];
    let mut process = pipeline.start(&environment).await?;
    wait_for("the live alert arrives", 60, async || {
        (times(&receiver, "live") == 1).then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    let live = cursors(&pipeline);
    assert_eq!(live.len(), 1);

    let span = format!("{}..{}", time(-3 * DAY), time(-DAY - 3600));
    for _ in 0..2 {
        let mut backfill = pipeline.run(&["--backfill", &span], &environment)?;
        let ended = backfill.wait(Duration::from_secs(120));
        let log = pipeline.log();
        assert_eq!(ended.and_then(|it| it.code()), Some(0), "{log}");
        assert!(log.contains("progress"), "{log}");
        for number in 0..250 {
            assert_eq!(times(&receiver, &format!("past-{number}")), 1, "{log}");
        }
    }
    assert_eq!(times(&receiver, "too-old"), 0);
    assert_eq!(times(&receiver, "live"), 1);
    let now = cursors(&pipeline);
    assert_eq!(now.len(), 2);
    assert_eq!(now[0], live[0], "the live cursor");

    let mut nobody = pipeline.run(&["--backfill", &span, "--source", "nobody"], &environment)?;
    let ended = nobody.wait(Duration::from_secs(30));
    assert_eq!(ended.and_then(|it| it.code()), Some(1));
    assert!(pipeline.log().contains("no source is named nobody"));
    microsoft.stop().await;
    Ok(())
}
