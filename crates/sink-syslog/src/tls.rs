//! Trust and client certificate, from files that may change while we run.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tapline_core::{BuildError, SecretSource};
use tracing::{info, warn};

/// The files, and the name that the receiver has to prove.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    /// Trusted instead of the system's authorities.
    pub(crate) ca: Option<PathBuf>,
    /// Trusted besides the system's authorities.
    pub(crate) extra_ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) server_name: Option<String>,
}

/// What one connection needs.
pub(crate) struct TlsClient {
    pub(crate) config: Arc<ClientConfig>,
    pub(crate) name: ServerName<'static>,
}

/// What was read from the files, and when they were last changed.
pub(crate) struct Tls {
    files: TlsFiles,
    config: Arc<ClientConfig>,
    stamps: Vec<Stamp>,
    /// Of files that cannot be used, which was said.
    refused: Option<Vec<Stamp>>,
    looked: Instant,
}

/// When a file was changed, and its size; nothing if it is not there.
type Stamp = Option<(SystemTime, u64)>;

/// How often the files are looked at while a connection is in use.
const LOOK_EVERY: Duration = Duration::from_secs(1);

type Cause = Box<dyn Error + Send + Sync>;

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{}: {cause}", file.display())]
struct FileError {
    file: PathBuf,
    cause: String,
}

impl Tls {
    /// Reads all files.
    ///
    /// # Errors
    /// [`BuildError`] that names the setting and the file.
    pub(crate) fn load(files: TlsFiles) -> Result<Self, BuildError> {
        let stamps = files.stamps();
        let config = Arc::new(files.client_config()?);
        Ok(Self {
            files,
            config,
            stamps,
            refused: None,
            looked: Instant::now(),
        })
    }

    /// Reads the files again if one has changed; says whether new connections differ from old.
    ///
    /// Files that cannot be used, perhaps because they are just being written, change nothing.
    pub(crate) async fn refresh(&mut self) -> bool {
        if self.looked.elapsed() < LOOK_EVERY {
            return false;
        }
        self.looked = Instant::now();
        let (files, old) = (self.files.clone(), self.stamps.clone());
        let read = tokio::task::spawn_blocking(move || {
            let stamps = files.stamps();
            (stamps != old).then(|| (stamps, files.client_config()))
        });
        match read.await.ok().flatten() {
            None => false,
            Some((stamps, Ok(config))) => {
                info!("tls files changed, connecting anew");
                self.stamps = stamps;
                self.config = Arc::new(config);
                true
            }
            Some((stamps, Err(error))) => {
                if self.refused.replace(stamps.clone()) != Some(stamps) {
                    warn!(setting = %error, cause = %error.source, "tls files changed and cannot be used; the old ones stay in use");
                }
                false
            }
        }
    }

    /// What a connection to `host` needs.
    ///
    /// # Errors
    /// If neither the host nor the configured name can stand in a certificate.
    pub(crate) fn client(&self, host: &str) -> std::io::Result<TlsClient> {
        let name = self.files.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(name.to_owned()).map_err(std::io::Error::other)?;
        Ok(TlsClient {
            config: Arc::clone(&self.config),
            name,
        })
    }
}

impl TlsFiles {
    fn stamps(&self) -> Vec<Stamp> {
        let stamp = |path: &PathBuf| {
            let metadata = std::fs::metadata(path).ok()?;
            Some((metadata.modified().ok()?, metadata.len()))
        };
        let files = [&self.ca, &self.extra_ca, &self.cert, &self.key];
        files.into_iter().flatten().map(stamp).collect()
    }

    fn client_config(&self) -> Result<ClientConfig, BuildError> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| BuildError::new("tls", error))?
            .with_root_certificates(self.roots()?);
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else {
            return Ok(builder.with_no_client_auth());
        };
        let chain = certificates(cert).map_err(|error| BuildError::new("tls.cert", error))?;
        let private = private_key(key).map_err(|error| BuildError::new("tls.key", error))?;
        let mismatch = |error| BuildError::new("tls.key", FileError::new(key, &error));
        builder
            .with_client_auth_cert(chain, private)
            .map_err(mismatch)
    }

    fn roots(&self) -> Result<RootCertStore, BuildError> {
        let mut roots = RootCertStore::empty();
        let named = match &self.ca {
            Some(ca) => Some(("tls.ca", ca)),
            None => {
                // One odd certificate of the system must not end the trust in all others.
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                self.extra_ca.as_ref().map(|ca| ("tls", ca))
            }
        };
        if let Some((setting, file)) = named {
            let failed = |error| BuildError::new(setting, error);
            for certificate in certificates(file).map_err(failed)? {
                let unfit = |error| BuildError::new(setting, FileError::new(file, &error));
                roots.add(certificate).map_err(unfit)?;
            }
        }
        Ok(roots)
    }
}

impl FileError {
    fn new(file: &Path, cause: &dyn Error) -> Self {
        Self {
            file: file.to_owned(),
            cause: cause.to_string(),
        }
    }
}

/// The certificates of a PEM file; at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Cause> {
    let pem = std::fs::read(file).map_err(|error| FileError::new(file, &error))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = read.map_err(|error| FileError::new(file, &error))?;
    if certificates.is_empty() {
        let cause = "holds no certificate; expected PEM".to_owned();
        let file = file.to_owned();
        return Err(FileError { file, cause }.into());
    }
    Ok(certificates)
}

/// The private key of a PEM file that only its owner and group may read.
fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>, Cause> {
    let source = SecretSource::File(file.to_owned());
    let pem = source.resolve(Path::new(""))?;
    let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes());
    Ok(key.map_err(|error| FileError::new(file, &error))?)
}
