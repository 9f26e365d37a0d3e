//! Messages in every form, of every size, and broken ones.

use std::collections::BTreeSet;

use tapline_e2e::arrivals::Arrivals;
use tapline_e2e::pipeline::Pipeline;
use tapline_e2e::services::kafka::Kafka;
use tapline_e2e::wait_for;

use super::hub::{HUB, arrived, producer, put, record, source, wait_for_records};

/// Records of a message that is as large as the service takes.
const MANY: usize = 2000;

/// A message of nearly 1 MB.
fn large() -> String {
    let filler = "x".repeat(350);
    let row = |row: usize| {
        let row = record(&format!("large-{row}"));
        row.replace(
            r#"{"AlertId""#,
            &format!(r#"{{"Title":"{filler}","AlertId""#),
        )
    };
    let rows: Vec<_> = (0..MANY).map(row).collect();
    format!(r#"{{"records":[{}]}}"#, rows.join(","))
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_and_size_is_read_and_what_is_broken_goes_to_the_dead_letters_with_its_place()
-> anyhow::Result<()> {
    if !tapline_e2e::enabled() {
        return Ok(());
    }
    let kafka = Kafka::start().await?;
    kafka.create_topic(HUB, &[]).await?;
    let [a, b, c, d, e, f, g, h, i, j, k] = std::array::from_fn(|at| record(&format!("r{at}")));
    let large = large();
    assert!(
        (950_000..1_000_000).contains(&large.len()),
        "{}",
        large.len()
    );
    let messages = [
        format!(r#"{{"records":[{a},{b}]}}"#),
        format!("[{c},{d}]"),
        e,
        format!("{f}\n{g}\n"),
        String::new(),
        format!(r#"{{"records":[{h},{{"time":"2026-03-04T05:"#),
        format!(r#"{{"records":[{i},{{"category" 5}},{j}]}}"#),
        large,
        k,
    ];
    let producer = producer(&kafka)?;
    for message in &messages {
        put(&producer, message).await?;
    }
    let arrivals = Arrivals::of(&kafka, "out.")?;
    let pipeline = Pipeline::new(&source(&kafka, "tapline", ""))?;
    let mut process = pipeline.spawn(&[])?;
    wait_for_records(&arrivals, 11 + MANY).await;
    wait_for("two dead letters", 60, async || {
        (pipeline.dead_letters().len() == 2).then_some(())
    })
    .await;
    pipeline.stop(&mut process);
    arrivals.quiet().await;

    let small = (0..11).map(|at| format!("r{at}"));
    let expected: BTreeSet<_> = small
        .chain((0..MANY).map(|row| format!("large-{row}")))
        .collect();
    let arrived = arrived(&arrivals);
    assert_eq!(arrived.keys().cloned().collect::<BTreeSet<_>>(), expected);
    assert!(
        arrived.values().all(|times| *times == 1),
        "nothing is repeated"
    );
    let letters = pipeline
        .dead_letters()
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>();
    for (letter, offset) in letters.iter().zip([5, 6]) {
        let place = format!("hub {HUB}, partition 0, offset {offset}");
        assert!(letter.contains(&place), "{letter}");
    }
    Ok(())
}
