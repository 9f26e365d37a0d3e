//! What the demo tells: a live panel on a terminal, log lines otherwise.

use std::path::Path;
use std::time::{Duration, Instant};

use tracing::{error, info, warn};

use super::tally::{Snapshot, Verdict};
use crate::Exit;
use crate::service::Service;
use crate::view::{ComponentTable, Panel};

/// Between two log lines, where there is no panel.
const LOG_INTERVAL: Duration = Duration::from_secs(2);

/// How many missing or repeated versions are named; the rest is counted.
const NAMED: usize = 20;

/// Tells a person how the demo goes.
pub(super) struct Progress {
    panel: Option<Panel>,
    table: ComponentTable,
    admin: String,
    logged: Option<Instant>,
    first_seen: bool,
}

impl Progress {
    pub(super) fn new(service: &Service, file: &Path) -> Self {
        let admin = match service.admin_address() {
            Some(address) => format!("http://{address}/"),
            None => "no admin page".to_owned(),
        };
        info!(admin, file = %file.display(), "a simulated Microsoft tenant makes detections, and streams hunting tables to an event hub; tapline reads both, normalizes them, and delivers OCSF to an embedded Kafka and CEF to a syslog receiver");
        Self {
            panel: Panel::on_terminal(),
            table: ComponentTable::new(service.board.clone(), service.metrics.clone()),
            admin,
            logged: None,
            first_seen: false,
        }
    }

    pub(super) fn tell(&mut self, made: u64, snapshot: &Snapshot) {
        if !self.first_seen && snapshot.kafka > 0 && snapshot.syslog > 0 {
            self.first_seen = true;
            info!("the first detections have arrived in kafka and at the syslog receiver");
        }
        let lines = self.panel.is_some().then(|| self.lines(made, snapshot));
        match (&mut self.panel, lines) {
            (Some(panel), Some(lines)) => {
                if panel.draw(&lines).is_err() {
                    self.panel = None;
                }
            }
            _ => self.log(made, snapshot),
        }
    }

    /// Gives the terminal back.
    pub(super) fn end(&mut self) {
        self.panel = None;
    }

    fn lines(&mut self, made: u64, snapshot: &Snapshot) -> Vec<String> {
        let newest = &snapshot.newest;
        let mut lines = vec![
            String::new(),
            format!(
                "  made {made}   in kafka {}   at the syslog receiver {}   repeats {}",
                snapshot.kafka, snapshot.syslog, snapshot.repeats
            ),
            format!(
                "  of those in kafka {} are rows of {} hunting tables, streamed from the event hub",
                snapshot.rows, snapshot.tables
            ),
            format!(
                "  newest: {} · {} · {}",
                newest.severity, newest.class_name, newest.message
            ),
        ];
        lines.extend(self.table.lines());
        lines.push(format!("  admin page {}   stop with Ctrl-C", self.admin));
        lines
    }

    fn log(&mut self, made: u64, snapshot: &Snapshot) {
        if self.logged.is_some_and(|at| at.elapsed() < LOG_INTERVAL) {
            return;
        }
        self.logged = Some(Instant::now());
        info!(
            made,
            kafka = snapshot.kafka,
            syslog = snapshot.syslog,
            rows = snapshot.rows,
            tables = snapshot.tables,
            repeats = snapshot.repeats,
            newest = snapshot.newest.message,
            "arrived"
        );
    }

    pub(super) fn summary(&self, snapshot: &Snapshot) {
        info!(
            kafka = snapshot.kafka,
            syslog = snapshot.syslog,
            rows = snapshot.rows,
            tables = snapshot.tables,
            repeats = snapshot.repeats,
            "the demo ended"
        );
    }

    /// Says whether all have arrived, and names what did not.
    pub(super) fn judgement(&self, events: u64, snapshot: &Snapshot, verdict: &Verdict) -> Exit {
        self.summary(snapshot);
        for line in verdict.repeated.iter().take(NAMED) {
            warn!("repeated: {line}");
        }
        for line in verdict.missing.iter().take(NAMED) {
            error!("missing: {line}");
        }
        if snapshot.unidentified > 0 {
            warn!(
                messages = snapshot.unidentified,
                "syslog messages without an identity"
            );
        }
        let all = snapshot.kafka == events && snapshot.syslog == events;
        if !verdict.missing.is_empty() || !all {
            let missing = verdict.missing.len();
            error!(missing, "not all versions arrived at both places");
            return Exit::Failed;
        }
        info!(
            events,
            repeated = verdict.repeated.len(),
            "all versions arrived at both places"
        );
        Exit::Ok
    }
}
