//! The Elastic Common Schema: its fields, and what every event by it has.
//!
//! Source: `schema/ecs-8.11.txt`. What ECS has no place for goes to `microsoft.defender`.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use super::facts::{Attribute, Facts, Framework, Item, TypeFacts};
use super::plan::{Field, Value};
use super::template::Template;
use crate::engine::{Expr, MetaField};
use crate::mapping::{Context, Member};

/// The only class: every event has the same fields to choose from.
pub(super) const CLASS: &str = "event";
/// `ecs.version` as Elastic's own pipelines write it.
const VERSION: &[u8] = br#"{"version":"8.11.0"}"#;

static FACTS: LazyLock<Facts> = LazyLock::new(|| facts(include_str!("../../schema/ecs-8.11.txt")));

/// Types of fields, with what they are called among the types of OCSF that mean the same.
const TYPES: &[(&str, &str)] = &[
    ("keyword", "string_t"),
    ("text", "string_t"),
    ("ip", "ip_t"),
    ("long", "long_t"),
    ("float", "float_t"),
    ("boolean", "boolean_t"),
    ("date", "date_t"),
];

impl Template<'_> {
    /// What stands in front of every event.
    pub(super) fn ecs_version() -> Field {
        Field {
            key: b"\"ecs\":".as_slice().into(),
            value: Value::Fixed(VERSION.into()),
        }
    }

    /// An attribute at the top of an event; `None` if it is like any other.
    pub(super) fn ecs_attribute(
        &mut self,
        attribute: &'static Attribute,
        name: &str,
        member: &Member,
        cx: &Context<'_>,
    ) -> Option<Option<Value>> {
        (name == "@timestamp").then(|| {
            let value = self.value(attribute, "", name, &member.value, cx)?;
            let known = self.scalar_of(attribute, "", name, Expr::Meta(MetaField::Time))?;
            Some(Value::First(vec![value, Value::Scalar(known)]))
        })
    }
}

/// The fields; read once per process.
pub(super) fn get() -> &'static Facts {
    &FACTS
}

/// Reads the list of fields.
fn facts(text: &str) -> Facts {
    let mut builder = Builder::default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    for line in lines.filter(|line| !line.is_empty()) {
        builder.line(line);
    }
    builder.finish()
}

#[derive(Default)]
struct Builder {
    attributes: Vec<Attribute>,
    /// By their path; the empty one is the event.
    objects: HashMap<String, Item>,
}

impl Builder {
    /// Reads `a.b type[] words..`.
    fn line(&mut self, line: &str) {
        let mut words = line.split(' ');
        let (path, type_name) = (words.next().unwrap_or(line), words.next());
        let type_name = type_name.expect("a test reads the same list");
        let (type_name, is_array) = match type_name.strip_suffix("[]") {
            Some(of) => (of, true),
            None => (type_name, false),
        };
        if type_name == "nested" {
            self.object(path, true);
            return;
        }
        let known = TYPES.iter().find(|(name, _)| *name == type_name);
        let (_, type_name) = known.expect("a test reads the same list");
        let words: Vec<String> = words.map(str::to_owned).collect();
        let attribute = Attribute::scalar(type_name, is_array, words);
        self.add(path, attribute);
    }

    /// Adds a field to its object, and the object to the one around it.
    fn add(&mut self, path: &str, attribute: Attribute) {
        let (object, name) = path.rsplit_once('.').unwrap_or(("", path));
        if !object.is_empty() && !self.objects.contains_key(object) {
            self.object(object, false);
        }
        let index = self.attributes.len();
        self.attributes.push(attribute);
        let required = u8::from(path == "@timestamp") * 2;
        let item = self.objects.entry(object.to_owned()).or_default();
        item.attributes.insert(name.to_owned(), (index, required));
    }

    fn object(&mut self, path: &str, is_array: bool) {
        self.objects.insert(path.to_owned(), Item::default());
        self.add(path, Attribute::object(path, is_array));
    }

    fn finish(mut self) -> Facts {
        let event = self.objects.remove("").unwrap_or_default();
        let base = |base: Option<&str>| TypeFacts {
            base: base.map(str::to_owned),
            max_len: None,
            range: None,
        };
        let mut types: HashMap<String, TypeFacts> = TYPES
            .iter()
            .map(|(_, name)| ((*name).to_owned(), base(None)))
            .collect();
        types.insert("ip_t".to_owned(), base(Some("string_t")));
        Facts {
            framework: Framework::Ecs,
            version: "8.11".to_owned(),
            types,
            enums: Vec::new(),
            attributes: self.attributes,
            objects: self.objects,
            classes: BTreeMap::from([(CLASS.to_owned(), event)])
                .into_iter()
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_read_with_their_objects_and_words() {
        let facts = get();
        let event = facts.class(CLASS).expect("there");
        assert!(facts.required(event, "@timestamp"));
        let (_, process) = facts.attribute(event, "process", &[]).expect("there");
        assert_eq!(process.object.as_deref(), Some("process"));
        let hash = facts.object("process.parent.hash").expect("there");
        assert!(facts.attribute(hash, "sha256", &[]).is_some());
        let attachments = facts.object("email").expect("there");
        let (_, attachments) = facts
            .attribute(attachments, "attachments", &[])
            .expect("there");
        assert!(attachments.is_array);
        let item = facts.object("event").expect("there");
        let (_, kind) = facts.attribute(item, "kind", &[]).expect("there");
        assert!(kind.words.iter().any(|word| word == "alert"));
    }
}
