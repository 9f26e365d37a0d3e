//! What one server goes through whatever it serves: its faults, its clock, and its record of requests.

use crate::answer::{Asked, Fault};
use crate::faults::{Faults, Named};
use bytes::Bytes;
use http::HeaderMap;
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How many requests are remembered; older ones go.
const REMEMBERED: usize = 10_000;

/// The faults that a request can meet.
const OF_REQUESTS: [Named; 10] = [
    Named::Throttled,
    Named::Unavailable,
    Named::ServerError,
    Named::Unauthorized,
    Named::Truncated,
    Named::CutOff,
    Named::InvalidJson,
    Named::SlowBody,
    Named::Drop,
    Named::Html,
];

/// One request as a server saw it.
#[derive(Debug, Clone)]
pub struct RecordedRequest {
    /// `GET`, `POST`, ..
    pub method: String,
    /// The path as sent.
    pub path: String,
    /// The query as sent, still encoded, without `?`.
    pub query: String,
    /// All headers, the token included.
    pub headers: HeaderMap,
    /// The body as sent.
    pub body: Bytes,
}

impl RecordedRequest {
    /// The decoded value of a query parameter.
    pub fn query_value(&self, name: &str) -> Option<String> {
        decode_pairs(&self.query)
            .into_iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1)
    }

    /// The decoded value of a field of the posted form.
    pub fn form_value(&self, name: &str) -> Option<String> {
        let form = std::str::from_utf8(&self.body).ok()?;
        decode_pairs(form)
            .into_iter()
            .find(|pair| pair.0 == name)
            .map(|pair| pair.1)
    }

    /// A header's text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Faults, clock, and record of one server.
#[derive(Debug)]
pub(crate) struct Wire {
    faults: Faults,
    records: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    scripted: VecDeque<Fault>,
    requests: VecDeque<RecordedRequest>,
    clock_offset: i64,
    rng: StdRng,
    next_scheduled: Instant,
    lasting: Option<Lasting>,
}

/// A refusal that stands until its announced wait is over.
#[derive(Debug, Clone, Copy)]
struct Lasting {
    code: u16,
    style: RetryAfter,
    until: Instant,
}

/// The three ways of writing a wait.
#[derive(Debug, Clone, Copy)]
enum RetryAfter {
    Whole,
    Fraction,
    Date,
}

impl Wire {
    /// `records` says whether requests are remembered, which a run of hours must not do.
    pub(crate) fn new(faults: Faults, seed: u64, records: bool) -> Self {
        let state = State {
            scripted: VecDeque::new(),
            requests: VecDeque::new(),
            clock_offset: 0,
            rng: StdRng::seed_from_u64(seed),
            next_scheduled: Instant::now() + Duration::from_secs(5),
            lasting: None,
        };
        Self {
            faults,
            records,
            state: Mutex::new(state),
        }
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.lock().scripted.push_back(fault);
    }

    pub(crate) fn requests(&self) -> Vec<RecordedRequest> {
        self.lock().requests.iter().cloned().collect()
    }

    pub(crate) fn set_clock_offset(&self, seconds: i64) {
        self.lock().clock_offset = seconds;
    }

    pub(crate) fn record(&self, asked: &Asked) {
        if !self.records {
            return;
        }
        let mut state = self.lock();
        if state.requests.len() == REMEMBERED {
            state.requests.pop_front();
        }
        state.requests.push_back(RecordedRequest {
            method: asked.method.to_string(),
            path: asked.path.clone(),
            query: asked.query.clone(),
            headers: asked.headers.clone(),
            body: asked.body.clone(),
        });
    }

    /// The `Date` header of an answer given now.
    pub(crate) fn date(&self) -> String {
        http_date(self.lock().clock_offset)
    }

    /// Whether this fault is due for one request, by its chance.
    pub(crate) fn happens(&self, fault: Named) -> bool {
        let chance = self.faults.chance(fault);
        chance > 0.0 && (chance >= 1.0 || self.lock().rng.random_bool(chance))
    }

    /// The fault that the next request meets: first what a test asked for, then what still lasts, then what chance brings.
    pub(crate) fn next_fault(&self) -> Option<Fault> {
        let mut state = self.lock();
        let scripted = state.scripted.pop_front();
        scripted.or_else(|| state.still_lasting()).or_else(|| {
            let named = state
                .by_chance(&self.faults)
                .or_else(|| state.by_schedule(&self.faults))?;
            Some(state.make(named, self.faults.longest_wait))
        })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn still_lasting(&mut self) -> Option<Fault> {
        let lasting = self.lasting?;
        let left = lasting.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            self.lasting = None;
            return None;
        }
        Some(lasting.fault(left, self.clock_offset))
    }

    fn by_chance(&mut self, faults: &Faults) -> Option<Named> {
        let rng = &mut self.rng;
        OF_REQUESTS.into_iter().find(|fault| {
            let chance = faults.chance(*fault);
            chance > 0.0 && rng.random_bool(chance)
        })
    }

    fn by_schedule(&mut self, faults: &Faults) -> Option<Named> {
        let now = Instant::now();
        if !faults.scheduled || now < self.next_scheduled {
            return None;
        }
        self.next_scheduled = now + Duration::from_millis(self.rng.random_range(4_000..6_000));
        // the last one, an HTML page, is no part of the two profiles
        Some(OF_REQUESTS[self.rng.random_range(0..OF_REQUESTS.len() - 1)])
    }

    fn make(&mut self, fault: Named, longest: Duration) -> Fault {
        match fault {
            Named::Throttled => self.refuse_for_a_while(429, longest),
            Named::Unavailable => self.refuse_for_a_while(503, longest),
            Named::ServerError => Fault::status([500, 502, 504][self.rng.random_range(0..3)]),
            Named::Unauthorized => Fault::status(401),
            Named::Truncated => Fault::Truncated,
            Named::CutOff => Fault::CutOff,
            Named::InvalidJson => Fault::InvalidJson,
            Named::SlowBody => Fault::SlowBody(longest.mul_f64(self.rng.random_range(0.2..0.9))),
            Named::Html => Fault::Html,
            _ => Fault::Drop,
        }
    }

    fn refuse_for_a_while(&mut self, code: u16, longest: Duration) -> Fault {
        let style = [RetryAfter::Whole, RetryAfter::Fraction, RetryAfter::Date]
            [self.rng.random_range(0..3)];
        let wait = longest.mul_f64(self.rng.random_range(0.1..0.5));
        let wait = match style {
            RetryAfter::Fraction => wait,
            RetryAfter::Whole | RetryAfter::Date => {
                Duration::from_secs_f64(wait.as_secs_f64().ceil())
            }
        };
        let lasting = Lasting {
            code,
            style,
            until: Instant::now() + wait,
        };
        self.lasting = Some(lasting);
        lasting.fault(wait, self.clock_offset)
    }
}

impl Lasting {
    fn fault(self, left: Duration, clock_offset: i64) -> Fault {
        let seconds = left.as_secs_f64();
        let text = match self.style {
            RetryAfter::Whole => format!("{}", seconds.ceil()),
            RetryAfter::Fraction => format!("{:.3}", seconds + 0.001),
            RetryAfter::Date => http_date(clock_offset.saturating_add(seconds.ceil() as i64)),
        };
        Fault::status(self.code).retry_after(text)
    }
}

/// Decodes `a=b&c=d` with percent signs and plus signs, as a form or a query is written.
pub(crate) fn decode_pairs(text: &str) -> Vec<(String, String)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(name, value)| (decode(name), decode(value)))
        .collect()
}

/// Decodes percent signs and plus signs.
pub(crate) fn decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let (byte, left) = match (first, hex_pair(tail)) {
            (b'%', Some(byte)) => (byte, &tail[2..]),
            (b'+', _) => (b' ', tail),
            (other, _) => (*other, tail),
        };
        out.push(byte);
        rest = left;
    }
    String::from_utf8_lossy(&out).into_owned()
}

fn hex_pair(tail: &[u8]) -> Option<u8> {
    u8::from_str_radix(std::str::from_utf8(tail.get(..2)?).ok()?, 16).ok()
}

fn http_date(offset: i64) -> String {
    let at = Timestamp::from_second(Timestamp::now().as_second().saturating_add(offset))
        .unwrap_or(Timestamp::UNIX_EPOCH);
    DateTimePrinter::new()
        .timestamp_to_rfc9110_string(&at)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_decoded_as_servers_do() {
        let pairs = decode_pairs("$filter=a%20ge+2026-01-02T03:04:05%2B01:00&x&y=%zz");
        let expected = [
            ("$filter", "a ge 2026-01-02T03:04:05+01:00"),
            ("x", ""),
            ("y", "%zz"),
        ];
        assert_eq!(
            pairs,
            expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_mild_server_fails_about_every_five_seconds_and_is_well_again_within_two() {
        let wire = Wire::new(Faults::mild(), 1, false);
        let (mut failures, mut since) = (0, None);
        for _ in 0..6_000 {
            tokio::time::advance(Duration::from_millis(100)).await;
            if wire.next_fault().is_some() {
                failures += usize::from(since.is_none());
                let since = *since.get_or_insert_with(Instant::now);
                assert!(since.elapsed() <= Duration::from_secs(2));
            } else {
                since = None;
            }
        }
        assert!(
            (90..=150).contains(&failures),
            "{failures} faults in ten minutes"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn faults_asked_for_come_first_and_once() {
        let wire = Wire::new(Faults::none(), 1, false);
        wire.fail_next(Fault::status(503));
        assert_eq!(wire.next_fault(), Some(Fault::status(503)));
        assert_eq!(wire.next_fault(), None);
    }
}
