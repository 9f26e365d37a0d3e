//! A syslog receiver for the demo: takes one message per line over TCP.

use anyhow::Context;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::tally::Arrivals;

/// The receiver's socket, bound and not yet served.
pub(super) struct Receiver {
    listener: TcpListener,
}

impl Receiver {
    pub(super) async fn bind() -> anyhow::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await;
        Ok(Self {
            listener: listener.context("starting the syslog receiver of the demo")?,
        })
    }

    pub(super) fn address(&self) -> anyhow::Result<String> {
        Ok(self.listener.local_addr()?.to_string())
    }

    /// Takes connections until dropped, and tells `arrivals` of every message.
    pub(super) async fn serve(self, arrivals: Arrivals) {
        let mut connections = tokio::task::JoinSet::new();
        loop {
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    connections.spawn(read(stream, arrivals.clone()));
                }
                Err(error) => tracing::warn!(%error, "accepting a syslog connection"),
            }
        }
    }
}

async fn read(stream: TcpStream, arrivals: Arrivals) {
    let mut lines = BufReader::new(stream).split(b'\n');
    while let Ok(Some(line)) = lines.next_segment().await {
        arrivals.syslog(&String::from_utf8_lossy(&line));
    }
}
