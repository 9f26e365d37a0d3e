//! How an identity proves itself: secrets read from where the settings say.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use sha2::{Digest, Sha256};
use tapline_core::{BuildError, Secret, SecretError, SecretSource};

use crate::IdentityConfig;
use crate::assertion::{CertificateError, Signer};

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
            "{:?} {parts:?} {:?}",
            self.config_dir, self.config.certificate
        )
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
