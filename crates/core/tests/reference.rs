//! The reference page of the metrics is made from their table, and is never behind it.

use std::fmt::Write;

use tapline_core::metrics::{MetricType, TABLE};

fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         Made from the table in `crates/core/src/metrics.rs`. Everything is on `/metrics` of the admin HTTP.\n\
         Metrics of a component also carry `component_id`, `component_kind`, and `component_type`.\n\n\
         | metric | type | of | labels | meaning |\n| --- | --- | --- | --- | --- |\n",
    );
    for metric in TABLE {
        let metric_type = match metric.metric_type {
            MetricType::Counter | MetricType::Seconds => "counter",
            MetricType::Gauge => "gauge",
            MetricType::Histogram => "histogram",
        };
        let of = if metric.per_component {
            "component"
        } else {
            "process"
        };
        let labels: Vec<String> = metric.labels.iter().map(|l| format!("`{l}`")).collect();
        let labels = labels.join(", ");
        writeln!(
            page,
            "| `{}` | {metric_type} | {of} | {labels} | {} |",
            metric.name, metric.help
        )
        .expect("writing to memory does not fail");
    }
    page
}

#[test]
fn the_reference_page_of_the_metrics_is_up_to_date() {
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../docs/reference/metrics.md"
    );
    if std::env::var_os("TAPLINE_WRITE_REFERENCE").is_some() {
        std::fs::write(file, page()).expect("the page can be written");
    }
    let written = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        written,
        page(),
        "run: TAPLINE_WRITE_REFERENCE=1 cargo test -p tapline-core"
    );
}
