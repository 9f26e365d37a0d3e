//! How an identity proves itself: secrets read from where the settings say.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tapline_core::{BuildError, Secret, SecretError, SecretSource};

use crate::IdentityConfig;
use crate::WorkloadIdentityConfig;
use crate::assertion::{CertificateError, Signer};
use crate::managed::Machine;

/// Where the proofs come from. Read anew for every token, so that a replaced secret is noticed.
#[derive(Clone)]
pub(crate) struct Credential {
    config: IdentityConfig,
    config_dir: PathBuf,
}

/// What proves an identity at this moment.
#[derive(Clone, Default)]
pub(crate) struct Proof {
    pub(crate) client_secret: Option<Secret>,
    pub(crate) signer: Option<Arc<Signer>>,
    /// What another platform vouches with.
    pub(crate) federated_token: Option<Secret>,
    pub(crate) refresh_token: Option<Secret>,
}

/// A proof cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{key}")]
pub(crate) struct CredentialError {
    key: &'static str,
    #[source]
    source: CredentialCause,
}

#[derive(Debug, thiserror::Error)]
enum CredentialCause {
    #[error(transparent)]
    Secret(#[from] SecretError),
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error(transparent)]
    Federated(#[from] FederatedError),
}

/// There is no token of another platform.
#[derive(Debug, thiserror::Error)]
enum FederatedError {
    #[error(
        "expected token_file, or the variable AZURE_FEDERATED_TOKEN_FILE as Azure's webhook sets it"
    )]
    Unnamed,
    #[error("cannot read {}: {source}", path.display())]
    Unreadable {
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{} is empty", .0.display())]
    Empty(PathBuf),
}

impl From<CredentialError> for BuildError {
    fn from(error: CredentialError) -> Self {
        BuildError::new(format!("identity.{}", error.key), error.source)
    }
}

impl Credential {
    pub(crate) fn new(config: IdentityConfig, config_dir: PathBuf) -> Self {
        Self { config, config_dir }
    }

    /// Reads files and runs commands: blocks.
    pub(crate) fn resolve(&self) -> Result<Proof, CredentialError> {
        Ok(Proof {
            client_secret: self.secret("client_secret", self.config.client_secret.as_ref())?,
            signer: self.signer()?,
            federated_token: self.federated_token()?,
            refresh_token: self.secret("refresh_token", self.config.refresh_token.as_ref())?,
        })
    }

    fn secret(
        &self,
        key: &'static str,
        source: Option<&SecretSource>,
    ) -> Result<Option<Secret>, CredentialError> {
        let secret = source.map(|source| source.resolve(&self.config_dir));
        secret.transpose().map_err(|error| CredentialError {
            key,
            source: error.into(),
        })
    }

    fn signer(&self) -> Result<Option<Arc<Signer>>, CredentialError> {
        let certificate = self.config.certificate.as_ref();
        let signer = certificate.map(|files| Signer::read(files, &self.config_dir));
        let signer = signer.transpose().map_err(|error| CredentialError {
            key: "certificate",
            source: error.into(),
        })?;
        Ok(signer.map(Arc::new))
    }

    fn federated_token(&self) -> Result<Option<Secret>, CredentialError> {
        let config = self.config.workload_identity.as_ref();
        let token = config.map(|config| read_federated(config, &self.config_dir));
        token.transpose().map_err(|error| CredentialError {
            key: "workload_identity",
            source: error.into(),
        })
    }

    /// The machine that gives out tokens, if its identity is meant.
    pub(crate) fn machine(&self) -> Result<Option<Machine>, BuildError> {
        let config = self.config.managed_identity.as_ref();
        let variable = |name: &str| std::env::var(name).ok();
        let found = config.map(|config| Machine::find(config, &self.config.client_id, variable));
        let found = found.transpose();
        found.map_err(|error| BuildError::new("identity.managed_identity", error))
    }

    /// Names of settings whose secret stands in the pipeline file itself.
    pub(crate) fn literals(&self) -> Vec<&'static str> {
        let settings = [
            ("client_secret", &self.config.client_secret),
            ("refresh_token", &self.config.refresh_token),
        ];
        let literal = settings
            .into_iter()
            .filter(|(_, source)| source.as_ref().is_some_and(SecretSource::is_literal));
        literal.map(|(name, _)| name).collect()
    }

    /// A text that is the same for settings that mean the same. Shows no secret.
    pub(crate) fn description(&self) -> String {
        let mut parts = BTreeMap::new();
        for (key, source) in [
            ("client_secret", &self.config.client_secret),
            ("refresh_token", &self.config.refresh_token),
        ] {
            parts.insert(key, source.as_ref().map(describe).unwrap_or_default());
        }
        format!(
            "{:?} {parts:?} {:?} {:?} {:?}",
            self.config_dir,
            self.config.certificate,
            self.config.workload_identity,
            self.config.managed_identity
        )
    }
}

/// Reads the token anew; who may read the file is the business of the platform that renews it.
fn read_federated(
    config: &WorkloadIdentityConfig,
    config_dir: &Path,
) -> Result<Secret, FederatedError> {
    let named = || std::env::var_os("AZURE_FEDERATED_TOKEN_FILE").map(PathBuf::from);
    let path = config.token_file.clone().or_else(named);
    let path = config_dir.join(path.ok_or(FederatedError::Unnamed)?);
    let text = std::fs::read_to_string(&path).map_err(|source| FederatedError::Unreadable {
        path: path.clone(),
        source,
    })?;
    match text.trim() {
        "" => Err(FederatedError::Empty(path)),
        token => Ok(Secret::new(token)),
    }
}

fn describe(source: &SecretSource) -> String {
    match source {
        SecretSource::Literal(secret) => fingerprint(&[secret.expose()]),
        elsewhere => format!("{elsewhere:?}"),
    }
}

/// Hex digits that tell values apart and do not give them away.
pub(crate) fn fingerprint(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hex(&hasher.finalize()[..8])
}

/// Lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
