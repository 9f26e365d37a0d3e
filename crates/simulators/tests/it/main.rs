//! What the simulators promise, asked over HTTP as any client would.

mod client;
mod generated;
mod graph;
mod ledger;
mod login;
mod siem;
mod wire;
