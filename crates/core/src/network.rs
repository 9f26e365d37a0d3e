//! How to reach the outside: settings of the process that every component may override.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

/// Proxy and extra trust, as written at the top of the pipeline file or in a component.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq)]
pub struct NetworkSettings {
    /// Proxy for `https` addresses, such as `http://proxy.example:3128`; without it the
    /// environment variables `HTTPS_PROXY`, `HTTP_PROXY`, and `NO_PROXY` are honoured.
    pub https_proxy: Option<String>,
    /// A PEM file of certificates to trust besides the system's.
    pub extra_ca: Option<PathBuf>,
}

/// The certificates of a PEM file and those that this system trusts, as one PEM text, for libraries
/// that take one or the other.
///
/// # Errors
/// A sentence if the file cannot be read.
pub fn with_system_certificates(extra_ca: &Path) -> Result<String, String> {
    let extra = std::fs::read_to_string(extra_ca);
    let mut pem = extra.map_err(|error| format!("cannot read {}: {error}", extra_ca.display()))?;
    for certificate in rustls_native_certs::load_native_certs().certs {
        let text = STANDARD.encode(&certificate);
        pem.push_str("\n-----BEGIN CERTIFICATE-----\n");
        for line in text.as_bytes().chunks(64) {
            pem.push_str(std::str::from_utf8(line).expect("base64 is ASCII"));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(pem)
}
