//! A syslog receiver that takes octet-counted messages over TCP, and can be shut and opened.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// Messages of everybody who connects.
pub struct Receiver {
    port: u16,
    received: Arc<Mutex<Vec<Vec<u8>>>>,
    accepting: Option<JoinHandle<()>>,
}

impl Receiver {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// If there is none.
    pub async fn start() -> std::io::Result<Self> {
        let mut receiver = Self {
            port: 0,
            received: Arc::default(),
            accepting: None,
        };
        receiver.open().await?;
        Ok(receiver)
    }

    /// Listens again on the same port after [`Receiver::shut`].
    ///
    /// # Errors
    /// If the port was taken meanwhile.
    pub async fn open(&mut self) -> std::io::Result<()> {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).await?;
        self.port = listener.local_addr()?.port();
        let received = Arc::clone(&self.received);
        self.accepting = Some(tokio::spawn(accept(listener, received)));
        Ok(())
    }

    /// Closes the port and all connections, without a word.
    pub async fn shut(&mut self) {
        if let Some(accepting) = self.accepting.take() {
            accepting.abort();
            // An aborted task is what was asked for.
            drop(accepting.await);
        }
    }

    /// Where it listens.
    pub fn endpoint(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// All messages so far.
    pub fn received(&self) -> Vec<Vec<u8>> {
        self.received.lock().expect("not poisoned").clone()
    }
}

async fn accept(listener: TcpListener, received: Arc<Mutex<Vec<Vec<u8>>>>) {
    // Dropped with this future, and their connections with them.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(read(stream, Arc::clone(&received)));
    }
}

async fn read(stream: TcpStream, received: Arc<Mutex<Vec<Vec<u8>>>>) {
    let mut reader = BufReader::new(stream);
    while let Ok(message) = message(&mut reader).await {
        received.lock().expect("not poisoned").push(message);
    }
}

/// Source: RFC 6587, section 3.4.1.
async fn message(reader: &mut BufReader<TcpStream>) -> std::io::Result<Vec<u8>> {
    let mut length = 0;
    loop {
        match reader.read_u8().await? {
            b' ' => break,
            digit => length = length * 10 + usize::from(digit - b'0'),
        }
    }
    let mut message = vec![0; length];
    reader.read_exact(&mut message).await?;
    Ok(message)
}
