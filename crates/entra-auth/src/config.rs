//! Who Tapline is to the identity platform, as written in the pipeline file.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tapline_core::{Problem, SecretSource};

use crate::http::check_base_url;

/// Who Tapline is: an app registration in a tenant, and how it proves that.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityConfig {
    /// The tenant: its id, or one of its domain names.
    #[serde(default)]
    pub tenant_id: String,
    /// "Application (client) ID" of the app registration.
    #[serde(default)]
    pub client_id: String,
    /// Value (not the id) of a client secret of the app.
    pub client_secret: Option<SecretSource>,
    /// Refresh token of a user who consented to the app. Replaced by every use; the newest one
    /// is kept in `data_dir/tokens` and preferred as long as this setting does not change.
    pub refresh_token: Option<SecretSource>,
    /// Certificate of the app, instead of a client secret.
    pub certificate: Option<CertificateConfig>,
    /// The identity of the machine that Tapline runs on, instead of an app's. `client_id` then
    /// names a user-assigned identity; without it the machine's own one is meant.
    pub managed_identity: Option<ManagedIdentityConfig>,
    /// A token that another platform, such as Kubernetes, gives out and the app trusts.
    pub workload_identity: Option<WorkloadIdentityConfig>,
    device_code: Option<IgnoredAny>,
}

/// A managed identity. All empty is the machine's own.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ManagedIdentityConfig {
    /// "Object (principal) ID" of a user-assigned identity, instead of `client_id`.
    pub object_id: Option<String>,
    /// Resource id (`/subscriptions/..`) of a user-assigned identity, instead of `client_id`.
    pub resource_id: Option<String>,
    /// Base address of the machine's metadata service, default `http://169.254.169.254`. Places
    /// that set `IDENTITY_ENDPOINT` or `MSI_ENDPOINT` are asked there in any case.
    pub endpoint: Option<String>,
}

/// A federated token in a file that its platform renews.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorkloadIdentityConfig {
    /// The file, default the one that `AZURE_FEDERATED_TOKEN_FILE` names.
    pub token_file: Option<PathBuf>,
}

/// A certificate and its RSA key, in PEM files.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CertificateConfig {
    /// File with the certificate; only the first one in it is used.
    pub cert: PathBuf,
    /// File with the private key (PKCS#8 or PKCS#1), default the same file.
    pub key: Option<PathBuf>,
}

impl CertificateConfig {
    /// The file that holds the private key.
    pub(crate) fn key_file(&self) -> PathBuf {
        self.key.clone().unwrap_or_else(|| self.cert.clone())
    }
}

const NO_SIGN_IN: &str = "there is no interactive sign-in; use client_secret, certificate, \
                          workload_identity, managed_identity, or refresh_token";

/// Names that stand for many tenants; only an interactive sign-in may use them.
const SHARED_TENANTS: [&str; 3] = ["common", "organizations", "consumers"];

impl IdentityConfig {
    /// All mistakes, with paths that begin with `prefix`, such as `identity`.
    pub fn problems(&self, prefix: &str) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, message: &str| {
            problems.push(Problem::new(join(prefix, key), message));
        };
        if let Some(message) = tenant_problem(&self.tenant_id) {
            wrong("tenant_id", message);
        }
        let nameless = self.managed_identity.is_some() && self.client_id.is_empty();
        if let Some(message) = client_problem(&self.client_id).filter(|_| !nameless) {
            wrong("client_id", message);
        }
        if self.device_code.is_some() {
            wrong("device_code", NO_SIGN_IN);
        }
        if let Some((key, message)) = self.machine_problem() {
            wrong(key, &message);
        }
        if let Some(message) = self.proof_problem() {
            wrong("", &message);
        }
        problems
    }

    /// What is wrong with the managed identity.
    fn machine_problem(&self) -> Option<(&'static str, String)> {
        let machine = self.managed_identity.as_ref()?;
        let named = [&machine.object_id, &machine.resource_id];
        let names = named.into_iter().flatten().count() + usize::from(!self.client_id.is_empty());
        if names > 1 {
            let message = "expected at most one of client_id, object_id, resource_id";
            return Some(("managed_identity", message.to_owned()));
        }
        let problem = machine.endpoint.as_deref().map(check_base_url)?.err()?;
        Some(("managed_identity.endpoint", problem))
    }

    /// What is wrong with the set of proofs as a whole.
    fn proof_problem(&self) -> Option<String> {
        let proofs = [
            ("client_secret", self.client_secret.is_some()),
            ("certificate", self.certificate.is_some()),
            ("workload_identity", self.workload_identity.is_some()),
            ("managed_identity", self.managed_identity.is_some()),
        ];
        let given = proofs.iter().filter(|(_, given)| *given);
        let given: Vec<&str> = given.map(|(key, _)| *key).collect();
        match (&given[..], self.refresh_token.is_some()) {
            ([], false) if self.device_code.is_none() => Some(format!(
                "expected one of {}, refresh_token, found none",
                proofs.map(|(key, _)| key).join(", ")
            )),
            (["managed_identity"], true) => Some(
                "expected managed_identity or refresh_token: a user's token is no machine's"
                    .to_owned(),
            ),
            ([_, _, ..], _) => Some(format!("expected one of {}", given.join(", "))),
            _ => None,
        }
    }
}

fn join(prefix: &str, key: &str) -> String {
    let parts = [prefix, key].into_iter().filter(|part| !part.is_empty());
    parts.collect::<Vec<_>>().join(".")
}

fn tenant_problem(tenant_id: &str) -> Option<&'static str> {
    // The tenant becomes part of an address and of a file name.
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    if tenant_id.is_empty() {
        Some("is missing: the tenant's id, or one of its domain names")
    } else if SHARED_TENANTS.contains(&tenant_id.to_ascii_lowercase().as_str()) {
        Some("expected one tenant: its id, or one of its domain names")
    } else if !tenant_id.chars().all(legal) || tenant_id.starts_with('.') {
        Some("expected a tenant's id or domain name: letters, digits, hyphens, and dots")
    } else {
        None
    }
}

fn client_problem(client_id: &str) -> Option<&'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || c == '-';
    if client_id.is_empty() {
        Some("is missing: the \"Application (client) ID\" of the app registration")
    } else if !client_id.chars().all(legal) {
        Some("expected an application id: letters, digits, and hyphens")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(json: &str, expected: &[&str]) {
        let config: IdentityConfig = serde_json::from_str(json).expect("well formed");
        let problems = config.problems("identity");
        let paths: Vec<_> = problems.iter().map(|problem| &*problem.path).collect();
        assert_eq!(paths, expected, "{json}: {problems:?}");
    }

    #[test]
    fn all_mistakes_are_reported_at_once_with_their_paths() {
        let good = r#"{"tenant_id":"contoso.example","client_id":"ab-1","#;
        check(&format!(r#"{good}"client_secret":"s"}}"#), &[]);
        check(&format!(r#"{good}"certificate":{{"cert":"a.pem"}}}}"#), &[]);
        check(&format!(r#"{good}"refresh_token":{{"env":"R"}}}}"#), &[]);
        check(
            &format!(r#"{good}"client_secret":"s","refresh_token":{{"env":"R"}}}}"#),
            &[],
        );
        check(
            "{}",
            &["identity.tenant_id", "identity.client_id", "identity"],
        );
        check(
            &format!(r#"{good}"client_secret":"s","certificate":{{"cert":"a.pem"}}}}"#),
            &["identity"],
        );
        check(
            &format!(r#"{good}"device_code":{{}}}}"#),
            &["identity.device_code"],
        );
        check(
            &format!(r#"{good}"client_secret":"s","workload_identity":{{}}}}"#),
            &["identity"],
        );
    }

    #[test]
    fn a_managed_identity_is_the_machines_own_or_has_one_name() {
        let managed = |client: &str, inside: &str| {
            format!(r#"{{"tenant_id":"contoso.example",{client}"managed_identity":{{{inside}}}}}"#)
        };
        check(&managed("", ""), &[]);
        check(&managed(r#""client_id":"ab-1","#, ""), &[]);
        check(&managed("", r#""object_id":"o""#), &[]);
        let at = &["identity.managed_identity"];
        check(&managed(r#""client_id":"ab-1","#, r#""object_id":"o""#), at);
        check(&managed("", r#""object_id":"o","resource_id":"/r""#), at);
        let at = &["identity.managed_identity.endpoint"];
        check(&managed("", r#""endpoint":"http://metadata.example""#), at);
        check(&managed("", r#""endpoint":"http://127.0.0.1:8""#), &[]);
        check(
            &managed(r#""refresh_token":{"env":"R"},"#, ""),
            &["identity"],
        );
    }

    #[test]
    fn a_tenant_that_could_change_the_address_is_refused() {
        for tenant in ["common", "a/b", "..", "a?b", "a b"] {
            assert!(tenant_problem(tenant).is_some(), "{tenant}");
        }
    }

    #[test]
    fn an_unknown_key_is_an_error() {
        let error = serde_json::from_str::<IdentityConfig>(r#"{"client_sekret":"s"}"#)
            .expect_err("unknown key");
        assert!(error.to_string().contains("client_secret"), "{error}");
    }
}
