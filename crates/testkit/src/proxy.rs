//! A proxy that makes tunnels, whatever host is asked for, to one port of this machine.

use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// Longer requests are not read.
const LONGEST_REQUEST: usize = 16 << 10;

/// What a proxy says to a request for a tunnel.
#[derive(Clone, Debug)]
pub enum ProxyBehaviour {
    /// Connects whoever asks.
    Open,
    /// Connects who shows this value of `Proxy-Authorization`.
    Asking(String),
    /// Refuses everybody with status 403.
    Forbidding,
    /// Answers with what is no HTTP.
    Babbling,
}

impl ProxyBehaviour {
    /// Connects who knows a name and a password.
    pub fn asking_for(user: &str, password: &str) -> Self {
        let proof = STANDARD.encode(format!("{user}:{password}"));
        Self::Asking(format!("Basic {proof}"))
    }
}

/// A proxy for tests; gone when dropped, and its tunnels with it.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    asked: Arc<Mutex<Vec<String>>>,
    task: JoinHandle<()>,
}

impl Proxy {
    /// A proxy on a free port whose tunnels all end at `target` of this machine.
    ///
    /// # Panics
    /// If there is no free port.
    pub async fn to(target: u16, behaviour: ProxyBehaviour) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("it is bound").port();
        let asked = Arc::default();
        let task = tokio::spawn(serve(listener, target, behaviour, Arc::clone(&asked)));
        Self { port, asked, task }
    }

    /// Its address, as written in the settings.
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its address with a name and a password, percent-encoded by the caller.
    pub fn address_for(&self, user: &str, password: &str) -> String {
        format!("http://{user}:{password}@127.0.0.1:{}", self.port)
    }

    /// The targets for which tunnels were made, as `host:port`.
    pub fn asked(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    listener: TcpListener,
    target: u16,
    behaviour: ProxyBehaviour,
    asked: Arc<Mutex<Vec<String>>>,
) {
    let mut tunnels = JoinSet::new();
    loop {
        tokio::select! {
            Some(_) = tunnels.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                let (behaviour, asked) = (behaviour.clone(), Arc::clone(&asked));
                tunnels.spawn(async move {
                    // Either side may go away at any moment; that is what is tested.
                    tunnel(stream, target, &behaviour, &asked).await.ok();
                });
            }
        }
    }
}

async fn tunnel(
    mut near: TcpStream,
    target: u16,
    behaviour: &ProxyBehaviour,
    asked: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let request = request(&mut near).await?;
    let refusal: Option<&[u8]> = match behaviour {
        ProxyBehaviour::Open => None,
        ProxyBehaviour::Asking(proof) => (!shows(&request, proof)).then_some(
            b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n",
        ),
        ProxyBehaviour::Forbidding => Some(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"),
        ProxyBehaviour::Babbling => Some(b"220 mail.example ESMTP\r\n\r\n"),
    };
    if let Some(refusal) = refusal {
        return near.write_all(refusal).await;
    }
    let name = request.split(' ').nth(1).unwrap_or_default();
    asked
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(name.to_owned());
    let mut far = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await?;
    near.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")
        .await?;
    copy_bidirectional(&mut near, &mut far).await.map(drop)
}

fn shows(request: &str, proof: &str) -> bool {
    let mut headers = request.lines().filter_map(|line| line.split_once(": "));
    headers.any(|(name, value)| name.eq_ignore_ascii_case("proxy-authorization") && value == proof)
}

async fn request(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < LONGEST_REQUEST {
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}
