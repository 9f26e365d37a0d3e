//! Runs a topology.
pub mod topology;
pub mod status;
