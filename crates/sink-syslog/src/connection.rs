//! One connection over TCP or TLS: what was written to it, and what the receiver has taken.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tapline_core::chain;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::endpoint::Endpoint;
use crate::error::LinkError;
use crate::kernel::{self, State};
use crate::tls::TlsClient;
use crate::tls_error;

/// One open connection.
pub(crate) struct Connection {
    stream: Stream,
    /// For error messages of TLS.
    peer: String,
}

enum Stream {
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// How long a new connection is watched before the first message goes out.
///
/// A receiver that does not want us (address not allowed; in TLS 1.3, where the client is done
/// first, a client certificate it does not trust) closes right after accepting. What was sent
/// by then would be confirmed by its kernel and read by nobody.
const PROBATION: Duration = Duration::from_millis(200);

/// Pauses between questions to the kernel while a batch is on its way.
const FIRST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(20);

/// How long the reactor may take to notice what the kernel knows.
const LAST_WORDS: Duration = Duration::from_millis(100);

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(1);

impl Connection {
    /// Connects, agrees on TLS if asked to, and makes sure that the receiver wants us.
    ///
    /// # Errors
    /// [`LinkError`] when any of it fails, or takes longer than `limit`.
    pub(crate) async fn open(
        endpoint: &Endpoint,
        tls: Option<TlsClient>,
        limit: Duration,
        patience: Duration,
    ) -> Result<Self, LinkError> {
        let opening = async {
            let stream = connect(endpoint, limit).await?;
            kernel::watch(&stream, patience).map_err(LinkError::Connect)?;
            let mut connection = Self {
                stream: Stream::Tcp(stream),
                peer: endpoint.to_string(),
            };
            if let Some(client) = tls {
                connection = connection.secure(client).await?;
            }
            match connection.probation().await {
                Ok(()) => Ok(connection),
                Err(error) => Err(connection.refusal(error)),
            }
        };
        let opened = timeout(limit, opening).await;
        opened.unwrap_or(Err(LinkError::ConnectTimeout))
    }

    async fn secure(self, client: TlsClient) -> Result<Self, LinkError> {
        let (Stream::Tcp(stream), peer) = (self.stream, self.peer) else {
            unreachable!("TLS is agreed on once, over TCP");
        };
        let connector = TlsConnector::from(client.config);
        let agreed = connector.connect(client.name, stream).await;
        match agreed {
            Ok(stream) => Ok(Self {
                stream: Stream::Tls(Box::new(stream)),
                peer,
            }),
            Err(error) => Err(tls_error::classify(error, &peer)),
        }
    }

    async fn probation(&mut self) -> Result<(), LinkError> {
        let deadline = tokio::time::Instant::now() + PROBATION;
        while let Some(left) = deadline.checked_duration_since(tokio::time::Instant::now())
            && !left.is_zero()
        {
            self.check_open().await?;
            sleep(left.min(LONGEST_PAUSE)).await;
        }
        self.check_open().await
    }

    /// What it means that a new connection ends at once.
    ///
    /// Over TCP that happens when a receiver or a balancer before it restarts. Over TLS it has
    /// agreed with us first, so it did not like who we are, whether it says so or not.
    fn refusal(&self, error: LinkError) -> LinkError {
        match (&self.stream, error) {
            (_, told @ LinkError::Untrusted { .. }) => told,
            (Stream::Tls(_), error) => LinkError::Untrusted {
                reason: "tls_client_certificate",
                why: format!(
                    "{}: ended right after agreeing on TLS ({}); set tls.cert and tls.key to a client certificate that the receiver trusts, and look into its log",
                    self.peer,
                    chain(&error)
                ),
            },
            (Stream::Tcp(_), error) => error,
        }
    }

    /// Makes sure that the receiver has not closed the connection meanwhile.
    ///
    /// # Errors
    /// [`LinkError::Closed`], [`LinkError::Reset`], or what the receiver said over TLS.
    pub(crate) async fn check_open(&mut self) -> Result<(), LinkError> {
        self.drain_input().await?;
        match kernel::state(self.tcp()).map_err(LinkError::Send)? {
            State::Confirmed | State::Sending => Ok(()),
            State::Closed => Err(self.last_words(LinkError::Closed).await),
            State::Reset => Err(self.last_words(LinkError::Reset).await),
        }
    }

    /// Writes whole frames and waits until the receiver's kernel has taken every byte.
    ///
    /// # Errors
    /// [`LinkError`]; then the connection must not be used again, and every frame counts as not
    /// delivered.
    ///
    /// # Cancel safety
    /// Not cancel-safe: the connection must be dropped with the future.
    pub(crate) async fn send(&mut self, frames: &[u8], limit: Duration) -> Result<(), LinkError> {
        let sending = async {
            // Half a frame must not arrive: receivers take it for a message of its own.
            kernel::abort_on_close(self.tcp(), true).map_err(LinkError::Send)?;
            self.write(frames).await?;
            kernel::abort_on_close(self.tcp(), false).map_err(LinkError::Send)?;
            self.confirmed().await
        };
        let sent = timeout(limit, sending).await;
        sent.unwrap_or(Err(LinkError::Timeout))
    }

    async fn write(&mut self, frames: &[u8]) -> Result<(), LinkError> {
        let written = async {
            self.stream.write_all(frames).await?;
            self.stream.flush().await
        };
        match written.await {
            Ok(()) => Ok(()),
            Err(error) => {
                let error = tls_error::classify_send(error, &self.peer);
                Err(self.last_words(error).await)
            }
        }
    }

    async fn confirmed(&mut self) -> Result<(), LinkError> {
        let mut pause = FIRST_PAUSE;
        loop {
            match kernel::state(self.tcp()).map_err(LinkError::Send)? {
                State::Confirmed => return self.drain_input().await,
                State::Sending => {}
                State::Closed => return Err(self.last_words(LinkError::Closed).await),
                State::Reset => return Err(self.last_words(LinkError::Reset).await),
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Why the receiver ended the connection, if it said so before; else what is known.
    ///
    /// The kernel knows of an end sooner than the reactor knows that there is something to read.
    async fn last_words(&mut self, known: LinkError) -> LinkError {
        // Nothing to read in time is as good as nothing said.
        let _readable = timeout(LAST_WORDS, self.tcp().readable()).await;
        match self.drain_input().await {
            Err(told @ LinkError::Untrusted { .. }) => told,
            _ => known,
        }
    }

    /// Says goodbye, so that the receiver sees an orderly end.
    pub(crate) async fn close(mut self) {
        // A receiver that is gone needs no goodbye.
        let _goodbye = timeout(GOODBYE, self.stream.shutdown()).await;
    }

    /// Reads and forgets what is there; receivers have nothing to say but TLS's own messages.
    async fn drain_input(&mut self) -> Result<(), LinkError> {
        let mut bytes = [0; 4096];
        // Bounded, so that a receiver that talks without end does not hold us.
        for _ in 0..64 {
            let mut buffer = ReadBuf::new(&mut bytes);
            let read = poll_fn(|cx| {
                Poll::Ready(
                    match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                        Poll::Ready(result) => Some(result),
                        Poll::Pending => None,
                    },
                )
            });
            match read.await {
                None => return Ok(()),
                Some(Ok(())) if buffer.filled().is_empty() => return Err(LinkError::Closed),
                Some(Ok(())) => {}
                Some(Err(error)) => return Err(tls_error::classify_send(error, &self.peer)),
            }
        }
        Ok(())
    }

    fn tcp(&self) -> &TcpStream {
        match &self.stream {
            Stream::Tcp(stream) => stream,
            Stream::Tls(stream) => stream.get_ref().0,
        }
    }
}

async fn connect(endpoint: &Endpoint, limit: Duration) -> Result<TcpStream, LinkError> {
    let addresses = tokio::net::lookup_host((endpoint.host.as_str(), endpoint.port)).await;
    let addresses: Vec<_> = addresses.map_err(LinkError::Resolve)?.collect();
    connect_to_any(&addresses, limit).await
}

/// Tries one after the other; each has its part of the time, so that one that answers nothing does
/// not hide the others.
async fn connect_to_any(addresses: &[SocketAddr], limit: Duration) -> Result<TcpStream, LinkError> {
    let part = limit / u32::try_from(addresses.len()).unwrap_or(1).max(1);
    let mut last = LinkError::Resolve(std::io::ErrorKind::NotFound.into());
    for address in addresses {
        match timeout(part, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = LinkError::Connect(error),
            Err(_) => last = LinkError::ConnectTimeout,
        }
    }
    Err(last)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, buffer),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        match self.get_mut() {
            Stream::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Stream::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// An address that takes no more connections and says nothing.
    async fn silent() -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket
            .bind("127.0.0.1:0".parse().expect("right"))
            .expect("bound");
        let listener = socket.listen(1).expect("listens");
        let address = listener.local_addr().expect("has one");
        let mut waiting = Vec::new();
        let short = Duration::from_millis(200);
        while let Ok(Ok(stream)) = timeout(short, TcpStream::connect(address)).await {
            waiting.push(stream);
        }
        (listener, waiting)
    }

    #[tokio::test]
    async fn an_address_that_says_nothing_does_not_hide_the_next_one() {
        let (silent, _waiting) = silent().await;
        let there = TcpListener::bind("127.0.0.1:0").await.expect("bound");
        let addresses = [&silent, &there].map(|it| it.local_addr().expect("has one"));
        let begin = Instant::now();
        let limit = Duration::from_secs(2);
        let stream = connect_to_any(&addresses, limit).await.expect("connected");
        assert_eq!(stream.peer_addr().expect("has one"), addresses[1]);
        assert!(begin.elapsed() < limit);
        let error = connect_to_any(&addresses[..1], limit / 4).await;
        assert!(matches!(error, Err(LinkError::ConnectTimeout)), "{error:?}");
    }
}
