//! What serde says is wrong, in words for operators, and where.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use super::words::hint;

/// Why a value is not what a setting takes.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) what: What,
    /// Path of the table or value; nothing until the reader adds it.
    pub(crate) path: Option<String>,
}

/// What can be wrong with a value.
#[derive(Debug)]
pub(crate) enum What {
    UnknownKey { key: String, hint: String },
    MissingKey { key: String },
    Value { message: String },
}

impl Fault {
    /// A fault of a value.
    pub(crate) fn value(message: impl Into<String>) -> Self {
        Self {
            what: What::Value {
                message: message.into(),
            },
            path: None,
        }
    }

    /// `expected this, found that`.
    pub(crate) fn expected(expected: &str, found: &str) -> Self {
        Self::value(format!("expected {expected}, found {found}"))
    }

    /// Says where, unless something deeper inside said so already.
    pub(crate) fn within(mut self, path: &str) -> Self {
        self.path.get_or_insert_with(|| path.to_owned());
        self
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::UnknownKey { key, hint } => write!(f, "unknown key {key}{hint}"),
            What::MissingKey { key } => write!(f, "key {key} is missing"),
            What::Value { message } => f.write_str(message),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::value(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::expected(&wanted(expected), given(&found))
    }

    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        // Only numbers are repeated: text may be a secret.
        let found = match found {
            Unexpected::Unsigned(number) => number.to_string(),
            Unexpected::Signed(number) => number.to_string(),
            Unexpected::Float(number) => number.to_string(),
            other => format!("other {}", given(&other)),
        };
        Self::expected(&wanted(expected), &found)
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::expected(&wanted(expected), &format!("{length} items"))
    }

    fn unknown_variant(word: &str, known: &'static [&'static str]) -> Self {
        Self::value(format!("unknown value {word}{}", hint(word, known)))
    }

    fn unknown_field(key: &str, known: &'static [&'static str]) -> Self {
        Self {
            what: What::UnknownKey {
                key: key.to_owned(),
                hint: hint(key, known),
            },
            path: None,
        }
    }

    fn missing_field(key: &'static str) -> Self {
        Self {
            what: What::MissingKey {
                key: key.to_owned(),
            },
            path: None,
        }
    }

    fn duplicate_field(key: &'static str) -> Self {
        Self::value(format!(
            "key {key} stands here twice, perhaps under an older name"
        ))
    }
}

/// What was found, never its content.
fn given(found: &Unexpected<'_>) -> &'static str {
    match found {
        Unexpected::Bool(_) => "true or false",
        Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => "a number",
        Unexpected::Unit | Unexpected::Option => "nothing",
        Unexpected::Seq => "a list",
        Unexpected::Map => "a table",
        _ => "text",
    }
}

/// What was expected, in words that do not need Rust.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" | "a character" => "text".to_owned(),
        "path string" => "a path".to_owned(),
        "a boolean" => "true or false".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a map" => "a table".to_owned(),
        "u8" => "a whole number from 0 to 255".to_owned(),
        "u16" => "a whole number from 0 to 65535".to_owned(),
        "u32" => format!("a whole number from 0 to {}", u32::MAX),
        "u64" | "usize" => "a whole number, 0 or more".to_owned(),
        "i8" | "i16" | "i32" | "i64" | "isize" => "a whole number".to_owned(),
        "f32" | "f64" => "a number".to_owned(),
        other => wanted_type(other).to_owned(),
    }
}

fn wanted_type(text: &str) -> &str {
    let is = |prefix: &str| text.starts_with(prefix);
    if is("struct ") {
        "a table"
    } else if is("enum ") || is("variant ") {
        "one of a few words"
    } else {
        text
    }
}
