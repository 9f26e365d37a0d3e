//! Events as JSON by a schema, OCSF or ECS: what the schema says, the plan of a mapping file that
//! is proven against it, and the writing of events.

mod arrays;
mod attack;
mod coerce;
mod ecs;
mod facts;
mod observables;
mod ocsf;
mod plan;
mod residue;
mod template;
mod values;
mod write;
mod write_arrays;
mod write_attack;

pub(crate) use plan::Plan;
pub(crate) use write::EventScratch;
pub use write::FieldCounts;

#[cfg(test)]
mod tests;
