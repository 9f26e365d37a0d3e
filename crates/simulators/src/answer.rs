//! Answers, and the ways in which one can go wrong between server and client.

use bytes::Bytes;
use futures_util::stream::{self, StreamExt};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use std::io;
use std::time::Duration;

/// What one request asks, read to its end.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) method: http::Method,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// An answer as a server means it.
pub(crate) type Answer = Response<Bytes>;

/// An answer as it goes out.
pub(crate) type Sent = Response<BoxBody<Bytes, io::Error>>;

/// Something that goes wrong with one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// This status, with the server's error body, in place of the answer. A 401 also ends the access token that was shown.
    Status {
        /// The HTTP status, 100 to 999.
        code: u16,
        /// The text of `Retry-After`, if there is one.
        retry_after: Option<String>,
    },
    /// The first half of the answer's bytes, with a `Content-Length` that fits: half a page of JSON.
    Truncated,
    /// Half of the announced bytes, then the connection breaks.
    CutOff,
    /// Status 200 and `application/json`, but no JSON.
    InvalidJson,
    /// Status 200 and an HTML page.
    Html,
    /// The answer dribbles in over this time.
    SlowBody(Duration),
    /// The connection closes without an answer.
    Drop,
    /// Status 200, `application/json`, and exactly these bytes.
    Body(Bytes),
}

impl Fault {
    /// A status without `Retry-After`.
    pub fn status(code: u16) -> Self {
        Self::Status {
            code,
            retry_after: None,
        }
    }

    /// Adds the text of `Retry-After` to a status; changes nothing else.
    #[must_use]
    pub fn retry_after(self, text: impl Into<String>) -> Self {
        match self {
            Self::Status { code, .. } => Self::Status {
                code,
                retry_after: Some(text.into()),
            },
            other => other,
        }
    }

    /// The answer that stands in place of the server's, if this fault needs none of it.
    pub(crate) fn instead(&self) -> Option<Answer> {
        match self {
            Self::InvalidJson => Some(json(StatusCode::OK, "{\"value\": [{\"id\": nothing here]")),
            Self::Html => Some(with_type(
                StatusCode::OK,
                "text/html",
                "<html><body><h1>Sign in to the network</h1></body></html>",
            )),
            Self::Body(bytes) => Some(json(StatusCode::OK, bytes.clone())),
            _ => None,
        }
    }

    /// Spoils an answer on its way out; `None` closes the connection.
    pub(crate) fn spoil(&self, answer: Answer) -> Option<Sent> {
        match self {
            Self::Drop => None,
            Self::Truncated => Some(whole(answer.map(|body| body.slice(..body.len() / 2)))),
            Self::CutOff => Some(cut_off(answer)),
            Self::SlowBody(time) => Some(slow(answer, *time)),
            _ => Some(whole(answer)),
        }
    }
}

/// An answer whose body says that it is JSON.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    with_type(status, "application/json; charset=utf-8", body)
}

/// Sends an answer as it is.
pub(crate) fn whole(answer: Answer) -> Sent {
    answer.map(|body| Full::new(body).map_err(|never| match never {}).boxed())
}

/// Sets a header whose value may come from outside; what no header can carry is left out.
pub(crate) fn set_header(answer: &mut Answer, name: &'static str, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn with_type(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

fn cut_off(answer: Answer) -> Sent {
    let (mut head, body) = answer.into_parts();
    head.headers
        .insert(CONTENT_LENGTH, HeaderValue::from(body.len().max(1)));
    let half = body.slice(..body.len() / 2);
    let pieces = [
        Ok(Frame::data(half)),
        Err(io::Error::from(io::ErrorKind::ConnectionReset)),
    ];
    Response::from_parts(head, BodyExt::boxed(StreamBody::new(stream::iter(pieces))))
}

fn slow(answer: Answer, time: Duration) -> Sent {
    const PIECES: usize = 10;
    answer.map(|body| {
        let pieces = (0..PIECES)
            .map(move |n| body.slice(body.len() * n / PIECES..body.len() * (n + 1) / PIECES));
        let dribble = stream::iter(pieces).then(move |piece| async move {
            tokio::time::sleep(time / PIECES as u32).await;
            Ok(Frame::data(piece))
        });
        BodyExt::boxed(StreamBody::new(dribble))
    })
}
