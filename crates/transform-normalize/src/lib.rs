//! Normalizes Defender records: mapping files in, OCSF 1.8.0, ECS, CEF, or LEEF out.
//!
//! A mapping file per kind of record says what becomes of which field; it is compiled once into a
//! plan and proven against the target's schema on the way, so that it cannot make an event that is
//! not valid. A record is then read in one pass and its event written in one pass, with no tree of
//! values between. This crate does no I/O but reading mapping files at start, knows no clock, and
//! not who sends or receives. How mapping files read stands in the crate's `README.md`.
//!
//! ```
//! use std::path::Path;
//! use std::sync::Arc;
//! use tapline_transform_normalize::{Mappings, NormalizeConfig, Normalizer, Recognizer, To};
//!
//! let mappings = Mappings::load(&NormalizeConfig::new(To::Ocsf), Path::new(".")).expect("ours are right");
//! let record = br#"{"id":"da1_1","title":"Something","severity":"high","alertWebUrl":"https://example.com"}"#;
//! let meta = Recognizer::default().metadata(record, None).expect("it is JSON");
//! let mut event = Vec::new();
//! Normalizer::new(Arc::new(mappings)).normalize(&meta, record, &mut event).expect("it is JSON");
//! assert!(event.starts_with(br#"{"category_uid":2,"class_uid":2004,"class_name":"Detection Finding""#));
//! ```

mod cef;
mod config;
mod coverage;
mod edits;
mod engine;
mod error;
mod input;
mod json;
mod leef;
mod mapping;
mod normalizer;
mod recognize;
mod schema;
mod tables;
mod time;
mod transform;

pub use config::{NormalizeConfig, To};
pub use coverage::{Coverage, Placed};
pub use error::NormalizeError;
pub use input::{InputError, Record, split_input};
pub use mapping::MappingProblem;
pub use normalizer::{FieldCounts, Mappings, MappingsError, Normalizer};
pub use recognize::Recognizer;
