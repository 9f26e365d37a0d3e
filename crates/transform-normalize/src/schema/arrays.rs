//! What a mapping file may write for an attribute that holds an array.

use super::facts::Attribute;
use super::plan::{Item, Object, Value};
use super::template::{Template, json};
use crate::engine::Expr;
use crate::mapping::{Context, Yaml};

/// The operations that fill arrays, and their other keys.
const ARRAY_OPERATIONS: &[(&str, &[&str])] = &[
    ("each", &["where", "as", "arms"]),
    ("split", &["on", "into"]),
    ("if_empty", &[]),
    ("techniques", &["tactic"]),
    ("hashes", &[]),
];

/// Hashes by the names of `hashes: {..}`: ids and captions of `fingerprint.algorithm_id`.
const HASHES: [(&str, &[u8]); 3] = [
    ("md5", b"1,\"algorithm\":\"MD5\""),
    ("sha1", b"2,\"algorithm\":\"SHA-1\""),
    ("sha256", b"3,\"algorithm\":\"SHA-256\""),
];

impl Template<'_> {
    pub(super) fn array(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Value> {
        if let Some(captions) = self.facts.captions(attribute) {
            return self.ids(attribute, &captions, yaml);
        }
        self.here.push_str("[]");
        let mut items = Vec::new();
        for one in yaml.elements() {
            items.extend(self.items(attribute, object, name, one, cx));
        }
        self.here.truncate(self.here.len() - 2);
        (!items.is_empty()).then(|| Value::Array(items).simplified())
    }

    /// An array of ids with their captions; only constants.
    fn ids(
        &mut self,
        attribute: &Attribute,
        captions: &[(i64, &str)],
        yaml: &Yaml,
    ) -> Option<Value> {
        self.compiler.ids = Some(captions.iter().map(|(id, _)| *id).collect());
        let ids: Vec<i64> = yaml
            .elements()
            .iter()
            .filter_map(|id| self.compiler.id(id))
            .collect();
        self.compiler.ids = None;
        let numbers: Vec<String> = ids.iter().map(i64::to_string).collect();
        let mut text = format!("[{}]", numbers.join(","));
        if let Some(sibling) = &attribute.sibling {
            let caption = |id: &i64| {
                captions
                    .iter()
                    .find(|(known, _)| known == id)
                    .map(|(_, caption)| json(caption))
            };
            let words: Vec<String> = ids.iter().filter_map(caption).collect();
            text.push_str(&format!(",\"{sibling}\":[{}]", words.join(",")));
        }
        Some(Value::Fixed(text.into_bytes().into()))
    }

    fn items(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Vec<Item> {
        let operation = ARRAY_OPERATIONS
            .iter()
            .find(|(name, _)| yaml.member(name).is_some());
        let item = match (operation, &attribute.object) {
            (Some((word, keys)), _) => {
                let mut known = vec![*word];
                known.extend_from_slice(keys);
                self.compiler.only(yaml, &known);
                return self.array_operation(word, attribute, object, name, yaml, cx);
            }
            (None, Some(of)) => self.object_value(of, &[yaml], cx).map(Item::One),
            (None, None) => match yaml.member("first") {
                Some(first) => Some(self.first_item(attribute, object, name, first, cx)),
                None => self.scalar_item(attribute, object, name, yaml, cx),
            },
        };
        item.into_iter().collect()
    }

    /// The first of several ways to fill an array that yields an element.
    fn first_item(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        first: &Yaml,
        cx: &Context<'_>,
    ) -> Item {
        let each = first.elements().iter();
        Item::First(
            each.flat_map(|one| self.items(attribute, object, name, one, cx))
                .collect(),
        )
    }

    /// A field fills an array with its elements; an operation with the one value it yields.
    fn scalar_item(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Item> {
        if attribute.type_name == "json_t" {
            return self.json_value(yaml, cx).map(Item::One);
        }
        let expr = self.compiler.scalar(yaml, cx);
        self.check_word(attribute, &expr, yaml);
        match expr {
            Expr::Nothing => None,
            Expr::Value(list) => {
                let scalar = self.scalar_of(attribute, object, name, Expr::Nothing)?;
                Some(Item::Elements { list, scalar })
            }
            expr => {
                let scalar = self.scalar_of(attribute, object, name, expr)?;
                self.fixed_if_constant(scalar, yaml).map(Item::One)
            }
        }
    }

    fn array_operation(
        &mut self,
        word: &str,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Vec<Item> {
        let value = yaml.member(word).expect("found by its name");
        match word {
            "each" => self
                .each(attribute, object, name, value, yaml, cx)
                .into_iter()
                .collect(),
            "split" => self
                .split(attribute, object, name, value, yaml, cx)
                .into_iter()
                .collect(),
            "if_empty" => {
                let value = match &attribute.object {
                    Some(of) => self.object_value(of, &[value], cx),
                    None => self.primitive(attribute, object, name, value, cx),
                };
                value.map(Item::IfEmpty).into_iter().collect()
            }
            "techniques" if attribute.object.as_deref() == Some("attack") => {
                self.techniques(value, yaml, cx).into_iter().collect()
            }
            "hashes" if attribute.object.as_deref() == Some("fingerprint") => {
                self.hashes(value, cx)
            }
            other => {
                self.compiler
                    .problem(&yaml.at, format!("\"{other}\" does not fit this attribute"));
                Vec::new()
            }
        }
    }

    fn each(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        list: &Yaml,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Item> {
        let path = list
            .text()
            .and_then(|path| self.compiler.path(path, &list.at, cx))?;
        let scope = self.compiler.scopes.add();
        let inside = cx.inside(scope);
        let when = yaml
            .member("where")
            .map(|when| self.compiler.predicate(when, &inside));
        let value = match &attribute.object {
            Some(of) => self.arms_of_each(of, yaml, &inside)?,
            None => {
                let of = yaml.member("as")?;
                self.primitive(attribute, object, name, of, &inside)?
            }
        };
        Some(Item::Each {
            list: path,
            scope,
            when,
            value,
        })
    }

    /// `as` is what all elements get, `arms` what the elements of one kind get beyond that.
    fn arms_of_each(&mut self, of: &str, yaml: &Yaml, cx: &Context<'_>) -> Option<Value> {
        let shared: Vec<&Yaml> = yaml.member("as").into_iter().collect();
        let Some(arms) = yaml.member("arms") else {
            return self.object_value(of, &shared, cx);
        };
        let mut cases = Vec::new();
        for arm in arms.elements() {
            self.compiler.only(arm, &["when", "as"]);
            let when = arm
                .member("when")
                .map(|when| self.compiler.predicate(when, cx));
            let templates: Vec<&Yaml> = shared.iter().copied().chain(arm.member("as")).collect();
            if let Some(value) = self.object_value(of, &templates, cx) {
                cases.push((when, value));
            }
        }
        if !shared.is_empty() {
            cases.push((None, self.object_value(of, &shared, cx)?));
        }
        Some(Value::Cases(cases))
    }

    fn split(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        value: &Yaml,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Item> {
        let expr = self.compiler.scalar(value, cx);
        let on = yaml
            .member("on")
            .and_then(Yaml::word)
            .unwrap_or_else(|| ",".to_owned());
        let Some(of) = &attribute.object else {
            let scalar = self.scalar_of(attribute, object, name, Expr::Nothing)?;
            return Some(Item::Pieces {
                expr,
                on: on.into(),
                into: None,
                scalar,
            });
        };
        let into = yaml.member("into").and_then(Yaml::text).unwrap_or_default();
        let facts = self.facts;
        let shape = facts.object(of)?;
        let Some((into, inner)) = facts
            .attributes(shape, &self.profiles)
            .find(|(known, _)| *known == into)
        else {
            self.compiler.problem(
                &yaml.at,
                format!("split needs \"into\", the attribute of {of} that a piece goes to"),
            );
            return None;
        };
        let outside = self.here.len();
        self.here.push('.');
        self.here.push_str(into);
        let scalar = self.scalar_of(inner, of, into, Expr::Nothing);
        self.here.truncate(outside);
        let into = Some(format!("{{\"{into}\":").into_bytes().into());
        Some(Item::Pieces {
            expr,
            on: on.into(),
            into,
            scalar: scalar?,
        })
    }

    fn techniques(&mut self, value: &Yaml, yaml: &Yaml, cx: &Context<'_>) -> Option<Item> {
        let list = value
            .text()
            .and_then(|path| self.compiler.path(path, &value.at, cx))?;
        let tactics = yaml
            .member("tactic")
            .map(Yaml::elements)
            .unwrap_or_default();
        let path = |one: &Yaml| self.compiler.path(one.text()?, &one.at, cx);
        Some(Item::Techniques {
            list,
            tactics: tactics.iter().filter_map(path).collect(),
        })
    }

    /// `hashes: { md5: field, .. }`: one fingerprint for each that is there.
    fn hashes(&mut self, value: &Yaml, cx: &Context<'_>) -> Vec<Item> {
        self.compiler.only(value, &HASHES.map(|(name, _)| name));
        let mut items = Vec::new();
        for (name, algorithm) in HASHES {
            let Some(yaml) = value.member(name) else {
                continue;
            };
            let expr = self.compiler.scalar(yaml, cx);
            if !matches!(expr, Expr::Nothing) {
                items.extend(self.fingerprint(algorithm, expr).map(Item::One));
            }
        }
        items
    }

    fn fingerprint(&mut self, algorithm: &[u8], expr: Expr) -> Option<Value> {
        let facts = self.facts;
        let shape = facts.object("fingerprint")?;
        let (_, value) = facts
            .attributes(shape, &[])
            .find(|(name, _)| *name == "value")?;
        self.here.push_str(".value");
        let scalar = self.scalar_of(value, "fingerprint", "value", Expr::Lower(Box::new(expr)));
        self.here.truncate(self.here.len() - ".value".len());
        let field = |key: &str, value| super::plan::Field {
            key: key.as_bytes().into(),
            value,
        };
        Some(Value::Object(Object {
            fields: vec![
                field("\"algorithm_id\":", Value::Fixed(algorithm.into())),
                field("\"value\":", Value::Scalar(scalar?)),
            ],
            required: 0b11,
            from_record: 0b10,
            constraints: Vec::new(),
        }))
    }
}
