//! Runs a topology.
pub mod admin;
pub mod config;
mod filter;
mod registry;
pub mod status;
pub mod telemetry;
pub mod topology;

pub use config::{Mistake, Mistakes, Pipeline};
pub use filter::{FilterConfig, OneOrMore, SeverityRange};
pub use registry::Registry;
mod budget;
mod checkpoint;
mod dead_letters;
mod lanes;
mod run;
mod settling;

pub use checkpoint::StoreError;
pub use run::{BUDGET, DEAD_LETTERS, Ended, Running, Runtime, Setup, StartError, Stopped};
