//! The admin HTTP: metrics, health, status, a page for people, and what an operator may have done.

mod client;
mod guard;
mod operator;
mod routes;
mod settings;
#[cfg(test)]
mod tests;
mod tls;

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tapline_core::SecretError;
use tapline_core::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

pub use client::{AdminClient, ClientError};
pub use operator::{Controls, Operator, ReloadAnswer, ReloadRequest};
pub use settings::{AdminConfig, AdminTls};
pub use tls::TlsError;

use crate::status::StatusBoard;
use guard::Guard;
use routes::Shown;

/// Why the admin HTTP cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// Somebody else listens there.
    #[error("admin.listen: port {} is already in use by another process", .0.port())]
    PortInUse(SocketAddr),
    /// The address cannot be listened on.
    #[error("admin.listen: cannot listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The token cannot be had.
    #[error("admin.token")]
    Token(#[source] SecretError),
    /// Certificate or key cannot be used.
    #[error("admin.tls")]
    Tls(#[source] TlsError),
}

/// The running admin HTTP. Dropping it ends it at once.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<io::Result<()>>,
}

/// Pages and scrapes are short; who is not done by then is cut off.
const STOP_LIMIT: Duration = Duration::from_secs(2);

impl AdminServer {
    /// Begins to listen and to serve.
    ///
    /// # Errors
    /// [`AdminError`] if the address is taken, or a token, certificate, or key cannot be used.
    pub async fn start(
        config: &AdminConfig,
        config_dir: &Path,
        metrics: Metrics,
        board: StatusBoard,
        operator: Operator,
    ) -> Result<Self, AdminError> {
        let token = config.token.as_ref().map(|token| token.resolve(config_dir));
        let guard = Guard {
            token: token.transpose().map_err(AdminError::Token)?,
            is_loopback: config.listen.ip().is_loopback(),
        };
        let tls = config
            .tls
            .as_ref()
            .map(|tls| tls::acceptor(tls, config_dir));
        let tls = tls.transpose().map_err(AdminError::Tls)?;
        let listener = listen(config.listen).await?;
        let address = listener.local_addr().map_err(|source| AdminError::Listen {
            address: config.listen,
            source,
        })?;
        let shown = Shown {
            metrics,
            board,
            operator,
        };
        let router = routes::router(shown, guard);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopped = async move {
            // A dropped server is a stop too.
            let _dropped = stopped.await;
        };
        let task = tokio::spawn(async move {
            match tls {
                Some(acceptor) => {
                    let listener = tls::TlsListener::new(listener, acceptor);
                    let serve = axum::serve(listener, router);
                    serve.with_graceful_shutdown(stopped).await
                }
                None => {
                    let serve = axum::serve(listener, router);
                    serve.with_graceful_shutdown(stopped).await
                }
            }
        });
        tracing::info!(%address, "admin HTTP is listening");
        Ok(Self {
            address,
            stop,
            task,
        })
    }

    /// Where it listens; the port that the system chose if the file said 0.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers what was asked, then ends, within two seconds.
    pub async fn stop(self) {
        // An error means that the server ended before.
        let _ended = self.stop.send(());
        let mut task = self.task;
        match tokio::time::timeout(STOP_LIMIT, &mut task).await {
            Ok(Ok(Ok(()))) => {}
            Ok(Ok(Err(error))) => tracing::warn!(%error, "admin HTTP ended badly"),
            Ok(Err(error)) => tracing::warn!(%error, "admin HTTP ended badly"),
            Err(_) => task.abort(),
        }
    }
}

async fn listen(address: SocketAddr) -> Result<TcpListener, AdminError> {
    TcpListener::bind(address).await.map_err(|source| {
        if source.kind() == io::ErrorKind::AddrInUse {
            return AdminError::PortInUse(address);
        }
        AdminError::Listen { address, source }
    })
}
