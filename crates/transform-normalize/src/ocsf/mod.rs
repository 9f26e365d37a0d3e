//! OCSF 1.8.0: what the schema says, the plan of a class, and the writing of events.

mod arrays;
mod attack;
mod coerce;
mod facts;
mod observables;
mod own_attributes;
mod plan;
mod residue;
mod template;
mod values;
mod write;
mod write_arrays;
mod write_attack;

pub(crate) use plan::Plan;
pub use write::FieldCounts;
pub(crate) use write::OcsfScratch;

/// What the header `schema` says of events written here.
pub(crate) const SCHEMA: &str = "ocsf/1.8.0";

#[cfg(test)]
mod tests;
