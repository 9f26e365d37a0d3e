//! The real services, one file each.

pub mod kafka;
