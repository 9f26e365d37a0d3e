//! Events from a file or a pipe, in whatever form people have them.
//!
//! One JSON document a line, documents over several lines, arrays, pages of an API
//! (`{"value":[..]}`), and messages of a hub (`{"records":[..]}`), in any mix.

mod documents;
mod records;

pub(crate) use documents::{Document, Documents};
pub(crate) use records::records;
