//! Reads detections from the Microsoft Defender APIs: Graph alerts, Graph incidents, and the
//! legacy SIEM API.
//!
//! Polls windows of the server's time with an overlap, drops what was sent before, and survives
//! every outage; what it knows of a stream travels with its checkpoint. It does not know what
//! becomes of its events, and reads nothing in them but their identity and a few members for
//! routing.
//!
//! ```yaml
//! sources:
//!   alerts:
//!     type: defender
//!     config:
//!       api: graph_alerts
//!       identity: { tenant_id: .., client_id: .., client_secret: { env: SECRET } }
//! ```

mod api;
mod by_hand;
mod clock;
mod config;
mod cursor;
mod emit;
mod error;
mod expand;
mod health;
mod limits;
mod loose;
mod pace;
mod page;
mod query;
mod reading;
mod record;
mod recover;
mod scan;
mod seen;
mod sift;
mod source;
mod tables;
mod times;
mod walk;

pub use config::DefenderConfig;
