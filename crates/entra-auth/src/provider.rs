//! One identity's tokens, for everyone who asks.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tapline_core::metrics::{Metrics, TOKEN_EXPIRY, TOKEN_REFRESHES};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::answer::Granted;
use crate::grant::Grant;
use crate::slot::{Next, Slot};
use crate::{Audience, AuthError, Token};

/// Outcomes of a token request, as metric labels.
const OUTCOMES: [&str; 3] = ["ok", "denied", "unreachable"];

type Outcome = Option<Result<Token, AuthError>>;

/// Hands out the tokens of one identity; asks for a new one at most once at a time.
pub struct TokenProvider {
    inner: Arc<Inner>,
}

struct Inner {
    label: Arc<str>,
    desks: Mutex<HashMap<Audience, Desk>>,
    /// Held during a request, so that the requests of an identity follow one another.
    grant: tokio::sync::Mutex<Grant>,
    metrics: Metrics,
    tasks: TaskTracker,
}

/// One audience's token, and the request for the next one.
#[derive(Default)]
struct Desk {
    slot: Slot,
    flight: Option<watch::Receiver<Outcome>>,
    /// What the last request ended with, so that only changes are logged loudly.
    last: Option<&'static str>,
}

impl TokenProvider {
    pub(crate) fn new(label: &str, grant: Grant, metrics: Metrics, tasks: TaskTracker) -> Self {
        for outcome in OUTCOMES {
            metrics.counter(&TOKEN_REFRESHES, &[label, outcome]);
        }
        Self {
            inner: Arc::new(Inner {
                label: Arc::from(label),
                desks: Mutex::default(),
                grant: tokio::sync::Mutex::new(grant),
                metrics,
                tasks,
            }),
        }
    }

    /// A token that is good now. Usually answers at once; a renewal before expiry happens in
    /// the background.
    ///
    /// # Errors
    /// [`AuthError`], the same for everyone who asks until [`AuthError::retry_after`] is over;
    /// the platform is not asked meanwhile.
    ///
    /// # Cancel safety
    /// Cancel-safe: a request under way goes on without whoever asked for it.
    pub async fn token(&self, audience: &Audience) -> Result<Token, AuthError> {
        let flight = {
            let mut desks = self.inner.desks();
            let desk = desks.entry(audience.clone()).or_default();
            match desk.slot.next(Instant::now()) {
                Next::Serve(token) => return Ok(token),
                Next::Fail(error) => return Err(error),
                Next::Renew(token) => {
                    self.inner.join_flight(desk, audience);
                    return Ok(token);
                }
                Next::Fetch => self.inner.join_flight(desk, audience),
            }
        };
        self.landing(flight).await
    }

    /// Drops the token that an API refused with status 401; a newer one is not touched.
    pub fn refused(&self, audience: &Audience, token: &Token) {
        let mut desks = self.inner.desks();
        if let Some(desk) = desks.get_mut(audience) {
            desk.slot.refused(token, Instant::now(), &self.inner.label);
        }
    }

    /// `tenant/client`, the metric label of the identity.
    pub fn label(&self) -> &str {
        &self.inner.label
    }

    async fn landing(&self, mut flight: watch::Receiver<Outcome>) -> Result<Token, AuthError> {
        if let Ok(outcome) = flight.wait_for(Option::is_some).await
            && let Some(result) = outcome.clone()
        {
            return result;
        }
        Err(AuthError::Unreachable {
            identity: self.inner.label.to_string(),
            what: "the request for a token was interrupted".to_owned(),
            reason: "interrupted",
            retry_after: Duration::from_secs(1),
        })
    }
}

impl std::fmt::Debug for TokenProvider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("TokenProvider")
            .field(&self.inner.label)
            .finish()
    }
}

impl Inner {
    fn desks(&self) -> MutexGuard<'_, HashMap<Audience, Desk>> {
        self.desks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The request under way, or a new one. It is a task of its own, so that it ends properly
    /// even if everyone who waits for it goes away.
    fn join_flight(
        self: &Arc<Self>,
        desk: &mut Desk,
        audience: &Audience,
    ) -> watch::Receiver<Outcome> {
        // A sender that is gone without a word belonged to a task that panicked.
        if let Some(flight) = desk.flight.as_ref().filter(|f| f.has_changed().is_ok()) {
            return flight.clone();
        }
        let (land, flight) = watch::channel(None);
        desk.flight = Some(flight.clone());
        let (inner, audience) = (Arc::clone(self), audience.clone());
        self.tasks.spawn(async move {
            let result = inner.fetch(&audience).await;
            land.send_replace(Some(result));
        });
        flight
    }

    async fn fetch(&self, audience: &Audience) -> Result<Token, AuthError> {
        let mut grant = self.grant.lock().await;
        let asked = Instant::now();
        let result = grant.redeem(audience).await;
        let mut desks = self.desks();
        let desk = desks.entry(audience.clone()).or_default();
        desk.flight = None;
        self.report(audience, desk, &result);
        let result = desk.take(result, asked);
        self.show_expiry(&desks);
        result
    }

    /// Counts and logs the end of a request; loudly only when it differs from the last one's.
    fn report(&self, audience: &Audience, desk: &mut Desk, result: &Result<Granted, AuthError>) {
        let outcome = match result {
            Ok(_) => "ok",
            Err(error) if error.is_denied() => "denied",
            Err(_) => "unreachable",
        };
        let counter = self
            .metrics
            .counter(&TOKEN_REFRESHES, &[&self.label, outcome]);
        counter.inc();
        let changed = desk.last.replace(outcome) != Some(outcome);
        let identity = &*self.label;
        match result {
            Ok(granted) if changed => {
                let lifetime_secs = granted.lifetime.as_secs();
                info!(identity, %audience, lifetime_secs, "token received");
            }
            Err(problem) if changed && problem.is_denied() => {
                error!(identity, %audience, reason = problem.reason(), %problem, "token denied, a human must act");
            }
            Err(problem) if changed => {
                warn!(identity, %audience, reason = problem.reason(), %problem, "no token, trying again");
            }
            Ok(_) => debug!(identity, %audience, "token renewed"),
            Err(problem) => debug!(identity, %audience, %problem, "still no token"),
        }
    }

    /// Shows the identity's earliest expiry.
    fn show_expiry(&self, desks: &HashMap<Audience, Desk>) {
        let expiries = desks.values().filter_map(|desk| desk.slot.expires());
        if let Some(first) = expiries.min() {
            let gauge = self.metrics.gauge(&TOKEN_EXPIRY, &[&self.label]);
            gauge.set(first.as_duration().as_secs_f64());
        }
    }
}

impl Desk {
    fn take(
        &mut self,
        result: Result<Granted, AuthError>,
        asked: Instant,
    ) -> Result<Token, AuthError> {
        match result {
            Ok(granted) => Ok(self.slot.granted(granted, asked)),
            Err(error) => Err(self.slot.failed(error, Instant::now())),
        }
    }
}
