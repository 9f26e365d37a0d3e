//! The normalizer as a component of a pipeline.

use tapline_core::metrics::IntCounter;
use tapline_core::metrics::{ComponentMetrics, NORMALIZED_FIELDS, NORMALIZED_LOSSES};
use tapline_core::{Event, Kind, Output, Transform};

use crate::normalizer::{FieldCounts, Normalizer};

/// Normalizes events on their way.
pub(crate) struct Normalize {
    normalizer: Normalizer,
    metrics: ComponentMetrics,
    /// Handles by kind, so that no label is looked up per event.
    counters: Vec<(Kind, [IntCounter; 3])>,
    /// Values cut, unfit, and dropped.
    losses: [IntCounter; 3],
}

impl Normalize {
    pub(crate) fn new(normalizer: Normalizer, metrics: ComponentMetrics) -> Self {
        let losses = ["cut", "unfit", "dropped"];
        Self {
            normalizer,
            losses: losses.map(|reason| metrics.counter(&NORMALIZED_LOSSES, &[reason])),
            metrics,
            counters: Vec::new(),
        }
    }

    fn count_losses(&self) {
        let losses = self.normalizer.losses();
        let counts = [losses.cut, losses.unfit, losses.dropped];
        for (counter, count) in self.losses.iter().zip(counts) {
            counter.inc_by(u64::from(count));
        }
    }

    fn count(&mut self, kind: &Kind, counts: FieldCounts) {
        let known = self.counters.iter().position(|(known, _)| known == kind);
        let at = known.unwrap_or_else(|| {
            let counter = |placed| {
                self.metrics
                    .counter(&NORMALIZED_FIELDS, &[kind.as_str(), placed])
            };
            let all = [counter("mapped"), counter("unmapped"), counter("unknown")];
            self.counters.push((kind.clone(), all));
            self.counters.len() - 1
        });
        let [mapped, unmapped, unknown] = &self.counters[at].1;
        mapped.inc_by(counts.mapped);
        unmapped.inc_by(counts.unmapped);
        unknown.inc_by(counts.unknown);
    }
}

impl Transform for Normalize {
    fn apply(&mut self, mut event: Event, out: &mut Output) {
        match self.normalizer.event(event.meta(), event.body()) {
            Ok((body, counts)) => {
                if let Some(counts) = counts {
                    self.count(&event.meta().kind, counts);
                }
                self.count_losses();
                event.rewrite(body, self.normalizer.schema());
                out.emit(event);
            }
            Err(error) => {
                let why = error.to_string();
                out.reject(event, error.reason(), why);
            }
        }
    }
}
