//! What stands in an AMQP message: its body as bytes, and its annotations.

use bytes::Bytes;
use fe2o3_amqp::types::messaging::Body;
use fe2o3_amqp::types::messaging::annotations::OwnedKey;
use fe2o3_amqp::types::primitives::{OrderedMap, Value};

/// All sections of a body as one; what is no bytes or text becomes what no record is.
pub(super) fn body(body: &Body<Value>) -> Bytes {
    match body {
        Body::Data(sections) => joined(sections.iter().map(|section| section.0.as_ref())),
        Body::Value(value) => match piece(&value.0) {
            Some(bytes) => Bytes::copy_from_slice(bytes),
            None => foreign(body),
        },
        Body::Sequence(lists) => {
            let values = lists.iter().flat_map(|list| list.0.iter());
            let pieces: Option<Vec<&[u8]>> = values.map(piece).collect();
            pieces.map_or_else(|| foreign(body), |pieces| joined(pieces.into_iter()))
        }
        Body::Empty => Bytes::new(),
    }
}

fn joined<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Bytes {
    let pieces: Vec<&[u8]> = pieces.collect();
    Bytes::from(pieces.concat())
}

fn piece(value: &Value) -> Option<&[u8]> {
    match value {
        Value::Binary(bytes) => Some(bytes.as_ref()),
        Value::String(text) => Some(text.as_bytes()),
        _ => None,
    }
}

/// For the dead letters, where a human can see what came.
fn foreign(body: &Body<Value>) -> Bytes {
    Bytes::from(format!(
        "an AMQP body that is neither bytes nor text: {body:?}"
    ))
}

fn value<'a>(annotations: &'a OrderedMap<OwnedKey, Value>, name: &str) -> Option<&'a Value> {
    let named = |key: &OwnedKey| matches!(key, OwnedKey::Symbol(symbol) if symbol.0 == name);
    annotations
        .iter()
        .find(|(key, _)| named(key))
        .map(|(_, value)| value)
}

/// A number, or a time in milliseconds since 1970.
pub(super) fn number(annotations: &OrderedMap<OwnedKey, Value>, name: &str) -> Option<i64> {
    match value(annotations, name)? {
        Value::Long(number) => Some(*number),
        Value::Timestamp(time) => Some(time.milliseconds()),
        _ => None,
    }
}

/// A text; older namespaces send some as numbers.
pub(super) fn text(annotations: &OrderedMap<OwnedKey, Value>, name: &str) -> Option<String> {
    match value(annotations, name)? {
        Value::String(text) => Some(text.clone()),
        Value::Long(number) => Some(number.to_string()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp::types::messaging::{AmqpSequence, AmqpValue, Data};

    use super::*;

    fn check(given: Body<Value>, expected: &str) {
        let bytes = body(&given);
        let read = std::str::from_utf8(&bytes).expect("text");
        assert!(read.starts_with(expected), "{given:?}: {read}");
        assert_eq!(read.is_empty(), expected.is_empty(), "{given:?}: {read}");
    }

    #[test]
    fn every_form_of_body_is_read_or_shown() {
        let text = |text: &str| Value::String(text.to_owned());
        let data = |text: &str| Data(text.as_bytes().to_vec().into());
        check(
            Body::Data(vec![data("{\"a\""), data(":1}")].into()),
            "{\"a\":1}",
        );
        check(Body::Value(AmqpValue(text("{}"))), "{}");
        check(
            Body::Value(AmqpValue(Value::Binary(b"[]".to_vec().into()))),
            "[]",
        );
        check(
            Body::Sequence(vec![AmqpSequence(vec![text("{"), text("}")])].into()),
            "{}",
        );
        check(Body::Value(AmqpValue(Value::Long(7))), "an AMQP body");
        check(
            Body::Sequence(vec![AmqpSequence(vec![Value::Bool(true)])].into()),
            "an AMQP body",
        );
        check(Body::Empty, "");
    }
}
