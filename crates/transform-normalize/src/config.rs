//! What an operator writes under `config:` of a transform of type `normalize`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use tapline_core::{BuildContext, BuildError, Problem, Transform, TransformConfig};

use crate::cef::{CefOptions, Dialect, is_key};
use crate::edits::Edits;
use crate::normalizer::{Mappings, Normalizer};
use crate::transform::Normalize;

/// What records are turned into.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "lowercase")]
pub enum To {
    /// JSON by the Open Cybersecurity Schema Framework, 1.8.0.
    #[default]
    Ocsf,
    /// Lines in the Common Event Format of ArcSight.
    Cef,
    /// Lines in the Log Event Extended Format of QRadar, 2.0.
    Leef,
    /// JSON by the Elastic Common Schema, 8.11.
    Ecs,
}

/// How records are normalized.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq)]
#[serde(deny_unknown_fields)]
pub struct NormalizeConfig {
    /// `ocsf`, `ecs`, `cef`, or `leef`.
    pub to: To,
    /// CEF and LEEF: what a line may have; longer ones lose whole optional keys. OCSF events are never cut.
    #[serde(default)]
    pub max_bytes: Option<usize>,
    /// Fields of the record that are taken out before anything is written, such as
    /// `evidence.loggedOnUsers`; lists count as their elements. For CEF also keys, such as `cs1`.
    #[serde(default)]
    pub drop: Vec<String>,
    /// Fields of the record whose values are replaced by their SHA-256 in hexadecimal digits.
    #[serde(default)]
    pub hash: Vec<String>,
    /// OCSF: whether events list their addresses, names, and hashes once more in `observables`,
    /// at most 64. About a third of an event's size. Default: true.
    #[serde(default = "yes")]
    pub observables: bool,
    /// A folder of mapping files that replace ours of the same name or add to them; relative to
    /// the pipeline file.
    #[serde(default)]
    pub mappings: Option<PathBuf>,
    /// CEF: `0`, or `1` for the keys that CEF 1.2 added. Default: 0.
    #[serde(default)]
    pub cef_version: u8,
    /// CEF and LEEF: vendor in place of the mapping's.
    #[serde(default)]
    pub vendor: Option<String>,
    /// CEF and LEEF: product in place of the mapping's: what existing content of a SIEM filters on.
    #[serde(default)]
    pub product: Option<String>,
    /// CEF and LEEF: product version in place of the mapping's.
    #[serde(default)]
    pub product_version: Option<String>,
    /// CEF and LEEF: the key that carries the whole record; none by default.
    #[serde(default)]
    pub raw_as: Option<String>,
}

fn yes() -> bool {
    true
}

impl NormalizeConfig {
    /// The defaults for a target.
    pub fn new(to: To) -> Self {
        Self {
            to,
            max_bytes: None,
            drop: Vec::new(),
            hash: Vec::new(),
            observables: true,
            mappings: None,
            cef_version: 0,
            vendor: None,
            product: None,
            product_version: None,
            raw_as: None,
        }
    }

    pub(crate) fn cef_options(&self) -> CefOptions {
        let defaults = CefOptions::default();
        CefOptions {
            dialect: match self.to {
                To::Leef => Dialect::Leef,
                _ => Dialect::Cef,
            },
            version_one: self.cef_version == 1,
            vendor: self.vendor.clone(),
            product: self.product.clone(),
            product_version: self.product_version.clone(),
            raw_as: self.raw_as.clone(),
            max_bytes: self.max_bytes.unwrap_or(defaults.max_bytes),
            drop: self
                .drop
                .iter()
                .filter(|name| self.to == To::Cef && is_key(name))
                .cloned()
                .collect(),
        }
    }

    pub(crate) fn edits(&self) -> Edits {
        let is_field = |name: &&String| self.to != To::Cef || !is_key(name);
        let drop = self.drop.iter().filter(is_field).map(String::as_str);
        Edits::new(drop, self.hash.iter().map(String::as_str))
    }

    fn cef_problems(&self) -> Vec<Problem> {
        let mut problems = self.cef_options().problems();
        if self.cef_version > 1 {
            problems.push(Problem::new("cef_version", "must be 0 or 1"));
        }
        let edited = !self.hash.is_empty()
            || self
                .drop
                .iter()
                .any(|name| self.to != To::Cef || !is_key(name));
        if self.raw_as.is_some() && edited {
            let message = "the whole record would carry the fields that drop and hash take out";
            problems.push(Problem::new("raw_as", message));
        }
        problems
    }

    fn leef_problems(&self) -> Vec<Problem> {
        let mut problems = self.cef_problems();
        if self.cef_version != 0 {
            problems.push(Problem::new("cef_version", "only to: cef has this setting"));
        }
        problems
    }

    fn ecs_problems(&self) -> Vec<Problem> {
        let mut problems = self.only_for_cef();
        if !self.observables {
            problems.push(Problem::new(
                "observables",
                "only to: ocsf has this setting",
            ));
        }
        problems
    }

    fn only_for_cef(&self) -> Vec<Problem> {
        let settings = [
            ("max_bytes", self.max_bytes.is_some()),
            ("cef_version", self.cef_version != 0),
            ("vendor", self.vendor.is_some()),
            ("product", self.product.is_some()),
            ("product_version", self.product_version.is_some()),
            ("raw_as", self.raw_as.is_some()),
        ];
        let set = settings.into_iter().filter(|(_, set)| *set);
        set.map(|(path, _)| Problem::new(path, "only to: cef and to: leef have this setting"))
            .collect()
    }
}

impl TransformConfig for NormalizeConfig {
    const TYPE: &'static str = "normalize";

    fn problems(&self) -> Vec<Problem> {
        match self.to {
            To::Ocsf => self.only_for_cef(),
            To::Ecs => self.ecs_problems(),
            To::Cef => self.cef_problems(),
            To::Leef => self.leef_problems(),
        }
    }

    fn build(&self, cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        let cache = cx.shared.get_or_init(Cache::default);
        let mappings = cache.mappings(self, cx)?;
        Ok(Box::new(Normalize::new(
            Normalizer::new(mappings),
            cx.metrics.clone(),
        )))
    }
}

/// Mapping files that components of one process have compiled already.
#[derive(Default)]
struct Cache(Mutex<Vec<(NormalizeConfig, Arc<Mappings>)>>);

impl Cache {
    fn mappings(
        &self,
        config: &NormalizeConfig,
        cx: &BuildContext,
    ) -> Result<Arc<Mappings>, BuildError> {
        // A panic while compiling leaves the list as it was.
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, mappings)) = known.iter().find(|(known, _)| known == config) {
            return Ok(Arc::clone(mappings));
        }
        let mappings = Mappings::load(config, &cx.config_dir)
            .map_err(|error| BuildError::new("mappings", error))?;
        let mappings = Arc::new(mappings);
        known.push((config.clone(), Arc::clone(&mappings)));
        Ok(mappings)
    }
}
