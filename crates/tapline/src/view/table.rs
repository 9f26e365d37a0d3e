//! One line per component: what it is doing, how many events, how fast, how far behind.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use tapline_core::metrics::{
    ComponentMetrics, Metrics, RECEIVED_EVENTS, SENT_EVENTS, SOURCE_LAG_SECONDS,
};
use tapline_core::{ComponentKind, ComponentName};
use tapline_runtime::status::{ComponentStatus, Progress, StatusBoard};

/// Turns the board and the metrics of a process into lines.
pub(crate) struct ComponentTable {
    board: StatusBoard,
    metrics: Metrics,
    before: HashMap<Arc<str>, (u64, Instant)>,
}

impl ComponentTable {
    pub(crate) fn new(board: StatusBoard, metrics: Metrics) -> Self {
        Self {
            board,
            metrics,
            before: HashMap::new(),
        }
    }

    /// A title, then sources, transforms, and sinks in the order of their ids.
    pub(crate) fn lines(&mut self) -> Vec<String> {
        let status = self.board.snapshot();
        let mut lines = vec![format!("{} · {}", status.pipeline, status.state.as_str())];
        for kind in [
            ComponentKind::Source,
            ComponentKind::Transform,
            ComponentKind::Sink,
        ] {
            for (id, component) in &status.components {
                if component.kind == kind.as_str() {
                    lines.push(self.line(kind, id, component));
                }
            }
        }
        lines
    }

    fn line(&mut self, kind: ComponentKind, id: &Arc<str>, component: &ComponentStatus) -> String {
        let metrics = self.metrics.component(&ComponentName {
            kind,
            type_name: component.type_name,
            id: Arc::clone(id),
        });
        let events = match kind {
            ComponentKind::Source => &RECEIVED_EVENTS,
            ComponentKind::Transform | ComponentKind::Sink => &SENT_EVENTS,
        };
        let count = metrics.counter(events, &[]).get();
        let rate = self.rate(id, count);
        let mut line = format!(
            "  {:<9} {:<20} {:<9} {count:>10} events {rate:>9.1}/s",
            kind.as_str(),
            id,
            component.state.as_str(),
        );
        if let Some(lag) = largest_lag(&metrics, component) {
            line.push_str(&format!("   lag {lag:.0} s"));
        }
        if let Some(progress) = slowest(component) {
            line.push_str(&format!("   {:.1} % read", progress.done * 100.0));
            if let Some(end) = progress.expected_end.filter(|_| progress.done < 1.0) {
                line.push_str(&format!(", all about {end:.0}"));
            }
        }
        if let Some(detail) = &component.detail {
            line.push_str(&format!("   {detail}"));
        }
        line
    }

    /// Events per second since the last call.
    fn rate(&mut self, id: &Arc<str>, count: u64) -> f64 {
        let now = Instant::now();
        let before = self.before.insert(Arc::clone(id), (count, now));
        let Some((earlier, then)) = before else {
            return 0.0;
        };
        let seconds = now.duration_since(then).as_secs_f64().max(0.001);
        count.saturating_sub(earlier) as f64 / seconds
    }
}

/// The progress of the partition that is over last.
fn slowest(component: &ComponentStatus) -> Option<Progress> {
    let progress = component.partitions.values().filter_map(|it| it.progress);
    progress.min_by(|some, other| some.done.total_cmp(&other.done))
}

/// The lag of the partition that is furthest behind; only sources have partitions.
fn largest_lag(metrics: &ComponentMetrics, component: &ComponentStatus) -> Option<f64> {
    let partitions = component.partitions.keys();
    let lags = partitions.map(|partition| metrics.gauge(&SOURCE_LAG_SECONDS, &[partition]).get());
    lags.reduce(f64::max)
}
