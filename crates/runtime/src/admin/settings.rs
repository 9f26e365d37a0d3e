//! `admin:` of the pipeline file.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use serde::{Deserialize, Deserializer, de};
use tapline_core::{Problem, SecretSource};

/// Where metrics, health, status, and the page are served.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminConfig {
    /// Address and port, such as `127.0.0.1:9599`; port 0 lets the system choose. An address
    /// that is not loopback needs `token` and `tls`.
    #[serde(default = "default_listen", deserialize_with = "address")]
    pub listen: SocketAddr,
    /// What callers send as `Authorization: Bearer ..`; all but `/health/*` and the empty page
    /// need it once it is set.
    #[serde(default)]
    pub token: Option<SecretSource>,
    /// Certificate and key to serve `https` with.
    #[serde(default)]
    pub tls: Option<AdminTls>,
}

/// Certificate and key of the admin HTTP; relative paths start at the pipeline file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminTls {
    /// A PEM file with the certificate and those that lead to its root.
    pub cert: PathBuf,
    /// A PEM file with the certificate's private key.
    pub key: PathBuf,
}

/// Free in the usual port lists of Prometheus exporters; part of the contract.
const DEFAULT_PORT: u16 = 9599;

fn default_listen() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, DEFAULT_PORT))
}

fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    let text = match text.strip_prefix("localhost:") {
        Some(port) => format!("{}:{port}", Ipv4Addr::LOCALHOST),
        None => text,
    };
    text.parse()
        .map_err(|_| de::Error::custom("expected an address and a port, such as 127.0.0.1:9599"))
}

impl AdminConfig {
    /// Serves on loopback without a token; port 0 lets the system choose.
    pub fn loopback(port: u16) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, port)),
            token: None,
            tls: None,
        }
    }

    /// Checks what the types cannot say.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let is_open = !self.listen.ip().is_loopback();
        if is_open && (self.token.is_none() || self.tls.is_none()) {
            let message = "an address that is not loopback needs token and tls: { cert, key }";
            return vec![Problem::new("listen", message)];
        }
        Vec::new()
    }
}
