//! The Common Event Format: one line per record, for ArcSight and all who read its format.
//!
//! A mapping file names the keys and what goes into them; [`dictionary`] proves it when it is
//! loaded, so that no event can carry a key, a type, or a length that the standard does not
//! allow. Writing one event allocates its output and nothing else.

mod compile;
mod dictionary;
mod escape;
mod line;
mod options;
mod output_key;
mod plan;
mod write;

pub(crate) use compile::compile;
pub(crate) use line::{Losses, TooLong};
pub(crate) use options::{CefOptions, is_key};
pub(crate) use plan::CefPlan;
pub(crate) use write::CefWriter;
