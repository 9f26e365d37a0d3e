//! What a mapping file may write for an attribute: one value, or an object.

use super::facts::Attribute;
use super::plan::{Captions, Item, Member, Scalar, Value};
use super::template::{Template, json};
use crate::engine::{Expr, Predicate};
use crate::mapping::{Context, Yaml, YamlValue};

impl Template<'_> {
    /// Compiles the value of an attribute. `None` after a problem, or if it could never be there.
    pub(super) fn value(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Value> {
        if attribute.is_array {
            return self.array(attribute, object, name, yaml, cx);
        }
        match &attribute.object {
            Some(of) => self.object_value(of, &[yaml], cx),
            None => self.primitive(attribute, object, name, yaml, cx),
        }
    }

    pub(super) fn primitive(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Value> {
        if attribute.type_name == "json_t" {
            return self.json_value(yaml, cx);
        }
        if let Some(choice) = self.choice(attribute, object, name, yaml, cx) {
            return choice;
        }
        if let Some(captions) = self.facts.captions(attribute) {
            return self.id(attribute, &captions, yaml, cx);
        }
        let expr = self.compiler.scalar(yaml, cx);
        if matches!(expr, Expr::Nothing) {
            return None;
        }
        self.check_word(attribute, &expr, yaml);
        let scalar = self.scalar_of(attribute, object, name, expr)?;
        self.fixed_if_constant(scalar, yaml)
    }

    /// Where only some words are allowed, one of them has to stand in the file.
    pub(super) fn check_word(&mut self, attribute: &Attribute, expr: &Expr, yaml: &Yaml) {
        let words = &attribute.words;
        if !words.is_empty() && !expr.is_one_of(words) {
            let message = format!(
                "expected {{ const: word }} with one of {}",
                words.join(", ")
            );
            self.compiler.problem(&yaml.at, message);
        }
    }

    /// `first`, `cases`, and `when` choose between values that each have to fit by themselves, so
    /// that one that does not fit makes way for the next. `None`: it is none of them.
    fn choice(
        &mut self,
        attribute: &'static Attribute,
        object: &str,
        name: &str,
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Option<Value>> {
        if let Some(first) = yaml.member("first") {
            self.compiler.only(yaml, &["first"]);
            let all = first.elements().iter();
            let all: Vec<Value> = all
                .filter_map(|one| self.primitive(attribute, object, name, one, cx))
                .collect();
            return Some((!all.is_empty()).then_some(Value::First(all)));
        }
        let cases = match yaml.member("cases") {
            Some(cases) => {
                self.compiler.only(yaml, &["cases"]);
                cases.elements()
            }
            None if yaml.member("when").is_some() => std::slice::from_ref(yaml),
            None => return None,
        };
        let mut compiled = Vec::new();
        for case in cases {
            let (when, then) = self.case_parts(case, cx)?;
            if let Some(value) = self.primitive(attribute, object, name, then, cx) {
                compiled.push((when, value));
            }
        }
        Some((!compiled.is_empty()).then_some(Value::Cases(compiled)))
    }

    /// A constant is written once, here; one of the wrong type is a mistake.
    pub(super) fn fixed_if_constant(&mut self, scalar: Scalar, yaml: &Yaml) -> Option<Value> {
        let text = match &scalar.expr {
            Expr::Text(text) => text.to_string(),
            Expr::Int(number) => number.to_string(),
            Expr::Bool(truth) => truth.to_string(),
            _ => return Some(Value::Scalar(scalar)),
        };
        let mut bytes = Vec::new();
        if !super::coerce::write_fit(&text, scalar.fit, &mut bytes) {
            self.compiler.problem(
                &yaml.at,
                format!("\"{text}\" does not fit this attribute ({:?})", scalar.fit),
            );
        }
        Some(Value::Fixed(bytes.into()))
    }

    pub(super) fn json_value(&mut self, yaml: &Yaml, cx: &Context<'_>) -> Option<Value> {
        if yaml.member("rest").is_some() {
            self.compiler.only(yaml, &["rest"]);
            return self.rest(yaml.member("rest")?, cx);
        }
        match self.compiler.scalar(yaml, cx) {
            Expr::Nothing => None,
            expr => Some(Value::Json(expr)),
        }
    }

    /// `all` of the object at hand, or the members named.
    fn rest(&mut self, of: &Yaml, cx: &Context<'_>) -> Option<Value> {
        if of.text() == Some("all") {
            return Some(Value::Rest(cx.scope));
        }
        let mut members = Vec::new();
        for name in of.elements() {
            let text = name.text().unwrap_or_default();
            let path = self.compiler.path(text, &name.at, cx)?;
            let key = format!("{}:", json(text)).into_bytes().into();
            members.push(Member { path, key });
        }
        Some(Value::RestOf(members))
    }

    /// An id with its caption, which the schema knows.
    fn id(
        &mut self,
        attribute: &Attribute,
        captions: &[(i64, &str)],
        yaml: &Yaml,
        cx: &Context<'_>,
    ) -> Option<Value> {
        self.compiler.ids = Some(captions.iter().map(|(id, _)| *id).collect());
        let expr = self.compiler.scalar(yaml, cx);
        self.compiler.ids = None;
        match expr {
            Expr::Nothing => None,
            Expr::Value(_) | Expr::Text(_) => {
                self.compiler.problem(
                    &yaml.at,
                    "an id comes from a number or a table, not from a field or a text",
                );
                None
            }
            expr => Some(Value::Id(expr, captions_of(attribute, captions)).simplified()),
        }
    }

    /// Compiles an object: a template, a block, or a choice between such.
    pub(super) fn object_value(
        &mut self,
        of: &str,
        templates: &[&Yaml],
        cx: &Context<'_>,
    ) -> Option<Value> {
        let yaml = *templates.last()?;
        let facts = self.facts;
        if yaml.member("use").is_some() {
            return self.block(of, templates, cx);
        }
        if let Some(cases) = yaml.member("cases") {
            let cases = cases
                .elements()
                .iter()
                .filter_map(|case| self.case(of, case, cx))
                .collect();
            return Some(Value::Cases(cases));
        }
        if yaml.member("when").is_some() {
            return Some(Value::Cases(self.case(of, yaml, cx).into_iter().collect()));
        }
        if let Some(first) = yaml.member("first") {
            let all = first
                .elements()
                .iter()
                .filter_map(|one| self.object_value(of, &[one], cx))
                .collect();
            return Some(Value::First(all));
        }
        if !matches!(yaml.value, YamlValue::Map(_)) {
            self.compiler.problem(
                &yaml.at,
                format!("expected the attributes of {of}, found {}", yaml.what()),
            );
            return None;
        }
        let shape = facts.object(of)?;
        let object = self.object(shape, of, templates, cx);
        (!object.fields.is_empty()).then_some(Value::Object(object))
    }

    fn case(
        &mut self,
        of: &str,
        case: &Yaml,
        cx: &Context<'_>,
    ) -> Option<(Option<Predicate>, Value)> {
        let (when, then) = self.case_parts(case, cx)?;
        Some((when, self.object_value(of, &[then], cx)?))
    }

    fn case_parts<'y>(
        &mut self,
        case: &'y Yaml,
        cx: &Context<'_>,
    ) -> Option<(Option<Predicate>, &'y Yaml)> {
        self.compiler.only(case, &["when", "then"]);
        let when = case
            .member("when")
            .map(|when| self.compiler.predicate(when, cx));
        let then = case.member("then");
        if then.is_none() {
            self.compiler
                .problem(&case.at, "this operation needs \"then\"");
        }
        Some((when, then?))
    }

    fn block(&mut self, of: &str, templates: &[&Yaml], cx: &Context<'_>) -> Option<Value> {
        let yaml = *templates.last()?;
        // The compiler is lent to the block's template, which this compiles with everything else.
        let mut found = None;
        let given = yaml.clone();
        self.in_block(&given, cx, |template, block, inside| {
            found = template.object_value(of, &[block], inside);
        });
        found
    }

    /// Runs `inside` with the template of a block.
    pub(super) fn in_block(
        &mut self,
        given: &Yaml,
        cx: &Context<'_>,
        inside: impl FnOnce(&mut Self, &Yaml, &Context<'_>),
    ) {
        if let Some(block) = self.compiler.block(given) {
            let parameters = self.compiler.parameters(given, &block, cx);
            if let Some(template) = block.member("template") {
                inside(self, template, &parameters.context());
            }
        }
    }
}

fn captions_of(attribute: &Attribute, captions: &[(i64, &str)]) -> Captions {
    let sibling = attribute.sibling.as_deref();
    let bytes = |(id, caption): &(i64, &str)| {
        let text = match sibling {
            Some(sibling) => format!("{id},\"{sibling}\":{}", json(caption)),
            None => id.to_string(),
        };
        (*id, text.into_bytes().into())
    };
    Captions {
        ids: captions.iter().map(bytes).collect(),
        other: sibling.map(|sibling| format!("99,\"{sibling}\":").into_bytes().into()),
    }
}

impl Value {
    /// Whether the value comes from the record, so that an object with it says something.
    pub(super) fn is_from_record(&self) -> bool {
        match self {
            Value::Fixed(_) => false,
            Value::Object(object) => object.from_record != 0,
            Value::Id(Expr::Table { table, .. }, _) => table.absent.is_none(),
            _ => true,
        }
    }

    /// The same, written already if it never changes.
    pub(super) fn simplified(self) -> Self {
        match self {
            Value::Id(Expr::Int(id), captions) => {
                let bytes = captions
                    .ids
                    .into_iter()
                    .find(|(known, _)| *known == id)
                    .map(|(_, bytes)| bytes);
                Value::Fixed(bytes.unwrap_or_default())
            }
            Value::Array(items) => {
                match items.iter().map(Item::fixed).collect::<Option<Vec<_>>>() {
                    Some(all) => {
                        let mut bytes = vec![b'['];
                        bytes.extend_from_slice(&all.join(&b','));
                        bytes.push(b']');
                        Value::Fixed(bytes.into())
                    }
                    None => Value::Array(items),
                }
            }
            other => other,
        }
    }
}

impl Item {
    fn fixed(&self) -> Option<&[u8]> {
        match self {
            Item::One(Value::Fixed(bytes)) => Some(bytes),
            _ => None,
        }
    }
}
