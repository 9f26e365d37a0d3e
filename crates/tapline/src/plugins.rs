//! The list of plugins this program is built with.

use tapline_runtime::Registry;

/// Every component type that a pipeline file can name, besides the runtime's own `filter`.
pub(crate) fn registry() -> Registry {
    let mut registry = Registry::default();
    registry
        .source::<tapline_source_defender::DefenderConfig>()
        .source::<tapline_source_eventhub::EventHubConfig>()
        .transform::<tapline_transform_normalize::NormalizeConfig>()
        .sink::<tapline_sink_kafka::KafkaConfig>()
        .sink::<tapline_sink_syslog::SyslogConfig>();
    registry
}
