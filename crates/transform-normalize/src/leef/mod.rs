//! The Log Event Extended Format 2.0 of QRadar: which keys there are, and how a line is written.
//!
//! Mapping files read like those to CEF, and the same engine writes the lines; only what stands
//! here differs. Source: IBM's DSM guide, "LEEF event components" and "predefined attributes".

mod dictionary;
mod text;

pub(crate) use dictionary::{Refused, find};
pub(crate) use text::{header, value};

/// What the header `schema` says of lines written here.
pub(crate) const SCHEMA: &str = "leef/2.0";
/// What a line begins with.
pub(crate) const VERSION: &str = "LEEF:2.0|";
/// Ends the header: it names the delimiter between keys, which is a tab.
pub(crate) const DELIMITER_FIELD: &[u8] = b"x09|";
/// Stands between keys.
pub(crate) const DELIMITER: u8 = b'\t';
/// Says that keys were left out to keep within the limit.
pub(crate) const TRUNCATED: &[u8] = b"truncated=1";
/// Goes before `devTime=`, which says nothing without it.
pub(crate) const TIME_FORMAT: &str = "devTimeFormat=MMM dd yyyy HH:mm:ss.SSS z\t";

/// The same format as it is written; all times are UTC.
pub(crate) const TIME: &str = "%b %d %Y %H:%M:%S%.3f GMT";

/// Keys that go first when an event is too long.
pub(crate) const LEFT_OUT_FIRST: [&str; 6] = [
    "description",
    "processCmdLine",
    "cmdLine",
    "techniques",
    "alertUrl",
    "url",
];

/// Keys that say which event it is: never left out.
pub(crate) const ALWAYS_KEPT: [&str; 7] = [
    "cat",
    "sev",
    "devTime",
    "alertId",
    "incidentId",
    "reportId",
    "tenantId",
];
