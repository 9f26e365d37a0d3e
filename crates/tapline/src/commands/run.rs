//! `tapline run`: a pipeline until the stop signal.

use std::path::Path;
use std::time::Duration;

use tapline_runtime::telemetry::{self, TelemetryConfig};
use tapline_runtime::{Ended, Pipeline, StartError, Stopped};

use crate::cli::PipelineFile;
use crate::commands::{block_on, hang_up, stop_signal, validate};
use crate::service::{FLUSH_LIMIT, Service};
use crate::view::{ComponentTable, Panel};
use crate::{Exit, say};

/// How often the live view is drawn.
const VIEW_INTERVAL: Duration = Duration::from_secs(1);

pub(crate) fn run(arguments: &PipelineFile) -> anyhow::Result<Exit> {
    match validate::load(&arguments.config) {
        Ok(pipeline) => block_on(serve(pipeline, &arguments.config))?,
        Err(mistakes) => {
            say(mistakes);
            Ok(Exit::Mistakes)
        }
    }
}

async fn serve(pipeline: Pipeline, file: &Path) -> anyhow::Result<Exit> {
    let telemetry = telemetry::init(&TelemetryConfig {
        settings: pipeline.telemetry.clone(),
        service_name: pipeline.name.to_string(),
        ..TelemetryConfig::default()
    })?;
    for warning in &pipeline.warnings {
        tracing::warn!(%warning, "the pipeline file");
    }
    let exit = match Service::start(pipeline).await {
        Ok(service) => until_stopped(service).await,
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

async fn until_stopped(service: Service) -> anyhow::Result<Exit> {
    let ended = tokio::select! {
        signal = stop_signal() => signal.map(|()| None)?,
        ended = service.ended() => Some(ended),
        () = show(&service) => None,
        failed = stay_at_hang_up() => failed?,
    };
    let drained = drain(service).await?;
    Ok(match ended {
        Some(Ended::Fenced) => Exit::Fenced,
        Some(Ended::Refused(why)) => {
            say(format_args!("tapline: {why}"));
            Exit::Failed
        }
        None if drained => Exit::Ok,
        None => Exit::Failed,
    })
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

/// Says at each SIGHUP that nothing is reloaded; without this it would end the process.
async fn stay_at_hang_up<T>() -> anyhow::Result<T> {
    loop {
        hang_up().await?;
        tracing::warn!("this version does not reload; restart it to use a changed file");
    }
}

/// Draws the live view until dropped; for ever silent without a terminal.
async fn show(service: &Service) {
    if let Some(mut panel) = Panel::on_terminal() {
        let mut table = ComponentTable::new(service.board.clone(), service.metrics.clone());
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
