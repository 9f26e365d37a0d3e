//! That a component shows the metrics that its kind must.

use tapline_core::BuildContext;
use tapline_core::metrics::Metric;

/// Fails unless the component of this context has counted each of the metrics.
///
/// A metric that was resolved but is still zero counts as present.
///
/// # Panics
/// With the names of those that are missing.
pub fn assert_metrics(cx: &BuildContext, required: &[Metric]) {
    let text = String::from_utf8(cx.metrics.process().render()).expect("metrics are text");
    let own = format!("component_id=\"{}\"", cx.component.id);
    let present = |metric: &Metric| {
        text.lines().any(|line| {
            line.starts_with(metric.name) && (!metric.per_component || line.contains(&own))
        })
    };
    let missing: Vec<_> = required.iter().filter(|metric| !present(metric)).collect();
    let names: Vec<_> = missing.iter().map(|metric| metric.name).collect();
    assert!(names.is_empty(), "metrics missing: {names:?}\n{text}");
}
