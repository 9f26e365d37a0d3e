//! The loop that takes connections.

use super::Hub;
use super::connection::Connection;
use super::frames::Frames;
use super::trouble::Place;
use super::weather::Weather;
use crate::faults::Faults;
use crate::tokens::Tokens;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Serves until stopped; open connections are then closed at once.
pub(crate) async fn serve(
    listener: TcpListener,
    hub: Arc<Hub>,
    tokens: Arc<Tokens>,
    faults: Faults,
    stop: CancellationToken,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => {}
            Ok((stream, _)) = listener.accept() => {
                if let Some(connection) = meet(stream, &hub, &tokens, &faults) {
                    connections.spawn(connection.run());
                }
            }
        }
    }
    connections.shutdown().await;
}

fn meet(
    stream: TcpStream,
    hub: &Arc<Hub>,
    tokens: &Arc<Tokens>,
    faults: &Faults,
) -> Option<Connection> {
    // a socket that cannot be set is about to fail anyway
    stream.set_nodelay(true).ok();
    let (number, mailbox) = hub.join();
    let connection = Connection {
        hub: Arc::clone(hub),
        tokens: Arc::clone(tokens),
        number,
        mailbox,
        frames: Frames::new(stream),
        sessions: BTreeMap::new(),
        claims: Vec::new(),
        weather: Weather::new(faults.clone(), number),
        heartbeat: None,
        said: Instant::now(),
        ending: false,
    };
    let refused = hub.lock().asked.take(Place::Connect, None).is_some();
    (!refused).then_some(connection)
}
