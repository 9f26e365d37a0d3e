//! Normalizes Defender records: mapping files in, OCSF 1.8.0 or CEF out.

mod engine;
mod json;
