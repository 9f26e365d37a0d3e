//! Runs a topology.
pub mod topology;
pub mod status;
mod checkpoint;
mod lanes;
mod settling;
