//! Settings that are one of several words, with or without something behind the word.

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, VariantAccess, Visitor,
};

use super::attempts::join;
use super::fault::Fault;
use super::reader::{Reader, View};
use super::scalar::Meaning;

/// One of several words, or a table whose only key is one of them.
pub(super) struct Choice<'a> {
    word: &'a str,
    /// Whether the word may be repeated in a message.
    is_shown: bool,
    content: Option<Reader<'a>>,
    whole: Reader<'a>,
}

impl<'a> Choice<'a> {
    pub(super) fn of(
        reader: &Reader<'a>,
        variants: &'static [&'static str],
    ) -> Result<Self, Fault> {
        let (word, content, is_shown) = match reader.view() {
            View::MadeUp => (variants.first().copied().unwrap_or_default(), None, true),
            View::Scalar(scalar) if scalar.meaning() != Meaning::Nothing => {
                (scalar.text.as_str(), None, scalar.variables.is_empty())
            }
            View::Table([only]) => {
                let path = join(&reader.path, &only.key);
                let content = reader.child(Some(&only.node), path);
                (only.key.as_str(), Some(content), true)
            }
            View::Table(_) => {
                let expected = format!("exactly one of the keys {}", variants.join(", "));
                return Err(
                    Fault::expected(&expected, "another number of keys").within(&reader.path)
                );
            }
            _ => return Err(reader.unexpected(&format!("one of {}", variants.join(", ")))),
        };
        Ok(Self {
            word,
            is_shown,
            content,
            whole: reader.clone(),
        })
    }

    fn missing_content(&self, expected: &str) -> Fault {
        Fault::value(format!(
            "{} needs {expected}: {{ {}: .. }}",
            self.word, self.word
        ))
    }
}

impl<'de, 'a> EnumAccess<'de> for Choice<'a> {
    type Error = Fault;
    type Variant = Choice<'a>;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Fault> {
        let word: StrDeserializer<'_, Fault> = self.word.into_deserializer();
        match seed.deserialize(word) {
            Ok(variant) => Ok((variant, self)),
            Err(_) if !self.is_shown => {
                Err(Fault::value("unknown value in an environment variable"))
            }
            Err(fault) => Err(fault),
        }
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Fault;

    fn unit_variant(self) -> Result<(), Fault> {
        match self.content {
            None => Ok(()),
            Some(content) => de::Deserialize::deserialize(content),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        match self.content {
            Some(content) => content.read(seed),
            None if self.whole.is_made_up() => seed.deserialize(self.whole),
            None => Err(self.missing_content("a value")),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _length: usize, visitor: V) -> Result<V::Value, Fault> {
        match self.content {
            Some(content) => content.deserialize_seq(visitor),
            None => Err(self.missing_content("a list")),
        }
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        match self.content {
            Some(content) => content.deserialize_map(visitor),
            None if self.whole.is_made_up() => self.whole.deserialize_map(visitor),
            None => Err(self.missing_content("a table")),
        }
    }
}
