//! The Common Event Format: one line per record, for ArcSight and all who read its format; and
//! the lines of [`crate::leef`], which differ in their keys and in how text is written.
//!
//! A mapping file names the keys and what goes into them; [`dictionary`] proves it when it is
//! loaded, so that no event can carry a key, a type, or a length that the standard does not
//! allow. Writing one event allocates its output and nothing else.
//!
//! [`CefMappings`] holds the plans; [`CefWriter`] writes one record that a [`Run`] has read.
//!
//! [`Run`]: crate::engine::Run

mod compile;
mod dialect;
mod dictionary;
mod escape;
mod line;
mod mappings;
mod options;
mod output_key;
mod plan;
mod write;

#[cfg(test)]
mod round_trip;
#[cfg(test)]
mod tests;

pub(crate) use dialect::Dialect;
pub(crate) use dictionary::Holds;
pub(crate) use escape::trimmed;
pub(crate) use line::{Losses, TooLong};
pub(crate) use mappings::CefMappings;
pub(crate) use options::{CefOptions, is_key};
pub(crate) use write::CefWriter;
