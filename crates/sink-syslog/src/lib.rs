//! Delivers events to syslog receivers: RFC 5424 and RFC 3164, over UDP, TCP, and TLS.
//!
//! It frames the bytes that the normalizer made and knows no format of theirs: a message that is
//! too long or that would break the framing is rejected, never cut or escaped. Plain syslog has
//! no acknowledgement; a batch counts as delivered when the receiver's kernel has taken all of
//! it. What that does not promise stands in the crate's `README.md`.
//!
//! ```
//! use tapline_core::SinkConfig;
//! use tapline_sink_syslog::SyslogConfig;
//!
//! assert_eq!(SyslogConfig::TYPE, "syslog");
//! ```

mod config;
mod connection;
mod endpoint;
mod error;
mod frame;
mod header;
mod kernel;
mod line;
mod sink;
mod tls;
mod tls_error;
mod udp;

pub use config::SyslogConfig;
