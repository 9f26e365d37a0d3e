//! Serving the admin HTTP over TLS.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::serve::Listener;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::{self, PemObject};
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tapline_core::{SecretError, SecretSource};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::AdminTls;

/// Why certificate or key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read as PEM.
    #[error("reading {}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: pem::Error,
    },
    /// The key file cannot be read, or others can read it.
    #[error("reading the key")]
    Key(#[source] SecretError),
    /// The certificate file holds none.
    #[error("{} holds no certificate", .0.display())]
    NoCertificate(PathBuf),
    /// Certificate and key do not fit together.
    #[error("the certificate or its key is refused")]
    Refused(#[source] rustls::Error),
}

/// Reads certificate and key.
pub(super) fn acceptor(settings: &AdminTls, dir: &Path) -> Result<TlsAcceptor, TlsError> {
    let cert = dir.join(&settings.cert);
    let certificates = CertificateDer::pem_file_iter(&cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|source| TlsError::File {
            path: cert.clone(),
            source,
        })?;
    if certificates.is_empty() {
        return Err(TlsError::NoCertificate(cert));
    }
    let pem = SecretSource::File(settings.key.clone()).resolve(dir);
    let pem = pem.map_err(TlsError::Key)?;
    let key = PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|source| {
        TlsError::File {
            path: dir.join(&settings.key),
            source,
        }
    })?;
    let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Refused)?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(TlsError::Refused)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Who has not finished the handshake by then is no client of ours.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// Handshakes at the same time; more wait in the kernel.
const MAX_HANDSHAKES: usize = 64;

/// Accepts TLS connections; a slow handshake holds up nobody else's.
pub(super) struct TlsListener {
    address: io::Result<SocketAddr>,
    ready: mpsc::Receiver<(TlsStream<TcpStream>, SocketAddr)>,
    /// Ends with the listener.
    _accepting: JoinSet<()>,
}

impl TlsListener {
    pub(super) fn new(listener: TcpListener, acceptor: TlsAcceptor) -> Self {
        let address = listener.local_addr();
        let (connections, ready) = mpsc::channel(MAX_HANDSHAKES);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, acceptor, connections));
        Self {
            address,
            ready,
            _accepting: accepting,
        }
    }
}

async fn accept(
    mut listener: TcpListener,
    acceptor: TlsAcceptor,
    connections: mpsc::Sender<(TlsStream<TcpStream>, SocketAddr)>,
) {
    let mut handshakes = JoinSet::new();
    loop {
        while handshakes.len() >= MAX_HANDSHAKES {
            handshakes.join_next().await;
        }
        while handshakes.try_join_next().is_some() {}
        // axum's own implementation waits after errors such as too many open files.
        let (stream, peer) = Listener::accept(&mut listener).await;
        let (acceptor, connections) = (acceptor.clone(), connections.clone());
        handshakes.spawn(async move {
            match tokio::time::timeout(HANDSHAKE_LIMIT, acceptor.accept(stream)).await {
                // An error means that the server has stopped, and the connection with it.
                Ok(Ok(stream)) => drop(connections.send((stream, peer)).await),
                Ok(Err(error)) => tracing::debug!(%peer, %error, "admin TLS handshake failed"),
                Err(_) => tracing::debug!(%peer, "admin TLS handshake took too long"),
            }
        });
    }
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        match self.ready.recv().await {
            Some(connection) => connection,
            // The accepting task lives as long as this listener.
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<Self::Addr> {
        match &self.address {
            Ok(address) => Ok(*address),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        }
    }
}
