//! The one table of metrics, and handles to count with.
//!
//! A component resolves its handles once, when it is built, and keeps them. Label values come
//! from closed sets known at start; free text never becomes a label.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use prometheus::core::{Collector, MetricVec, MetricVecBuilder};
use prometheus::{
    CounterVec, Encoder, GaugeVec, HistogramOpts, HistogramVec, IntCounterVec, Opts, Registry,
    TextEncoder,
};

use crate::ComponentName;

pub use prometheus::{Counter, Gauge, Histogram, IntCounter};

/// What a metric is, for Prometheus.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum MetricType {
    /// Only grows, by whole numbers.
    Counter,
    /// Only grows, by fractions of a second.
    Seconds,
    /// Goes up and down.
    Gauge,
    /// Durations in seconds.
    Histogram,
}

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// Full name, with unit.
    pub name: &'static str,
    /// What it is.
    pub metric_type: MetricType,
    /// One sentence for `/metrics` and the reference page.
    pub help: &'static str,
    /// Labels of its own.
    pub labels: &'static [&'static str],
    /// Whether it also carries `component_id`, `component_kind`, `component_type`.
    pub per_component: bool,
}

const COMPONENT_LABELS: [&str; 3] = ["component_id", "component_kind", "component_type"];

macro_rules! metrics {
    ($($(#[$doc:meta])* $id:ident = $type:ident $scope:ident $name:literal [$($label:literal),*] $help:literal;)*) => {
        $(
            #[doc = $help]
            pub const $id: Metric = Metric {
                name: $name,
                metric_type: MetricType::$type,
                help: $help,
                labels: &[$($label),*],
                per_component: metrics!(@$scope),
            };
        )*
        /// Every metric of Tapline.
        pub const TABLE: &[Metric] = &[$($id),*];
    };
    (@component) => { true };
    (@process) => { false };
}

metrics! {
    RECEIVED_EVENTS = Counter component "tapline_component_received_events_total" []
        "Events taken in.";
    SENT_EVENTS = Counter component "tapline_component_sent_events_total" []
        "Events accepted by the next component, or confirmed by the destination.";
    DISCARDED_EVENTS = Counter component "tapline_component_discarded_events_total" ["reason"]
        "Events filtered or rejected.";
    ERRORS = Counter component "tapline_component_errors_total" ["stage", "reason"]
        "Errors; stage is receiving, processing, or sending.";
    IN_FLIGHT_EVENTS = Gauge component "tapline_component_in_flight_events" []
        "Events taken in and not yet settled.";
    SEND_WAIT_SECONDS = Seconds component "tapline_component_send_wait_seconds_total" []
        "Time held up by backpressure.";
    SOURCE_LAG_SECONDS = Gauge component "tapline_source_lag_seconds" ["stream"]
        "Age of the oldest record known and not settled; never less than now minus the upper edge of the last good read.";
    SOURCE_BACKLOG_EVENTS = Gauge component "tapline_source_backlog_events" ["partition"]
        "Newest sequence number of the partition minus its checkpoint.";
    SOURCE_LAST_SUCCESS = Gauge component "tapline_source_last_success_timestamp_seconds" ["stream"]
        "Unix time of the last good read.";
    SOURCE_POLLS = Counter component "tapline_source_polls_total" ["stream", "outcome"]
        "Polls of a remote API; outcome is ok or failed.";
    SOURCE_REQUESTS = Counter component "tapline_source_requests_total" ["stream", "status"]
        "Requests sent; status is the HTTP status class, or none where no answer came.";
    SOURCE_WAIT_SECONDS = Seconds component "tapline_source_wait_seconds_total" ["stream", "reason"]
        "Time waited: throttled by the server, held by our own rate limit, or backing off after a failure.";
    SOURCE_LATE_EVENTS = Counter component "tapline_source_late_events_total" ["stream"]
        "Records that became visible later than the overlap and were found by the hourly re-read.";
    SOURCE_REPEATED_EVENTS = Counter component "tapline_source_repeated_events_total" ["stream"]
        "Records that came again, by a poll's overlap or by the service, and were dropped as already seen.";
    SOURCE_PARTITIONS = Gauge component "tapline_source_partitions" []
        "Partitions that this process reads.";
    SOURCE_RECONNECTS = Counter component "tapline_source_reconnects_total" ["reason"]
        "Connections, links, or assignments made anew, by why the one before ended.";
    SOURCE_TABLE_RECORDS = Counter component "tapline_source_table_records_total" ["table"]
        "Records of advanced hunting read, by table; unknown for a table that is not documented.";
    SOURCE_MISSED_RECORDS = Counter component "tapline_source_missed_events_total" ["partition"]
        "Messages that the service had deleted before they were read.";
    TOKEN_REFRESHES = Counter process "tapline_token_refreshes_total" ["identity", "outcome"]
        "Token requests; outcome is ok, denied, or unreachable.";
    TOKEN_EXPIRY = Gauge process "tapline_token_expiry_timestamp_seconds" ["identity"]
        "Unix time at which the access token in use expires.";
    CHECKPOINT_COMMITS = Counter component "tapline_checkpoint_commits_total" ["outcome"]
        "Checkpoints made durable; outcome is ok or failed.";
    REWINDS = Counter component "tapline_source_rewinds_total" ["stream"]
        "Partitions read again because an event was lost.";
    SINK_DELIVERY_SECONDS = Histogram component "tapline_sink_delivery_seconds" []
        "One delivery attempt, until confirmed.";
    SINK_RETRIES = Counter component "tapline_sink_retries_total" ["reason"]
        "Events handed to the sink once more.";
    SINK_TRANSACTIONS = Counter component "tapline_sink_transactions_total" ["outcome"]
        "Transactions; outcome is committed, or why one was aborted.";
    SINK_OWNED_PARTITIONS = Gauge component "tapline_sink_owned_partitions" []
        "Partitions of the control topic that are ours; with exactly_once.";
    NORMALIZED_FIELDS = Counter component "tapline_normalize_fields_total" ["kind", "placed"]
        "Input fields by where they went: mapped, unmapped, or unknown to the mapping.";
    NORMALIZED_LOSSES = Counter component "tapline_normalize_losses_total" ["reason"]
        "Values cut to the length of their key, unfit for its type, or dropped because the line was too long.";
    DEAD_LETTERS = Counter component "tapline_dead_letters_total" ["reason"]
        "Events written to the dead letters.";
    DEAD_LETTER_BYTES = Gauge process "tapline_dead_letter_bytes" []
        "Size of the dead letters on disk.";
    SPOOL_BYTES = Gauge component "tapline_spool_bytes" []
        "Size of the spool on disk.";
    SPOOL_EVENTS = Gauge component "tapline_spool_events" []
        "Events in the spool that are not yet delivered.";
    BUDGET_BYTES = Gauge process "tapline_memory_budget_used_bytes" []
        "Bytes of unsettled events in memory.";
}

/// All metrics of one process.
#[derive(Clone)]
pub struct Metrics {
    registry: Registry,
    families: Arc<HashMap<&'static str, Family>>,
}

enum Family {
    Counter(IntCounterVec),
    Seconds(CounterVec),
    Gauge(GaugeVec),
    Histogram(HistogramVec),
}

/// A row of the table cannot be registered: two share a name, or a name is not legal.
#[derive(Debug, thiserror::Error)]
#[error("registering metric {name}")]
pub struct MetricsError {
    name: &'static str,
    #[source]
    source: prometheus::Error,
}

/// Seconds: from a loopback broker to a receiver that is nearly dead.
const DELIVERY_BUCKETS: [f64; 12] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0,
];

impl Metrics {
    /// Registers the whole table, and the figures of the process itself.
    ///
    /// # Errors
    /// [`MetricsError`] if the table is wrong.
    pub fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let mut families = HashMap::new();
        for metric in TABLE {
            let family = Family::register(metric, &registry).map_err(|source| MetricsError {
                name: metric.name,
                source,
            })?;
            families.insert(metric.name, family);
        }
        #[cfg(target_os = "linux")]
        registry
            .register(Box::new(
                prometheus::process_collector::ProcessCollector::for_self(),
            ))
            .map_err(|source| MetricsError {
                name: "process",
                source,
            })?;
        Ok(Self {
            registry,
            families: Arc::new(families),
        })
    }

    /// The text that Prometheus scrapes.
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("writing to memory does not fail, and the table's names are legal");
        text
    }

    /// Handles that carry the labels of one component.
    pub fn component(&self, name: &ComponentName) -> ComponentMetrics {
        ComponentMetrics {
            metrics: self.clone(),
            labels: Arc::new([
                name.id.to_string(),
                name.kind.as_str().to_owned(),
                name.type_name.to_owned(),
            ]),
        }
    }

    /// A counter of the process.
    pub fn counter(&self, metric: &Metric, labels: &[&str]) -> IntCounter {
        match self.family(metric) {
            Family::Counter(family) => family.with_label_values(labels),
            _ => panic!("{} is not a counter", metric.name),
        }
    }

    /// A counter of seconds of the process.
    pub fn seconds(&self, metric: &Metric, labels: &[&str]) -> Counter {
        match self.family(metric) {
            Family::Seconds(family) => family.with_label_values(labels),
            _ => panic!("{} does not count seconds", metric.name),
        }
    }

    /// A gauge of the process.
    pub fn gauge(&self, metric: &Metric, labels: &[&str]) -> Gauge {
        match self.family(metric) {
            Family::Gauge(family) => family.with_label_values(labels),
            _ => panic!("{} is not a gauge", metric.name),
        }
    }

    fn forget(&self, metric: &Metric, labels: &[&str]) {
        if let Family::Gauge(family) = self.family(metric) {
            // An error means that there is none.
            drop(family.remove_label_values(labels));
        }
    }

    /// Shows nothing of a component any longer that is no part of the pipeline.
    pub fn forget_component(&self, name: &ComponentName) {
        let own = [&*name.id, name.kind.as_str(), name.type_name];
        let per_component = TABLE.iter().filter(|metric| metric.per_component);
        for metric in per_component {
            match self.family(metric) {
                Family::Counter(family) => forget_series(family, own),
                Family::Seconds(family) => forget_series(family, own),
                Family::Gauge(family) => forget_series(family, own),
                Family::Histogram(family) => forget_series(family, own),
            }
        }
    }

    fn histogram(&self, metric: &Metric, labels: &[&str]) -> Histogram {
        match self.family(metric) {
            Family::Histogram(family) => family.with_label_values(labels),
            _ => panic!("{} is not a histogram", metric.name),
        }
    }

    fn family(&self, metric: &Metric) -> &Family {
        self.families
            .get(metric.name)
            .expect("every metric constant stands in the table")
    }
}

/// Removes the series whose labels begin with those of a component.
fn forget_series<T: MetricVecBuilder>(family: &MetricVec<T>, own: [&str; 3]) {
    let own = COMPONENT_LABELS.into_iter().zip(own);
    for collected in family.collect() {
        for series in collected.get_metric() {
            let labels = series.get_label().iter();
            let labels: HashMap<&str, &str> =
                labels.map(|label| (label.name(), label.value())).collect();
            if own
                .clone()
                .all(|(name, value)| labels.get(name) == Some(&value))
            {
                // An error means that it is gone already.
                drop(family.remove(&labels));
            }
        }
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Metrics")
    }
}

impl Family {
    fn register(metric: &Metric, registry: &Registry) -> Result<Self, prometheus::Error> {
        let mut labels = Vec::new();
        if metric.per_component {
            labels.extend(COMPONENT_LABELS);
        }
        labels.extend(metric.labels);
        let opts = Opts::new(metric.name, metric.help);
        let family = match metric.metric_type {
            MetricType::Counter => Family::Counter(IntCounterVec::new(opts, &labels)?),
            MetricType::Seconds => Family::Seconds(CounterVec::new(opts, &labels)?),
            MetricType::Gauge => Family::Gauge(GaugeVec::new(opts, &labels)?),
            MetricType::Histogram => Family::Histogram(HistogramVec::new(
                HistogramOpts::from(opts).buckets(DELIVERY_BUCKETS.to_vec()),
                &labels,
            )?),
        };
        registry.register(family.collector())?;
        Ok(family)
    }

    fn collector(&self) -> Box<dyn Collector> {
        match self {
            Family::Counter(family) => Box::new(family.clone()),
            Family::Seconds(family) => Box::new(family.clone()),
            Family::Gauge(family) => Box::new(family.clone()),
            Family::Histogram(family) => Box::new(family.clone()),
        }
    }
}

/// Handles that carry the labels of one component.
#[derive(Clone, Debug)]
pub struct ComponentMetrics {
    metrics: Metrics,
    labels: Arc<[String; 3]>,
}

impl ComponentMetrics {
    /// A counter of the component.
    pub fn counter(&self, metric: &Metric, labels: &[&str]) -> IntCounter {
        self.metrics.counter(metric, &self.with(labels))
    }

    /// A counter of seconds of the component.
    pub fn seconds(&self, metric: &Metric, labels: &[&str]) -> Counter {
        self.metrics.seconds(metric, &self.with(labels))
    }

    /// A gauge of the component.
    pub fn gauge(&self, metric: &Metric, labels: &[&str]) -> Gauge {
        self.metrics.gauge(metric, &self.with(labels))
    }

    /// Shows a gauge of the component no longer, such as that of a partition that another process
    /// reads now.
    pub fn forget(&self, metric: &Metric, labels: &[&str]) {
        self.metrics.forget(metric, &self.with(labels));
    }

    /// A histogram of the component.
    pub fn histogram(&self, metric: &Metric, labels: &[&str]) -> Histogram {
        self.metrics.histogram(metric, &self.with(labels))
    }

    /// The metrics of the whole process, for what is not per component.
    pub fn process(&self) -> &Metrics {
        &self.metrics
    }

    fn with<'a>(&'a self, labels: &[&'a str]) -> Vec<&'a str> {
        let own = self.labels.iter().map(String::as_str);
        own.chain(labels.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ComponentKind;

    #[test]
    fn the_table_registers_and_renders_with_component_labels() {
        let metrics = Metrics::new().expect("the table is right");
        let component = metrics.component(&ComponentName {
            kind: ComponentKind::Sink,
            type_name: "kafka",
            id: "lake".into(),
        });
        component.counter(&SINK_RETRIES, &["queue_full"]).inc();
        let text = String::from_utf8(metrics.render()).expect("text");
        let line = r#"tapline_sink_retries_total{component_id="lake",component_kind="sink",component_type="kafka",reason="queue_full"} 1"#;
        assert!(text.contains(line), "{text}");
    }

    #[test]
    fn a_gauge_that_was_forgotten_is_not_shown() {
        let metrics = Metrics::new().expect("the table is right");
        let component = metrics.component(&ComponentName {
            kind: ComponentKind::Source,
            type_name: "eventhub",
            id: "hunting".into(),
        });
        for partition in ["defender/0", "defender/1"] {
            component
                .gauge(&SOURCE_BACKLOG_EVENTS, &[partition])
                .set(3.0);
        }
        component.forget(&SOURCE_BACKLOG_EVENTS, &["defender/0"]);
        let text = String::from_utf8(metrics.render()).expect("text");
        assert!(
            !text.contains("defender/0") && text.contains("defender/1"),
            "{text}"
        );
    }

    #[test]
    fn nothing_is_shown_of_a_component_that_is_gone_and_all_of_the_others() {
        let metrics = Metrics::new().expect("the table is right");
        for id in ["lake", "lake2"] {
            let component = metrics.component(&ComponentName {
                kind: ComponentKind::Sink,
                type_name: "kafka",
                id: id.into(),
            });
            component.counter(&SINK_RETRIES, &["queue_full"]).inc();
            component.gauge(&IN_FLIGHT_EVENTS, &[]).set(1.0);
            component
                .histogram(&SINK_DELIVERY_SECONDS, &[])
                .observe(1.0);
        }
        metrics.forget_component(&ComponentName {
            kind: ComponentKind::Sink,
            type_name: "kafka",
            id: "lake".into(),
        });
        let text = String::from_utf8(metrics.render()).expect("text");
        assert!(!text.contains(r#"component_id="lake""#), "{text}");
        assert!(text.contains(r#"component_id="lake2""#), "{text}");
    }

    #[test]
    fn names_follow_the_rules_of_the_field() {
        for metric in TABLE {
            let expected = match metric.metric_type {
                MetricType::Counter => metric.name.ends_with("_total"),
                MetricType::Seconds => metric.name.ends_with("_seconds_total"),
                MetricType::Gauge | MetricType::Histogram => !metric.name.ends_with("_total"),
            };
            assert!(metric.name.starts_with("tapline_"), "{}", metric.name);
            assert!(expected, "{}", metric.name);
        }
    }
}
