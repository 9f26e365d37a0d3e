//! A certificate's signature in place of a client secret.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde::Serialize;
use sha2::{Digest, Sha256};
use tapline_core::{Secret, SecretError, SecretSource};

use crate::CertificateConfig;
use crate::credential::hex;

/// Seconds for which an assertion is good; Microsoft recommends five to ten minutes.
const LIFETIME_SECS: i64 = 600;

/// A certificate or its key cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    #[error("expected a PEM certificate in {}", path.display())]
    Certificate {
        path: PathBuf,
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    #[error(transparent)]
    KeyFile(#[from] SecretError),
    #[error("expected a PEM RSA key without passphrase in {}", path.display())]
    Key {
        path: PathBuf,
        #[source]
        source: jsonwebtoken::errors::Error,
    },
}

/// Signs assertions with the key of a certificate.
pub(crate) struct Signer {
    header: Header,
    key: EncodingKey,
}

/// Source: Microsoft identity platform "certificate credentials", seen 2026.
#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    iss: &'a str,
    sub: &'a str,
    jti: String,
    nbf: i64,
    iat: i64,
    exp: i64,
}

impl Signer {
    /// Reads certificate and key; paths are relative to `config_dir`.
    pub(crate) fn read(
        files: &CertificateConfig,
        config_dir: &Path,
    ) -> Result<Self, CertificateError> {
        let path = config_dir.join(&files.cert);
        let der = CertificateDer::from_pem_file(&path)
            .map_err(|source| CertificateError::Certificate { path, source })?;
        let mut header = Header::new(Algorithm::PS256);
        header.x5t_s256 = Some(base64_url(&Sha256::digest(&der)));
        Ok(Self {
            header,
            key: read_key(files.key_file(), config_dir)?,
        })
    }

    /// An assertion that `client_id` is who asks `audience`, the v2 token endpoint.
    pub(crate) fn sign(
        &self,
        audience: &str,
        client_id: &str,
        now: Timestamp,
    ) -> Result<Secret, jsonwebtoken::errors::Error> {
        let now = now.as_second();
        let claims = Claims {
            aud: audience,
            iss: client_id,
            sub: client_id,
            jti: hex(&rand::random::<[u8; 16]>()),
            nbf: now,
            iat: now,
            exp: now + LIFETIME_SECS,
        };
        jsonwebtoken::encode(&self.header, &claims, &self.key).map(Secret::new)
    }
}

/// Reads the key like a secret file, so that one that everybody can read is refused, and tries
/// it, so that one that cannot sign is noticed at the start.
fn read_key(file: PathBuf, config_dir: &Path) -> Result<EncodingKey, CertificateError> {
    let path = config_dir.join(&file);
    let pem = SecretSource::File(file).resolve(config_dir)?;
    let key = EncodingKey::from_rsa_pem(private_key(pem.expose()).as_bytes());
    let tried = key.and_then(|key| {
        jsonwebtoken::encode(&Header::new(Algorithm::PS256), &(), &key)?;
        Ok(key)
    });
    tried.map_err(|source| CertificateError::Key { path, source })
}

/// The PEM text from its first private key on; the reader of keys looks at the first block only.
fn private_key(pem: &str) -> &str {
    let header = pem
        .lines()
        .find(|line| line.starts_with("-----BEGIN ") && line.contains("PRIVATE KEY-----"));
    header
        .and_then(|header| pem.find(header))
        .map_or(pem, |start| &pem[start..])
}

/// Base64 for addresses and without padding (RFC 4648, section 5).
fn base64_url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let padded = [0, chunk[0], byte(chunk, 1), byte(chunk, 2)];
        let bits = u32::from_be_bytes(padded);
        for digit in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * digit)) & 63;
            text.push(char::from(DIGITS[index as usize]));
        }
    }
    text
}

fn byte(chunk: &[u8], index: usize) -> u8 {
    chunk.get(index).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::base64_url;

    #[test]
    fn base64_is_that_of_the_standard_without_padding() {
        // RFC 4648, section 10.
        for (bytes, expected) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
        ] {
            assert_eq!(base64_url(bytes.as_bytes()), expected);
        }
        assert_eq!(base64_url(&[0xfb, 0xff]), "-_8");
    }
}
