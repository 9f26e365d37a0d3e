//! A changed pipeline file in place of the one that runs.

use std::path::Path;

use jiff::Timestamp;
use tapline_runtime::admin::{ReloadAnswer, ReloadRequest};
use tapline_runtime::config::Fixed;
use tapline_runtime::status::{ReloadOutcome, StatusBoard};
use tapline_runtime::{NotReloaded, Reload, Reloaded, Reloading, Running};

use crate::commands::validate;

/// Reads the file and puts it in place.
///
/// # Errors
/// Everything that is wrong, one line each; the pipeline runs on as it was.
pub(crate) fn begin(
    running: &mut Running,
    fixed: &Fixed,
    file: &Path,
) -> Result<Reloading, Vec<String>> {
    let pipeline = validate::load(file).map_err(|mistakes| mistakes.lines())?;
    let differences = fixed.differences(&pipeline.fixed);
    if !differences.is_empty() {
        return Err(differences);
    }
    for warning in &pipeline.warnings {
        tracing::warn!(%warning, "the pipeline file");
    }
    let reload = Reload {
        topology: pipeline.topology,
        config_dir: pipeline.config_dir,
        network: pipeline.network,
        shutdown: pipeline.shutdown,
    };
    running.reload(reload).map_err(|why| match why {
        NotReloaded::Fixed(lines) => lines,
        NotReloaded::Build(failures) => failures.lines(&file.display().to_string()),
    })
}

/// Says how it ended: in the log, on the board, and to who asked.
pub(crate) fn tell(board: &StatusBoard, request: Option<ReloadRequest>, answer: ReloadAnswer) {
    let outcome = ReloadOutcome {
        at: Timestamp::now(),
        applied: answer.is_ok(),
        lines: match &answer {
            Ok(reloaded) => words(reloaded),
            Err(lines) => lines.clone(),
        },
    };
    match &answer {
        Ok(_) => tracing::info!(changes = outcome.lines.join("; "), "the changed file runs"),
        Err(_) => {
            for mistake in &outcome.lines {
                tracing::error!(
                    mistake,
                    "the changed file is not applied; the pipeline runs on as it was"
                );
            }
        }
    }
    board.reload(outcome);
    if let Some(request) = request {
        // Who asked may be gone.
        let _gone = request.send(answer);
    }
}

fn words(reloaded: &Reloaded) -> Vec<String> {
    let changes = [
        ("started", &reloaded.started),
        ("replaced", &reloaded.replaced),
        ("stopped", &reloaded.stopped),
        ("kept", &reloaded.kept),
        ("not drained in time, read again", &reloaded.not_drained),
    ];
    let changes = changes.iter().filter(|(_, ids)| !ids.is_empty());
    changes
        .map(|(what, ids)| format!("{what}: {}", ids.join(", ")))
        .collect()
}
