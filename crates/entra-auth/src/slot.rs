//! What is known of one token: a pure state machine, told the time by its caller.

use std::time::Duration;

use jiff::Timestamp;
use rand::Rng;
use tokio::time::Instant;

use crate::answer::Granted;
use crate::{AuthError, Token};

/// A token is renewed this long before it expires (as Azure's own libraries do) ..
const EARLY: Duration = Duration::from_secs(300);
/// .. or at half its life from this lifetime on.
const LONG_LIFE: Duration = Duration::from_secs(7200);
/// Longest part of a lifetime given away so that many identities do not renew at once.
const MAX_JITTER: Duration = Duration::from_secs(60);
/// A token is not handed out when it expires this soon: a request takes time.
const MARGIN: Duration = Duration::from_secs(10);
/// First and longest wait after the platform could not be reached.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A token refused this soon was refused for another reason than its age.
const YOUNG: Duration = Duration::from_secs(10);
/// So many young tokens in a row may be refused before the next one is waited for.
const YOUNG_REFUSALS: u32 = 3;
/// First and longest of those waits.
const REFUSED_WAIT: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// One token, and what stands in the way of the next.
#[derive(Debug, Default)]
pub(crate) struct Slot {
    held: Option<Held>,
    failure: Option<Failure>,
    failures: u32,
    young_refusals: u32,
}

#[derive(Debug)]
struct Held {
    token: Token,
    received: Instant,
    renew_at: Instant,
    serve_until: Instant,
}

#[derive(Debug)]
struct Failure {
    error: AuthError,
    until: Instant,
}

/// What to do for a caller.
#[derive(Debug)]
pub(crate) enum Next {
    /// Hand out the token.
    Serve(Token),
    /// Hand out the token, and ask for the next one meanwhile.
    Renew(Token),
    /// Ask for one and wait.
    Fetch,
    /// There is none, and asking again is not due.
    Fail(AuthError),
}

impl Slot {
    pub(crate) fn next(&self, now: Instant) -> Next {
        let held = self.held.as_ref().filter(|held| now < held.serve_until);
        let failure = self.failure.as_ref().filter(|failure| now < failure.until);
        match (held, failure) {
            (Some(held), None) if now >= held.renew_at => Next::Renew(held.token.clone()),
            (Some(held), _) => Next::Serve(held.token.clone()),
            (None, Some(failure)) => {
                let wait = failure.until.duration_since(now);
                Next::Fail(failure.error.clone().waiting(wait))
            }
            (None, None) => Next::Fetch,
        }
    }

    /// Takes a token that was asked for at `asked`: a slow answer only makes it expire earlier
    /// than needed. The clock is monotonic, so a wrong time of day does not matter.
    pub(crate) fn granted(&mut self, granted: Granted, asked: Instant) -> Token {
        let lifetime = granted.lifetime.min(Duration::from_secs(7 * 24 * 3600));
        let token = Token {
            secret: granted.access_token,
            expires: Timestamp::now() + lifetime.saturating_sub(asked.elapsed()),
        };
        self.held = Some(Held {
            token: token.clone(),
            received: asked,
            renew_at: asked + renew_after(lifetime),
            serve_until: asked + lifetime - MARGIN.min(lifetime / 10),
        });
        self.failure = None;
        self.failures = 0;
        token
    }

    /// Keeps an error for as long as asking again makes no sense, and returns it with that wait.
    pub(crate) fn failed(&mut self, error: AuthError, now: Instant) -> AuthError {
        let mut wait = error.retry_after().unwrap_or_default();
        if !error.is_denied() {
            wait = wait.max(doubled(BACKOFF, self.failures));
        }
        self.failures = self.failures.saturating_add(1);
        let wait = wait + jitter(wait / 10);
        let error = error.waiting(wait);
        self.failure = Some(Failure {
            error: error.clone(),
            until: now + wait,
        });
        error
    }

    /// Drops exactly the token that an API refused; a newer one stays.
    pub(crate) fn refused(&mut self, token: &Token, now: Instant, identity: &str) {
        let same = |held: &mut Held| held.token.expose() == token.expose();
        let Some(held) = self.held.take_if(same) else {
            return;
        };
        if now.duration_since(held.received) >= YOUNG {
            self.young_refusals = 0;
            return;
        }
        self.young_refusals += 1;
        if let Some(extra) = self.young_refusals.checked_sub(YOUNG_REFUSALS) {
            let wait = doubled(REFUSED_WAIT, extra);
            self.failed(refused_by_api(identity, wait), now);
        }
    }

    /// When the token in hand expires, by the wall clock.
    pub(crate) fn expires(&self) -> Option<Timestamp> {
        self.held.as_ref().map(|held| held.token.expires)
    }
}

fn refused_by_api(identity: &str, retry_after: Duration) -> AuthError {
    AuthError::Denied {
        identity: identity.to_owned(),
        code: "refused by the API".to_owned(),
        help: "the API refuses tokens that were issued a moment ago; check that cloud and \
               endpoints belong together and that the app has the API's permissions"
            .to_owned(),
        reason: "refused_by_api",
        retry_after,
    }
}

fn renew_after(lifetime: Duration) -> Duration {
    let after = if lifetime >= LONG_LIFE {
        lifetime / 2
    } else {
        lifetime.saturating_sub(EARLY).max(lifetime / 2)
    };
    after - jitter(MAX_JITTER.min(after / 10))
}

/// `first * 2^times`, at most `longest`.
fn doubled((first, longest): (Duration, Duration), times: u32) -> Duration {
    first.saturating_mul(1 << times.min(16)).min(longest)
}

fn jitter(most: Duration) -> Duration {
    most.mul_f64(rand::rng().random_range(0.0..1.0))
}

#[cfg(test)]
mod tests {
    use tapline_core::Secret;

    use super::*;

    fn granted(lifetime: u64) -> Granted {
        Granted {
            access_token: Secret::new("A"),
            lifetime: Duration::from_secs(lifetime),
            refresh_token: None,
        }
    }

    fn unreachable(retry_after: u64) -> AuthError {
        AuthError::Unreachable {
            identity: "t/c".to_owned(),
            what: "gone".to_owned(),
            reason: "connect",
            retry_after: Duration::from_secs(retry_after),
        }
    }

    fn word(next: &Next) -> &'static str {
        match next {
            Next::Serve(_) => "serve",
            Next::Renew(_) => "renew",
            Next::Fetch => "fetch",
            Next::Fail(_) => "fail",
        }
    }

    fn check(slot: &Slot, at: Instant, expected: &str) {
        let next = slot.next(at);
        assert_eq!(word(&next), expected, "{next:?}");
    }

    #[test]
    fn a_token_is_renewed_before_it_expires_and_serves_meanwhile() {
        for (lifetime, renewed_by) in [(3599, 3299), (7200, 3600), (86_400, 43_200), (60, 30)] {
            let mut slot = Slot::default();
            let begin = Instant::now();
            let at = |seconds: u64| begin + Duration::from_secs(seconds);
            check(&slot, begin, "fetch");
            slot.granted(granted(lifetime), begin);
            check(&slot, at(renewed_by * 8 / 10), "serve");
            check(&slot, at(renewed_by), "renew");
            check(&slot, at(lifetime - 11), "renew");
            check(&slot, at(lifetime), "fetch");
        }
    }

    #[test]
    fn a_failed_renewal_is_not_noticed_while_the_token_is_good() {
        let mut slot = Slot::default();
        let begin = Instant::now();
        slot.granted(granted(3599), begin);
        let late = begin + Duration::from_secs(3400);
        slot.failed(unreachable(0), late);
        check(&slot, late, "serve");
        check(&slot, late + Duration::from_secs(2), "renew");
    }

    #[test]
    fn a_failure_is_repeated_to_callers_for_as_long_as_the_server_asked() {
        let mut slot = Slot::default();
        let begin = Instant::now();
        slot.failed(unreachable(100), begin);
        check(&slot, begin + Duration::from_secs(99), "fail");
        check(&slot, begin + Duration::from_secs(111), "fetch");
    }

    #[test]
    fn waits_grow_while_the_platform_is_away_and_are_forgotten_afterwards() {
        let mut slot = Slot::default();
        let begin = Instant::now();
        let mut waits = Vec::new();
        for _ in 0..8 {
            let error = slot.failed(unreachable(0), begin);
            waits.push(error.retry_after().expect("a wait").as_secs());
        }
        assert!(
            waits[0] <= 1 && waits[7] >= 30 && waits[7] <= 33,
            "{waits:?}"
        );
        slot.granted(granted(3599), begin);
        let error = slot.failed(unreachable(0), begin);
        assert!(error.retry_after().expect("a wait") < Duration::from_secs(2));
    }

    #[test]
    fn a_refused_token_is_dropped_unless_a_newer_one_came() {
        let mut slot = Slot::default();
        let begin = Instant::now();
        let token = slot.granted(granted(3599), begin);
        let older = Token {
            secret: Secret::new("older"),
            expires: Timestamp::now(),
        };
        slot.refused(&older, begin, "t/c");
        check(&slot, begin, "serve");
        slot.refused(&token, begin, "t/c");
        check(&slot, begin, "fetch");
    }

    #[test]
    fn an_api_that_refuses_every_token_does_not_make_us_hammer_the_platform() {
        let mut slot = Slot::default();
        let now = Instant::now();
        for _ in 0..3 {
            check(&slot, now, "fetch");
            let token = slot.granted(granted(3599), now);
            slot.refused(&token, now, "t/c");
        }
        check(&slot, now + Duration::from_secs(4), "fail");
        check(&slot, now + Duration::from_secs(6), "fetch");
    }
}
