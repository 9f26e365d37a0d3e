//! A TCP connection to a host outside, through the proxy of the settings where there is one.
//!
//! For protocols that are not HTTP: they ask the proxy for a tunnel (RFC 9110, section 9.3.6).

use std::io;

use hyper_util::client::proxy::matcher::{Intercept, Matcher};
use tapline_core::NetworkSettings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::proxy_rules;

/// Bytes of a proxy's answer; a page of regret may follow a refusal, and is not read.
const LONGEST_ANSWER: usize = 16 << 10;
/// Source: RFC 9110, section 4.2.1.
const HTTP_PORT: u16 = 80;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum TunnelError {
    /// The host, or the proxy, cannot be reached.
    #[error("no connection to {0}")]
    Connect(String, #[source] io::Error),
    /// The proxy's address is none. It may hold a password, so it is not repeated here.
    #[error("proxy address is not a URL such as http://proxy.example:3128")]
    Proxy,
    /// A proxy of another kind cannot be used for this protocol.
    #[error("the proxy is one for {0}; for this protocol it has to be http://")]
    Scheme(String),
    /// The proxy wants to know who we are, or knows us not.
    #[error(
        "proxy {0} wants a user name and password, or other ones; write them as http://USER:PASSWORD@HOST:PORT"
    )]
    ProxyAuthentication(String),
    /// The proxy does not want to connect.
    #[error("proxy {proxy} refuses a connection to {target}: {answer}")]
    Refused {
        /// Host and port of the proxy.
        proxy: String,
        /// Host and port of the target.
        target: String,
        /// The first line of the proxy's answer.
        answer: String,
    },
    /// What the proxy says is no HTTP.
    #[error("proxy {0} does not speak HTTP")]
    NotHttp(String),
}

/// Connects to a host outside: through the proxy of the settings, or else of the environment,
/// but never through one to this machine.
///
/// # Errors
/// [`TunnelError`], which shows no password.
pub async fn connect(
    network: &NetworkSettings,
    host: &str,
    port: u16,
) -> Result<TcpStream, TunnelError> {
    let target = format!("{host}:{port}");
    let Some(proxy) = proxy_for(network, &target)? else {
        return tcp(host, port).await;
    };
    if proxy.uri().scheme_str() != Some("http") {
        let scheme = proxy.uri().scheme_str().unwrap_or("nothing");
        return Err(TunnelError::Scheme(scheme.to_owned()));
    }
    let host = proxy.uri().host().ok_or(TunnelError::Proxy)?;
    let port = proxy.uri().port_u16().unwrap_or(HTTP_PORT);
    let mut stream = tcp(host, port).await?;
    ask(&mut stream, &target, &proxy, &format!("{host}:{port}")).await?;
    Ok(stream)
}

fn proxy_for(network: &NetworkSettings, target: &str) -> Result<Option<Intercept>, TunnelError> {
    let Some((address, exempt)) = proxy_rules(network) else {
        return Ok(None);
    };
    let uri = format!("https://{target}").parse();
    let Ok(uri) = uri else { return Ok(None) };
    let all = Matcher::builder().https(address.clone()).build();
    if all.intercept(&uri).is_none() {
        return Err(TunnelError::Proxy);
    }
    Ok(Matcher::builder()
        .https(address)
        .no(exempt)
        .build()
        .intercept(&uri))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, TunnelError> {
    let wrong = |error| TunnelError::Connect(format!("{host}:{port}"), error);
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let stream = TcpStream::connect((bare, port)).await.map_err(wrong)?;
    stream.set_nodelay(true).map_err(wrong)?;
    Ok(stream)
}

async fn ask(
    stream: &mut TcpStream,
    target: &str,
    proxy: &Intercept,
    name: &str,
) -> Result<(), TunnelError> {
    let wrong = |error| TunnelError::Connect(name.to_owned(), error);
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(proof) = proxy.basic_auth() {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(proof.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(wrong)?;
    let head = head(stream).await.map_err(wrong)?;
    let first = head.lines().next().unwrap_or_default();
    let status = first
        .strip_prefix("HTTP/1.")
        .and_then(|rest| rest.split(' ').nth(1));
    match status {
        Some(status) if status.starts_with('2') => Ok(()),
        Some("407") => Err(TunnelError::ProxyAuthentication(name.to_owned())),
        Some(_) => Err(TunnelError::Refused {
            proxy: name.to_owned(),
            target: target.to_owned(),
            answer: first.to_owned(),
        }),
        None => Err(TunnelError::NotHttp(name.to_owned())),
    }
}

/// The head of an answer; byte by byte, since what follows is not ours to read.
async fn head(stream: &mut TcpStream) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        if head.len() == LONGEST_ANSWER {
            return Err(io::Error::other("an answer without an end"));
        }
        head.push(stream.read_u8().await?);
    }
    Ok(String::from_utf8_lossy(&head).into_owned())
}

#[cfg(test)]
mod tests {
    use std::error::Error;

    use tapline_testkit::{Proxy, ProxyBehaviour};
    use tokio::net::TcpListener;

    use super::*;

    const TARGET: &str = "hub.contoso.example";

    async fn connected(proxy: String, host: &str, port: u16) -> Result<TcpStream, TunnelError> {
        let network = NetworkSettings {
            https_proxy: Some(proxy),
            ..NetworkSettings::default()
        };
        connect(&network, host, port).await
    }

    #[tokio::test]
    async fn what_is_sent_through_a_proxy_arrives_at_the_host_asked_for() {
        let far = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = far.local_addr().expect("bound").port();
        let proxy = Proxy::to(port, ProxyBehaviour::asking_for("me", "hunter 2")).await;
        let address = proxy.address_for("me", "hunter%202");
        let mut near = connected(address, TARGET, 5671).await.expect("a tunnel");
        near.write_all(b"hello").await.expect("sent");
        let (mut stream, _) = far.accept().await.expect("a connection");
        let mut text = [0; 5];
        stream.read_exact(&mut text).await.expect("received");
        assert_eq!(&text, b"hello");
        assert_eq!(proxy.asked(), [format!("{TARGET}:5671")]);
    }

    #[tokio::test]
    async fn a_host_of_this_machine_is_reached_without_the_proxy() {
        let near = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = near.local_addr().expect("bound").port();
        let proxy = Proxy::to(port, ProxyBehaviour::Open).await;
        let connection = connected(proxy.address(), "localhost", port).await;
        connection.expect("a connection");
        assert!(proxy.asked().is_empty());
    }

    #[tokio::test]
    async fn a_proxy_that_does_not_connect_is_named_and_no_password_shown() {
        let check = async |behaviour, address: fn(&Proxy) -> String, expected: &str| {
            let proxy = Proxy::to(9, behaviour).await;
            let refused = connected(address(&proxy), TARGET, 443).await;
            let error = refused.expect_err("no tunnel");
            let cause = error.source().map(ToString::to_string);
            let text = format!("{error}: {}", cause.unwrap_or_default());
            assert!(text.contains(expected), "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        };
        let anonymous = |proxy: &Proxy| proxy.address();
        let somebody = |proxy: &Proxy| proxy.address_for("me", "hunter2");
        let asking = || ProxyBehaviour::asking_for("you", "x");
        check(asking(), anonymous, "wants a user name").await;
        check(asking(), somebody, "wants a user name").await;
        check(ProxyBehaviour::Forbidding, somebody, "403").await;
        check(ProxyBehaviour::Babbling, somebody, "does not speak HTTP").await;
        check(
            ProxyBehaviour::Open,
            |_| "socks5://me:hunter2@127.0.0.1:1".to_owned(),
            "socks5",
        )
        .await;
        check(
            ProxyBehaviour::Open,
            |_| "http://me:hunter2@no where".to_owned(),
            "not a URL",
        )
        .await;
    }
}
