//! Another sink beside the one with `exactly_once`, on the same sources.

use std::time::Duration;

use tapline_e2e::pipeline::{self, Pipeline};
use tapline_e2e::receiver::Receiver;
use tapline_e2e::wait_for;
use tokio::time::sleep;

use super::scene::Scene;

const IN_FLIGHT: &str = "tapline_component_in_flight_events";

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_committed_before_every_other_sink_has_it() -> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let scene = Scene::new("200", "1200").await?;
    let mut receiver = Receiver::start().await?;
    receiver.shut().await;
    let pipeline = Pipeline::new(&format!(
        "{}transforms:\n  ocsf: {{ type: normalize, inputs: [alerts, incidents, legacy], config: {{ to: ocsf }} }}\n{}  siem:\n    type: syslog\n    inputs: [ocsf]\n    config: {{ endpoint: \"{}\", format: none, framing: octet_counting }}\n",
        pipeline::sources(&scene.simulation),
        scene.sink("ocsf"),
        receiver.endpoint(),
    ))?;
    let mut process = scene.start(&pipeline).await?;
    wait_for("events are under way", 60, async || {
        let open = pipeline
            .metric(IN_FLIGHT, "component_kind=\"source\"")
            .await;
        (open > 50.0).then_some(())
    })
    .await;
    sleep(Duration::from_secs(3)).await;
    assert_eq!(scene.arrivals.count(), 0, "the receiver has nothing");

    receiver.open().await?;
    let promised = scene.everything_arrives_once(1200).await?;
    assert!(receiver.received().len() >= promised);
    pipeline.stop(&mut process);
    Ok(())
}
