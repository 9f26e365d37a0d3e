//! Predicates as a mapping file writes them.

use super::compile::{Compiler, Context};
use super::problem::{MappingProblem, nearest};
use super::yaml::{Member, Yaml, YamlValue};
use crate::engine::{Predicate, Test};

const TESTS: [&str; 6] = ["has", "starts", "ends", "contains", "over", "below"];

impl Compiler<'_> {
    /// Compiles `{ field: word, .. }`: every member must hold. A list means any of its maps.
    pub(crate) fn predicate(&mut self, yaml: &Yaml, cx: &Context<'_>) -> Predicate {
        match &yaml.value {
            YamlValue::Map(members) => Predicate::All(
                members
                    .iter()
                    .map(|member| self.question(member, cx))
                    .collect(),
            ),
            YamlValue::List(any) => {
                Predicate::Any(any.iter().map(|one| self.predicate(one, cx)).collect())
            }
            _ => {
                self.problem(
                    &yaml.at,
                    format!("expected a map of questions, found {}", yaml.what()),
                );
                Predicate::All(Vec::new())
            }
        }
    }

    /// Compiles one `field: word`.
    pub(crate) fn question(&mut self, member: &Member, cx: &Context<'_>) -> Predicate {
        match member.name.as_str() {
            "present" => self.presence(&member.value, cx),
            "absent" => Predicate::Not(Box::new(self.any_present(&member.value, cx))),
            "any" => self.predicate(&member.value, cx),
            "not" => Predicate::Not(Box::new(self.predicate(&member.value, cx))),
            field => {
                let test = self.test(&member.value);
                match self.path(field, &member.at, cx) {
                    Some(path) => Predicate::Field(path, test),
                    None => Predicate::Any(Vec::new()),
                }
            }
        }
    }

    fn presence(&mut self, fields: &Yaml, cx: &Context<'_>) -> Predicate {
        Predicate::All(self.present_each(fields, cx))
    }

    fn any_present(&mut self, fields: &Yaml, cx: &Context<'_>) -> Predicate {
        Predicate::Any(self.present_each(fields, cx))
    }

    fn present_each(&mut self, fields: &Yaml, cx: &Context<'_>) -> Vec<Predicate> {
        let mut all = Vec::new();
        for field in fields.elements() {
            let Some(name) = field.text() else {
                self.problem(
                    &field.at,
                    format!("expected the name of a field, found {}", field.what()),
                );
                continue;
            };
            all.push(match self.path(name, &field.at, cx) {
                Some(path) => Predicate::Field(path, Test::Present),
                None => Predicate::Any(Vec::new()),
            });
        }
        all
    }

    fn test(&mut self, yaml: &Yaml) -> Test {
        let YamlValue::Map(members) = &yaml.value else {
            return Test::Is(self.words(yaml));
        };
        let [member] = members.as_slice() else {
            self.problem(&yaml.at, "expected one question about a field");
            return Test::Present;
        };
        match member.name.as_str() {
            "has" => Test::Has(self.words(&member.value)),
            "starts" => Test::Starts(self.one_word(&member.value)),
            "ends" => Test::Ends(self.one_word(&member.value)),
            "contains" => Test::Contains(self.one_word(&member.value)),
            "over" => Test::Over(self.limit(&member.value)),
            "below" => Test::Below(self.limit(&member.value)),
            other => {
                let hint = nearest(other, TESTS);
                let message = format!(
                    "unknown question \"{other}\"{hint} (known: {})",
                    TESTS.join(", ")
                );
                self.problems.push(MappingProblem::new(&member.at, message));
                Test::Present
            }
        }
    }

    fn words(&mut self, yaml: &Yaml) -> Vec<Box<str>> {
        yaml.elements()
            .iter()
            .map(|word| self.one_word(word))
            .collect()
    }

    fn one_word(&mut self, yaml: &Yaml) -> Box<str> {
        let word = yaml.word();
        if word.is_none() {
            self.problem(&yaml.at, format!("expected a word, found {}", yaml.what()));
        }
        word.unwrap_or_default().into()
    }

    fn limit(&mut self, yaml: &Yaml) -> f64 {
        match yaml.value {
            YamlValue::Int(number) => number as f64,
            YamlValue::Float(number) => number,
            _ => {
                self.problem(
                    &yaml.at,
                    format!("expected a number, found {}", yaml.what()),
                );
                0.0
            }
        }
    }
}
