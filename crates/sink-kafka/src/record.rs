//! One event as a Kafka record: headers and key.

use rdkafka::message::{Header, OwnedHeaders};
use tapline_core::Metadata;

use crate::config::Key;

/// The headers of an event: its identity, what it is, and what its bytes are written in.
pub(crate) fn headers(meta: &Metadata) -> OwnedHeaders {
    let mut headers = OwnedHeaders::new_with_capacity(6)
        .insert(header("kind", meta.kind.as_str()))
        .insert(header("tenant", &meta.tenant))
        .insert(header("id", &meta.id))
        .insert(header("version", &meta.version));
    if let Some(schema) = meta.schema {
        headers = headers.insert(header("schema", schema));
    }
    if let Some(table) = &meta.table {
        headers = headers.insert(header("table", table));
    }
    headers
}

fn header<'a>(key: &'a str, value: &'a str) -> Header<'a, &'a str> {
    Header {
        key,
        value: Some(value),
    }
}

/// Writes the key of an event over `out`; false if it has none.
pub(crate) fn key(key: Key, meta: &Metadata, out: &mut String) -> bool {
    out.clear();
    match key {
        Key::None => return false,
        Key::Tenant => out.push_str(&meta.tenant),
        Key::Device => match &meta.device {
            Some(device) => out.push_str(device),
            None => return false,
        },
        Key::Id => {
            for part in [&*meta.tenant, ":", meta.kind.as_str(), ":", &*meta.id] {
                out.push_str(part);
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use rdkafka::message::Headers;
    use tapline_core::Kind;

    use super::*;

    fn meta() -> Metadata {
        Metadata::new(Kind::new("graph.alert"), "t", "i", "v")
    }

    #[test]
    fn headers_carry_the_identity_and_the_schema() {
        let mut meta = meta();
        meta.schema = Some("ocsf/1.8.0");
        let headers = headers(&meta);
        let told: Vec<_> = headers
            .iter()
            .map(|h| (h.key.to_owned(), h.value.map(<[u8]>::to_vec)))
            .collect();
        let expected = [
            ("kind", "graph.alert"),
            ("tenant", "t"),
            ("id", "i"),
            ("version", "v"),
            ("schema", "ocsf/1.8.0"),
        ];
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value)| ((*key).to_owned(), Some(value.as_bytes().to_vec())))
            .collect();
        assert_eq!(told, expected);
    }

    #[test]
    fn keys_are_made_as_configured() {
        let check = |setting, expected: Option<&str>| {
            let mut text = "left over".to_owned();
            let has = key(setting, &meta(), &mut text);
            assert_eq!(has.then_some(text.as_str()), expected);
        };
        check(Key::Id, Some("t:graph.alert:i"));
        check(Key::Tenant, Some("t"));
        check(Key::Device, None);
        check(Key::None, None);
    }

    #[test]
    fn the_key_is_the_one_of_the_contract() {
        let mut text = String::new();
        key(Key::Id, &meta(), &mut text);
        assert_eq!(text, meta().key());
    }
}
