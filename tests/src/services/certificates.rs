//! Certificates for services of a test: an authority, a server on loopback, clients.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use tempfile::TempDir;

/// An authority and what it signed, as PEM files that end with their handle.
pub struct Certificates {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// The two files of a certificate.
#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The certificate.
    pub cert: PathBuf,
    /// Its key, which only its owner can read.
    pub key: PathBuf,
}

impl Certificates {
    /// A new authority that nobody trusts yet.
    pub fn new() -> anyhow::Result<Self> {
        let mut params = CertificateParams::default();
        params
            .distinguished_name
            .push(DnType::CommonName, "authority of a test");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let folder = TempDir::new()?;
        fs::write(folder.path().join("ca.pem"), authority.pem())?;
        Ok(Self { authority, folder })
    }

    /// The authority's certificate.
    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A certificate for `127.0.0.1` and `localhost`.
    pub fn server(&self) -> anyhow::Result<CertificateFiles> {
        self.server_of(&["127.0.0.1", "localhost"])
    }

    /// A certificate for a server of these names.
    pub fn server_of(&self, names: &[&str]) -> anyhow::Result<CertificateFiles> {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        self.sign("server", &names, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A certificate for a client of that name.
    pub fn client(&self, name: &str) -> anyhow::Result<CertificateFiles> {
        let names = [name.to_owned()];
        self.sign(name, &names, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn sign(
        &self,
        file: &str,
        names: &[String],
        purpose: ExtendedKeyUsagePurpose,
    ) -> anyhow::Result<CertificateFiles> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name.push(DnType::CommonName, file);
        params.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let cert = params.signed_by(&key, &self.authority)?;
        let files = CertificateFiles {
            cert: self.folder.path().join(format!("{file}.pem")),
            key: self.folder.path().join(format!("{file}.key")),
        };
        fs::write(&files.cert, cert.pem())?;
        write_private(&files.key, &key.serialize_pem()).context("writing a key")?;
        Ok(files)
    }
}

fn write_private(path: &Path, text: &str) -> std::io::Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, Permissions::from_mode(0o600))
}
