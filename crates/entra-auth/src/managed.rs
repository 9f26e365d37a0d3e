//! Tokens of a managed identity: given out by the machine that Tapline runs on, without a secret.
//!
//! Addresses, versions, and headers: Microsoft Learn, "How to use managed identities to get an
//! access token" (virtual machines, App Service, Azure Arc), seen 2026.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use tapline_core::Secret;

use crate::Audience;
use crate::config::ManagedIdentityConfig;

/// The metadata service of virtual machines, scale sets, and the nodes of a cluster.
const VIRTUAL_MACHINE: &str = "http://169.254.169.254/metadata/identity/oauth2/token";
/// Where the agent of Azure Arc keeps the keys that it asks for, and nothing else.
const ARC_KEYS: &str = "/var/opt/azcmagent/tokens";
/// No key of Azure Arc is longer, in bytes.
const ARC_KEY_LIMIT: u64 = 4096;

/// Where this machine gives out tokens, and whose.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    host: Host,
    endpoint: Url,
    /// `client_id`, `object_id`, or the resource's id; none is the machine's own identity.
    whose: Option<Whose>,
    arc_keys: PathBuf,
}

#[derive(Clone, Debug)]
enum Host {
    VirtualMachine,
    AppService { header: Secret },
    Arc,
    MachineLearning { secret: Secret },
}

#[derive(Clone, Debug)]
enum Whose {
    Client(String),
    Object(String),
    Resource(String),
}

/// No token of a managed identity can be asked for here.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MachineError {
    #[error("{name} is not an address: {text}")]
    Address { name: &'static str, text: String },
    #[error(
        "Service Fabric is not supported; use workload_identity, certificate, or client_secret"
    )]
    ServiceFabric,
    #[error(
        "Azure Arc knows the machine's own identity only; remove client_id, object_id, and resource_id"
    )]
    ArcIdentity,
    #[error("Azure Machine Learning tells identities apart by client_id only")]
    MachineLearningIdentity,
}

/// The agent of Azure Arc asks for a key that cannot be shown to it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyError {
    #[error("Azure Arc's agent does not say which key it wants")]
    Unnamed,
    #[error("Azure Arc's agent asks for {}, which is none of its keys", .0.display())]
    Elsewhere(PathBuf),
    #[error("cannot read {}: {source}; add Tapline's user to the group himds", path.display())]
    Unreadable { path: PathBuf, source: io::Error },
}

impl Machine {
    /// Finds out where this process runs, by the variables that each place sets.
    ///
    /// # Errors
    /// [`MachineError`] for a place that is not supported, or that knows no such identity.
    pub(crate) fn find(
        config: &ManagedIdentityConfig,
        client_id: &str,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, MachineError> {
        let set = |name: &str| variable(name).filter(|value| !value.is_empty());
        let identity_endpoint = set("IDENTITY_ENDPOINT");
        let (host, name, endpoint) = match (identity_endpoint, set("IDENTITY_HEADER")) {
            (Some(_), Some(_)) if set("IDENTITY_SERVER_THUMBPRINT").is_some() => {
                return Err(MachineError::ServiceFabric);
            }
            (Some(endpoint), Some(header)) => {
                let header = Secret::new(header);
                (Host::AppService { header }, "IDENTITY_ENDPOINT", endpoint)
            }
            (Some(endpoint), None) if set("IMDS_ENDPOINT").is_some() => {
                (Host::Arc, "IDENTITY_ENDPOINT", endpoint)
            }
            _ => match (set("MSI_ENDPOINT"), set("MSI_SECRET")) {
                (Some(endpoint), Some(secret)) => {
                    let secret = Secret::new(secret);
                    (Host::MachineLearning { secret }, "MSI_ENDPOINT", endpoint)
                }
                _ => virtual_machine(config, set("AZURE_POD_IDENTITY_AUTHORITY_HOST")),
            },
        };
        let text = endpoint.clone();
        let endpoint = Url::parse(&endpoint).map_err(|_| MachineError::Address { name, text })?;
        let machine = Self {
            host,
            endpoint,
            whose: whose(config, client_id),
            arc_keys: ARC_KEYS.into(),
        };
        machine.knows_whose()?;
        Ok(machine)
    }

    fn knows_whose(&self) -> Result<(), MachineError> {
        match (&self.host, &self.whose) {
            (Host::Arc, Some(_)) => Err(MachineError::ArcIdentity),
            (Host::MachineLearning { .. }, Some(Whose::Object(_) | Whose::Resource(_))) => {
                Err(MachineError::MachineLearningIdentity)
            }
            _ => Ok(()),
        }
    }

    /// Its address without path and query, for messages.
    pub(crate) fn address(&self) -> String {
        self.endpoint.origin().ascii_serialization()
    }

    /// What must not be repeated in a message.
    pub(crate) fn secrets(&self) -> Vec<Secret> {
        match &self.host {
            Host::AppService { header } => vec![header.clone()],
            Host::MachineLearning { secret } => vec![secret.clone()],
            Host::VirtualMachine | Host::Arc => Vec::new(),
        }
    }

    /// The request for a token.
    pub(crate) fn request(&self, client: &Client, audience: &Audience) -> RequestBuilder {
        let mut url = self.endpoint.clone();
        url.query_pairs_mut()
            .append_pair("api-version", self.version())
            .append_pair("resource", resource(audience))
            .extend_pairs(self.whose.as_ref().map(|whose| self.named(whose)));
        client.get(url).headers(self.headers())
    }

    fn version(&self) -> &'static str {
        match self.host {
            Host::VirtualMachine => "2018-02-01",
            Host::AppService { .. } => "2019-08-01",
            Host::Arc => "2020-06-01",
            Host::MachineLearning { .. } => "2017-09-01",
        }
    }

    /// Each place has names of its own for the same thing.
    fn named<'a>(&self, whose: &'a Whose) -> (&'static str, &'a str) {
        match (whose, &self.host) {
            (Whose::Client(id), Host::MachineLearning { .. }) => ("clientid", id),
            (Whose::Client(id), _) => ("client_id", id),
            (Whose::Object(id), _) => ("object_id", id),
            (Whose::Resource(id), Host::VirtualMachine) => ("msi_res_id", id),
            (Whose::Resource(id), _) => ("mi_res_id", id),
        }
    }

    fn headers(&self) -> HeaderMap {
        let (name, value) = match &self.host {
            Host::VirtualMachine | Host::Arc => {
                ("metadata", Some(HeaderValue::from_static("true")))
            }
            Host::AppService { header } => ("x-identity-header", hidden(header.expose())),
            Host::MachineLearning { secret } => ("secret", hidden(secret.expose())),
        };
        let value = value.map(|value| (HeaderName::from_static(name), value));
        value.into_iter().collect()
    }

    /// Whether an answer asks for a key before it gives a token, as Azure Arc's agent does.
    pub(crate) fn asks_for_key(&self, answer: &Response) -> bool {
        matches!(self.host, Host::Arc) && answer.status() == StatusCode::UNAUTHORIZED
    }

    /// The header with the key that an answer asks for. Blocks for a read of a small file.
    ///
    /// # Errors
    /// [`KeyError`]; a file outside the agent's folder is never read, whatever the answer says.
    pub(crate) fn key(&self, challenge: &HeaderMap) -> Result<(HeaderName, HeaderValue), KeyError> {
        let challenge = challenge.get(WWW_AUTHENTICATE);
        let challenge = challenge.and_then(|value| value.to_str().ok());
        let path = challenge.and_then(|text| text.strip_prefix("Basic realm="));
        let path = PathBuf::from(path.ok_or(KeyError::Unnamed)?.trim_matches('"'));
        let ours = path.parent() == Some(&self.arc_keys)
            && path.extension().is_some_and(|extension| extension == "key");
        if !ours {
            return Err(KeyError::Elsewhere(path));
        }
        let key = read_key(&path).map_err(|source| KeyError::Unreadable {
            path: path.clone(),
            source,
        })?;
        let value = hidden(&format!("Basic {}", key.expose()));
        Ok((AUTHORIZATION, value.ok_or(KeyError::Elsewhere(path))?))
    }
}

fn virtual_machine(
    config: &ManagedIdentityConfig,
    other_base: Option<String>,
) -> (Host, &'static str, String) {
    let path = "/metadata/identity/oauth2/token";
    let (name, endpoint) = match (&config.endpoint, other_base) {
        (Some(base), _) => ("endpoint", format!("{}{path}", base.trim_end_matches('/'))),
        (None, Some(base)) => (
            "AZURE_POD_IDENTITY_AUTHORITY_HOST",
            format!("{}{path}", base.trim_end_matches('/')),
        ),
        (None, None) => ("endpoint", VIRTUAL_MACHINE.to_owned()),
    };
    (Host::VirtualMachine, name, endpoint)
}

fn whose(config: &ManagedIdentityConfig, client_id: &str) -> Option<Whose> {
    let client = (!client_id.is_empty()).then(|| Whose::Client(client_id.to_owned()));
    client
        .or_else(|| config.object_id.clone().map(Whose::Object))
        .or_else(|| config.resource_id.clone().map(Whose::Resource))
}

/// What a managed identity's token is for has no scope, only a resource.
fn resource(audience: &Audience) -> &str {
    match audience {
        Audience::V1Resource(resource) => resource,
        Audience::V2Scope(scope) => scope.strip_suffix("/.default").unwrap_or(scope),
    }
}

/// A value that no debug output shows; none if it cannot stand in a header.
fn hidden(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn read_key(path: &Path) -> io::Result<Secret> {
    let mut key = String::new();
    let file = File::open(path)?;
    file.take(ARC_KEY_LIMIT + 1).read_to_string(&mut key)?;
    if key.len() as u64 > ARC_KEY_LIMIT {
        return Err(io::Error::other("it is longer than any key"));
    }
    Ok(Secret::new(key.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(variables: &[(&str, &str)], client_id: &str) -> Result<Machine, MachineError> {
        let variable = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        Machine::find(&ManagedIdentityConfig::default(), client_id, variable)
    }

    fn asked(variables: &[(&str, &str)], client_id: &str) -> (String, HeaderMap) {
        let machine = find(variables, client_id).expect("a known place");
        let audience = Audience::V2Scope("https://r.example/.default".to_owned());
        let request = machine.request(&Client::new(), &audience).build();
        let request = request.expect("a request");
        (request.url().to_string(), request.headers().clone())
    }

    const RESOURCE: &str = "resource=https%3A%2F%2Fr.example";

    #[test]
    fn every_place_is_asked_in_its_own_words() {
        let (url, headers) = asked(&[], "c");
        let expected = format!("{VIRTUAL_MACHINE}?api-version=2018-02-01&{RESOURCE}&client_id=c");
        assert_eq!(url, expected);
        assert_eq!(headers["metadata"], "true");

        let app_service = [
            ("IDENTITY_ENDPOINT", "http://127.0.0.1:41741/msi/token/"),
            ("IDENTITY_HEADER", "hunter2"),
        ];
        let (url, headers) = asked(&app_service, "c");
        let base = "http://127.0.0.1:41741/msi/token/";
        assert_eq!(
            url,
            format!("{base}?api-version=2019-08-01&{RESOURCE}&client_id=c")
        );
        assert_eq!(headers["x-identity-header"], "hunter2");
        assert!(!format!("{headers:?}").contains("hunter2"));

        let arc = [
            (
                "IDENTITY_ENDPOINT",
                "http://localhost:40342/metadata/identity/oauth2/token",
            ),
            ("IMDS_ENDPOINT", "http://localhost:40342"),
        ];
        let (url, headers) = asked(&arc, "");
        assert!(
            url.ends_with(&format!("token?api-version=2020-06-01&{RESOURCE}")),
            "{url}"
        );
        assert_eq!(headers["metadata"], "true");

        let learning = [
            ("MSI_ENDPOINT", "http://127.0.0.1:1/"),
            ("MSI_SECRET", "hunter2"),
        ];
        let (url, headers) = asked(&learning, "c");
        assert!(
            url.ends_with(&format!("?api-version=2017-09-01&{RESOURCE}&clientid=c")),
            "{url}"
        );
        assert_eq!(headers["secret"], "hunter2");
    }

    #[test]
    fn what_a_place_cannot_do_is_refused_at_the_start() {
        let fabric = [
            ("IDENTITY_ENDPOINT", "https://f"),
            ("IDENTITY_HEADER", "h"),
            ("IDENTITY_SERVER_THUMBPRINT", "t"),
        ];
        assert!(matches!(
            find(&fabric, ""),
            Err(MachineError::ServiceFabric)
        ));
        let arc = [
            ("IDENTITY_ENDPOINT", "http://localhost"),
            ("IMDS_ENDPOINT", "x"),
        ];
        assert!(matches!(find(&arc, "c"), Err(MachineError::ArcIdentity)));
        let nonsense = [("IDENTITY_ENDPOINT", "nonsense"), ("IDENTITY_HEADER", "h")];
        let error = find(&nonsense, "").expect_err("no address");
        assert!(error.to_string().contains("IDENTITY_ENDPOINT"), "{error}");
    }

    #[test]
    fn only_the_agents_own_keys_are_ever_shown_to_it() {
        let folder = tempfile::tempdir().expect("temporary folder");
        let arc = [
            ("IDENTITY_ENDPOINT", "http://localhost"),
            ("IMDS_ENDPOINT", "x"),
        ];
        let mut machine = find(&arc, "").expect("a known place");
        machine.arc_keys = folder.path().to_owned();
        let key = |path: &Path| {
            let challenge = format!("Basic realm={}", path.display());
            let challenge = HeaderValue::from_str(&challenge).expect("a header");
            machine.key(&[(WWW_AUTHENTICATE, challenge)].into_iter().collect())
        };
        let good = folder.path().join("a.key");
        std::fs::write(&good, "opensesame\n").expect("written");
        let (name, value) = key(&good).expect("the agent's");
        assert_eq!(
            (name, value.to_str().ok()),
            (AUTHORIZATION, Some("Basic opensesame"))
        );
        let other = folder.path().join("a.txt");
        std::fs::write(&other, "secret").expect("written");
        for elsewhere in [other, "/etc/passwd".into(), folder.path().join("../a.key")] {
            assert!(
                matches!(key(&elsewhere), Err(KeyError::Elsewhere(_))),
                "{elsewhere:?}"
            );
        }
        let long = folder.path().join("long.key");
        std::fs::write(&long, "x".repeat(5000)).expect("written");
        for unreadable in [long, folder.path().join("none.key")] {
            assert!(matches!(key(&unreadable), Err(KeyError::Unreadable { .. })));
        }
        assert!(matches!(
            machine.key(&HeaderMap::new()),
            Err(KeyError::Unnamed)
        ));
    }
}
