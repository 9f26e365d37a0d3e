//! A mapping file as a tree in which every value knows its place.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;

use super::problem::MappingProblem;

/// A place in a mapping file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Place {
    pub(crate) file: Arc<str>,
    pub(crate) line: u64,
    pub(crate) column: u64,
}

/// One value of a mapping file.
#[derive(Clone, Debug)]
pub(crate) struct Yaml {
    pub(crate) at: Place,
    pub(crate) value: YamlValue,
}

/// What a value is.
#[derive(Clone, Debug)]
pub(crate) enum YamlValue {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    List(Vec<Yaml>),
    Map(Vec<Member>),
}

/// One `name: value`.
#[derive(Clone, Debug)]
pub(crate) struct Member {
    pub(crate) name: String,
    pub(crate) at: Place,
    pub(crate) value: Yaml,
}

impl Yaml {
    /// Reads a file.
    ///
    /// # Errors
    /// The first place that is not YAML.
    pub(crate) fn read(file: &str, text: &str) -> Result<Self, MappingProblem> {
        let file: Arc<str> = Arc::from(file);
        let raw: Spanned<Raw> = serde_saphyr::from_str(text).map_err(|error| {
            let location = error.location();
            let place = Place {
                file: Arc::clone(&file),
                line: location.map_or(0, |location| location.line()),
                column: location.map_or(0, |location| location.column()),
            };
            MappingProblem::new(&place, error.without_snippet().to_string())
        })?;
        Ok(raw.into_yaml(&file))
    }

    /// The members of a map; none of anything else.
    pub(crate) fn members(&self) -> &[Member] {
        match &self.value {
            YamlValue::Map(members) => members,
            _ => &[],
        }
    }

    /// The value of a member.
    pub(crate) fn member(&self, name: &str) -> Option<&Yaml> {
        self.members()
            .iter()
            .find(|member| member.name == name)
            .map(|member| &member.value)
    }

    /// The elements of a list; a single value counts as a list of one.
    pub(crate) fn elements(&self) -> &[Yaml] {
        match &self.value {
            YamlValue::List(elements) => elements,
            _ => std::slice::from_ref(self),
        }
    }

    /// The text, if it is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            YamlValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A scalar in words: `true` and `7` too.
    pub(crate) fn word(&self) -> Option<String> {
        match &self.value {
            YamlValue::Bool(truth) => Some(truth.to_string()),
            YamlValue::Int(number) => Some(number.to_string()),
            YamlValue::Float(number) => Some(number.to_string()),
            YamlValue::Text(text) => Some(text.clone()),
            YamlValue::Null | YamlValue::List(_) | YamlValue::Map(_) => None,
        }
    }

    /// What it is, for messages.
    pub(crate) fn what(&self) -> &'static str {
        match &self.value {
            YamlValue::Null => "nothing",
            YamlValue::Bool(_) => "a boolean",
            YamlValue::Int(_) | YamlValue::Float(_) => "a number",
            YamlValue::Text(_) => "a text",
            YamlValue::List(_) => "a list",
            YamlValue::Map(_) => "a map",
        }
    }
}

/// The same tree as the YAML reader yields it.
enum Raw {
    Scalar(YamlValue),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<String>, Spanned<Raw>)>),
}

trait IntoYaml {
    fn into_yaml(self, file: &Arc<str>) -> Yaml;
}

impl IntoYaml for Spanned<Raw> {
    fn into_yaml(self, file: &Arc<str>) -> Yaml {
        let at = place(file, self.referenced);
        let value = match self.value {
            Raw::Scalar(scalar) => scalar,
            Raw::List(list) => {
                YamlValue::List(list.into_iter().map(|one| one.into_yaml(file)).collect())
            }
            Raw::Map(map) => {
                let member = |(name, value): (Spanned<String>, Spanned<Raw>)| Member {
                    at: place(file, name.referenced),
                    name: name.value,
                    value: value.into_yaml(file),
                };
                YamlValue::Map(map.into_iter().map(member).collect())
            }
        };
        Yaml { at, value }
    }
}

fn place(file: &Arc<str>, location: serde_saphyr::Location) -> Place {
    Place {
        file: Arc::clone(file),
        line: location.line(),
        column: location.column(),
    }
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value of a mapping file")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(YamlValue::Null))
    }

    fn visit_none<E>(self) -> Result<Raw, E> {
        Ok(Raw::Scalar(YamlValue::Null))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Raw, D::Error> {
        Raw::deserialize(deserializer)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Raw, E> {
        Ok(Raw::Scalar(YamlValue::Bool(truth)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Raw, E> {
        Ok(Raw::Scalar(YamlValue::Int(number)))
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Raw, E> {
        let number = i64::try_from(number).map_err(E::custom)?;
        Ok(Raw::Scalar(YamlValue::Int(number)))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Raw, E> {
        Ok(Raw::Scalar(YamlValue::Float(number)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Raw, E> {
        Ok(Raw::Scalar(YamlValue::Text(text.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(element) = elements.next_element()? {
            list.push(element);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(member) = members.next_entry()? {
            map.push(member);
        }
        Ok(Raw::Map(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_its_line() {
        let yaml = Yaml::read(
            "a.yaml",
            "class: x\nevent:\n  time: { first: [a, b] }\n  uid: 1\n  on: true\n  no: \"true\"\n",
        );
        let yaml = yaml.expect("valid");
        let event = yaml.member("event").expect("there");
        let first = event
            .member("time")
            .and_then(|time| time.member("first"))
            .expect("there");
        assert_eq!((first.at.line, first.elements().len()), (3, 2));
        assert_eq!(first.elements()[1].text(), Some("b"));
        assert!(matches!(
            event.member("uid").expect("there").value,
            YamlValue::Int(1)
        ));
        assert_eq!(
            (event.members()[1].at.line, event.members()[1].at.column),
            (4, 3)
        );
        assert_eq!(event.member("no").and_then(Yaml::text), Some("true"));
    }

    #[test]
    fn broken_yaml_is_reported_with_its_line() {
        let problem = Yaml::read("a.yaml", "a: 1\nb: [1,\nc: }\n").expect_err("broken");
        assert!(problem.line >= 2, "{problem}");
        assert!(
            Yaml::read("a.yaml", "a: 1\na: 2\n").is_err(),
            "a name twice"
        );
    }
}
