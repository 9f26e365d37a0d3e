//! AMQP in a WebSocket: one stream of bytes, cut into binary messages anywhere.
//!
//! Source: "AMQP 1.0 over WebSocket" (OASIS, amqp-wsb-v1.0, section 2), and the path and the older name of the protocol that
//! azure-eventhub 5.15 asks for.

use bytes::BytesMut;
use futures_util::{SinkExt, StreamExt};
use http::{HeaderValue, StatusCode};
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};

/// Bytes that wait between the socket and the connection.
pub(super) const ROOM: usize = 64 * 1024;
const PATH: &str = "/$servicebus/websocket";
const PROTOCOLS: [&str; 2] = ["amqp", "AMQPWSB10"];
const PROTOCOL: &str = "sec-websocket-protocol";

/// Greets a client that asks for AMQP at the right place, and sends any other away.
pub(super) async fn accept<S>(stream: S) -> io::Result<WebSocketStream<S>>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    tokio_tungstenite::accept_hdr_async(stream, admit)
        .await
        .map_err(io::Error::other)
}

#[expect(
    clippy::result_large_err,
    reason = "the type of the error is that of the library"
)]
fn admit(request: &Request, mut response: Response) -> Result<Response, ErrorResponse> {
    if request.uri().path().trim_end_matches('/') != PATH {
        return Err(refusal(StatusCode::NOT_FOUND));
    }
    let asked = request.headers().get(PROTOCOL);
    let asked = asked.and_then(|names| names.to_str().ok()).unwrap_or("");
    let mut asked = asked.split(',').map(str::trim);
    let Some(known) = asked.find_map(|name| PROTOCOLS.iter().find(|known| **known == name)) else {
        return Err(refusal(StatusCode::BAD_REQUEST));
    };
    let headers = response.headers_mut();
    headers.insert(PROTOCOL, HeaderValue::from_static(known));
    Ok(response)
}

fn refusal(status: StatusCode) -> ErrorResponse {
    let mut refusal = ErrorResponse::new(None);
    *refusal.status_mut() = status;
    refusal
}

/// Carries bytes between a socket and a connection until one of them ends.
pub(super) async fn carry<S>(socket: WebSocketStream<S>, far: DuplexStream) -> io::Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sink, mut messages) = socket.split();
    let (mut from_hub, mut to_hub) = tokio::io::split(far);
    let inward = async {
        while let Some(message) = messages.next().await {
            match message.map_err(io::Error::other)? {
                Message::Binary(bytes) => to_hub.write_all(&bytes).await?,
                Message::Text(_) => return Err(io::Error::other("text on an AMQP socket")),
                _ => {}
            }
        }
        Ok(())
    };
    let outward = async {
        let mut bytes = BytesMut::with_capacity(ROOM);
        while from_hub.read_buf(&mut bytes).await? > 0 {
            let message = Message::Binary(bytes.split().freeze());
            sink.send(message).await.map_err(io::Error::other)?;
            bytes.reserve(ROOM);
        }
        Ok(())
    };
    tokio::select! {
        ended = inward => ended,
        ended = outward => ended,
    }
}
