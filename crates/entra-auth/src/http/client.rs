//! One way to build a client.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, NoProxy, Proxy};
use tapline_core::{NetworkSettings, chain};

/// How long resolving, connecting, and the TLS handshake may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How long an answer may stand still; a slow one that moves is not cut off.
const READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Hosts of this machine are never asked for through a proxy.
const LOOPBACK: &str = "localhost,127.0.0.0/8,::1";

/// The settings of the process cannot be used for HTTP.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The file of extra certificates cannot be read.
    #[error("cannot read certificates of {}", path.display())]
    CaFile {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file of extra certificates holds none, or a broken one.
    #[error("expected PEM certificates in {}", path.display())]
    CaText {
        /// The file.
        path: PathBuf,
    },
    /// The proxy's address is none. It may hold a password, so it is not repeated here.
    #[error("proxy address is not a URL such as http://proxy.example:3128")]
    Proxy,
    /// No client can be built, such as on a system without any trusted certificate.
    #[error("cannot set up HTTPS: {0}")]
    Client(String),
}

/// Builds a client: rustls with the system's trust and the extra one, proxy by settings or else
/// by the environment, no redirects, and `tapline/<version>` as user agent.
///
/// A redirect is never followed, because it could carry a token to another host. A client holds
/// a connection pool and is cheap to clone.
///
/// # Errors
/// [`HttpError`] when the certificate file or the proxy's address cannot be used.
pub fn client(network: &NetworkSettings) -> Result<Client, HttpError> {
    let mut builder = Client::builder()
        .user_agent(concat!("tapline/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .no_proxy();
    if let Some(proxy) = proxy(network)? {
        builder = builder.proxy(proxy);
    }
    if let Some(path) = &network.extra_ca {
        builder = builder.tls_certs_merge(certificates(path)?);
    }
    builder
        .build()
        .map_err(|error| HttpError::Client(chain(&error.without_url())))
}

/// The proxy for `https`; clear `http` goes to this machine only and needs none.
fn proxy(network: &NetworkSettings) -> Result<Option<Proxy>, HttpError> {
    let Some((address, exempt)) = proxy_rules(network) else {
        return Ok(None);
    };
    let proxy = Proxy::https(address).map_err(|_| HttpError::Proxy)?;
    Ok(Some(proxy.no_proxy(NoProxy::from_string(&exempt))))
}

/// The proxy's address, and the hosts that are reached without it.
pub(super) fn proxy_rules(network: &NetworkSettings) -> Option<(String, String)> {
    let from_environment =
        || environment(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]);
    let address = network.https_proxy.clone().or_else(from_environment)?;
    let exempt = match environment(&["NO_PROXY", "no_proxy"]) {
        Some(hosts) => format!("{hosts},{LOOPBACK}"),
        None => LOOPBACK.to_owned(),
    };
    Some((address, exempt))
}

fn environment(names: &[&str]) -> Option<String> {
    let values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.into_iter().find(|value| !value.is_empty())
}

fn certificates(path: &Path) -> Result<Vec<Certificate>, HttpError> {
    let pem = std::fs::read(path).map_err(|source| HttpError::CaFile {
        path: path.to_owned(),
        source,
    })?;
    match Certificate::from_pem_bundle(&pem) {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(HttpError::CaText {
            path: path.to_owned(),
        }),
    }
}

/// Whether TLS failed, as opposed to the network.
pub(crate) fn is_tls(error: &(dyn Error + 'static)) -> bool {
    if error.is::<rustls::Error>() {
        return true;
    }
    // An `io::Error` hides the error that it wraps: its source is that error's source.
    let wrapped = error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .is_some_and(|inner| is_tls(inner));
    wrapped || error.source().is_some_and(is_tls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(https_proxy: Option<&str>, extra_ca: Option<&str>) -> NetworkSettings {
        NetworkSettings {
            https_proxy: https_proxy.map(str::to_owned),
            extra_ca: extra_ca.map(PathBuf::from),
        }
    }

    #[test]
    fn settings_that_cannot_be_used_say_why_and_show_no_password() {
        let check = |settings: NetworkSettings, expected: &str| {
            let error = chain(&client(&settings).expect_err("unusable"));
            assert!(error.contains(expected), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        };
        check(
            network(Some("http://u:hunter2@ho st:1"), None),
            "proxy address",
        );
        check(
            network(None, Some("/nonexistent/ca.pem")),
            "/nonexistent/ca.pem",
        );
        check(
            network(
                None,
                Some(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")),
            ),
            "PEM certificates",
        );
    }

    #[test]
    fn a_tls_error_is_recognized_inside_an_io_error() {
        let tls = rustls::Error::HandshakeNotComplete;
        assert!(is_tls(&io::Error::other(io::Error::other(tls))));
        assert!(!is_tls(&io::Error::other("connection refused")));
    }
}
