//! The `filter` transform: passes events on or ends them, by their metadata alone.

use std::collections::BTreeMap;

use serde::Deserialize;
use tapline_core::{
    BuildContext, BuildError, Event, Metadata, Output, Problem, Severity, Transform,
    TransformConfig,
};

/// Settings of `type: filter`. An event passes if every condition that is given holds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FilterConfig {
    /// Kinds that pass, such as `graph.alert`; `hunting.*` stands for all that begin so.
    #[serde(default)]
    pub kind: Option<OneOrMore>,
    /// How serious an event must be.
    #[serde(default)]
    pub severity: Option<SeverityRange>,
    /// Tenants that pass, as configured or as sent.
    #[serde(default)]
    pub tenant: Option<OneOrMore>,
    /// Labels that the source must have given, with these values.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// One word, or a list of them.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged, expecting = "expected text or a list of texts")]
pub enum OneOrMore {
    /// A single word.
    One(String),
    /// Any of these.
    Any(Vec<String>),
}

/// Bounds of a severity; events of unknown severity are below every bound.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeverityRange {
    /// The least severity that passes.
    pub at_least: Severity,
}

impl OneOrMore {
    fn words(&self) -> &[String] {
        match self {
            OneOrMore::One(word) => std::slice::from_ref(word),
            OneOrMore::Any(words) => words,
        }
    }
}

impl TransformConfig for FilterConfig {
    const TYPE: &'static str = "filter";

    fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let nothing = self.kind.is_none() && self.tenant.is_none() && self.severity.is_none();
        if nothing && self.labels.is_empty() {
            let message = "expected at least one of kind, severity, tenant, labels";
            problems.push(Problem::new("", message));
        }
        for (path, words) in [("kind", &self.kind), ("tenant", &self.tenant)] {
            if words.as_ref().is_some_and(|words| words.words().is_empty()) {
                problems.push(Problem::new(path, "an empty list would let nothing pass"));
            }
        }
        problems.extend(
            self.patterns()
                .filter(|word| is_bad_pattern(word))
                .map(|word| {
                    let message = format!("{word}: * may only stand at the end, as in hunting.*");
                    Problem::new("kind", message)
                }),
        );
        problems
    }

    fn build(&self, _cx: &BuildContext) -> Result<Box<dyn Transform>, BuildError> {
        Ok(Box::new(Filter(self.clone())))
    }
}

fn is_bad_pattern(word: &str) -> bool {
    word.strip_suffix('*').unwrap_or(word).contains('*')
}

impl FilterConfig {
    fn patterns(&self) -> impl Iterator<Item = &str> {
        let words = self.kind.as_ref().map_or(&[][..], OneOrMore::words);
        words.iter().map(String::as_str)
    }

    fn passes(&self, meta: &Metadata) -> bool {
        self.passes_kind(meta) && self.passes_tenant(meta) && self.passes_rest(meta)
    }

    fn passes_kind(&self, meta: &Metadata) -> bool {
        let kind = meta.kind.as_str();
        self.kind.is_none()
            || self
                .patterns()
                .any(|pattern| match pattern.strip_suffix('*') {
                    Some(start) => kind.starts_with(start),
                    None => kind == pattern,
                })
    }

    fn passes_tenant(&self, meta: &Metadata) -> bool {
        let tenant: &str = &meta.tenant;
        let wanted = self.tenant.as_ref().map(OneOrMore::words);
        wanted.is_none_or(|words| words.iter().any(|word| word == tenant))
    }

    fn passes_rest(&self, meta: &Metadata) -> bool {
        let severe = self
            .severity
            .is_none_or(|range| meta.severity >= range.at_least);
        let mut labels = self.labels.iter();
        severe && labels.all(|(name, value)| meta.labels.get(name) == Some(value))
    }
}

struct Filter(FilterConfig);

impl Transform for Filter {
    fn apply(&mut self, event: Event, out: &mut Output) {
        if self.0.passes(event.meta()) {
            out.emit(event);
        } else {
            out.discard(event);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tapline_core::Kind;

    use super::*;

    fn passes(json: &str, change: impl FnOnce(&mut Metadata)) -> bool {
        let config: FilterConfig = serde_json::from_str(json).expect("settings");
        assert_eq!(config.problems(), [], "{json}");
        let mut meta = Metadata::new(Kind::new("hunting.AlertInfo"), "contoso", "1", "1");
        change(&mut meta);
        let mut out = Output::default();
        Filter(config).apply(Event::new("{}", meta), &mut out);
        assert_eq!(out.emitted.len() as u64 + out.discarded, 1);
        out.discarded == 0
    }

    #[test]
    fn an_event_passes_only_if_every_given_condition_holds() {
        let check = |json: &str, expected: bool| {
            let medium = |meta: &mut Metadata| {
                meta.severity = Severity::Medium;
                let labels = [("customer".to_owned(), "contoso".to_owned())];
                meta.labels = Arc::new(BTreeMap::from(labels));
            };
            assert_eq!(passes(json, medium), expected, "{json}");
        };
        check(r#"{"kind":"hunting.AlertInfo"}"#, true);
        check(r#"{"kind":["graph.alert","hunting.*"]}"#, true);
        check(r#"{"kind":["graph.*"]}"#, false);
        check(r#"{"kind":["hunting"]}"#, false);
        check(r#"{"severity":{"at_least":"medium"}}"#, true);
        check(r#"{"severity":{"at_least":"high"}}"#, false);
        check(r#"{"tenant":"contoso"}"#, true);
        check(r#"{"tenant":["fabrikam"]}"#, false);
        check(r#"{"labels":{"customer":"contoso"}}"#, true);
        check(r#"{"labels":{"customer":"fabrikam"}}"#, false);
        check(r#"{"labels":{"site":"contoso"}}"#, false);
        check(
            r#"{"tenant":"contoso","severity":{"at_least":"high"}}"#,
            false,
        );
    }

    #[test]
    fn an_event_of_unknown_severity_is_below_every_bound() {
        let json = r#"{"severity":{"at_least":"informational"}}"#;
        assert!(!passes(json, |_| {}));
    }

    #[test]
    fn a_filter_that_could_only_be_a_slip_is_refused() {
        let check = |json: &str, path: &str| {
            let config: FilterConfig = serde_json::from_str(json).expect("settings");
            let problems = config.problems();
            assert_eq!(problems.len(), 1, "{json}");
            assert_eq!(problems[0].path, path, "{json}");
        };
        check("{}", "");
        check(r#"{"kind":[]}"#, "kind");
        check(r#"{"kind":"*.alert"}"#, "kind");
    }
}
