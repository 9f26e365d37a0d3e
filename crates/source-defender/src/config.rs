//! What users write under `config:`, and its checks.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tapline_core::{BuildContext, BuildError, CursorForm, Problem, Source, SourceConfig};
use tapline_entra_auth::http::check_base_url;
use tapline_entra_auth::{Cloud, IdentityConfig};

use crate::by_hand;
use crate::emit::Emit;
use crate::source::Defender;

/// Reads alerts, incidents, or legacy detections of one or many tenants.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DefenderConfig {
    /// What to read: `graph_alerts`, `graph_incidents`, or `siem`.
    pub(crate) api: Api,
    /// The cloud the tenants live in: `global`, `gcc`, `gcc_high`, or `dod`.
    #[serde(default)]
    pub(crate) cloud: Cloud,
    /// The tenant to read, and who Tapline is there.
    pub(crate) identity: Option<IdentityConfig>,
    /// More tenants, read side by side, each with a cursor of its own.
    #[serde(default)]
    pub(crate) identities: Vec<IdentityConfig>,
    /// Time between the starts of two polls, in seconds, at least 1, default 30.
    #[serde(default = "default_poll_interval")]
    pub(crate) poll_interval_secs: u64,
    /// How far back a tenant is read that has no checkpoint yet, in seconds, default one day.
    #[serde(default = "default_initial_lookback")]
    pub(crate) initial_lookback_secs: u64,
    /// Records younger than this by the server's clock are left for the next poll, in seconds,
    /// default 30. Raise it if late events are counted.
    #[serde(default = "default_settle")]
    pub(crate) settle_secs: u64,
    /// How far back every poll reads again, for records that become visible late, in seconds,
    /// default 600.
    #[serde(default = "default_overlap")]
    pub(crate) overlap_secs: u64,
    /// How often the longer past is read again for records that were later still, in seconds,
    /// default one hour; 0 switches it off.
    #[serde(default = "default_reread_interval")]
    pub(crate) reread_interval_secs: u64,
    /// How far back that reading goes, in seconds, default 48 hours. What was sent in this time
    /// is remembered: some 50 bytes of memory for each record.
    #[serde(default = "default_reread")]
    pub(crate) reread_secs: u64,
    /// Ceiling per app and tenant over all sources of the process, default 150 as the service's.
    #[serde(default = "default_requests_per_minute")]
    pub(crate) requests_per_minute: u32,
    /// Incidents are read with their alerts, one by one where the service fails to expand a
    /// list. Needs `api: graph_incidents`.
    #[serde(default)]
    pub(crate) expand_alerts: bool,
    /// `every_version` of a record, only the `first`, or the first and all `status_changes`.
    #[serde(default)]
    pub(crate) emit: Emit,
    /// Fixed fields for routing and topics; kept beside the record, not in it.
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    /// Other base addresses, for tests and private clouds.
    #[serde(default)]
    pub(crate) endpoints: Endpoints,
    /// Region of the legacy API: `eu`, `us` (default), or `uk`. Government clouds have only one.
    pub(crate) region: Option<Region>,
    /// Host names of the legacy API: `current` (default) or `securitycenter`, the older form.
    #[serde(default)]
    pub(crate) host_form: HostForm,
    /// Application that tokens for the legacy API are asked for; default
    /// `https://graph.windows.net`, for apps made by the portal's "Enable SIEM integration".
    /// `https://WDATPAlertExport.Seville.onmicrosoft.com` for an app registered by hand.
    pub(crate) resource: Option<String>,
    /// Another proxy than the process's.
    pub(crate) proxy: Option<ProxyConfig>,
    /// Other extra trust than the process's.
    pub(crate) tls: Option<TlsConfig>,
}

/// What to read.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Api {
    GraphAlerts,
    GraphIncidents,
    Siem,
    EndpointAlerts,
    Hunting,
}

impl Api {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Api::GraphAlerts => "graph_alerts",
            Api::GraphIncidents => "graph_incidents",
            Api::Siem => "siem",
            Api::EndpointAlerts => "endpoint_alerts",
            Api::Hunting => "hunting",
        }
    }
}

/// Bases without a path; they change neither scope nor resource of the token.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoints {
    pub(crate) login: Option<String>,
    pub(crate) graph: Option<String>,
    pub(crate) siem: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Region {
    Eu,
    #[default]
    Us,
    Uk,
}

#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub(crate) enum HostForm {
    #[default]
    Current,
    Securitycenter,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProxyConfig {
    /// Proxy for `https` addresses, such as `http://proxy.example:3128`.
    pub(crate) https: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TlsConfig {
    /// PEM file of certificates to trust besides the system's.
    pub(crate) ca: PathBuf,
}

/// Design: half a minute keeps three requests per poll far below the service's ceiling.
const fn default_poll_interval() -> u64 {
    30
}
/// What peers use.
const fn default_initial_lookback() -> u64 {
    86_400
}
/// Peers found rows invisible for up to 30 s after their own time (wazuh #24323).
const fn default_settle() -> u64 {
    30
}
/// Records appear up to ten minutes late (Azure-Sentinel #9111).
const fn default_overlap() -> u64 {
    600
}
const fn default_reread_interval() -> u64 {
    3600
}
const fn default_reread() -> u64 {
    48 * 3600
}
/// Microsoft Graph throttling limits, "Security detections and incidents".
const fn default_requests_per_minute() -> u32 {
    150
}

const LONGEST_SECS: u64 = 10 * 365 * 86_400;

impl DefenderConfig {
    /// Every tenant with the path of its identity in the file.
    pub(crate) fn tenants(&self) -> Vec<(String, &IdentityConfig)> {
        let one = self.identity.iter().map(|it| ("identity".to_owned(), it));
        let more = self.identities.iter().enumerate();
        let more = more.map(|(index, it)| (format!("identities[{index}]"), it));
        one.chain(more).collect()
    }

    pub(crate) fn poll_interval(&self) -> Duration {
        Duration::from_secs(self.poll_interval_secs)
    }

    pub(crate) fn login_base(&self) -> &str {
        let default = self.cloud.login();
        self.endpoints.login.as_deref().unwrap_or(default)
    }

    /// Base address of the API that is read, without a trailing slash.
    pub(crate) fn api_base(&self) -> String {
        let (given, default) = match self.api {
            Api::Siem => (&self.endpoints.siem, self.siem_base()),
            _ => (&self.endpoints.graph, self.cloud.graph().to_owned()),
        };
        let base = given.as_deref().unwrap_or(&default);
        base.trim_end_matches('/').to_owned()
    }

    /// Source: defender-docs `pull-alerts-using-rest-api` and `gov`, seen 2026.
    fn siem_base(&self) -> String {
        let region = match self.region.unwrap_or_default() {
            Region::Eu => "eu",
            Region::Us => "us",
            Region::Uk => "uk",
        };
        let host = match (self.cloud, self.host_form) {
            (Cloud::Gcc, _) => "wdatp-alertexporter-us.gcc.securitycenter.windows.us".to_owned(),
            (Cloud::GccHigh | Cloud::Dod, _) => {
                "wdatp-alertexporter-us.securitycenter.windows.us".to_owned()
            }
            (_, HostForm::Current) => format!("wdatp-alertexporter-{region}.windows.com"),
            (_, HostForm::Securitycenter) => {
                format!("wdatp-alertexporter-{region}.securitycenter.windows.com")
            }
        };
        format!("https://{host}")
    }

    fn api_problems(&self, problems: &mut Vec<Problem>) {
        if matches!(self.api, Api::EndpointAlerts | Api::Hunting) {
            let message = format!(
                "{} is not supported yet; expected graph_alerts, graph_incidents, or siem",
                self.api.as_str()
            );
            problems.push(Problem::new("api", message));
        }
        if self.cloud == Cloud::China {
            let message =
                "Defender has no API in the cloud china; expected global, gcc, gcc_high, or dod";
            problems.push(Problem::new("cloud", message));
        }
        if self.expand_alerts && self.api != Api::GraphIncidents {
            let message = "only incidents have alerts to expand: needs api: graph_incidents";
            problems.push(Problem::new("expand_alerts", message));
        }
    }

    fn siem_problems(&self, problems: &mut Vec<Problem>) {
        let given = [
            ("region", self.region.is_some()),
            ("resource", self.resource.is_some()),
            ("host_form", self.host_form != HostForm::default()),
        ];
        for (key, given) in given {
            if given && self.api != Api::Siem {
                problems.push(Problem::new(
                    key,
                    "only the legacy API has it: needs api: siem",
                ));
            }
        }
        let government = matches!(self.cloud, Cloud::Gcc | Cloud::GccHigh | Cloud::Dod);
        if government && matches!(self.region, Some(Region::Eu | Region::Uk)) {
            problems.push(Problem::new("region", "government clouds have only us"));
        }
    }

    fn identity_problems(&self, problems: &mut Vec<Problem>) {
        let tenants = self.tenants();
        if tenants.is_empty() {
            let message = "is missing: the tenant to read, and who Tapline is there";
            problems.push(Problem::new("identity", message));
        }
        let mut known = Vec::new();
        for (path, identity) in tenants {
            problems.extend(identity.problems(&path));
            let tenant = identity.tenant_id.to_ascii_lowercase();
            if known.contains(&tenant) {
                let message = "the tenant is named twice; a tenant is read once per source";
                problems.push(Problem::new(format!("{path}.tenant_id"), message));
            }
            known.push(tenant);
        }
    }

    fn number_problems(&self, problems: &mut Vec<Problem>) {
        let rate = u64::from(self.requests_per_minute);
        let ranges = [
            ("poll_interval_secs", self.poll_interval_secs, 1),
            ("initial_lookback_secs", self.initial_lookback_secs, 0),
            ("settle_secs", self.settle_secs, 0),
            ("overlap_secs", self.overlap_secs, 0),
            ("reread_interval_secs", self.reread_interval_secs, 0),
            ("reread_secs", self.reread_secs, 0),
            ("requests_per_minute", rate, 1),
        ];
        for (key, value, least) in ranges {
            if value < least || value > LONGEST_SECS {
                let message = format!("must be at least {least} and at most {LONGEST_SECS}");
                problems.push(Problem::new(key, message));
            }
        }
        if self.reread_secs < self.overlap_secs {
            let message = "must not be shorter than overlap_secs";
            problems.push(Problem::new("reread_secs", message));
        }
    }

    fn endpoint_problems(&self, problems: &mut Vec<Problem>) {
        let endpoints = [
            ("endpoints.login", &self.endpoints.login),
            ("endpoints.graph", &self.endpoints.graph),
            ("endpoints.siem", &self.endpoints.siem),
        ];
        for (path, base) in endpoints {
            if let Some(Err(message)) = base.as_deref().map(check_base_url) {
                problems.push(Problem::new(path, message));
            }
        }
    }
}

impl SourceConfig for DefenderConfig {
    const TYPE: &'static str = "defender";
    const CURSORS: Option<CursorForm> = Some(by_hand::FORM);
    const BACKFILLS: bool = true;

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        self.api_problems(&mut problems);
        self.siem_problems(&mut problems);
        self.identity_problems(&mut problems);
        self.number_problems(&mut problems);
        self.endpoint_problems(&mut problems);
        problems
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Source>, BuildError> {
        Ok(Box::new(Defender::build(self, cx)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: &str = r#""identity":{"tenant_id":"t1","client_id":"c1","client_secret":"s"}"#;

    fn config(rest: &str) -> DefenderConfig {
        let json = format!("{{{IDENTITY},{rest}}}");
        serde_json::from_str(&json).expect("well formed")
    }

    #[test]
    fn what_is_left_out_has_the_defaults_of_the_manual() {
        let config = config(r#""api":"graph_alerts""#);
        assert_eq!(config.problems(), []);
        assert_eq!(
            (
                config.poll_interval_secs,
                config.initial_lookback_secs,
                config.settle_secs
            ),
            (30, 86_400, 30)
        );
        assert_eq!(
            (config.overlap_secs, config.requests_per_minute),
            (600, 150)
        );
        assert_eq!(
            (config.emit, config.expand_alerts),
            (Emit::EveryVersion, false)
        );
        assert_eq!(config.api_base(), "https://graph.microsoft.com");
    }

    #[test]
    fn every_mistake_is_reported_with_its_path() {
        let check = |rest: &str, expected: &[&str]| {
            let problems = config(rest).problems();
            let paths: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
            assert_eq!(paths, expected, "{rest}: {problems:?}");
        };
        check(r#""api":"hunting""#, &["api"]);
        check(
            r#""api":"endpoint_alerts","cloud":"china""#,
            &["api", "cloud"],
        );
        check(r#""api":"siem","expand_alerts":true"#, &["expand_alerts"]);
        check(
            r#""api":"graph_alerts","region":"eu","resource":"x""#,
            &["region", "resource"],
        );
        check(r#""api":"siem","cloud":"gcc","region":"uk""#, &["region"]);
        check(
            r#""api":"siem","poll_interval_secs":0,"requests_per_minute":0,"endpoints":{"graph":"http://x"}"#,
            &[
                "poll_interval_secs",
                "requests_per_minute",
                "endpoints.graph",
            ],
        );
        check(
            r#""api":"siem","identities":[{"tenant_id":"T1","client_id":"c","client_secret":"s"},{}]"#,
            &[
                "identities[0].tenant_id",
                "identities[1].tenant_id",
                "identities[1].client_id",
                "identities[1]",
            ],
        );
        check(r#""api":"siem","reread_secs":60"#, &["reread_secs"]);
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        for json in [
            r#"{"api":"siem","pol_interval_secs":1}"#,
            r#"{"api":"graph"}"#,
        ] {
            assert!(serde_json::from_str::<DefenderConfig>(json).is_err());
        }
    }

    #[test]
    fn the_legacy_api_has_its_host_in_every_region_and_cloud() {
        let check = |rest: &str, expected: &str| {
            let base = config(&format!(r#""api":"siem",{rest}"#)).api_base();
            assert_eq!(base, format!("https://{expected}"));
        };
        check(r#""region":"eu""#, "wdatp-alertexporter-eu.windows.com");
        check(r#""region":"us""#, "wdatp-alertexporter-us.windows.com");
        check(
            r#""region":"uk","host_form":"securitycenter""#,
            "wdatp-alertexporter-uk.securitycenter.windows.com",
        );
        check(
            r#""cloud":"gcc""#,
            "wdatp-alertexporter-us.gcc.securitycenter.windows.us",
        );
        check(
            r#""cloud":"gcc_high""#,
            "wdatp-alertexporter-us.securitycenter.windows.us",
        );
        check(
            r#""cloud":"dod""#,
            "wdatp-alertexporter-us.securitycenter.windows.us",
        );
        check(r#""endpoints":{"siem":"https://x.example/"}"#, "x.example");
    }
}
