//! Delivers batches: frames them, sends them, and says what became of each event.

use async_trait::async_trait;
use tapline_core::{Delivery, Event, Fault, Sink, SinkLimits, chain};
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};
use tracing::warn;

use crate::endpoint::Transport;
use crate::error::LinkError;
use crate::frame::{self, FrameError, Framing, Trailer};
use crate::header::Header;
use crate::line::{Line, Link};
use crate::udp::Datagrams;

/// How messages are told apart, and how long they may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Without it, what fits the transport.
    pub(crate) framing: Option<Framing>,
    pub(crate) trailer: Trailer,
    pub(crate) stream_bytes: usize,
    pub(crate) datagram_bytes: usize,
}

/// Sends each event as one syslog message.
pub(crate) struct Syslog {
    header: Header,
    limits: Limits,
    /// Locked for a whole delivery: one batch is on its way at a time.
    line: Mutex<Line>,
}

/// Room that is set aside for each header, so that the buffer of a batch seldom grows.
const USUAL_HEADER_BYTES: usize = 160;

/// The frames of a batch, and the events they are of.
#[derive(Default)]
struct Frames {
    bytes: Vec<u8>,
    positions: Vec<usize>,
    exceptions: Vec<(usize, Fault)>,
}

impl Syslog {
    pub(crate) fn new(header: Header, limits: Limits, line: Line) -> Self {
        Self {
            header,
            limits,
            line: Mutex::new(line),
        }
    }

    async fn deliver_over(&self, link: Link, line: &mut Line, events: &[Event]) -> Delivery {
        match link {
            Link::Stream(mut connection) => {
                let frames = self.frames(line.transport(), events);
                if frames.bytes.is_empty() {
                    line.give_back(Link::Stream(connection));
                    return frames.delivered();
                }
                let sent = connection.send(&frames.bytes, line.timing().delivery).await;
                match sent {
                    Ok(()) => {
                        line.give_back(Link::Stream(connection));
                        frames.delivered()
                    }
                    Err(error) => {
                        line.count_reset(&error);
                        frames.failed(&error)
                    }
                }
            }
            Link::Datagrams(datagrams) => {
                let deadline = Instant::now() + line.timing().delivery;
                let delivery = self.send_datagrams(&datagrams, events, deadline).await;
                if delivery
                    .exceptions
                    .iter()
                    .all(|(_, fault)| is_reject(fault))
                {
                    line.give_back(Link::Datagrams(datagrams));
                }
                delivery
            }
        }
    }

    fn frames(&self, transport: Transport, events: &[Event]) -> Frames {
        let framing = self.limits.framing.unwrap_or(match transport {
            Transport::Tls => Framing::OctetCounting,
            Transport::Tcp | Transport::Udp => Framing::Newline,
        });
        let bodies: usize = events.iter().map(|event| event.body().len()).sum();
        let mut frames = Frames {
            bytes: Vec::with_capacity(bodies + events.len() * USUAL_HEADER_BYTES),
            ..Frames::default()
        };
        let mut message = Vec::new();
        for (at, event) in events.iter().enumerate() {
            self.header.write_message(event, &mut message);
            let framed = frame::check_length(&message, self.limits.stream_bytes).and_then(|()| {
                frame::append(&message, framing, self.limits.trailer, &mut frames.bytes)
            });
            match framed {
                Ok(()) => frames.positions.push(at),
                Err(error) => frames.exceptions.push((at, reject(error))),
            }
        }
        frames
    }

    async fn send_datagrams(
        &self,
        datagrams: &Datagrams,
        events: &[Event],
        deadline: Instant,
    ) -> Delivery {
        let mut delivery = Delivery::all();
        let mut message = Vec::new();
        for (at, event) in events.iter().enumerate() {
            self.header.write_message(event, &mut message);
            if let Err(error) = frame::check_length(&message, self.limits.datagram_bytes) {
                delivery.exceptions.push((at, reject(error)));
                continue;
            }
            let sent = timeout_at(deadline, datagrams.send(&message)).await;
            let error = match sent {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => LinkError::Send(error),
                Err(_elapsed) => LinkError::Timeout,
            };
            let fault = report(&error);
            let rest = (at..events.len()).map(|at| (at, fault.clone()));
            delivery.exceptions.extend(rest);
            break;
        }
        delivery
    }
}

#[async_trait]
impl Sink for Syslog {
    async fn deliver(&self, events: &[Event]) -> Delivery {
        if events.is_empty() {
            return Delivery::all();
        }
        let mut line = self.line.lock().await;
        match line.take().await {
            Ok(link) => self.deliver_over(link, &mut line, events).await,
            // Already in the log, once per receiver.
            Err(error) => Delivery::none(events.len(), error.fault()),
        }
    }

    fn limits(&self) -> SinkLimits {
        SinkLimits {
            max_in_flight: 1,
            ..SinkLimits::default()
        }
    }

    async fn close(&self) {
        self.line.lock().await.close().await;
    }
}

impl Frames {
    fn delivered(self) -> Delivery {
        Delivery {
            exceptions: self.exceptions,
        }
    }

    /// Nothing of a stream counts as delivered unless all of it was confirmed: what a receiver
    /// read before it closed is not known.
    fn failed(mut self, error: &LinkError) -> Delivery {
        let fault = report(error);
        let unsent = self.positions.iter().map(|at| (*at, fault.clone()));
        self.exceptions.extend(unsent);
        self.exceptions.sort_by_key(|(at, _)| *at);
        self.delivered()
    }
}

/// Logs why a batch was not delivered, and says what becomes of its events.
fn report(error: &LinkError) -> Fault {
    let (reason, cause) = (error.reason(), chain(error));
    warn!(reason, %cause, "batch was not confirmed");
    error.fault()
}

fn reject(error: FrameError) -> Fault {
    Fault::Reject {
        reason: error.reason(),
        why: error.to_string(),
    }
}

fn is_reject(fault: &Fault) -> bool {
    matches!(fault, Fault::Reject { .. })
}
