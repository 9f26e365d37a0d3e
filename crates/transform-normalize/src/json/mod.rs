//! Reading and writing JSON as bytes: a flat list of a record's values, and text in both forms.

mod scan;
mod tape;
mod text;

pub(crate) use scan::ScanError;
pub(crate) use tape::{Buffer, Node, NodeId, NodeKind, Tape};
pub(crate) use text::{unescape, write_escaped};
