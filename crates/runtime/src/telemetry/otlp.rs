//! Traces over OTLP: protobuf over HTTP, sent with a client of ours.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{ExporterBuildError, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tokio::runtime::Handle;

use super::TelemetrySettings;

/// Why traces cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum OtlpError {
    /// The HTTP client cannot be made.
    #[error("making the HTTP client")]
    Client(#[source] reqwest::Error),
    /// The exporter refuses its settings.
    #[error("the OTLP endpoint cannot be used")]
    Exporter(#[source] ExporterBuildError),
    /// There is no tokio runtime to send from.
    #[error("no tokio runtime to send from")]
    Runtime(#[source] tokio::runtime::TryCurrentError),
}

/// Longer waits would only fill the exporter's queue.
const EXPORT_LIMIT: Duration = Duration::from_secs(10);

/// Where traces go: the full address for traces, or a base address with `/v1/traces` added.
///
/// Source: OpenTelemetry specification, "OpenTelemetry Protocol Exporter", endpoint URLs for
/// OTLP/HTTP.
pub(super) fn endpoint(
    settings: &TelemetrySettings,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Option<String> {
    let variable = |name| lookup(name).filter(|value| !value.trim().is_empty());
    if let Some(full) = variable("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") {
        return Some(full);
    }
    let base = variable("OTEL_EXPORTER_OTLP_ENDPOINT").or_else(|| settings.otlp.clone())?;
    Some(format!("{}/v1/traces", base.trim_end_matches('/')))
}

/// A tracer provider that exports in batches. Connects only when there is something to send.
pub(super) fn provider(endpoint: &str, service: &str) -> Result<SdkTracerProvider, OtlpError> {
    let client = reqwest::Client::builder()
        .timeout(EXPORT_LIMIT)
        .build()
        .map_err(OtlpError::Client)?;
    let client = Client {
        client,
        runtime: Handle::try_current().map_err(OtlpError::Runtime)?,
    };
    let exporter = SpanExporter::builder()
        .with_http()
        .with_http_client(client)
        .with_endpoint(endpoint)
        .with_timeout(EXPORT_LIMIT)
        .build()
        .map_err(OtlpError::Exporter)?;
    let resource = Resource::builder().with_service_name(service.to_owned());
    Ok(SdkTracerProvider::builder()
        .with_batch_exporter(exporter)
        .with_resource(resource.build())
        .build())
}

/// Sends from our runtime: the exporter lives on a thread of its own, which has none.
#[derive(Debug)]
struct Client {
    client: reqwest::Client,
    runtime: Handle,
}

/// Answers of an OTLP receiver are tiny; what is longer is not read.
const MAX_ANSWER_BYTES: usize = 64 * 1024;

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let sending = self
            .runtime
            .spawn(async move { send(&client, request).await });
        sending.await?
    }
}

async fn send(
    client: &reqwest::Client,
    request: Request<Bytes>,
) -> Result<Response<Bytes>, HttpError> {
    let request = reqwest::Request::try_from(request)?;
    // The address may carry a key; errors go to the log.
    let mut answer = client
        .execute(request)
        .await
        .map_err(reqwest::Error::without_url)?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await? {
        let room = MAX_ANSWER_BYTES - body.len();
        body.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if body.len() == MAX_ANSWER_BYTES {
            break;
        }
    }
    let mut response = Response::builder().status(answer.status());
    if let Some(headers) = response.headers_mut() {
        headers.clone_from(answer.headers());
    }
    Ok(response.body(Bytes::from(body))?)
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::{Tracer, TracerProvider};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::telemetry::Telemetry;

    #[tokio::test]
    async fn what_was_traced_is_sent_before_shutdown_ends() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("address");
        let receiver = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.expect("connected");
            let mut seen = Vec::new();
            while !seen.windows(10).any(|part| part == b"a-poll-act") {
                stream.read_buf(&mut seen).await.expect("read");
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
            stream.write_all(answer).await.expect("answered");
            seen
        });
        let provider = provider(&format!("http://{address}/v1/traces"), "tapline");
        let provider = provider.expect("provider");
        drop(provider.tracer("tapline").start("a-poll-act"));
        let telemetry = Telemetry {
            provider: Some(provider),
        };
        telemetry.shutdown(Duration::from_secs(10)).await;
        let seen = receiver.await.expect("received");
        assert!(seen.starts_with(b"POST /v1/traces HTTP/1.1\r\n"));
    }

    #[tokio::test]
    async fn a_receiver_that_never_answers_does_not_hold_up_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let address = listener.local_addr().expect("address");
        let provider = provider(&format!("http://{address}/v1/traces"), "tapline");
        let provider = provider.expect("provider");
        drop(provider.tracer("tapline").start("a-poll"));
        let telemetry = Telemetry {
            provider: Some(provider),
        };
        let began = std::time::Instant::now();
        telemetry.shutdown(Duration::from_millis(300)).await;
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let check = |variables: &[(&str, &str)], file: Option<&str>, expected: Option<&str>| {
            let settings = TelemetrySettings {
                otlp: file.map(str::to_owned),
            };
            let lookup = |name: &str| {
                let found = variables.iter().find(|(known, _)| *known == name);
                found.map(|(_, value)| (*value).to_owned())
            };
            assert_eq!(endpoint(&settings, &lookup).as_deref(), expected);
        };
        let base = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://env:4318/");
        let full = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://traces/x");
        check(&[], None, None);
        check(
            &[],
            Some("http://file:4318"),
            Some("http://file:4318/v1/traces"),
        );
        check(
            &[base],
            Some("http://file:4318"),
            Some("http://env:4318/v1/traces"),
        );
        check(&[base, full], None, Some("http://traces/x"));
        check(&[("OTEL_EXPORTER_OTLP_ENDPOINT", "")], None, None);
    }
}
