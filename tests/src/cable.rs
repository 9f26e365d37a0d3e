//! A cable between a client and a server on loopback, that can be cut, and made slow.
//!
//! What a client was told by its kernel that the other side has, the cable reads to its end, also
//! when it is cut: whoever reads along sees everything that the client may count as taken.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

/// How long a client may take to notice that the cable was cut.
const NOTICE: Duration = Duration::from_secs(60);
const CHUNK: usize = 16 << 10;

/// What is the matter with a cable.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Weather {
    /// Nothing.
    Fine,
    /// Every read waits for so long before it goes on.
    Slow(Duration),
    /// Connections end, and new ones are not made.
    Cut,
}

/// Gets what clients send, connection by connection.
pub trait Tap: Send + 'static {
    /// Takes the next bytes of a connection.
    fn take(&mut self, bytes: &[u8]);
}

/// Reads nothing along.
pub struct NoTap;

impl Tap for NoTap {
    fn take(&mut self, _bytes: &[u8]) {}
}

/// A cable; cut when dropped.
pub struct Cable {
    port: u16,
    weather: watch::Sender<Weather>,
    target: Arc<Mutex<Option<u16>>>,
    accepting: JoinHandle<()>,
}

impl Cable {
    /// Lies on a free port; `tap` makes who reads along, for each connection.
    ///
    /// # Errors
    /// If there is no port.
    pub async fn lay<T: Tap>(tap: impl Fn() -> T + Send + 'static) -> io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let port = listener.local_addr()?.port();
        let weather = watch::Sender::new(Weather::Fine);
        let target = Arc::new(Mutex::new(None));
        let (seen, to) = (weather.subscribe(), Arc::clone(&target));
        let accepting = tokio::spawn(accept(listener, seen, to, tap));
        Ok(Self {
            port,
            weather,
            target,
            accepting,
        })
    }

    /// The end for clients.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Plugs the other end in.
    pub fn lead_to(&self, port: u16) {
        *self.target.lock().unwrap_or_else(PoisonError::into_inner) = Some(port);
    }

    /// Changes the weather, for connections that there are too.
    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }
}

impl Drop for Cable {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept<T: Tap>(
    listener: TcpListener,
    weather: watch::Receiver<Weather>,
    target: Arc<Mutex<Option<u16>>>,
    tap: impl Fn() -> T,
) {
    // Dropped with this future, and the connections with them.
    let mut connections = JoinSet::new();
    while let Ok((client, _)) = listener.accept().await {
        let port = *target.lock().unwrap_or_else(PoisonError::into_inner);
        connections.spawn(serve(client, port, weather.clone(), tap()));
        while connections.try_join_next().is_some() {}
    }
}

async fn serve<T: Tap>(
    client: TcpStream,
    port: Option<u16>,
    mut weather: watch::Receiver<Weather>,
    tap: T,
) {
    let (from_client, to_client) = client.into_split();
    let server = match port {
        Some(port) if *weather.borrow() != Weather::Cut => {
            TcpStream::connect(("127.0.0.1", port)).await.ok()
        }
        _ => None,
    };
    let (from_server, to_server) = match server {
        Some(server) => {
            let (from, to) = server.into_split();
            (Some(from), Some(to))
        }
        None => (None, None),
    };
    let back = back(from_server, to_client, weather.clone());
    let forth = forth(from_client, to_server, &mut weather, tap);
    tokio::join!(back, forth);
}

/// What the server says; ends the client's side when the server ends, or the cable is cut.
async fn back(
    from: Option<OwnedReadHalf>,
    mut to: OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
) {
    if let Some(mut from) = from {
        let mut chunk = vec![0; CHUNK];
        while let Some(length) = read(&mut from, &mut chunk, &mut weather).await {
            if to.write_all(&chunk[..length]).await.is_err() {
                break;
            }
        }
    }
    // The client may be gone already.
    let _gone = to.shutdown().await;
}

/// What the client says: read to its end, whatever becomes of the server.
async fn forth<T: Tap>(
    mut from: OwnedReadHalf,
    mut to: Option<OwnedWriteHalf>,
    weather: &mut watch::Receiver<Weather>,
    mut tap: T,
) {
    let mut chunk = vec![0; CHUNK];
    loop {
        let length = match tokio::time::timeout(NOTICE, from.read(&mut chunk)).await {
            Ok(Ok(length)) if length > 0 => length,
            Err(_) if *weather.borrow() != Weather::Cut && to.is_some() => continue,
            _ => return,
        };
        tap.take(&chunk[..length]);
        wait_out(weather).await;
        if let Some(server) = &mut to
            && server.write_all(&chunk[..length]).await.is_err()
        {
            to = None;
        }
    }
}

/// The next bytes; none at the end, or when the cable is cut.
async fn read(
    from: &mut OwnedReadHalf,
    chunk: &mut [u8],
    weather: &mut watch::Receiver<Weather>,
) -> Option<usize> {
    let length = tokio::select! {
        length = from.read(chunk) => length.ok().filter(|length| *length > 0)?,
        _ = weather.wait_for(|weather| *weather == Weather::Cut) => return None,
    };
    wait_out(weather).await;
    Some(length)
}

async fn wait_out(weather: &watch::Receiver<Weather>) {
    let delay = match *weather.borrow() {
        Weather::Slow(delay) => delay,
        _ => return,
    };
    tokio::time::sleep(delay).await;
}
