//! `tapline run`: a pipeline until the stop signal, or a span of the past until it is read.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;

use tapline_core::metrics::Metrics;
use tapline_runtime::status::StatusBoard;
use tapline_runtime::telemetry::{self, TelemetryConfig};
use tapline_runtime::{Ended, Pipeline, StartError, Stopped};
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::Run;
use crate::commands::{backfill, block_on, stop_signal, validate};
use crate::service::{FLUSH_LIMIT, Service};
use crate::view::{ComponentTable, Panel};
use crate::{Exit, plugins, say};

/// How often the live view is drawn.
const VIEW_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &Run) -> anyhow::Result<Exit> {
    match validate::load(&arguments.file.config) {
        Ok(pipeline) => block_on(serve(pipeline, arguments))?,
        Err(mistakes) => {
            say(mistakes);
            Ok(Exit::Mistakes)
        }
    }
}

async fn serve(mut pipeline: Pipeline, arguments: &Run) -> anyhow::Result<Exit> {
    let file = &*arguments.file.config;
    let telemetry = telemetry::init(&TelemetryConfig {
        settings: pipeline.telemetry.clone(),
        service_name: pipeline.name.to_string(),
        ..TelemetryConfig::default()
    })?;
    for warning in &pipeline.warnings {
        tracing::warn!(%warning, "the pipeline file");
    }
    if let Some(span) = arguments.backfill {
        let source = arguments.source.as_deref();
        backfill::narrow(&mut pipeline, span, source, &plugins::registry())
            .map_err(|why| anyhow::anyhow!("--backfill: {why}"))?;
    }
    let exit = match Service::start(pipeline, arguments.backfill).await {
        Ok(service) => until_stopped(service, file).await,
        Err(error) => not_started(error, file),
    };
    telemetry.shutdown(FLUSH_LIMIT).await;
    exit
}

/// What the file names and cannot be used is told like the mistakes in the file.
fn not_started(error: anyhow::Error, file: &Path) -> anyhow::Result<Exit> {
    let Some(StartError::Build(failures)) = error.downcast_ref() else {
        return Err(error);
    };
    for line in failures.lines(&file.display().to_string()) {
        say(line);
    }
    Ok(Exit::Failed)
}

async fn until_stopped(mut service: Service, file: &Path) -> anyhow::Result<Exit> {
    let ended = until_ended(&mut service, file).await?;
    let drained = drain(service).await?;
    Ok(match ended {
        Some(Ended::Fenced) => Exit::Fenced,
        Some(Ended::Refused(why)) => {
            say(format_args!("tapline: {why}"));
            Exit::Failed
        }
        Some(Ended::Finished) | None if drained => Exit::Ok,
        Some(Ended::Finished) | None => Exit::Failed,
    })
}

/// Until somebody asks for the stop, or the pipeline does itself. Loads the file again meanwhile as
/// often as asked to, one after the other.
async fn until_ended(service: &mut Service, file: &Path) -> anyhow::Result<Option<Ended>> {
    let mut stop = pin!(stop_signal());
    let mut view = pin!(show(service.board.clone(), service.metrics.clone()));
    let mut hang_ups = signal(SignalKind::hangup())?;
    let mut requests = service.reload_requests();
    let mut under_way = None;
    loop {
        tokio::select! {
            signal = &mut stop => return Ok(signal.map(|()| None)?),
            ended = service.ended() => return Ok(Some(ended)),
            () = &mut view => return Ok(None),
            Some(()) = hang_ups.recv(), if under_way.is_none() => {
                under_way = service.reload(file, None).map(Box::pin);
            }
            Some(request) = requests.recv(), if under_way.is_none() => {
                under_way = service.reload(file, Some(request)).map(Box::pin);
            }
            () = finish(&mut under_way), if under_way.is_some() => under_way = None,
        }
    }
}

/// Cancel-safe.
async fn finish<F: Future<Output = ()> + Unpin>(under_way: &mut Option<F>) {
    if let Some(under_way) = under_way {
        under_way.await;
    }
}

/// Drains, unless whoever asked for the stop asks again; whether everything is settled.
async fn drain(service: Service) -> anyhow::Result<bool> {
    tokio::select! {
        stopped = service.stop() => Ok(stopped == Stopped::Drained),
        again = stop_signal() => {
            again?;
            tracing::warn!("stopped again, so not drained; unsettled events are read again");
            Ok(false)
        }
    }
}

/// Draws the live view until dropped; for ever silent without a terminal.
async fn show(board: StatusBoard, metrics: Metrics) {
    if let Some(mut panel) = Panel::on_terminal() {
        let mut table = ComponentTable::new(board, metrics);
        let mut ticks = tokio::time::interval(VIEW_INTERVAL);
        loop {
            ticks.tick().await;
            if panel.draw(&table.lines()).is_err() {
                break;
            }
        }
    }
    std::future::pending().await
}
