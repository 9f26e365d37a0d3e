//! Runs a topology.
pub mod topology;
