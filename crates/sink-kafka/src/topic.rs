//! Topic names made from an event's metadata.

use tapline_core::Metadata;

/// Longest topic name that Kafka accepts, in bytes.
/// Source: `org.apache.kafka.common.internals.Topic`, `MAX_NAME_LENGTH`.
const MAX_BYTES: usize = 249;

/// A topic name with placeholders, parsed once.
#[derive(Clone, Debug)]
pub(crate) struct TopicTemplate {
    parts: Vec<Part>,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Part {
    Text(String),
    Kind,
    Tenant,
    Component,
    Label(String),
}

/// What is wrong with a template.
#[derive(Debug, thiserror::Error, Eq, PartialEq)]
pub(crate) enum TopicError {
    #[error("is empty")]
    Empty,
    #[error("unknown placeholder {{{0}}}; known are kind, tenant, component, labels.NAME")]
    Placeholder(String),
    #[error("a placeholder opened with {{ is not closed")]
    Unclosed,
    #[error("{0:?} is not allowed in a topic name; allowed are letters, digits, '.', '_', '-'")]
    Character(char),
}

impl TopicTemplate {
    pub(crate) fn parse(template: &str) -> Result<Self, TopicError> {
        let mut parts = Vec::new();
        let mut rest = template;
        while let Some(open) = rest.find('{') {
            push_text(&mut parts, &rest[..open])?;
            let close = rest[open..].find('}').ok_or(TopicError::Unclosed)? + open;
            parts.push(placeholder(&rest[open + 1..close])?);
            rest = &rest[close + 1..];
        }
        push_text(&mut parts, rest)?;
        if parts.is_empty() {
            return Err(TopicError::Empty);
        }
        Ok(Self { parts })
    }

    /// Writes the topic of one event over `out`.
    pub(crate) fn render(&self, meta: &Metadata, out: &mut String) {
        out.clear();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Kind => push_legal(out, meta.kind.as_str()),
                Part::Tenant => push_legal(out, &meta.tenant),
                Part::Component => push_legal(out, &meta.component),
                Part::Label(name) => {
                    let label = meta.labels.get(name);
                    push_legal(out, label.map_or("unknown", String::as_str));
                }
            }
        }
        out.truncate(MAX_BYTES);
    }
}

fn push_text(parts: &mut Vec<Part>, text: &str) -> Result<(), TopicError> {
    if let Some(wrong) = text.chars().find(|c| !is_legal(*c)) {
        return Err(TopicError::Character(wrong));
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    Ok(())
}

fn placeholder(name: &str) -> Result<Part, TopicError> {
    match name {
        "kind" => Ok(Part::Kind),
        "tenant" => Ok(Part::Tenant),
        "component" => Ok(Part::Component),
        _ => match name.strip_prefix("labels.") {
            Some(label) if !label.is_empty() => Ok(Part::Label(label.to_owned())),
            _ => Err(TopicError::Placeholder(name.to_owned())),
        },
    }
}

fn is_legal(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

/// Only ASCII is pushed, so that cutting at any byte keeps the name whole characters.
fn push_legal(out: &mut String, value: &str) {
    let value = if value.is_empty() { "unknown" } else { value };
    out.extend(value.chars().map(|c| if is_legal(c) { c } else { '_' }));
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tapline_core::Kind;

    use super::*;

    fn check(template: &str, expected: &str) {
        let mut meta = Metadata::new(Kind::new("graph.alert"), "contoso/7", "id", "1");
        let labels = BTreeMap::from([("customer".to_owned(), "größe".to_owned())]);
        meta.labels = Arc::new(labels);
        let mut topic = "left over".to_owned();
        TopicTemplate::parse(template)
            .expect("a good template")
            .render(&meta, &mut topic);
        assert_eq!(topic, expected);
    }

    #[test]
    fn placeholders_are_filled_and_kept_legal() {
        check("defender.{kind}", "defender.graph.alert");
        check("{tenant}-x", "contoso_7-x");
        check("{labels.customer}.{labels.none}", "gr__e.unknown");
        check("{component}", "unknown");
    }

    #[test]
    fn a_topic_is_never_longer_than_kafka_takes() {
        check(&"x".repeat(300), &"x".repeat(249));
    }

    #[test]
    fn a_wrong_template_says_what_is_wrong() {
        let refused = |template: &str| TopicTemplate::parse(template).expect_err("refused");
        assert_eq!(refused(""), TopicError::Empty);
        assert_eq!(refused("a.{b"), TopicError::Unclosed);
        assert_eq!(refused("{sort}"), TopicError::Placeholder("sort".into()));
        assert_eq!(refused("a b"), TopicError::Character(' '));
    }
}
