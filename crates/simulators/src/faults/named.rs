//! The names of all faults.

/// One thing that can go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Throttled,
    Unavailable,
    ServerError,
    Unauthorized,
    Truncated,
    CutOff,
    InvalidJson,
    Html,
    SlowBody,
    Drop,
    Clamp,
    NoNextLink,
    IgnoreOrderBy,
    RateLimit,
    Late,
    Update,
    Tie,
    ExpandFails,
    HubDetach,
    HubBusy,
    HubDrop,
    HubSlow,
    HubCutOff,
    HubTokenExpired,
    HubStolen,
    HubTokenRefused,
    HubExpired,
    HubRepeat,
    HubForm,
    HubSessionEnd,
    HubTrickle,
    HubTwice,
    HubAttachRefused,
    HubOffset,
    HubLarge,
    HubEmpty,
    HubGrow,
}

/// Every named fault: its name, and what its probability means.
pub(super) const TABLE: [(Named, &str, &str); 37] = [
    (
        Named::Throttled,
        "throttled",
        "per request: 429 with a whole, fractional, or date Retry-After, until that wait is over",
    ),
    (
        Named::Unavailable,
        "unavailable",
        "per request: 503 with Retry-After, until that wait is over",
    ),
    (
        Named::ServerError,
        "server_error",
        "per request: 500, 502, or 504",
    ),
    (
        Named::Unauthorized,
        "unauthorized",
        "per request: 401; the token shown is good no more (503 at the identity platform)",
    ),
    (
        Named::Truncated,
        "truncated",
        "per request: the first half of the answer, as if it were whole",
    ),
    (
        Named::CutOff,
        "cut_off",
        "per request: the connection breaks in the middle of the answer",
    ),
    (
        Named::InvalidJson,
        "invalid_json",
        "per request: an answer that is no JSON although it says so",
    ),
    (
        Named::Html,
        "html",
        "per request: an HTML page with status 200, as a proxy would send",
    ),
    (
        Named::SlowBody,
        "slow_body",
        "per request: the answer dribbles in",
    ),
    (
        Named::Drop,
        "drop",
        "per request: the connection closes without an answer",
    ),
    (
        Named::Clamp,
        "clamp",
        "per list request: pages hold at most 50 rows whatever $top says",
    ),
    (
        Named::NoNextLink,
        "no_next_link",
        "per list request: @odata.nextLink is missing",
    ),
    (
        Named::IgnoreOrderBy,
        "ignore_orderby",
        "per list request: $orderby is ignored",
    ),
    (
        Named::RateLimit,
        "rate_limit",
        "per request beyond 150 in a minute: 429",
    ),
    (
        Named::Late,
        "late",
        "per version: it can be read only some time after its lastUpdateDateTime says",
    ),
    (
        Named::Update,
        "update",
        "per Graph version: it is a newer version of an older id",
    ),
    (
        Named::Tie,
        "tie",
        "per version: it begins a run of 120 rows of each kind with one time",
    ),
    (
        Named::ExpandFails,
        "expand_fails",
        "per incident id: every $expand=alerts that meets it answers 500",
    ),
    (
        Named::HubDetach,
        "hub_detach",
        "per hub message: the link is closed with an error that passes",
    ),
    (
        Named::HubBusy,
        "hub_busy",
        "per hub message: the link is closed with server-busy, and no partition can be read for a while",
    ),
    (
        Named::HubDrop,
        "hub_drop",
        "per hub message: the connection goes away",
    ),
    (
        Named::HubSlow,
        "hub_slow",
        "per hub message: nothing is sent on its link for a while",
    ),
    (
        Named::HubCutOff,
        "hub_cut_off",
        "per hub message: the connection breaks in the middle of it",
    ),
    (
        Named::HubTokenExpired,
        "hub_token_expired",
        "per hub message: the token is past its time, and links are closed as unauthorized",
    ),
    (
        Named::HubStolen,
        "hub_stolen",
        "per hub message: another reader takes its partition for a while",
    ),
    (
        Named::HubTokenRefused,
        "hub_token_refused",
        "per token shown to the hub: 401",
    ),
    (
        Named::HubExpired,
        "hub_expired",
        "per hub message made: the older half of its partition expires, and its records come again at the end",
    ),
    (
        Named::HubRepeat,
        "hub_repeat",
        "per hub record made: it comes again in a later message",
    ),
    (
        Named::HubForm,
        "hub_form",
        "per hub message made: it is not {\"records\":[..]} in one data section, but another form",
    ),
    (
        Named::HubSessionEnd,
        "hub_session_end",
        "per hub message: its session is ended with an error that passes",
    ),
    (
        Named::HubTrickle,
        "hub_trickle",
        "per hub message: the next five come on its link one by one, with pauses, whatever its credit",
    ),
    (
        Named::HubTwice,
        "hub_twice",
        "per hub message: it is sent twice on its link",
    ),
    (
        Named::HubAttachRefused,
        "hub_attach_refused",
        "per attempt to read a partition of the hub: it is refused with an error that passes",
    ),
    (
        Named::HubOffset,
        "hub_offset",
        "per hub message made: its offset is no number, but a text",
    ),
    (
        Named::HubLarge,
        "hub_large",
        "per hub message made: it is padded to a megabyte, the most that the service takes",
    ),
    (
        Named::HubEmpty,
        "hub_empty",
        "per partition of the hub but the first: it stays empty",
    ),
    (
        Named::HubGrow,
        "hub_grow",
        "per hub message made: the hub has one partition more from then on, up to eight",
    ),
];
