//! The fixed numbers of this source, and why they are what they are.

use std::time::Duration;

/// An answer larger than this is dropped and asked for again in smaller parts, in bytes.
pub(crate) const ANSWER_CAP: usize = 16 << 20;
/// A part that cannot be made smaller, such as a single record, may be this large, in bytes.
pub(crate) const LAST_RESORT_CAP: usize = 64 << 20;
/// The page size is adapted so that answers stay below this, in bytes.
pub(crate) const ANSWER_TARGET: usize = 4 << 20;
/// A record larger than this goes to the dead letters, in bytes.
pub(crate) const RECORD_CAP: usize = ANSWER_CAP;

/// `$top` for alerts: the service clamps above 1000 (seen by peers, July 2026).
pub(crate) const ALERTS_PER_PAGE: usize = 1000;
/// `$top` for incidents: 50 is what peers found to be the most (2026).
pub(crate) const INCIDENTS_PER_PAGE: usize = 50;
/// `$skip` above this is refused with 400 (Graph security "Constraints").
pub(crate) const MOST_SKIPPED: usize = 500;

/// First width of a window of the legacy API, which has no pages.
pub(crate) const SIEM_WINDOW: Duration = Duration::from_secs(6 * 3600);

/// How many answers of one source are in memory at once, from the request until handed over.
pub(crate) const ANSWERS_AT_ONCE: usize = 8;

/// The server names its waits itself; longer ones than this are cut.
pub(crate) const LONGEST_SERVER_WAIT: Duration = Duration::from_secs(3600);
/// First and longest wait after a failure that may pass by itself.
pub(crate) const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// First and longest wait after a refusal that needs a human.
pub(crate) const DENIED_BACKOFF: (Duration, Duration) =
    (Duration::from_secs(30), Duration::from_secs(600));

/// How long a record that no longer changes is remembered by the emit modes.
pub(crate) const REMEMBER_RECORDS: Duration = Duration::from_secs(30 * 86_400);
/// How much longer than the re-read the table of seen records reaches back.
pub(crate) const SEEN_SLACK: Duration = Duration::from_secs(3600);
/// How far reading must move on before the tables are pruned again.
pub(crate) const PRUNE_EVERY: Duration = Duration::from_secs(600);
/// How often a cursor without events becomes durable.
pub(crate) const QUIET_COMMIT: Duration = Duration::from_secs(60);
/// Wait before a rewound partition is read again, lest a sink that always loses spins us.
pub(crate) const REWIND_PAUSE: Duration = Duration::from_millis(500);
/// After this many failures of one request in a row a smaller part is asked for.
pub(crate) const SHRINK_AFTER: u32 = 3;
/// Refusals (400) in a row after which the rest of a tie, which cannot be asked for in another
/// way, is given up: a refusal may pass, and what is given up is lost.
pub(crate) const REFUSALS_BEFORE_GIVING_UP: u32 = 5;
/// After `$expand` failed for a list, lists are asked for without it for so long.
pub(crate) const EXPAND_REST: Duration = Duration::from_secs(600);
/// If the server sends no `Date`, this much is taken off the local clock.
pub(crate) const UNKNOWN_SKEW: Duration = Duration::from_secs(300);
