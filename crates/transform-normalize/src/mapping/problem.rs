//! One mistake in a mapping file, with its place.

use std::fmt;

use super::yaml::Place;

/// One mistake in a mapping file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct MappingProblem {
    /// The file, as named below `mappings/`.
    pub file: String,
    /// The line, counted from 1; 0 if the file as a whole is meant.
    pub line: u64,
    /// The column, counted from 1.
    pub column: u64,
    /// What is wrong and what was expected.
    pub message: String,
}

impl MappingProblem {
    pub(crate) fn new(place: &Place, message: impl Into<String>) -> Self {
        Self {
            file: place.file.to_string(),
            line: place.line,
            column: place.column,
            message: message.into(),
        }
    }
}

impl fmt::Display for MappingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}:{}: {}",
            self.file, self.line, self.column, self.message
        )
    }
}

/// `; did you mean "..."?` with the nearest of the known words, if one is near.
pub(crate) fn nearest<'k>(word: &str, known: impl IntoIterator<Item = &'k str>) -> String {
    let distance = |known: &'k str| (strsim::damerau_levenshtein(word, known), known);
    let best = known.into_iter().map(distance).min();
    match best {
        Some((distance, known)) if distance <= 2.max(word.len() / 3) => {
            format!("; did you mean \"{known}\"?")
        }
        _ => String::new(),
    }
}
