//! One event as a Kafka record: headers and key.

use tapline_core::Metadata;

use crate::config::Key;

/// How many headers an event has at most.
pub(crate) const MOST_HEADERS: usize = 6;

/// The headers of an event: its identity, what it is, and what its bytes are written in.
pub(crate) fn headers(meta: &Metadata) -> impl Iterator<Item = (&'static str, &str)> {
    let all: [_; MOST_HEADERS] = [
        ("kind", Some(meta.kind.as_str())),
        ("tenant", Some(&*meta.tenant)),
        ("id", Some(&*meta.id)),
        ("version", Some(&*meta.version)),
        ("schema", meta.schema),
        ("table", meta.table.as_deref()),
    ];
    all.into_iter()
        .filter_map(|(name, value)| Some((name, value?)))
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
    use tapline_core::Kind;

    use super::*;

    fn meta() -> Metadata {
        Metadata::new(Kind::new("graph.alert"), "t", "i", "v")
    }

    #[test]
    fn headers_carry_the_identity_and_the_schema() {
        let mut meta = meta();
        meta.schema = Some("ocsf/1.8.0");
        let expected = [
            ("kind", "graph.alert"),
            ("tenant", "t"),
            ("id", "i"),
            ("version", "v"),
            ("schema", "ocsf/1.8.0"),
        ];
        assert!(headers(&meta).eq(expected));
        meta.table = Some("AlertInfo".into());
        assert_eq!(headers(&meta).count(), MOST_HEADERS);
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
