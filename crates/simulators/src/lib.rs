//! Microsoft's side of the wire, as real servers on loopback: the identity platform, the Graph security API, the legacy SIEM
//! exporter (HTTP), and Event Hubs (AMQP 1.0). It knows nothing of Tapline's plugins, and no plugin knows it.
//!
//! [`Simulation::start`] makes detections by a seed, writes down each version in a ledger before it can be read, and fails on
//! purpose as [`Faults`] say. [`Simulation::scripted`] makes nothing: a test puts rows and faults in by hand.
//! Either way a request that the real service would refuse is refused, with its code.
//!
//! ```ignore
//! use tapline_simulators::{Fault, Simulation};
//!
//! let simulation = Simulation::scripted().await?;
//! simulation.graph().put_alert(serde_json::json!({"id": "da1_1", "lastUpdateDateTime": "2026-01-02T03:04:05.1Z"}));
//! simulation.graph().fail_next(Fault::status(503).retry_after("0.5"));
//! ```

mod answer;
mod faults;
mod generator;
mod graph;
mod hub;
mod ledger;
mod login;
mod odata;
mod row;
mod serve;
mod settings;
mod siem;
mod simulation;
mod ticks;
mod tokens;
mod wire;
mod world;

pub use answer::Fault;
pub use faults::{Faults, FaultsError};
pub use graph::{GraphHandle, NextLinkMode};
pub use hub::{
    CONDITIONS as HUB_CONDITIONS, HubBody, HubCertificate, HubError, HubFault, HubHandle,
    HubMessage, HubPosition, RecordedAttach, RecordedToken,
};
pub use login::LoginHandle;
pub use row::Row;
pub use settings::{Settings, StartError};
pub use siem::SiemHandle;
pub use simulation::{Announcement, EventHub, Simulation};
pub use wire::RecordedRequest;
