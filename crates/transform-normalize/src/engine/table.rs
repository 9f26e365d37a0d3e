//! Tables: which id a word of the source stands for.

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

/// The words of a table; a word that ends with `*` stands for all that begin so.
#[derive(Debug, Default)]
pub(crate) struct Words {
    exact: Vec<(Box<str>, i64)>,
    begins: Vec<(Box<str>, i64)>,
}

impl Words {
    /// Adds a word.
    pub(crate) fn add(&mut self, word: &str, id: i64) {
        match word.strip_suffix('*') {
            Some(start) => self.begins.push((start.into(), id)),
            None => self.exact.push((word.into(), id)),
        }
    }

    /// The id of a word.
    pub(crate) fn id(&self, word: &str) -> Option<i64> {
        let exact = self
            .exact
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(word));
        let begins = |(start, _): &&(Box<str>, i64)| {
            let head = word.as_bytes().get(..start.len());
            head.is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
        };
        let found = exact.or_else(|| self.begins.iter().find(begins));
        found.map(|(_, id)| *id)
    }
}
