//! A batch is one trace, from the source to the sinks.

use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{SdkTracerProvider, SpanData, SpanExporter};
use tapline_runtime::Stopped;
use tracing_subscriber::layer::SubscriberExt;

use crate::fakes::{Counting, Told, line, start};

#[derive(Clone, Debug, Default)]
struct Kept(Arc<Mutex<Vec<SpanData>>>);

impl SpanExporter for Kept {
    async fn export(&self, mut spans: Vec<SpanData>) -> OTelSdkResult {
        self.0.lock().expect("whole").append(&mut spans);
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn one_trace_connects_reading_transforming_and_delivering_a_batch() {
    let kept = Kept::default();
    let provider = SdkTracerProvider::builder()
        .with_simple_exporter(kept.clone())
        .build();
    let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer("test"));
    let subscriber = tracing_subscriber::registry().with(layer);
    // With only one, tracing would ask whatever thread comes to a span first, and remember that.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    let _until_the_end = tracing::subscriber::set_default(subscriber);

    let folder = tempfile::tempdir().expect("a folder");
    let lake = Told::takes_fifty_at_a_time();
    let running = start(folder.path(), line(&Counting::to(30), &lake)).await;
    lake.has(30).await;
    assert_eq!(running.stop().await, Stopped::Drained);

    let spans = kept.0.lock().expect("whole").clone();
    let named = |name: &'static str| spans.iter().filter(move |span| span.name == name);
    assert_eq!(named("batch").count(), 3);
    for batch in named("batch") {
        let trace = batch.span_context.trace_id();
        for part in ["transform", "deliver"] {
            let span = named(part).find(|span| span.span_context.trace_id() == trace);
            let span = span.expect("every batch has one");
            assert_eq!(span.parent_span_id, batch.span_context.span_id(), "{part}");
            assert!(span.end_time <= batch.end_time, "{part} is covered");
        }
    }
}
