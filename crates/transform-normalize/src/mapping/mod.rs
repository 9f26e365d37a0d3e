//! Mapping files: found, read, and compiled. What is proven of them depends on the target.

mod compile;
mod extend;
mod files;
mod operations;
mod predicates;
mod problem;
mod yaml;

pub(crate) use compile::{Compiler, Context};
pub(crate) use files::{Files, Target};
pub use problem::MappingProblem;
pub(crate) use problem::nearest;
pub(crate) use yaml::{Member, Place, Yaml, YamlValue};
