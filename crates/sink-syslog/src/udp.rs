//! One datagram per message. UDP promises nothing: what was sent counts as delivered.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::endpoint::Endpoint;
use crate::error::LinkError;

/// A socket that sends to one receiver.
pub(crate) struct Datagrams {
    socket: UdpSocket,
    resolved: Instant,
}

/// How long an address is used before the receiver's name is looked up again.
const RESOLVE_EVERY: Duration = Duration::from_secs(60);

impl Datagrams {
    /// Looks up the receiver and prepares a socket; sends nothing.
    ///
    /// # Errors
    /// [`LinkError`] when the name has no address, or that takes longer than `limit`.
    pub(crate) async fn open(endpoint: &Endpoint, limit: Duration) -> Result<Self, LinkError> {
        let opening = async {
            let host = (endpoint.host.as_str(), endpoint.port);
            let mut addresses = tokio::net::lookup_host(host)
                .await
                .map_err(LinkError::Resolve)?;
            let none = || LinkError::Resolve(io::ErrorKind::NotFound.into());
            let socket = socket_to(addresses.next().ok_or_else(none)?).await;
            Ok(Self {
                socket: socket.map_err(LinkError::Connect)?,
                resolved: Instant::now(),
            })
        };
        let opened = timeout(limit, opening).await;
        opened.unwrap_or(Err(LinkError::ConnectTimeout))
    }

    /// Whether the receiver's name should be looked up again.
    pub(crate) fn is_old(&self) -> bool {
        self.resolved.elapsed() >= RESOLVE_EVERY
    }

    /// Sends one message. A refusal reported here was that of an earlier one.
    ///
    /// # Errors
    /// What the kernel says.
    pub(crate) async fn send(&self, message: &[u8]) -> io::Result<()> {
        self.socket.send(message).await.map(drop)
    }
}

async fn socket_to(receiver: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match receiver {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(receiver).await?;
    Ok(socket)
}
