//! The plans of all kinds that have a mapping to CEF.

use std::collections::HashMap;

use crate::leef;
use crate::mapping::{Files, MappingProblem};

use super::compile::compile;
use super::dialect::Dialect;
use super::options::CefOptions;
use super::plan::CefPlan;

/// The mapping of everything that has none of its own.
const FALL_BACK: &str = "hunting.unknown";

/// Plans by kind. Made once and shared by all instances of a transform.
#[derive(Debug)]
pub(crate) struct CefMappings {
    plans: HashMap<String, CefPlan>,
    fall_back: Box<CefPlan>,
    schema: &'static str,
}

impl CefMappings {
    /// Compiles every mapping file of this target.
    ///
    /// # Errors
    /// All mistakes of all files, with their lines.
    pub(crate) fn load(files: &Files, options: &CefOptions) -> Result<Self, Vec<MappingProblem>> {
        let (mut plans, mut problems) = (HashMap::new(), Vec::new());
        for (name, kind, text) in files.kinds(options.dialect.target()) {
            match compile(files, name, text, options) {
                Ok(plan) => drop(plans.insert(kind, plan)),
                Err(found) => problems.extend(found),
            }
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        let fall_back = Box::new(plans.remove(FALL_BACK).expect("the program has this file"));
        let schema = match options.dialect {
            Dialect::Leef => leef::SCHEMA,
            Dialect::Cef if options.version_one => "cef/1",
            Dialect::Cef => "cef/0",
        };
        Ok(Self {
            plans,
            fall_back,
            schema,
        })
    }

    /// The plan for a kind.
    pub(crate) fn plan(&self, kind: &str) -> &CefPlan {
        self.plans.get(kind).unwrap_or(&self.fall_back)
    }

    /// What the header `schema` says of lines written by these plans.
    pub(crate) fn schema(&self) -> &'static str {
        self.schema
    }
}
