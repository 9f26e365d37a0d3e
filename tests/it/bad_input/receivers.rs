//! Syslog receivers that close, or that cannot be trusted.

use std::time::Duration;

use tapline_e2e::enabled;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::certificates::Certificates;
use tapline_e2e::services::rsyslog::Rsyslog;
use tapline_simulators::Simulation;

use super::scene::{Scene, alert, degraded, ends_well, logged, source};

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_closes_without_a_word_gets_everything_later() -> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let mut scene = Scene::start().await?;
    let graph = scene.microsoft.graph();
    graph.put_alert(alert("a1", -60));
    scene.arrived_once(&["a1"]).await;

    scene.receiver.shut().await;
    graph.put_alert(alert("a2", -50));
    scene.degraded("siem", &["takes nothing", "connect"]).await;
    let endpoint = scene.receiver.endpoint();
    scene
        .logged(&["cannot be reached", &endpoint, "refused"])
        .await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let lines = scene.pipeline.log().lines().count();
    assert!(lines < 20, "{lines} lines:\n{}", scene.pipeline.log());

    scene.receiver.open().await?;
    scene.arrived_once(&["a2"]).await;

    // This time it is back before anybody notices.
    scene.receiver.shut().await;
    scene.receiver.open().await?;
    graph.put_alert(alert("a3", -40));
    scene.arrived_once(&["a3"]).await;
    scene.works("siem").await;
    scene.ends_well().await
}

fn to_rsyslog(microsoft: &Simulation, endpoint: &str, tls: &str) -> String {
    format!(
        r#"{}sinks:
  siem: {{ type: syslog, inputs: [cef], config: {{ endpoint: "{endpoint}", tls: {{ {tls} }} }} }}
transforms:
  cef: {{ type: normalize, inputs: [alerts], config: {{ to: cef }} }}
"#,
        source(microsoft)
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_receiver_that_is_not_trusted_is_told_and_gets_everything_after_the_fix()
-> anyhow::Result<()> {
    if !enabled() {
        return Ok(());
    }
    let microsoft = Simulation::scripted().await?;
    let secret = microsoft.announcement().client_secret;
    let environment = [("TAPLINE_TEST_SECRET", secret.as_str())];
    microsoft.graph().put_alert(alert("a1", -60));
    let (ours, theirs) = (Certificates::new()?, Certificates::new()?);
    let rsyslog = Rsyslog::start(&ours).await?;
    let client = ours.client("tapline")?;
    let pair = format!(
        "cert: {}, key: {}",
        client.cert.display(),
        client.key.display()
    );
    let right = format!("ca: {}, {pair}", ours.ca().display());
    let wrong = [
        (format!("ca: {}, {pair}", theirs.ca().display()), "tls.ca"),
        (
            format!("{right}, server_name: siem.example"),
            "tls.server_name",
        ),
        (format!("ca: {}", ours.ca().display()), "tls.cert"),
    ];
    let endpoint = rsyslog.tls();
    let pipeline = Pipeline::new("")?;
    for (tls, advice) in wrong {
        pipeline.rewrite(&to_rsyslog(&microsoft, &endpoint, &tls))?;
        let mut process = pipeline.start(&environment).await?;
        degraded(&pipeline, "siem", &[advice, &endpoint]).await;
        logged(&pipeline, &[advice, &endpoint]).await;
        assert!(process.is_running());
        let status = process.terminate(Duration::from_secs(30));
        assert_eq!(
            status.and_then(|status| status.code()),
            Some(1),
            "{}",
            pipeline.log()
        );
    }
    pipeline.rewrite(&to_rsyslog(&microsoft, &endpoint, &right))?;
    let mut process = pipeline.start(&environment).await?;
    let received = rsyslog.received(1).await;
    assert_eq!(received.len(), 1);
    ends_well(&pipeline, &mut process, &[&secret]).await
}
