//! Predicates: the closed set of questions that a mapping file may ask about a record.

use super::run::Run;
use super::scope::Path;
use crate::json::{NodeId, NodeKind};

/// A question about a record.
#[derive(Debug)]
pub(crate) enum Predicate {
    All(Vec<Predicate>),
    Any(Vec<Predicate>),
    Not(Box<Predicate>),
    Field(Path, Test),
}

/// A question about one value. Words are compared without regard to case.
#[derive(Debug)]
pub(crate) enum Test {
    /// There is a value that says something.
    Present,
    /// It is one of the words.
    Is(Vec<Box<str>>),
    /// It is a list that holds one of the words.
    Has(Vec<Box<str>>),
    Starts(Box<str>),
    Ends(Box<str>),
    Contains(Box<str>),
    /// It is a number above this.
    Over(f64),
    /// It is a number below this.
    Below(f64),
}

impl Run<'_> {
    /// Answers a question. Asking marks nothing as used.
    pub(crate) fn holds(&mut self, predicate: &Predicate) -> bool {
        match predicate {
            Predicate::All(all) => all.iter().all(|one| self.holds(one)),
            Predicate::Any(any) => any.iter().any(|one| self.holds(one)),
            Predicate::Not(one) => !self.holds(one),
            Predicate::Field(path, test) => match self.find(*path) {
                Some(node) => self.passes(node, test),
                None => false,
            },
        }
    }

    /// Notes that a value went somewhere if what is asked of it holds.
    pub(crate) fn mark_if(&mut self, predicate: &Predicate) {
        if let Predicate::Field(path, test) = predicate
            && let Some(node) = self.find(*path)
            && self.passes(node, test)
        {
            self.mark(node);
        }
    }

    fn passes(&mut self, node: NodeId, test: &Test) -> bool {
        match test {
            Test::Present => true,
            Test::Has(words) => self.any_element(node, words),
            Test::Is(words) => self.scalar(node, |text| {
                words.iter().any(|word| word.eq_ignore_ascii_case(text))
            }),
            Test::Starts(start) => self.scalar(node, |text| starts(text, start)),
            Test::Ends(end) => self.scalar(node, |text| ends(text, end)),
            Test::Contains(part) => self.scalar(node, |text| contains(text, part)),
            Test::Over(limit) => self.number(node).is_some_and(|number| number > *limit),
            Test::Below(limit) => self.number(node).is_some_and(|number| number < *limit),
        }
    }

    fn any_element(&mut self, list: NodeId, words: &[Box<str>]) -> bool {
        if self.tape.node(list).kind != NodeKind::Array {
            return false;
        }
        let end = self.tape.node(list).next;
        let mut at = list + 1;
        while at < end {
            let is = |text: &str| words.iter().any(|word| word.eq_ignore_ascii_case(text));
            if !self.tape.node(at).dropped() && self.scalar(at, is) {
                return true;
            }
            at = self.tape.node(at).next;
        }
        false
    }

    fn scalar(&mut self, node: NodeId, ask: impl FnOnce(&str) -> bool) -> bool {
        match self.text_of(node) {
            Some(text) => ask(self.str(text)),
            None => false,
        }
    }

    fn number(&mut self, node: NodeId) -> Option<f64> {
        let text = self.text_of(node)?;
        self.str(text).trim().parse().ok()
    }
}

pub(super) fn starts(text: &str, start: &str) -> bool {
    let head = text.as_bytes().get(..start.len());
    head.is_some_and(|head| head.eq_ignore_ascii_case(start.as_bytes()))
}

fn ends(text: &str, end: &str) -> bool {
    let from = text.len().checked_sub(end.len());
    let tail = from.and_then(|from| text.as_bytes().get(from..));
    tail.is_some_and(|tail| tail.eq_ignore_ascii_case(end.as_bytes()))
}

pub(super) fn contains(text: &str, part: &str) -> bool {
    let mut windows = text.as_bytes().windows(part.len().max(1));
    part.is_empty() || windows.any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
}
