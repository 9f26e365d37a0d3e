//! Reads any settings type out of the tree, and goes on after a mistake to find the next one.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::de::value::StrDeserializer;
use serde::de::{
    self, DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, IntoDeserializer, MapAccess,
    SeqAccess, VariantAccess, Visitor,
};

use super::fault::{Fault, What};
use super::mistake::{Mistake, Position};
use super::scalar::{Meaning, Scalar};
use super::tree::{Entry, Node, Value};

/// What reading one settings type brought to light.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) mistakes: Vec<Mistake>,
    pub(crate) warnings: Vec<Mistake>,
}

/// Reads settings of type `C` that stand at `path`.
///
/// After a mistake it reads again with the mistake taken out (an unknown key skipped, a missing or
/// wrong value replaced), so that all mistakes come to light at once. The settings are returned
/// only if there was none.
pub(crate) fn settings<C: DeserializeOwned>(
    node: &Node,
    path: &str,
    findings: &mut Findings,
) -> Option<C> {
    settings_beside(node, path, &[], findings).map(|(settings, _)| settings)
}

/// As [`settings`], for a table whose keys `others` belong to somebody else unless `C` knows them.
///
/// Returns also those of `others` that `C` does not know.
pub(crate) fn settings_beside<C: DeserializeOwned>(
    node: &Node,
    path: &str,
    others: &'static [&'static str],
    findings: &mut Findings,
) -> Option<(C, Vec<&'static str>)> {
    let mut attempts = Attempts::new(node, path, others);
    let settings = attempts.run();
    findings.warnings.extend(attempts.patches.warnings.take());
    if attempts.mistakes.is_empty() {
        let left = |key: &&str| attempts.patches.skipped.contains(&join(path, key));
        let left = others.iter().copied().filter(left).collect();
        return settings.map(|settings| (settings, left));
    }
    findings.mistakes.append(&mut attempts.mistakes);
    None
}

/// How to read around the mistakes found so far. All are full paths.
#[derive(Default)]
struct Patches {
    skipped: HashSet<String>,
    added: BTreeMap<String, Vec<String>>,
    replaced: HashSet<String>,
    warnings: RefCell<Vec<Mistake>>,
}

struct Attempts<'n> {
    root: &'n Node,
    path: &'n str,
    others: &'static [&'static str],
    patches: Patches,
    mistakes: Vec<Mistake>,
}

/// More mistakes than this in one component are found in the second run.
const MAX_ATTEMPTS: usize = 100;

impl<'n> Attempts<'n> {
    fn new(root: &'n Node, path: &'n str, others: &'static [&'static str]) -> Self {
        Self {
            root,
            path,
            others,
            patches: Patches::default(),
            mistakes: Vec::new(),
        }
    }

    fn run<C: DeserializeOwned>(&mut self) -> Option<C> {
        for _ in 0..MAX_ATTEMPTS {
            self.patches.warnings.take();
            let value = Reader {
                patches: &self.patches,
                node: Some(self.root),
                path: self.path.to_owned(),
            };
            match C::deserialize(value) {
                Ok(settings) => return Some(settings),
                Err(fault) => {
                    if !self.learn(fault) {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Notes a mistake and how to read around it; false if there is no way around.
    fn learn(&mut self, fault: Fault) -> bool {
        let path = fault.path.clone().unwrap_or_else(|| self.path.to_owned());
        self.note(&path, &fault);
        match fault.what {
            What::UnknownKey { key, .. } => self.patches.skipped.insert(join(&path, &key)),
            What::MissingKey { key } => {
                let added = self.patches.added.entry(path).or_default();
                let new = !added.contains(&key);
                added.push(key);
                new
            }
            What::Value { .. } => self.patches.replaced.insert(path),
        }
    }

    fn note(&mut self, path: &str, fault: &Fault) {
        if self.is_patched(path) || self.is_explained(path, fault) || self.is_others(path, fault) {
            return;
        }
        let full = match &fault.what {
            What::UnknownKey { key, .. } => join(path, key),
            _ => path.to_owned(),
        };
        let position = self.position(&full);
        let message = match &fault.what {
            What::UnknownKey { hint, .. } => format!("unknown key{hint}"),
            _ => fault.to_string(),
        };
        let message = redact(&message, &self.root.variables());
        self.mistakes.push(Mistake::at(position, full, message));
    }

    /// Whether the value was put there by us, or was reported when the file was read.
    fn is_patched(&self, path: &str) -> bool {
        let within = |known: &String| is_within(path, known);
        let added = self.patches.added.iter();
        let mut added = added.flat_map(|(table, keys)| keys.iter().map(|key| join(table, key)));
        self.patches.replaced.iter().any(within) || added.any(|known| within(&known))
    }

    /// Whether the unknown key belongs to somebody else.
    fn is_others(&self, path: &str, fault: &Fault) -> bool {
        match &fault.what {
            What::UnknownKey { key, .. } => {
                path == self.path && self.others.contains(&key.as_str())
            }
            _ => false,
        }
    }

    /// Whether a complaint about a whole table only follows from one about something in it.
    fn is_explained(&self, path: &str, fault: &Fault) -> bool {
        matches!(fault.what, What::Value { .. })
            && self
                .mistakes
                .iter()
                .any(|known| is_within(&known.path, path))
    }

    fn position(&self, full: &str) -> Position {
        let below = full.strip_prefix(self.path).unwrap_or(full);
        self.root.find(below.trim_start_matches('.'))
    }
}

/// Takes values of environment variables out of a message.
pub(crate) fn redact(message: &str, variables: &[(String, String)]) -> String {
    // One or two letters are no secret, and would be found in every word.
    let long = variables.iter().filter(|(_, value)| value.len() > 2);
    long.fold(message.to_owned(), |message, (name, value)| {
        message.replace(value, &format!("${{{name}}}"))
    })
}

fn is_within(path: &str, outer: &str) -> bool {
    path.strip_prefix(outer)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

fn join(path: &str, key: &str) -> String {
    if path.is_empty() {
        return key.to_owned();
    }
    format!("{path}.{key}")
}

/// Reads one node; without a node it makes up a value that fits, to get past a mistake.
#[derive(Clone)]
struct Reader<'a> {
    patches: &'a Patches,
    node: Option<&'a Node>,
    path: String,
}

/// A node as the visitor methods below look at it.
enum View<'a> {
    MadeUp,
    Scalar(&'a Scalar),
    List(&'a [std::sync::Arc<Node>]),
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
    fn view(&self) -> View<'a> {
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

    fn child(&self, node: Option<&'a Node>, path: String) -> Reader<'a> {
        Reader {
            patches: self.patches,
            node,
            path,
        }
    }

    /// Reads itself. What a setting's own code says after reading belongs here too.
    fn read<'de, T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Fault> {
        let path = self.path.clone();
        seed.deserialize(self).map_err(|fault| fault.within(&path))
    }

    fn unexpected(&self, expected: &str) -> Fault {
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
    items: std::iter::Enumerate<std::slice::Iter<'a, std::sync::Arc<Node>>>,
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

/// One of several words, or a table whose only key is one of them.
struct Choice<'a> {
    word: &'a str,
    /// Whether the word may be repeated in a message.
    is_shown: bool,
    content: Option<Reader<'a>>,
    whole: Reader<'a>,
}

impl<'a> Choice<'a> {
    fn of(reader: &Reader<'a>, variants: &'static [&'static str]) -> Result<Self, Fault> {
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

impl Reader<'_> {
    fn is_made_up(&self) -> bool {
        matches!(self.view(), View::MadeUp)
    }
}
