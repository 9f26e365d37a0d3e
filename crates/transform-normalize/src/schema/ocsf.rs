//! OCSF: attributes of an event that bring something with them which no mapping file says.

use super::facts::{Attribute, Item as Shape};
use super::plan::{Captions, Value};
use super::template::{Template, json};
use crate::engine::{Expr, MetaField};
use crate::mapping::{Context, Member, Yaml, YamlValue};

impl Template<'_> {
    /// An attribute at the top of an event; `None` if it is like any other.
    pub(super) fn ocsf_attribute(
        &mut self,
        class: &Shape,
        attribute: &'static Attribute,
        name: &str,
        member: &Member,
        cx: &Context<'_>,
    ) -> Option<Option<Value>> {
        Some(match name {
            "activity_id" => self.activity(class, attribute, &member.value, cx),
            "metadata" => self.metadata(attribute, &member.value, cx),
            "time" => self.time(attribute, &member.value, cx),
            "class_uid" | "class_name" | "category_uid" | "category_name" | "type_uid"
            | "type_name" | "activity_name" | "observables" | "unmapped" => {
                self.compiler
                    .problem(&member.at, format!("\"{name}\" is written by itself"));
                None
            }
            _ => return None,
        })
    }

    /// `activity_id` brings its caption and the event's type with it.
    fn activity(
        &mut self,
        class: &Shape,
        attribute: &Attribute,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Value> {
        let captions = self.facts.captions(attribute)?;
        self.compiler.ids = Some(captions.iter().map(|(id, _)| *id).collect());
        let expr = self.compiler.scalar(yaml, cx);
        self.compiler.ids = None;
        let bytes = |id: i64, caption: &str| {
            let type_name = format!("{}: {caption}", class.caption);
            format!(
                "{id},\"type_uid\":{},\"type_name\":{},\"activity_name\":",
                class.uid * 100 + id,
                json(&type_name)
            )
        };
        let known = |(id, caption): &(i64, &str)| {
            let all = bytes(*id, caption) + &json(caption);
            (*id, all.into_bytes().into())
        };
        let ids = captions.iter().map(known).collect();
        let other = Some(bytes(99, "Other").into_bytes().into());
        Some(Value::Id(expr, Captions { ids, other }).simplified())
    }

    /// `time` falls back to what is known of the event without its body: it is always there.
    fn time(
        &mut self,
        attribute: &'static Attribute,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Value> {
        let value = self.value(attribute, "", "time", yaml, cx)?;
        let known = self.scalar_of(attribute, "", "time", Expr::Meta(MetaField::Time))?;
        Some(Value::First(vec![value, Value::Scalar(known)]))
    }

    /// `metadata` gets the schema's version, the profiles, and the event's identity.
    fn metadata(&mut self, attribute: &Attribute, yaml: &Yaml, cx: &Context<'_>) -> Option<Value> {
        if yaml.member("use").is_some() {
            let mut found = None;
            self.in_block(yaml, cx, |template, block, inside| {
                found = template.metadata(attribute, block, inside);
            });
            return found;
        }
        let shape = self.facts.object(attribute.object.as_deref()?)?;
        let own = |name: &str, value: YamlValue| Member {
            name: name.to_owned(),
            at: yaml.at.clone(),
            value: Yaml {
                at: yaml.at.clone(),
                value,
            },
        };
        let text = |text: &str| Yaml {
            at: yaml.at.clone(),
            value: YamlValue::Text(text.to_owned()),
        };
        let operation = |name: &str, value: Yaml| {
            YamlValue::Map(vec![Member {
                name: name.to_owned(),
                at: yaml.at.clone(),
                value,
            }])
        };
        let mut members = vec![own(
            "version",
            operation("const", text(&self.facts.version)),
        )];
        members.push(own("uid", operation("meta", text("uid"))));
        let profiles = self.profiles.iter().map(|profile| Yaml {
            at: yaml.at.clone(),
            value: operation("const", text(profile)),
        });
        let profiles: Vec<Yaml> = profiles.collect();
        if !profiles.is_empty() {
            members.push(own("profiles", YamlValue::List(profiles)));
        }
        let by_itself = Yaml {
            at: yaml.at.clone(),
            value: YamlValue::Map(members),
        };
        Some(Value::Object(self.object(
            shape,
            "metadata",
            &[&by_itself, yaml],
            cx,
        )))
    }
}
