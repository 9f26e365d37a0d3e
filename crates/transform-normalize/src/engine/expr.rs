//! Expressions: the closed set of operations that yield one value.

use super::predicate::Predicate;
use super::scope::Path;
use super::table::Table;
use crate::json::Buffer;

/// An operation of a mapping file that yields one value, or none.
#[derive(Debug)]
pub(crate) enum Expr {
    /// Never anything: a parameter of a block that the caller left out.
    Nothing,
    /// The value at a path, as it is.
    Value(Path),
    /// A text of the mapping file.
    Text(Box<str>),
    /// A number of the mapping file.
    Int(i64),
    /// True or false, by the mapping file.
    Bool(bool),
    /// The first that yields something.
    First(Vec<Expr>),
    /// The expression of the first case that holds; a case without predicate always does.
    Cases(Vec<(Option<Predicate>, Expr)>),
    /// An id by a table of words.
    Table { from: Box<Expr>, table: Table },
    /// The parts that yield something, with a separator between.
    Join { parts: Vec<Expr>, with: Box<str> },
    /// What stands before or after a separator; `None` if it is not there.
    Cut {
        from: Box<Expr>,
        at: Box<str>,
        keep: Keep,
    },
    /// A text without a prefix, which need not be there.
    Strip { from: Box<Expr>, prefix: Box<str> },
    /// The host of an address such as `https://user@host:1/path`, or of a bare `host/path`.
    Host(Box<Expr>),
    /// Lower-case text.
    Lower(Box<Expr>),
    /// A piece of a text list such as `a;b`, counted from 0.
    Piece {
        from: Box<Expr>,
        on: Box<str>,
        index: usize,
    },
    /// The last part of a file path.
    LastPart(Box<Expr>),
    /// Folder and file name as one path, whether or not the folder ends with the name already.
    FullPath { folder: Box<Expr>, name: Box<Expr> },
    /// The folder of [`Expr::FullPath`].
    Folder { folder: Box<Expr>, name: Box<Expr> },
    /// One end of the list at a path, or what `of` yields inside it.
    End {
        list: Path,
        last: bool,
        scope: super::ScopeId,
        of: Box<Expr>,
    },
    /// Id 99, with a text of the source.
    Other(Box<Expr>),
    /// What is known of the event without its body.
    Meta(MetaField),
}

impl Expr {
    /// Whether it yields nothing but these texts.
    pub(crate) fn is_one_of(&self, words: &[String]) -> bool {
        match self {
            Expr::Nothing => true,
            Expr::Text(text) => words.iter().any(|word| **word == **text),
            Expr::First(all) => all.iter().all(|one| one.is_one_of(words)),
            Expr::Cases(cases) => cases.iter().all(|(_, then)| then.is_one_of(words)),
            _ => false,
        }
    }
}

/// Which side of a separator is kept.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Keep {
    Before,
    After,
}

/// Something of an event's metadata.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum MetaField {
    Tenant,
    Kind,
    Table,
    Id,
    /// `tenant:kind:id:version`.
    Uid,
    /// When it happened, else when we received it: text by RFC 3339.
    Time,
}

/// Where a text stands, unescaped.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Text {
    pub(super) buffer: Buffer,
    pub(super) start: u32,
    pub(super) end: u32,
}

/// What an expression yields.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Got {
    Nothing,
    /// A value of the record, not empty.
    Node(crate::json::NodeId),
    /// A text that an operation made.
    Text(Text),
    /// An id of a table, or a number of the mapping file.
    Int(i64),
    Bool(bool),
    /// A word that the table does not know: id 99 with the source's text.
    Other(Text),
}
