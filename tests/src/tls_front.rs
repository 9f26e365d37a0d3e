//! A server that speaks TLS and hands what it hears to one that does not.

use std::sync::Arc;

use anyhow::Context;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, crypto::aws_lc_rs};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::services::certificates::CertificateFiles;

/// Gone when dropped, and its connections with it.
pub struct TlsFront {
    port: u16,
    serving: JoinHandle<()>,
}

impl TlsFront {
    /// Leads each connection to the port that `route` names for the beginning of its first request.
    ///
    /// # Errors
    /// If the certificate cannot be used, or no port is free.
    pub async fn start(
        server: &CertificateFiles,
        route: impl Fn(&str) -> u16 + Send + Sync + 'static,
    ) -> anyhow::Result<Self> {
        let certificates =
            CertificateDer::pem_file_iter(&server.cert)?.collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_file(&server.key)?;
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .context("the certificate of the front")?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let serving = tokio::spawn(serve(listener, acceptor, Arc::new(route)));
        Ok(Self { port, serving })
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    route: Arc<impl Fn(&str) -> u16 + Send + Sync + 'static>,
) {
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let (acceptor, route) = (acceptor.clone(), Arc::clone(&route));
        connections.spawn(async move {
            // Who hangs up, or does not trust us, is no matter of the front.
            let _ended = lead(stream, &acceptor, &*route).await;
        });
    }
}

async fn lead(
    stream: TcpStream,
    acceptor: &TlsAcceptor,
    route: &(impl Fn(&str) -> u16 + Sync),
) -> std::io::Result<()> {
    let mut outside = acceptor.accept(stream).await?;
    let mut first = vec![0; 4096];
    let count = outside.read(&mut first).await?;
    let port = route(&String::from_utf8_lossy(&first[..count]));
    let mut inside = TcpStream::connect(("127.0.0.1", port)).await?;
    inside.write_all(&first[..count]).await?;
    copy_bidirectional(&mut outside, &mut inside).await?;
    Ok(())
}
