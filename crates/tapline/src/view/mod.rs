//! A calm live view on a terminal: a panel at the bottom, log lines scrolling above it.

mod panel;
mod table;

pub(crate) use panel::Panel;
pub(crate) use table::ComponentTable;
