//! The tables of advanced hunting that have a kind of their own.

pub(crate) use tapline_core::hunting_table as known_table;
