//! A mapping to CEF, compiled: what stands in the header, and which key takes which value.

use tapline_core::Metadata;

use crate::engine::{Expr, Path, Predicate, Run, Scratch, Selection, Shape};
use crate::json::Tape;

use super::output_key::OutputKey;

/// A compiled mapping of one kind.
#[derive(Debug)]
pub(crate) struct CefPlan {
    pub(super) shapes: Vec<Shape>,
    pub(super) selections: Vec<Selection>,
    /// The line up to the event class id, such as `CEF:0|Microsoft|Microsoft Defender XDR|1.0|`.
    pub(super) prefix: Vec<u8>,
    /// The first that yields text is the event class id; without any it is the kind.
    pub(super) class_id: Vec<Expr>,
    /// What CEF has in its header beyond that; LEEF has nothing.
    pub(super) title: Option<Title>,
    /// In the order in which keys stand in the line; the first rule of a key that fits wins.
    pub(super) rules: Vec<Rule>,
    /// The key that carries the whole record, if asked for.
    pub(super) raw: Option<OutputKey>,
    /// What the finished line may have.
    pub(super) max_bytes: usize,
}

/// Name and severity of a line of CEF.
#[derive(Debug)]
pub(super) struct Title {
    /// The first that yields text; without any it is the kind.
    pub(super) name: Vec<Expr>,
    /// The number 0..10.
    pub(super) severity: Expr,
}

/// How one key gets its value.
#[derive(Debug)]
pub(super) struct Rule {
    pub(super) key: OutputKey,
    pub(super) from: From,
    /// Only for records of which this holds.
    pub(super) when: Option<Predicate>,
    /// Not if one of these keys stands in the line.
    pub(super) unless: Vec<u16>,
    /// Where the whole text goes as well if it had to be cut.
    pub(super) whole_in: Option<OutputKey>,
}

/// What a rule takes.
#[derive(Debug)]
pub(super) enum From {
    Value(Expr),
    /// All texts of these values, lists opened, with commas between.
    List(Vec<Expr>),
    /// How many elements a list has.
    Count(Path),
}

impl CefPlan {
    /// Binds a record that was read to this plan.
    pub(crate) fn run<'a>(
        &'a self,
        body: &'a str,
        meta: &'a Metadata,
        tape: &'a mut Tape,
        scratch: &'a mut Scratch,
    ) -> Run<'a> {
        Run::new(body, meta, tape, &self.shapes, &self.selections, scratch)
    }
}
