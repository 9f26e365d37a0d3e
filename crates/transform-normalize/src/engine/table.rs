//! Tables: which id a word of the source stands for.

use super::predicate::{contains, starts};

/// Words and their ids. Words are compared without regard to case.
#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) words: Words,
    /// What a word that is not in the table yields.
    pub(crate) otherwise: Otherwise,
    /// What no word at all yields.
    pub(crate) absent: Option<i64>,
}

/// What a word that is not in a table yields.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Otherwise {
    /// Id 99 and the word itself.
    Other,
    /// Nothing: the word stays where unmapped values go.
    Skip,
    /// A fixed id; the word counts as used.
    Id(i64),
}

/// The words of a table; `a*` stands for all that begin so, and `*a*` for all that hold it.
#[derive(Debug, Default)]
pub(crate) struct Words {
    exact: Vec<(Box<str>, i64)>,
    /// In the order of the file, of which the first counts.
    patterns: Vec<(Pattern, i64)>,
}

#[derive(Debug)]
enum Pattern {
    Begins(Box<str>),
    Holds(Box<str>),
}

impl Pattern {
    fn is_of(&self, word: &str) -> bool {
        match self {
            Pattern::Begins(start) => starts(word, start),
            Pattern::Holds(part) => contains(word, part),
        }
    }
}

impl Words {
    /// Adds a word.
    pub(crate) fn add(&mut self, word: &str, id: i64) {
        let Some(start) = word.strip_suffix('*') else {
            self.exact.push((word.into(), id));
            return;
        };
        let pattern = match start.strip_prefix('*') {
            Some(part) => Pattern::Holds(part.into()),
            None => Pattern::Begins(start.into()),
        };
        self.patterns.push((pattern, id));
    }

    /// The id of a word.
    pub(crate) fn id(&self, word: &str) -> Option<i64> {
        let exact = self
            .exact
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word));
        if let Some((_, id)) = exact {
            return Some(*id);
        }
        let mut patterns = self.patterns.iter();
        patterns
            .find(|(pattern, _)| pattern.is_of(word))
            .map(|(_, id)| *id)
    }
}
