//! Reads any settings type out of the tree, around what [`Patches`] says.

use std::fmt;
use std::sync::Arc;

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Visitor};

use super::attempts::{Patches, join};
use super::choice::Choice;
use super::fault::Fault;
use super::mistake::Mistake;
use super::scalar::{Meaning, Scalar};
use super::tree::{Entry, Node, Value};

/// Reads one node; without a node it makes up a value that fits, to get past a mistake.
#[derive(Clone)]
pub(super) struct Reader<'a> {
    pub(super) patches: &'a Patches,
    pub(super) node: Option<&'a Node>,
    pub(super) path: String,
}

/// A node as the visitor methods below look at it.
pub(super) enum View<'a> {
    MadeUp,
    Scalar(&'a Scalar),
    List(&'a [Arc<Node>]),
    Table(&'a [Entry]),
}

impl View<'_> {
    fn describe(&self) -> &'static str {
        match self {
            View::MadeUp => "nothing",
            View::Scalar(scalar) => scalar.meaning().describe(),
            View::List(_) => "a list",
            View::Table(_) => "a table",
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) fn view(&self) -> View<'a> {
        if self.patches.replaced.contains(&self.path) {
            return View::MadeUp;
        }
        match self.node.map(|node| &node.value) {
            None | Some(Value::Broken) => View::MadeUp,
            Some(Value::Scalar(scalar)) => View::Scalar(scalar),
            Some(Value::List(items)) => View::List(items),
            Some(Value::Table(entries)) => View::Table(entries),
        }
    }

    pub(super) fn child(&self, node: Option<&'a Node>, path: String) -> Reader<'a> {
        Reader {
            patches: self.patches,
            node,
            path,
        }
    }

    /// Whether there is no value to read, only a mistake to get past.
    pub(super) fn is_made_up(&self) -> bool {
        matches!(self.view(), View::MadeUp)
    }

    /// Reads itself. What a setting's own code says after reading belongs here too.
    pub(super) fn read<'de, T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let path = self.path.clone();
        seed.deserialize(self).map_err(|fault| fault.within(&path))
    }

    pub(super) fn unexpected(&self, expected: &str) -> Fault {
        Fault::expected(expected, self.view().describe()).within(&self.path)
    }

    fn table<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        let entries = match self.view() {
            View::Table(entries) => entries,
            View::MadeUp => &[],
            View::Scalar(scalar) if scalar.meaning() == Meaning::Nothing => &[],
            _ => return Err(self.unexpected("a table")),
        };
        let added = self.patches.added.get(&self.path);
        let access = Table {
            reader: self,
            entries: entries.iter(),
            added: added.map_or(&[][..], Vec::as_slice).iter(),
            value: None,
        };
        visitor.visit_map(access)
    }

    fn list<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        let items = match self.view() {
            View::List(items) => items,
            View::MadeUp => &[],
            _ => return Err(self.unexpected("a list")),
        };
        visitor.visit_seq(List {
            reader: self,
            items: items.iter().enumerate(),
        })
    }

    fn text<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        match self.view() {
            View::MadeUp => visitor.visit_str(""),
            View::Scalar(scalar) if scalar.meaning() != Meaning::Nothing => {
                visitor.visit_str(&scalar.text)
            }
            _ => Err(self.unexpected("text")),
        }
    }

    fn number<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        let meaning = match self.view() {
            View::MadeUp => Meaning::Unsigned(1),
            View::Scalar(scalar) => scalar.meaning(),
            _ => return Err(self.unexpected("a number")),
        };
        match meaning {
            Meaning::Unsigned(number) => visitor.visit_u64(number),
            Meaning::Signed(number) => visitor.visit_i64(number),
            Meaning::Float(number) => visitor.visit_f64(number),
            _ => Err(self.unexpected("a number")),
        }
    }

    fn any<'de, V: Visitor<'de>>(&self, visitor: V) -> Result<V::Value, Fault> {
        let scalar = match self.view() {
            View::List(_) => return self.list(visitor),
            View::Table(_) => return self.table(visitor),
            View::MadeUp => return visitor.visit_str(""),
            View::Scalar(scalar) => scalar,
        };
        self.warn_of_literal_secret(scalar, &visitor);
        match scalar.meaning() {
            Meaning::Nothing => visitor.visit_unit(),
            Meaning::Bool(value) => visitor.visit_bool(value),
            Meaning::Unsigned(number) => visitor.visit_u64(number),
            Meaning::Signed(number) => visitor.visit_i64(number),
            Meaning::Float(number) => visitor.visit_f64(number),
            Meaning::Text => visitor.visit_str(&scalar.text),
        }
    }

    /// Secrets say what they are in what they expect; see `SecretSource` in core.
    fn warn_of_literal_secret<'de, V: Visitor<'de>>(&self, scalar: &Scalar, visitor: &V) {
        let is_secret = Expecting(visitor).to_string().starts_with("a secret");
        if let Some(node) = self
            .node
            .filter(|_| is_secret && scalar.variables.is_empty())
        {
            let message =
                "the secret stands in the file itself; better { env: NAME } or { file: path }";
            let warning = Mistake::at(node.position, &*self.path, message);
            self.patches.warnings.borrow_mut().push(warning);
        }
    }
}

struct Expecting<'v, V>(&'v V);

impl<'de, V: Visitor<'de>> fmt::Display for Expecting<'_, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }
}

/// Methods that read a value in one way, and say where if it does not fit.
macro_rules! read {
    ($($method:ident)* => $how:ident) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
            self.$how(visitor).map_err(|fault| fault.within(&self.path))
        })*
    };
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    read!(deserialize_any => any);
    read!(deserialize_str deserialize_string deserialize_char deserialize_identifier
        deserialize_bytes deserialize_byte_buf => text);
    read!(deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
        deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_f32 deserialize_f64 => number);
    read!(deserialize_seq => list);
    read!(deserialize_map => table);

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.view() {
            View::MadeUp => visitor.visit_bool(false),
            View::Scalar(scalar) => match scalar.meaning() {
                Meaning::Bool(value) => visitor.visit_bool(value),
                _ => Err(self.unexpected("true or false")),
            },
            _ => Err(self.unexpected("true or false")),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        let nothing = match self.view() {
            View::MadeUp => true,
            View::Scalar(scalar) => scalar.meaning() == Meaning::Nothing,
            _ => false,
        };
        if nothing {
            return visitor.visit_none();
        }
        let path = self.path.clone();
        visitor
            .visit_some(self)
            .map_err(|fault| fault.within(&path))
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        match self.view() {
            View::MadeUp => visitor.visit_unit(),
            View::Scalar(scalar) if scalar.meaning() == Meaning::Nothing => visitor.visit_unit(),
            _ => Err(self.unexpected("nothing")),
        }
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_unit(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        visitor
            .visit_newtype_struct(self)
            .map_err(|fault| fault.within(&path))
    }

    fn deserialize_tuple<V: Visitor<'de>>(
        self,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _length: usize,
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _keys: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Fault> {
        let path = self.path.clone();
        let choice = Choice::of(&self, variants)?;
        visitor
            .visit_enum(choice)
            .map_err(|fault| fault.within(&path))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Fault> {
        visitor.visit_unit()
    }
}

struct Table<'r, 'a> {
    reader: &'r Reader<'a>,
    entries: std::slice::Iter<'a, Entry>,
    added: std::slice::Iter<'a, String>,
    value: Option<Reader<'a>>,
}

impl<'a> Table<'_, 'a> {
    fn next(&mut self) -> Option<(&'a str, Reader<'a>)> {
        let reader = self.reader;
        for entry in self.entries.by_ref() {
            let path = join(&reader.path, &entry.key);
            if !reader.patches.skipped.contains(&path) {
                return Some((&entry.key, reader.child(Some(&entry.node), path)));
            }
        }
        let key = self.added.next()?;
        Some((key, reader.child(None, join(&reader.path, key))))
    }
}

impl<'de> MapAccess<'de> for Table<'_, '_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.next() else {
            return Ok(None);
        };
        self.value = Some(value);
        let key: StrDeserializer<'_, Fault> = key.into_deserializer();
        seed.deserialize(key).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Fault> {
        let value = self.value.take();
        value
            .expect("serde asks for a value only after its key")
            .read(seed)
    }
}

struct List<'r, 'a> {
    reader: &'r Reader<'a>,
    items: std::iter::Enumerate<std::slice::Iter<'a, Arc<Node>>>,
}

impl<'de> SeqAccess<'de> for List<'_, '_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, Fault> {
        let Some((index, item)) = self.items.next() else {
            return Ok(None);
        };
        let path = format!("{}[{index}]", self.reader.path);
        self.reader.child(Some(item), path).read(seed).map(Some)
    }
}
