//! OCSF 1.8.0: what the schema says, the plan of a class, and the writing of events.

mod attack;
mod coerce;
mod facts;
mod observables;
mod plan;
mod residue;
mod template;
mod values;
mod write;

pub(crate) use plan::Plan;
pub use write::FieldCounts;
pub(crate) use write::OcsfScratch;

/// What the header `schema` says of events written here.
pub(crate) const SCHEMA: &str = "ocsf/1.8.0";

#[cfg(test)]
mod tests;
