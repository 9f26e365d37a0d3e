//! A receiver of the test: reads what comes, and misbehaves when told to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use rustls::ServerConfig;
use tapline_testkit::{Receiver, eventually};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// A TCP or TLS server on loopback.
pub(crate) struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Mutex<Option<JoinHandle<()>>>,
}

struct Shared {
    tls: Option<TlsAcceptor>,
    /// What each connection brought, in the order in which they were accepted.
    connections: Mutex<Vec<Vec<u8>>>,
    orders: watch::Sender<Orders>,
    open: AtomicUsize,
}

#[derive(Clone, Copy, Default)]
struct Orders {
    /// Connections with a lower number end.
    end_before: usize,
    /// Nobody reads.
    deaf: bool,
    /// A connection ends with a reset once it brought as many bytes.
    end_after: Option<usize>,
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    pub(crate) async fn start_tls(config: ServerConfig) -> Self {
        Self::start_with(Some(Arc::new(config).into())).await
    }

    async fn start_with(tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(Shared {
                tls,
                connections: Mutex::default(),
                orders: watch::Sender::default(),
                open: AtomicUsize::new(0),
            }),
            accepting: Mutex::default(),
        };
        server.accept_from(listener);
        server
    }

    fn accept_from(&self, listener: TcpListener) {
        let accepting = tokio::spawn(Arc::clone(&self.shared).accept(listener));
        *self.accepting.lock().unwrap() = Some(accepting);
    }

    pub(crate) fn endpoint(&self) -> String {
        let scheme = self.shared.tls.as_ref().map_or("tcp", |_| "tls");
        format!("{scheme}://{}", self.address)
    }

    /// What every connection brought.
    pub(crate) fn connections(&self) -> Vec<Vec<u8>> {
        self.shared.connections.lock().unwrap().clone()
    }

    /// What all connections brought, one after the other.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        self.connections().concat()
    }

    pub(crate) async fn wait_for(&self, expected: &[u8]) {
        eventually("the bytes arrive", || self.bytes().len() >= expected.len()).await;
        let (bytes, expected) = (self.bytes(), expected);
        let shown = String::from_utf8_lossy(&bytes);
        assert!(bytes == expected, "{shown}");
    }

    /// Ends all connections and waits until they are closed; new ones are accepted.
    pub(crate) async fn end_connections(&self) {
        let count = self.shared.connections.lock().unwrap().len();
        self.shared
            .orders
            .send_modify(|orders| orders.end_before = count);
        eventually("the connections end", || {
            self.shared.open.load(Ordering::SeqCst) == 0
        })
        .await;
    }

    pub(crate) fn be_deaf(&self, deaf: bool) {
        self.shared.orders.send_modify(|orders| orders.deaf = deaf);
    }

    pub(crate) fn end_after(&self, bytes: Option<usize>) {
        self.shared
            .orders
            .send_modify(|orders| orders.end_after = bytes);
    }
}

impl Shared {
    async fn accept(self: Arc<Self>, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let number = {
                let mut connections = self.connections.lock().unwrap();
                connections.push(Vec::new());
                self.open.fetch_add(1, Ordering::SeqCst);
                connections.len() - 1
            };
            tokio::spawn(Arc::clone(&self).serve(stream, number));
        }
    }

    async fn serve(self: Arc<Self>, stream: TcpStream, number: usize) {
        let mut orders = self.orders.subscribe();
        let ended = async move { drop(orders.wait_for(|o| o.end_before > number).await) };
        tokio::select! {
            () = ended => {}
            () = self.read(stream, number) => {}
        }
        self.open.fetch_sub(1, Ordering::SeqCst);
    }

    async fn read(&self, stream: TcpStream, number: usize) {
        match &self.tls {
            None => self.read_all(stream, number).await,
            Some(acceptor) => {
                if let Ok(stream) = acceptor.accept(stream).await {
                    self.read_all(stream, number).await;
                }
            }
        }
    }

    async fn read_all(&self, mut stream: impl AsyncRead + Unpin, number: usize) {
        let mut orders = self.orders.subscribe();
        let mut buffer = [0; 4096];
        loop {
            orders.wait_for(|orders| !orders.deaf).await.unwrap();
            let Ok(count @ 1..) = stream.read(&mut buffer).await else {
                return;
            };
            let mut connections = self.connections.lock().unwrap();
            connections[number].extend_from_slice(&buffer[..count]);
            let end_after = orders.borrow().end_after;
            if end_after.is_some_and(|bytes| connections[number].len() >= bytes) {
                return;
            }
        }
    }
}

/// For sinks with `format: none` and newline framing.
#[async_trait(?Send)]
impl Receiver for Server {
    fn bodies(&self) -> Vec<Vec<u8>> {
        let whole = |bytes: Vec<u8>| {
            let lines = bytes.split_inclusive(|byte| *byte == b'\n');
            let whole = lines.filter_map(|line| line.strip_suffix(b"\n"));
            whole.map(<[u8]>::to_vec).collect::<Vec<_>>()
        };
        self.connections().into_iter().flat_map(whole).collect()
    }

    async fn go_away(&self) {
        let accepting = self.accepting.lock().unwrap().take();
        let accepting = accepting.unwrap();
        accepting.abort();
        drop(accepting.await);
        self.end_connections().await;
    }

    async fn come_back(&self) {
        self.accept_from(TcpListener::bind(self.address).await.unwrap());
    }
}
