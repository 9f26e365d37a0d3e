//! The certificate of the two ways in that speak TLS.

use crate::settings::StartError;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use std::fmt;
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

/// A certificate, its key, and whom a client must trust for it; all as PEM.
#[derive(Clone)]
pub struct HubCertificate {
    /// The certificate, and those between it and the authority.
    pub chain: String,
    /// The key of the certificate.
    pub key: String,
    /// The authority's certificate.
    pub authority: String,
}

impl fmt::Debug for HubCertificate {
    /// Leaves the key out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HubCertificate")
            .field("chain", &self.chain)
            .finish_non_exhaustive()
    }
}

impl HubCertificate {
    /// A new certificate for `localhost` and `127.0.0.1`, by a new authority that nobody trusts yet.
    ///
    /// # Errors
    /// [`StartError::Certificate`] when the system has no good random numbers.
    pub fn of_loopback() -> Result<Self, StartError> {
        Self::make(&["localhost", "127.0.0.1"])
            .map_err(|error| StartError::Certificate(error.to_string()))
    }

    fn make(names: &[&str]) -> Result<Self, rcgen::Error> {
        let mut params = CertificateParams::default();
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "authority of a simulation");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;

        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names)?;
        let name = &mut params.distinguished_name;
        name.push(DnType::CommonName, "simulated namespace");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &authority)?;
        Ok(Self {
            chain: certificate.pem(),
            key: key.serialize_pem(),
            authority: authority.pem(),
        })
    }

    /// What greets clients with this certificate.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, StartError> {
        let wrong = |why: String| StartError::Certificate(why);
        let chain = CertificateDer::pem_slice_iter(self.chain.as_bytes())
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| wrong(error.to_string()))?;
        let key = PrivateKeyDer::from_pem_slice(self.key.as_bytes())
            .map_err(|error| wrong(error.to_string()))?;
        let provider = Arc::new(aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
            .map_err(|error| wrong(error.to_string()))?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
