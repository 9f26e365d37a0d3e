//! What a schema says, as far as mappings are proven against it.
//!
//! Source of OCSF: `schema/ocsf-1.8.0.json`, made by `schema/compact.py` from the compiled schema.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::Deserialize;

use super::ecs;
use crate::mapping::Target;

static OCSF: LazyLock<Facts> = LazyLock::new(|| {
    serde_json::from_str(include_str!("../../schema/ocsf-1.8.0.json"))
        .expect("a test reads the same file")
});

/// Whose schema it is.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Framework {
    /// The Open Cybersecurity Schema Framework.
    #[default]
    Ocsf,
    /// The Elastic Common Schema.
    Ecs,
}

/// The schema.
#[derive(Debug, Deserialize)]
pub(crate) struct Facts {
    #[serde(skip)]
    pub(crate) framework: Framework,
    pub(crate) version: String,
    pub(super) types: HashMap<String, TypeFacts>,
    pub(super) enums: Vec<BTreeMap<String, String>>,
    pub(super) attributes: Vec<Attribute>,
    pub(super) objects: HashMap<String, Item>,
    pub(super) classes: HashMap<String, Item>,
}

/// A type such as `ip_t`.
#[derive(Debug, Deserialize)]
pub(crate) struct TypeFacts {
    /// The type it is made of; none for the primitive ones.
    #[serde(rename = "type")]
    pub(crate) base: Option<String>,
    pub(crate) max_len: Option<usize>,
    pub(crate) range: Option<(i64, i64)>,
}

/// What an attribute holds.
#[derive(Debug, Deserialize)]
pub(crate) struct Attribute {
    #[serde(rename = "t")]
    pub(crate) type_name: String,
    #[serde(rename = "o")]
    pub(crate) object: Option<String>,
    #[serde(rename = "a", default)]
    pub(crate) is_array: bool,
    /// The attribute that holds the caption of an id.
    #[serde(rename = "s")]
    pub(crate) sibling: Option<String>,
    /// If not empty, the attribute exists only with one of these profiles.
    #[serde(rename = "p", default)]
    profiles: Vec<String>,
    #[serde(rename = "e")]
    captions: Option<usize>,
    /// If not empty, the texts that are allowed.
    #[serde(skip)]
    pub(crate) words: Vec<String>,
}

impl Attribute {
    /// One of a primitive type.
    pub(super) fn scalar(type_name: &str, is_array: bool, words: Vec<String>) -> Self {
        Self {
            type_name: type_name.to_owned(),
            object: None,
            is_array,
            sibling: None,
            profiles: Vec::new(),
            captions: None,
            words,
        }
    }

    /// One that holds an object, or several.
    pub(super) fn object(name: &str, is_array: bool) -> Self {
        Self {
            object: Some(name.to_owned()),
            ..Self::scalar("object_t", is_array, Vec::new())
        }
    }

    fn is_active(&self, profiles: &[String]) -> bool {
        let wanted = &self.profiles;
        wanted.is_empty() || wanted.iter().any(|wanted| profiles.contains(wanted))
    }
}

/// A class or an object.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Item {
    #[serde(default)]
    pub(crate) uid: i64,
    #[serde(default)]
    pub(crate) caption: String,
    #[serde(default)]
    pub(crate) category_uid: i64,
    pub(crate) category_name: Option<String>,
    #[serde(default)]
    pub(crate) profiles: Vec<String>,
    /// `at_least_one` and `just_one` lists of attribute names.
    #[serde(default)]
    pub(crate) constraints: BTreeMap<String, Vec<String>>,
    pub(super) attributes: BTreeMap<String, (usize, u8)>,
}

impl Facts {
    /// The schema of a target that has one; read once per process.
    pub(crate) fn of(target: Target) -> &'static Self {
        match target {
            Target::Ecs => ecs::get(),
            Target::Ocsf | Target::Cef | Target::Leef => &OCSF,
        }
    }

    /// A class by its name, such as `detection_finding`.
    pub(crate) fn class(&self, name: &str) -> Option<&Item> {
        self.classes.get(name)
    }

    /// The names of all classes.
    pub(crate) fn class_names(&self) -> impl Iterator<Item = &str> {
        self.classes.keys().map(String::as_str)
    }

    /// An object by its name, such as `evidences`.
    pub(crate) fn object(&self, name: &str) -> Option<&Item> {
        self.objects.get(name)
    }

    /// The types that a type is made of, itself first.
    pub(crate) fn types<'f>(
        &'f self,
        name: &'f str,
    ) -> impl Iterator<Item = (&'f str, &'f TypeFacts)> {
        let mut next = Some(name);
        std::iter::from_fn(move || {
            let name = next?;
            let facts = self.types.get(name)?;
            next = facts.base.as_deref();
            Some((name, facts))
        })
    }

    /// The attributes that an item has with the profiles given.
    pub(crate) fn attributes<'f>(
        &'f self,
        item: &'f Item,
        profiles: &[String],
    ) -> impl Iterator<Item = (&'f str, &'f Attribute)> {
        let all = item.attributes.iter();
        all.map(|(name, (index, _))| (name.as_str(), &self.attributes[*index]))
            .filter(move |(_, attribute)| attribute.is_active(profiles))
    }

    /// An attribute that an item has with the profiles given.
    pub(crate) fn attribute<'f>(
        &'f self,
        item: &'f Item,
        name: &str,
        profiles: &[String],
    ) -> Option<(&'f str, &'f Attribute)> {
        let (name, (index, _)) = item.attributes.get_key_value(name)?;
        let attribute = &self.attributes[*index];
        attribute
            .is_active(profiles)
            .then_some((name.as_str(), attribute))
    }

    /// Whether an item must have an attribute.
    pub(crate) fn required(&self, item: &Item, name: &str) -> bool {
        item.attributes
            .get(name)
            .is_some_and(|(_, level)| *level == 2)
    }

    /// The profiles of which an item's attribute needs one; empty if it is always there.
    pub(crate) fn profiles_for(&self, item: &Item, name: &str) -> &[String] {
        let found = item
            .attributes
            .get(name)
            .map(|(index, _)| &self.attributes[*index]);
        found
            .map(|attribute| attribute.profiles.as_slice())
            .unwrap_or_default()
    }

    /// The ids of an attribute and their captions, if it is an enum of numbers.
    pub(crate) fn captions(&self, attribute: &Attribute) -> Option<Vec<(i64, &str)>> {
        let captions = &self.enums[attribute.captions?];
        captions
            .iter()
            .map(|(id, caption)| Some((id.parse().ok()?, caption.as_str())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schema_is_read_and_answers() {
        let facts = Facts::of(Target::Ocsf);
        assert_eq!(facts.version, "1.8.0");
        let class = facts.class("detection_finding").expect("there");
        assert_eq!((class.uid, class.category_uid), (2004, 2));
        let names = |profiles: &[String]| {
            facts
                .attributes(class, profiles)
                .map(|(name, _)| name)
                .collect::<Vec<_>>()
        };
        assert!(!names(&[]).contains(&"verdict_id"));
        assert!(names(&["incident".into()]).contains(&"verdict_id"));
        assert!(facts.required(class, "finding_info") && !facts.required(class, "message"));
        let types: Vec<_> = facts.types("port_t").map(|(name, _)| name).collect();
        assert_eq!(types, ["port_t", "integer_t"]);
    }
}
