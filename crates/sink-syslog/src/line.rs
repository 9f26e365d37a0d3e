//! The way to the receivers: which one is in use, and when another one is tried.

use std::time::{Duration, Instant};

use tapline_core::chain;
use tapline_core::metrics::IntCounter;
use tapline_core::metrics::{self, ComponentMetrics};
use tracing::{debug, info, warn};

use crate::connection::Connection;
use crate::endpoint::{Endpoint, Transport};
use crate::error::LinkError;
use crate::tls::Tls;
use crate::udp::Datagrams;

/// An open way to one receiver.
pub(crate) enum Link {
    Stream(Box<Connection>),
    Datagrams(Datagrams),
}

/// How long things may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timing {
    /// Connecting to one receiver.
    pub(crate) connect: Duration,
    /// Sending one batch until it is confirmed.
    pub(crate) delivery: Duration,
    /// Staying with a later receiver before the first ones are tried again.
    pub(crate) failback: Duration,
}

/// The receivers in the operator's order, and the one in use.
pub(crate) struct Line {
    endpoints: Vec<Endpoint>,
    tls: Option<Tls>,
    timing: Timing,
    link: Option<Link>,
    current: usize,
    /// When a receiver before the current one was last tried.
    tried_first: Instant,
    /// Why each receiver could not be reached when that was last told; nothing once it is.
    told: Vec<Option<&'static str>>,
    resets: IntCounter,
}

impl Line {
    pub(crate) fn new(
        endpoints: Vec<Endpoint>,
        tls: Option<Tls>,
        timing: Timing,
        metrics: &ComponentMetrics,
    ) -> Self {
        Self {
            told: vec![None; endpoints.len()],
            endpoints,
            tls,
            timing,
            link: None,
            current: 0,
            tried_first: Instant::now(),
            resets: metrics.counter(&metrics::ERRORS, &["sending", "reset"]),
        }
    }

    pub(crate) fn timing(&self) -> Timing {
        self.timing
    }

    /// The transport of the receiver in use.
    pub(crate) fn transport(&self) -> Transport {
        self.endpoints[self.current].transport
    }

    /// Hands out an open link; whoever has used it without an error gives it back.
    ///
    /// # Errors
    /// [`LinkError`] when no receiver can be reached; the one that a human must mend, if there
    /// is one.
    pub(crate) async fn take(&mut self) -> Result<Link, LinkError> {
        if let Some(tls) = &mut self.tls
            && tls.refresh().await
        {
            self.close().await;
        }
        if let Some(link) = self.take_if_open().await {
            return Ok(link);
        }
        self.connect_to_any().await
    }

    /// Takes a link back for the next batch.
    pub(crate) fn give_back(&mut self, link: Link) {
        self.link = Some(link);
    }

    /// Says goodbye to the receiver in use.
    pub(crate) async fn close(&mut self) {
        if let Some(Link::Stream(connection)) = self.link.take() {
            connection.close().await;
        }
    }

    async fn take_if_open(&mut self) -> Option<Link> {
        let link = match self.link.take()? {
            Link::Datagrams(datagrams) if datagrams.is_old() => return None,
            Link::Datagrams(datagrams) => return Some(Link::Datagrams(datagrams)),
            Link::Stream(mut connection) => match connection.check_open().await {
                Ok(()) => Link::Stream(connection),
                Err(error) => {
                    self.report_end(&error);
                    return None;
                }
            },
        };
        if !self.is_failback_due() {
            return Some(link);
        }
        Some(self.go_back_or_stay(link).await)
    }

    /// Leaves a later receiver for an earlier one, if one of them is there again.
    async fn go_back_or_stay(&mut self, link: Link) -> Link {
        self.tried_first = Instant::now();
        for at in 0..self.current {
            if let Ok(earlier) = self.connect(at).await {
                if let Link::Stream(connection) = link {
                    connection.close().await;
                }
                return earlier;
            }
        }
        link
    }

    fn is_failback_due(&self) -> bool {
        self.current > 0 && self.tried_first.elapsed() >= self.timing.failback
    }

    async fn connect_to_any(&mut self) -> Result<Link, LinkError> {
        let count = self.endpoints.len();
        let first = if self.is_failback_due() {
            0
        } else {
            self.current
        };
        let mut worst = None;
        for at in (first..first + count).map(|at| at % count) {
            match self.connect(at).await {
                Ok(link) => return Ok(link),
                Err(error) if matches!(worst, Some(LinkError::Untrusted { .. })) => drop(error),
                Err(error) => worst = Some(error),
            }
        }
        Err(worst.unwrap_or(LinkError::ConnectTimeout))
    }

    async fn connect(&mut self, at: usize) -> Result<Link, LinkError> {
        if at == 0 {
            self.tried_first = Instant::now();
        }
        let endpoint = &self.endpoints[at];
        match self.open(endpoint).await {
            Ok(link) => {
                info!(%endpoint, "connected");
                self.told[at] = None;
                if at > 0 && self.current != at {
                    self.tried_first = Instant::now();
                }
                self.current = at;
                Ok(link)
            }
            Err(error) => {
                let (reason, cause) = (error.reason(), chain(&error));
                match self.told[at].replace(reason) {
                    // A long outage is no news each time.
                    Some(before) if before == reason => {
                        debug!(%endpoint, reason, %cause, "receiver still cannot be reached");
                    }
                    _ => warn!(%endpoint, reason, %cause, "receiver cannot be reached"),
                }
                Err(error)
            }
        }
    }

    async fn open(&self, endpoint: &Endpoint) -> Result<Link, LinkError> {
        let Timing {
            connect, delivery, ..
        } = self.timing;
        let tls = match endpoint.transport {
            Transport::Udp => {
                let datagrams = Datagrams::open(endpoint, connect).await?;
                return Ok(Link::Datagrams(datagrams));
            }
            Transport::Tcp => None,
            Transport::Tls => {
                let tls = self.tls.as_ref().map(|tls| tls.client(&endpoint.host));
                tls.transpose().map_err(LinkError::Tls)?
            }
        };
        let connection = Connection::open(endpoint, tls, connect, delivery).await?;
        Ok(Link::Stream(Box::new(connection)))
    }

    /// Says how a connection ended that had nothing unconfirmed.
    fn report_end(&self, error: &LinkError) {
        if !self.count_reset(error) {
            let endpoint = &self.endpoints[self.current];
            info!(%endpoint, cause = %chain(&error), "receiver closed the connection");
        }
    }
    /// Counts a reset, and says whether it was one.
    ///
    /// It means that the receiver closed with bytes unread, or vanished: what its kernel had confirmed
    /// may not have reached it. Nobody else can notice that.
    pub(crate) fn count_reset(&self, error: &LinkError) -> bool {
        let is_reset = matches!(error, LinkError::Reset);
        if is_reset {
            let endpoint = &self.endpoints[self.current];
            self.resets.inc();
            warn!(%endpoint, "receiver reset the connection: it may not have read the messages confirmed last");
        }
        is_reset
    }
}
