//! Incidents with their alerts, one by one, where the service fails to expand a whole list.

use bytes::Bytes;

use crate::error::{Action, ReadError};
use crate::health::Wait;
use crate::limits::ANSWER_CAP;
use crate::page::Page;
use crate::reading::Reading;
use crate::seen::print_of;
use crate::sift::Expanded;

/// After so many failures of one incident it is sent without its alerts.
const ATTEMPTS: u32 = 3;

impl Reading {
    /// Fetches the new incidents of a page that was read without their alerts.
    ///
    /// An incident that cannot be expanded is left out of the result, and sent as it stands in
    /// the list: nothing is lost but its alerts, which the alerts API has too.
    pub(crate) async fn expand_one_by_one(&mut self, page: &Page<'_>, in_list: bool) -> Expanded {
        let mut expanded = Expanded::new();
        if !self.wants_expansion || in_list {
            return expanded;
        }
        for (place, found) in page.records.iter().enumerate() {
            let Ok(record) = &found.read else {
                continue;
            };
            let print = print_of(record.id.as_bytes(), record.version.as_bytes());
            if self.tables.seen.contains(&print) {
                continue;
            }
            match self.expanded_incident(&record.id).await {
                Some(body) => drop(expanded.insert(place, body)),
                None => self
                    .api
                    .health
                    .notice("expand_failed", "an incident is sent without its alerts"),
            }
        }
        expanded
    }

    async fn expanded_incident(&mut self, id: &str) -> Option<Bytes> {
        let mut failures = 0;
        while failures < ATTEMPTS {
            match self.ask_for_incident(id).await {
                Ok(body) => return Some(body),
                Err(error) if error.action(false) == Action::BackOffLong => return None,
                Err(error) if error.action(false) == Action::AskLess => return None,
                Err(error) => failures += self.wait_out(&error, failures).await,
            }
        }
        None
    }

    async fn ask_for_incident(&mut self, id: &str) -> Result<Bytes, ReadError> {
        let url = self.query.incident(id);
        let body = self.get(&url, ANSWER_CAP).await?;
        let text = std::str::from_utf8(&body).unwrap_or_default();
        let known = self.stamp.read(text).is_ok_and(|record| record.id == id);
        let strange =
            || ReadError::NotAPage("it is not the incident that was asked for".to_owned());
        known.then_some(body.clone()).ok_or_else(strange)
    }

    /// Waits, and says whether the failure counts against the incident.
    async fn wait_out(&mut self, error: &ReadError, failures: u32) -> u32 {
        self.api.health.count(error.reason(false));
        match error.action(false) {
            Action::WaitFor(wait) => {
                self.pause(Wait::Throttled, wait).await;
                u32::from(error.is_server_failure())
            }
            _ => {
                self.pause(Wait::BackOff, self.backoff_after(failures + 1))
                    .await;
                let of_the_incident = matches!(
                    error,
                    ReadError::Server { .. } | ReadError::NotAPage(_) | ReadError::Truncated(_)
                );
                u32::from(of_the_incident)
            }
        }
    }
}
