//! Takes the records out of a document.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The records of a document, in order.
///
/// An array, `{"value":[..]}`, and `{"records":[..]}` are opened, one inside the other too;
/// wrappers of other products are not.
///
/// # Errors
/// When the document is not JSON.
pub(crate) fn records(document: &[u8]) -> Result<Vec<&[u8]>, serde_json::Error> {
    let mut found = Vec::new();
    open(serde_json::from_slice(document)?, &mut found)?;
    Ok(found)
}

fn open<'a>(value: &'a RawValue, found: &mut Vec<&'a [u8]>) -> Result<(), serde_json::Error> {
    let text = value.get();
    let elements = match text.as_bytes().first() {
        Some(b'[') => serde_json::from_str(text)?,
        Some(b'{') => match serde_json::from_str::<Wrapper<'a>>(text)?.elements {
            Some(elements) => elements,
            None => {
                found.push(text.as_bytes());
                return Ok(());
            }
        },
        _ => {
            found.push(text.as_bytes());
            return Ok(());
        }
    };
    elements
        .into_iter()
        .try_for_each(|element| open(element, found))
}

/// An object that is nothing but a page or a message.
struct Wrapper<'a> {
    elements: Option<Vec<&'a RawValue>>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Wrapper<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(WrapperVisitor)
    }
}

struct WrapperVisitor;

impl<'de> Visitor<'de> for WrapperVisitor {
    type Value = Wrapper<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Wrapper<'de>, A::Error> {
        let mut elements = None;
        let mut is_record = false;
        while let Some(key) = map.next_key::<std::borrow::Cow<'de, str>>()? {
            match &*key {
                "value" | "records" => {
                    let value: &'de RawValue = map.next_value()?;
                    elements = serde_json::from_str(value.get()).ok();
                }
                other => {
                    // Records have members of their own; a page has only annotations.
                    is_record |= !other.starts_with('@');
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Wrapper {
            elements: elements.filter(|_| !is_record),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(document: &str, expected: &[&str]) {
        let found = records(document.as_bytes()).expect("JSON");
        let found: Vec<_> = found
            .into_iter()
            .map(|record| std::str::from_utf8(record).expect("text"))
            .collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn pages_arrays_and_messages_are_opened() {
        check(r#"{"a":1}"#, &[r#"{"a":1}"#]);
        check(r#"[{"a":1}, {"b":2}]"#, &[r#"{"a":1}"#, r#"{"b":2}"#]);
        check(
            r#"{"@odata.context":"x","value":[{"a":1}],"@odata.nextLink":"y"}"#,
            &[r#"{"a":1}"#],
        );
        check(r#"{"records":[{"a":1}]}"#, &[r#"{"a":1}"#]);
        check(r#"[{"value":[{"a":1}]}]"#, &[r#"{"a":1}"#]);
        check(r#"{"value":[]}"#, &[]);
    }

    #[test]
    fn a_record_that_has_such_a_member_is_not_opened() {
        check(r#"{"id":1,"value":[2]}"#, &[r#"{"id":1,"value":[2]}"#]);
        check(r#"{"value":7}"#, &[r#"{"value":7}"#]);
    }
}
