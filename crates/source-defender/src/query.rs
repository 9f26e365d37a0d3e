//! The addresses that are asked, percent-encoded, and which links may be followed.

use reqwest::Url;

use crate::config::{Api, DefenderConfig};
use crate::limits::{ALERTS_PER_PAGE, INCIDENTS_PER_PAGE, SIEM_WINDOW};
use crate::walk::{Ask, Dimension, Style, Window};

/// Source: microsoftgraph/msgraph-metadata, `alertSeverity` and others, August 2026.
const SEVERITY: Dimension = (
    "severity",
    &["unknown", "informational", "low", "medium", "high"],
);
const ALERT_STATUS: Dimension = ("status", &["unknown", "new", "inProgress", "resolved"]);
const INCIDENT_STATUS: Dimension = (
    "status",
    &[
        "active",
        "resolved",
        "inProgress",
        "redirected",
        "awaitingAction",
    ],
);
const SERVICE_SOURCE: Dimension = (
    "serviceSource",
    &[
        "unknown",
        "microsoftDefenderForEndpoint",
        "microsoftDefenderForIdentity",
        "microsoftDefenderForCloudApps",
        "microsoftDefenderForOffice365",
        "microsoft365Defender",
        "azureAdIdentityProtection",
        "microsoftAppGovernance",
        "dataLossPrevention",
        "microsoftDefenderForCloud",
        "microsoftSentinel",
        "microsoftInsiderRiskManagement",
        "microsoftThreatIntelligence",
        "microsoftSecurityForAI",
    ],
);

/// Where and how one API is asked.
#[derive(Clone, Debug)]
pub(crate) struct Query {
    api: Api,
    base: Url,
}

impl Query {
    /// Addresses of the configured API.
    ///
    /// # Errors
    /// What is wrong with the base address.
    pub(crate) fn new(config: &DefenderConfig) -> Result<Self, String> {
        let base = Url::parse(&config.api_base()).map_err(|error| error.to_string())?;
        Ok(Self {
            api: config.api,
            base,
        })
    }

    /// How windows of the API are read.
    pub(crate) fn style(&self) -> Style {
        match self.api {
            Api::GraphIncidents => Style::Paged(&[SEVERITY, INCIDENT_STATUS]),
            Api::Siem => Style::Whole(SIEM_WINDOW),
            _ => Style::Paged(&[SEVERITY, ALERT_STATUS, SERVICE_SOURCE]),
        }
    }

    /// The largest `$top` that makes sense.
    pub(crate) fn most_rows(&self) -> usize {
        match self.api {
            Api::GraphIncidents => INCIDENTS_PER_PAGE,
            _ => ALERTS_PER_PAGE,
        }
    }

    /// The address for a part of a walk.
    pub(crate) fn page(&self, ask: &Ask, top: usize, expand: bool) -> Url {
        if let Some(link) = ask.link.as_deref().and_then(|link| self.own_link(link)) {
            return link;
        }
        let mut url = self.base.clone();
        url.set_path(self.path());
        let options = match self.api {
            Api::Siem => siem_options(ask.window),
            _ => graph_options(ask, top, expand),
        };
        url.set_query(Some(&options));
        url
    }

    /// The address of one incident with its alerts.
    pub(crate) fn incident(&self, id: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(&format!("{}/{}", self.path(), encode(id)));
        url.set_query(Some("$expand=alerts"));
        url
    }

    /// The link, if it leads to the configured host over the configured scheme and port.
    ///
    /// A link elsewhere is never followed: the token would go with it.
    pub(crate) fn own_link(&self, link: &str) -> Option<Url> {
        let url = Url::parse(link).ok()?;
        let same = url.origin() == self.base.origin()
            && url.username().is_empty()
            && url.password().is_none();
        same.then_some(url)
    }

    fn path(&self) -> &'static str {
        match self.api {
            Api::GraphIncidents => "/v1.0/security/incidents",
            Api::Siem => "/api/alerts",
            _ => "/v1.0/security/alerts_v2",
        }
    }
}

fn graph_options(ask: &Ask, top: usize, expand: bool) -> String {
    let Window { from, to } = ask.window;
    let mut filter = format!("lastUpdateDateTime ge {from} and lastUpdateDateTime lt {to}");
    for (member, value) in &ask.conditions {
        filter.push_str(&format!(" and {member} eq '{value}'"));
    }
    let filter = encode(&filter);
    let order = encode("lastUpdateDateTime asc");
    let mut options = format!("$filter={filter}&$orderby={order}&$top={top}");
    if ask.skip > 0 {
        options.push_str(&format!("&$skip={}", ask.skip));
    }
    if expand {
        options.push_str("&$expand=alerts");
    }
    options
}

/// Never `limit`: it keeps the newest records and loses the oldest.
fn siem_options(window: Window) -> String {
    let [since, until] = [window.from, window.to].map(|ticks| encode(&ticks.to_string()));
    format!("sinceTimeUtc={since}&untilTimeUtc={until}")
}

/// Encodes everything but RFC 3986's unreserved characters.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len() + text.len() / 2);
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::times::Ticks;

    fn query(api: &str) -> Query {
        let json = format!(
            r#"{{"api":"{api}","endpoints":{{"graph":"https://g.example","siem":"http://127.0.0.1:81"}}}}"#
        );
        Query::new(&serde_json::from_str(&json).expect("well formed")).expect("addresses")
    }

    fn ask() -> Ask {
        let time = |text: &str| Ticks::parse(text).expect("a time");
        Ask {
            window: Window {
                from: time("2026-01-02T03:04:05.1234567Z"),
                to: time("2026-01-02T04:00:00Z"),
            },
            skip: 0,
            conditions: Vec::new(),
            link: None,
        }
    }

    #[test]
    fn a_graph_request_asks_for_a_window_in_order() {
        let url = query("graph_alerts").page(&ask(), 1000, false);
        assert_eq!(
            url.as_str(),
            "https://g.example/v1.0/security/alerts_v2?$filter=lastUpdateDateTime%20ge%202026-01-02T03%3A04%3A05.1234567Z%20and%20lastUpdateDateTime%20lt%202026-01-02T04%3A00%3A00.0000000Z&$orderby=lastUpdateDateTime%20asc&$top=1000"
        );
    }

    #[test]
    fn skipping_conditions_and_expansion_are_added_when_wanted() {
        let ask = Ask {
            skip: 50,
            conditions: vec![("severity", "high")],
            ..ask()
        };
        let url = query("graph_incidents").page(&ask, 5, true);
        let options = url.query().expect("options");
        assert!(url.path().ends_with("/incidents"));
        for part in [
            "%20and%20severity%20eq%20%27high%27",
            "&$skip=50",
            "&$expand=alerts",
            "&$top=5",
        ] {
            assert!(options.contains(part), "{options}");
        }
    }

    #[test]
    fn the_legacy_api_is_asked_for_windows_without_a_limit() {
        let url = query("siem").page(&ask(), 1000, false);
        assert_eq!(
            url.as_str(),
            "http://127.0.0.1:81/api/alerts?sinceTimeUtc=2026-01-02T03%3A04%3A05.1234567Z&untilTimeUtc=2026-01-02T04%3A00%3A00.0000000Z"
        );
    }

    #[test]
    fn only_links_to_the_configured_host_are_followed() {
        let query = query("graph_alerts");
        let good = "https://g.example/v1.0/security/alerts_v2?$skiptoken=a%2Bb";
        assert_eq!(query.own_link(good).as_ref().map(Url::as_str), Some(good));
        for bad in [
            "https://evil.example/v1.0",
            "http://g.example/v1.0",
            "https://g.example:444/v1.0",
            "https://g.example@evil.example/",
            "https://u:p@g.example/",
            "/v1.0/security",
            "",
        ] {
            assert!(query.own_link(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn an_id_cannot_change_the_address() {
        let url = query("graph_incidents").incident("../1?x=#y");
        assert_eq!(
            url.as_str(),
            "https://g.example/v1.0/security/incidents/..%2F1%3Fx%3D%23y?$expand=alerts"
        );
    }

    #[test]
    fn no_changed_link_leads_a_token_to_another_host() {
        let query = query("graph_alerts");
        let link = "https://g.example/v1.0/security/alerts_v2?$top=50&$skiptoken=a%2Fb";
        assert!(query.own_link(link).is_some());
        for (number, bytes) in tapline_testkit::variants(link.as_bytes(), 50_000) {
            let link = String::from_utf8_lossy(&bytes);
            if let Some(url) = query.own_link(&link) {
                let place = (url.scheme(), url.host_str(), url.port_or_known_default());
                assert_eq!(
                    place,
                    ("https", Some("g.example"), Some(443)),
                    "{number}: {link}"
                );
                assert!(
                    url.username().is_empty() && url.password().is_none(),
                    "{number}: {link}"
                );
            }
        }
    }
}
