//! The HTTP loop that all servers share.

use crate::answer::{Answer, Asked, Fault, Sent, set_header, whole};
use crate::wire::Wire;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::io;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Longer request bodies are refused; a token request has a few KiB.
const LONGEST_BODY: usize = 1 << 20;

/// One server of Microsoft's. Everything it knows is in memory, so that it answers without waiting.
pub(crate) trait Api: Send + Sync + 'static {
    /// Its faults, clock, and record.
    fn wire(&self) -> &Wire;

    /// What it answers when all is well.
    fn answer(&self, asked: &Asked) -> Answer;

    /// Its error answer for a status that a fault asks for.
    fn refusal(&self, asked: &Asked, status: StatusCode) -> Answer;
}

/// Serves until stopped; open connections are then closed at once.
pub(crate) async fn serve(listener: TcpListener, api: Arc<dyn Api>, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(connection(stream, Arc::clone(&api)));
            }
        }
    }
    connections.shutdown().await;
}

async fn connection(stream: TcpStream, api: Arc<dyn Api>) {
    // a socket that cannot be set is about to fail anyway
    stream.set_nodelay(true).ok();
    let service = service_fn(|request| exchange(request, Arc::clone(&api)));
    // clients may leave when they like, and faults break connections on purpose
    hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await
        .ok();
}

async fn exchange(request: Request<Incoming>, api: Arc<dyn Api>) -> Result<Sent, io::Error> {
    let asked = read(request).await?;
    api.wire().record(&asked);
    let fault = api.wire().next_fault();
    let mut answer = answer(&*api, &asked, fault.as_ref());
    if !answer.headers().contains_key("date") {
        set_header(&mut answer, "date", &api.wire().date());
    }
    match fault {
        Some(fault) => fault
            .spoil(answer)
            .ok_or_else(|| io::ErrorKind::ConnectionAborted.into()),
        None => Ok(whole(answer)),
    }
}

async fn read(request: Request<Incoming>) -> Result<Asked, io::Error> {
    let (head, body) = request.into_parts();
    let body = Limited::new(body, LONGEST_BODY)
        .collect()
        .await
        .map_err(io::Error::other)?
        .to_bytes();
    let (path, query) = (
        head.uri.path().to_owned(),
        head.uri.query().unwrap_or_default().to_owned(),
    );
    Ok(Asked {
        method: head.method,
        path,
        query,
        headers: head.headers,
        body,
    })
}

fn answer(api: &dyn Api, asked: &Asked, fault: Option<&Fault>) -> Answer {
    match fault {
        Some(Fault::Status { code, retry_after }) => {
            let status = StatusCode::from_u16(*code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            let mut answer = api.refusal(asked, status);
            if let Some(text) = retry_after {
                set_header(&mut answer, "retry-after", text);
            }
            answer
        }
        Some(fault) => fault.instead().unwrap_or_else(|| api.answer(asked)),
        None => api.answer(asked),
    }
}
