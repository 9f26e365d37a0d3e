//! One setting of librdkafka as users write it: plain, or a secret.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{
    self, DeserializeSeed, Deserializer, MapAccess, Visitor, value::MapAccessDeserializer,
};
use tapline_core::{Secret, SecretSource};

/// A value that a user gives to librdkafka: plain, or from a secret source.
#[derive(Clone, Debug)]
pub enum Setting {
    /// Text, a number, or a switch, as librdkafka writes it.
    Plain(String),
    /// `{ env: .. }`, `{ file: .. }`, or `{ command: .. }`; a literal where the name of the
    /// setting says that it is a secret.
    Secret(SecretSource),
}

/// Whether the value of a setting is a secret, so that it is never shown, and warned about where
/// it stands in the file itself.
///
/// Those of librdkafka that are "sensitive" (rdkafka_conf.c, 2.12), without names, paths, and
/// public certificates.
fn is_secret(key: &str) -> bool {
    const ENDS: [&str; 4] = ["password", "passphrase", "secret", "key.pem"];
    let key = key.to_ascii_lowercase();
    key == "sasl.oauthbearer.config" || ENDS.iter().any(|end| key.ends_with(end))
}

/// Reads settings by name; what each may be depends on its name.
pub(crate) fn by_name<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<BTreeMap<String, Setting>, D::Error> {
    deserializer.deserialize_map(ByName)
}

struct ByName;

impl<'de> Visitor<'de> for ByName {
    type Value = BTreeMap<String, Setting>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a table")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut settings = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            let form = Form {
                is_secret: is_secret(&name),
            };
            let setting = map.next_value_seed(form)?;
            settings.insert(name, setting);
        }
        Ok(settings)
    }
}

/// Reads one setting.
struct Form {
    is_secret: bool,
}

impl Form {
    fn literal<E>(&self, text: String) -> Result<Setting, E> {
        Ok(match self.is_secret {
            true => Setting::Secret(SecretSource::Literal(Secret::new(text))),
            false => Setting::Plain(text),
        })
    }
}

impl<'de> DeserializeSeed<'de> for Form {
    type Value = Setting;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Setting, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Form {
    type Value = Setting;

    /// Whoever reads the file knows a secret by the first words, as with [`SecretSource`].
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.is_secret {
            true => "a secret: text, { env: NAME }, { file: path }, or { command: [program, ..] }",
            false => "text, a number, true or false, or a secret such as { env: NAME }",
        })
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Setting, E> {
        self.literal(value.to_owned())
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<Setting, E> {
        self.literal(value.to_string())
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Setting, E> {
        self.literal(value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Setting, E> {
        self.literal(value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Setting, E> {
        self.literal(value.to_string())
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Setting, A::Error> {
        SecretSource::deserialize(MapAccessDeserializer::new(map)).map(Setting::Secret)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_a_secret_by_its_name_is_read_as_one_and_never_shown() {
        let check = |name: &str, secret: bool| {
            let json = format!(r#"{{"{name}": "hunter2"}}"#);
            let mut reader = serde_json::Deserializer::from_str(&json);
            let settings = by_name(&mut reader).expect("well formed");
            let shown = format!("{settings:?}");
            assert_eq!(!shown.contains("hunter2"), secret, "{shown}");

            let json = format!(r#"{{"{name}": []}}"#);
            let mut reader = serde_json::Deserializer::from_str(&json);
            let error = by_name(&mut reader).expect_err("no setting");
            assert_eq!(
                error.to_string().contains("expected a secret: "),
                secret,
                "{error}"
            );
        };
        for name in [
            "sasl.password",
            "ssl.key.password",
            "ssl.keystore.password",
            "ssl.key.pem",
            "sasl.oauthbearer.client.secret",
            "sasl.oauthbearer.config",
            "sasl.oauthbearer.assertion.private.key.passphrase",
            "sasl.oauthbearer.assertion.private.key.pem",
        ] {
            check(name, true);
        }
        for name in [
            "sasl.username",
            "ssl.ca.pem",
            "ssl.certificate.pem",
            "ssl.key.location",
        ] {
            check(name, false);
        }
    }
}
