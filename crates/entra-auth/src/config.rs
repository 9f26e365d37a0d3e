//! Who Tapline is to the identity platform, as written in the pipeline file.

use std::path::PathBuf;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tapline_core::{Problem, SecretSource};

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
    managed_identity: Option<IgnoredAny>,
    workload_identity: Option<IgnoredAny>,
    device_code: Option<IgnoredAny>,
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
        if let Some(message) = client_problem(&self.client_id) {
            wrong("client_id", message);
        }
        for (key, given) in self.unsupported() {
            if given {
                wrong(
                    key,
                    "not supported yet; use client_secret, certificate, or refresh_token",
                );
            }
        }
        if let Some(message) = self.proof_problem() {
            wrong("", message);
        }
        problems
    }

    fn unsupported(&self) -> [(&'static str, bool); 3] {
        [
            ("managed_identity", self.managed_identity.is_some()),
            ("workload_identity", self.workload_identity.is_some()),
            ("device_code", self.device_code.is_some()),
        ]
    }

    /// What is wrong with the set of proofs as a whole.
    fn proof_problem(&self) -> Option<&'static str> {
        let unsupported = self.unsupported().iter().any(|(_, given)| *given);
        let (secret, certificate) = (self.client_secret.is_some(), self.certificate.is_some());
        if secret && certificate {
            return Some("expected one of client_secret and certificate, found both");
        }
        let any = secret || certificate || self.refresh_token.is_some() || unsupported;
        (!any).then_some("expected one of client_secret, certificate, refresh_token, found none")
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
            &format!(r#"{good}"managed_identity":{{}}}}"#),
            &["identity.managed_identity"],
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
