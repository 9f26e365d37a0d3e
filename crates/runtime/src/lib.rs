//! Runs a topology.
pub mod admin;
mod budget;
mod checkpoint;
pub mod config;
pub mod dead_letters;
mod filter;
mod lanes;
mod registry;
mod run;
mod settling;
pub mod state;
pub mod status;
pub mod telemetry;
pub mod topology;

pub use checkpoint::StoreError;
pub use config::{Mistake, Mistakes, Pipeline};
pub use filter::{FilterConfig, OneOrMore, SeverityRange};
pub use registry::{CursorForms, Registry};
pub use run::{
    BuildFailures, DEAD_LETTERS, Ended, NotReloaded, Reload, Reloaded, Reloading, Running, Runtime,
    Setup, StartError, Stopped,
};
