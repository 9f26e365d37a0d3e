//! The loops that take connections, one for each way in.

use super::connection::Connection;
use super::frames::{Frames, Stream};
use super::weather::Weather;
use super::websocket;
use super::{Hub, HubCertificate, Ports};
use crate::faults::Faults;
use crate::settings::{Settings, StartError};
use crate::simulation::bind_port;
use crate::tokens::Tokens;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// A way in.
#[derive(Clone)]
pub(crate) enum Door {
    /// AMQP on TCP.
    Clear,
    /// AMQP on TLS.
    Tls(TlsAcceptor),
    /// AMQP in a WebSocket on TLS.
    WebSocket(TlsAcceptor),
}

/// All ways in, open.
pub(crate) struct Doors {
    pub(crate) all: [(TcpListener, Door); 3],
    pub(crate) ports: Ports,
    /// Whom a client must trust, as PEM.
    pub(crate) authority: String,
}

impl Doors {
    /// Takes free ports of loopback, and the certificate that the settings say, or a new one.
    pub(crate) async fn open(settings: &Settings) -> Result<Self, StartError> {
        let certificate = match &settings.hub_certificate {
            Some(certificate) => certificate.clone(),
            None => HubCertificate::of_loopback()?,
        };
        let acceptor = certificate.acceptor()?;
        let (on_tcp, clear) = bind_port().await?;
        let (on_tls, tls) = bind_port().await?;
        let (on_websocket, websocket) = bind_port().await?;
        Ok(Self {
            all: [
                (on_tcp, Door::Clear),
                (on_tls, Door::Tls(acceptor.clone())),
                (on_websocket, Door::WebSocket(acceptor)),
            ],
            ports: Ports {
                clear,
                tls,
                websocket,
            },
            authority: certificate.authority,
        })
    }
}

/// What every connection is served with.
#[derive(Debug, Clone)]
pub(crate) struct Service {
    pub(crate) hub: Arc<Hub>,
    pub(crate) tokens: Arc<Tokens>,
    pub(crate) faults: Faults,
}

/// Serves until stopped; open connections are then closed at once.
pub(crate) async fn serve(
    listener: TcpListener,
    door: Door,
    service: Service,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(receive(stream, door.clone(), service.clone()));
            }
        }
    }
    connections.shutdown().await;
}

async fn receive(stream: TcpStream, door: Door, service: Service) -> io::Result<()> {
    // a socket that cannot be set is about to fail anyway
    stream.set_nodelay(true).ok();
    if service.hub.knock() {
        return Ok(());
    }
    match door {
        Door::Clear => service.connect(Box::new(stream)).await,
        Door::Tls(acceptor) => {
            let stream = acceptor.accept(stream).await?;
            service.connect(Box::new(stream)).await
        }
        Door::WebSocket(acceptor) => {
            let socket = websocket::accept(acceptor.accept(stream).await?).await?;
            let (near, far) = tokio::io::duplex(websocket::ROOM);
            let (served, carried) = tokio::join!(
                service.connect(Box::new(near)),
                websocket::carry(socket, far)
            );
            served.and(carried)
        }
    }
}

impl Service {
    async fn connect(&self, stream: Box<dyn Stream>) -> io::Result<()> {
        let (number, mailbox) = self.hub.join();
        let connection = Connection {
            hub: Arc::clone(&self.hub),
            tokens: Arc::clone(&self.tokens),
            number,
            mailbox,
            frames: Frames::new(stream),
            sessions: BTreeMap::new(),
            claims: Vec::new(),
            weather: Weather::new(self.faults.clone(), number),
            heartbeat: None,
            said: Instant::now(),
            ending: false,
        };
        connection.run().await
    }
}
