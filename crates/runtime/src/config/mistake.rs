//! What is wrong with a pipeline file, all of it at once, one line each.

use std::error::Error;
use std::fmt;

/// A place in the pipeline file. Both counts start at 1; columns count characters.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

/// One thing that is wrong, or a warning of the same shape.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// Where it stands; nothing for mistakes of the file as a whole.
    pub position: Option<Position>,
    /// Path of the setting, such as `sources.alerts.config.poll_interval_secs`; empty for the
    /// file as a whole.
    pub path: String,
    /// What is wrong and what was expected. Holds no value that an environment variable gave.
    pub message: String,
}

impl Mistake {
    /// A mistake at a place.
    pub fn at(position: Position, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            position: Some(position),
            path: path.into(),
            message: message.into(),
        }
    }

    /// A mistake of the file as a whole.
    pub fn of_file(message: impl Into<String>) -> Self {
        Self {
            position: None,
            path: String::new(),
            message: message.into(),
        }
    }

    /// One line as compilers write it: `pipeline.yaml:12:5: path: message`.
    pub fn line(&self, file: &str) -> String {
        let gap = if self.position.is_some() { ":" } else { ": " };
        format!("{file}{gap}{self}")
    }
}

/// As [`Mistake::line`] without the file: `12:5: path: message`.
impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Position { line, column }) = self.position {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.path.is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message.replace(['\n', '\r'], " "))
    }
}

impl Error for Mistake {}

/// Everything that is wrong with one pipeline file. Display writes one line for each.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistakes {
    /// The file as the user named it.
    pub file: String,
    /// In the order of the file. Never empty.
    pub list: Vec<Mistake>,
}

impl Mistakes {
    /// Orders mistakes by place; those of the file as a whole come first.
    pub fn new(file: impl Into<String>, mut list: Vec<Mistake>) -> Self {
        list.sort_by_key(|mistake| mistake.position);
        list.dedup();
        Self {
            file: file.into(),
            list,
        }
    }

    /// One line for each mistake.
    pub fn lines(&self) -> Vec<String> {
        self.list.iter().map(|m| m.line(&self.file)).collect()
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.lines().join("\n"))
    }
}

impl Error for Mistakes {}
