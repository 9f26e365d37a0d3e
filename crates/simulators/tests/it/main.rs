//! What the simulators promise, asked over HTTP and AMQP as any client would.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod client;
mod generated;
mod graph;
mod hub;
mod hub_client;
mod hub_doors;
mod hub_weather;
mod ledger;
mod login;
mod siem;
mod wire;
