//! Reads the tables that Microsoft Defender streams into Azure Event Hubs, over the Kafka
//! endpoint of the namespace or over AMQP 1.0.
//!
//! Knows how messages are built, and how positions in a hub are kept; it does not know what
//! becomes of its events, and reads nothing in a row but a few members for identity and routing.
//!
//! ```yaml
//! sources:
//!   hunting:
//!     type: eventhub
//!     config:
//!       namespace: contoso-hub.servicebus.windows.net
//!       hubs: [defender]
//!       auth: { sas: { policy: listen, key: { env: EVENTHUB_KEY } } }
//! ```

mod access;
mod amqp;
mod by_hand;
mod claim;
mod config;
mod connection_string;
mod cursor;
mod events;
mod health;
mod kafka;
mod message;
mod record;
mod repeats;
mod scan;
mod standing;
mod start;
mod tables;

pub use config::EventHubConfig;
