//! The real services, one file each.

pub mod certificates;
pub mod kafka;
pub mod rsyslog;
pub mod syslog_ng;
pub mod syslog_output;
