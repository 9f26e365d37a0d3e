//! Logs for people and machines, and traces over OTLP where a file or the environment asks.

mod asked;
mod otlp;

use std::io::{self, IsTerminal};
use std::time::Duration;

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::trace::SdkTracerProvider;
use serde::Deserialize;
use tracing::{Level, Subscriber};
use tracing_subscriber::filter::{EnvFilter, Targets};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::{LookupSpan, Registry};
use tracing_subscriber::util::SubscriberInitExt;

use asked::Asked;
pub use otlp::OtlpError;

/// `telemetry:` of the pipeline file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TelemetrySettings {
    /// Base address of an OTLP receiver over HTTP, such as `http://localhost:4318`. The
    /// environment variables `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` and
    /// `OTEL_EXPORTER_OTLP_ENDPOINT` come first; without any of them no trace is exported.
    #[serde(default)]
    pub otlp: Option<String>,
}

impl TelemetrySettings {
    pub(crate) fn check(&self) -> Option<Result<(), String>> {
        let otlp = self.otlp.as_deref()?;
        let is_address = reqwest::Url::parse(otlp)
            .is_ok_and(|url| url.has_host() && matches!(url.scheme(), "http" | "https"));
        Some(if is_address {
            Ok(())
        } else {
            Err("expected an address such as http://localhost:4318".to_owned())
        })
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum LogFormat {
    /// For people if stderr is a terminal, else for machines.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One line of text.
    Pretty,
}

/// What [`init`] sets up.
#[derive(Clone, Debug, Default)]
pub struct TelemetryConfig {
    /// How log lines look.
    pub format: LogFormat,
    /// What is logged, in the words of `tracing_subscriber::EnvFilter`; without it the
    /// environment variable `TAPLINE_LOG`, then [`DEFAULT_FILTER`].
    pub filter: Option<String>,
    /// `telemetry:` of the pipeline file.
    pub settings: TelemetrySettings,
    /// The pipeline's name, `service.name` of its traces.
    pub service_name: String,
}

/// Our own state changes, and of libraries only what is wrong.
pub const DEFAULT_FILTER: &str = "warn,tapline=info";

/// They log whole frames at their lowest levels, tokens included; a filter never lets them.
const LIBRARIES_THAT_SHOW_TOKENS: [&str; 4] = ["fe2o3_amqp", "h2", "hyper", "hyper_util"];

/// Why telemetry cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The filter is not in the words of `EnvFilter`.
    #[error("TAPLINE_LOG is not a log filter such as info or tapline_runtime=debug")]
    Filter(#[source] tracing_subscriber::filter::ParseError),
    /// Traces cannot be exported.
    #[error("exporting traces")]
    Otlp(#[source] OtlpError),
    /// Telemetry was set up before.
    #[error("telemetry is already set up")]
    Twice(#[source] tracing_subscriber::util::TryInitError),
}

/// What has to be flushed before the process ends.
#[derive(Debug, Default)]
pub struct Telemetry {
    provider: Option<SdkTracerProvider>,
}

/// Sets up logs and traces of the process. Needs a tokio runtime where traces are exported.
///
/// # Errors
/// [`TelemetryError`] if a filter or an address is wrong, or if it is called twice.
pub fn init(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let filter = filter(config)?;
    let endpoint = otlp::endpoint(&config.settings, &|name| std::env::var(name).ok());
    let provider = endpoint
        .map(|endpoint| otlp::provider(&endpoint, &config.service_name))
        .transpose()
        .map_err(TelemetryError::Otlp)?;
    let traces = provider.as_ref().map(|provider| {
        // Only our own spans: those of the exporter's HTTP client would never end.
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer("tapline"))
            .with_filter(Asked(Targets::new().with_target("tapline", Level::DEBUG)))
    });
    Registry::default()
        .with(log_layer(config.format, io::stderr).with_filter(Asked(filter)))
        .with(traces)
        .try_init()
        .map_err(TelemetryError::Twice)?;
    Ok(Telemetry { provider })
}

impl Telemetry {
    /// Sends what was not yet sent, for at most `limit`. Afterwards nothing is traced.
    pub async fn shutdown(self, limit: Duration) {
        let Some(provider) = self.provider else {
            return;
        };
        // The provider waits for its own thread; that must not hold up the runtime.
        let flush = tokio::task::spawn_blocking(move || provider.shutdown_with_timeout(limit));
        match tokio::time::timeout(limit, flush).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "traces not flushed"),
            Ok(Err(error)) => tracing::warn!(%error, "traces not flushed"),
            Err(_) => tracing::warn!(limit_secs = limit.as_secs(), "traces not flushed in time"),
        }
    }
}

fn filter(config: &TelemetryConfig) -> Result<EnvFilter, TelemetryError> {
    let named = config.filter.clone();
    let words = named.or_else(|| std::env::var("TAPLINE_LOG").ok());
    let words = words.filter(|words| !words.trim().is_empty());
    let filter = EnvFilter::try_new(words.as_deref().unwrap_or(DEFAULT_FILTER));
    let mut filter = filter.map_err(TelemetryError::Filter)?;
    for library in LIBRARIES_THAT_SHOW_TOKENS {
        let quiet = format!("{library}=warn");
        filter = filter.add_directive(quiet.parse().map_err(TelemetryError::Filter)?);
    }
    Ok(filter)
}

/// Writes log lines to `writer`.
fn log_layer<S, W>(format: LogFormat, writer: W) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let is_terminal = io::stderr().is_terminal();
    let for_people = match format {
        LogFormat::Auto => is_terminal,
        LogFormat::Json => false,
        LogFormat::Pretty => true,
    };
    let layer = tracing_subscriber::fmt::layer().with_writer(writer);
    if for_people {
        // Source: no-color.org. Any value counts but an empty one.
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let layer = layer.with_target(false).with_ansi(is_terminal && !is_plain);
        layer.boxed()
    } else {
        layer
            .json()
            .flatten_event(true)
            .with_span_list(false)
            .boxed()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tapline_core::{Secret, SecretSource};
    use tracing_subscriber::fmt::MakeWriter;

    use super::*;

    #[derive(Clone, Default)]
    struct Captured(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Captured {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0
                .lock()
                .expect("not poisoned")
                .extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl MakeWriter<'_> for Captured {
        type Writer = Captured;

        fn make_writer(&self) -> Captured {
            self.clone()
        }
    }

    fn lines(format: LogFormat, log: impl FnOnce()) -> String {
        let captured = Captured::default();
        let config = TelemetryConfig {
            filter: Some(DEFAULT_FILTER.to_owned()),
            ..TelemetryConfig::default()
        };
        let filter = filter(&config).expect("the filter is ours");
        let layer = log_layer(format, captured.clone()).with_filter(Asked(filter));
        let subscriber = Registry::default().with(layer);
        tracing::subscriber::with_default(subscriber, log);
        let bytes = captured.0.lock().expect("not poisoned").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn a_line_for_machines_is_one_json_object() {
        let text = lines(LogFormat::Json, || {
            tracing::warn!(
                reason = "throttled",
                wait_secs = 3,
                "page not read\nsecond line"
            );
        });
        assert_eq!(text.lines().count(), 1, "{text}");
        let line: serde_json::Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(line["level"], "WARN");
        assert_eq!(line["message"], "page not read\nsecond line");
        assert_eq!(line["reason"], "throttled");
        assert_eq!(line["wait_secs"], 3);
    }

    #[test]
    fn no_format_shows_a_secret() {
        for format in [LogFormat::Json, LogFormat::Pretty] {
            let text = lines(format, || {
                let secret = Secret::new("hunter2");
                let source = SecretSource::Literal(secret.clone());
                let span = tracing::info_span!("poll", token = %secret, key = ?source);
                span.in_scope(|| tracing::error!(%secret, ?source, "refused {secret} {source:?}"));
            });
            assert!(text.contains("refused"), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn a_wrong_filter_is_refused() {
        let config = TelemetryConfig {
            filter: Some("tapline=loud".to_owned()),
            ..TelemetryConfig::default()
        };
        assert!(matches!(filter(&config), Err(TelemetryError::Filter(_))));
    }
}
