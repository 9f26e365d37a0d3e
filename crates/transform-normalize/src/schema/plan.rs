//! The plan of a mapping file: what is written, in which order, and what makes it valid.

use super::facts::Framework;
use crate::engine::{Expr, Path, Predicate, ScopeId, Selection, Shape};

/// How the records of one kind become events.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) shapes: Vec<Shape>,
    pub(crate) selections: Vec<Selection>,
    /// The scope of the row, whose members are named as they are among the unmapped.
    pub(crate) row: ScopeId,
    /// Members that say nothing new if they are what is asked here.
    pub(crate) ignored: Vec<Predicate>,
    /// The first that holds, and whose required parts are there, is written.
    pub(crate) arms: Vec<Arm>,
    pub(crate) observables: Vec<Observable>,
    pub(crate) residue: Residue,
}

/// What stands around the members that no rule took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Residue {
    pub(crate) open: &'static [u8],
    pub(crate) close: &'static [u8],
}

impl Residue {
    /// As a framework names the place for what it does not know.
    pub(crate) fn of(framework: Framework) -> Self {
        match framework {
            Framework::Ocsf => Self {
                open: b",\"unmapped\":{",
                close: b"}",
            },
            Framework::Ecs => Self {
                open: b",\"microsoft\":{\"defender\":{",
                close: b"}}",
            },
        }
    }
}

/// One class that records of a kind may become.
#[derive(Debug)]
pub(crate) struct Arm {
    pub(crate) when: Option<Predicate>,
    pub(crate) event: Object,
}

/// What is written of an object, and what it must have.
#[derive(Debug)]
pub(crate) struct Object {
    pub(crate) fields: Vec<Field>,
    /// Bits of the fields without which the object is left out.
    pub(crate) required: u128,
    /// Bits of the fields that come from the record; if there are any, one must be there.
    pub(crate) from_record: u128,
    pub(crate) constraints: Vec<Constraint>,
}

/// A rule about which fields are there.
#[derive(Debug)]
pub(crate) struct Constraint {
    pub(crate) fields: u128,
    pub(crate) just_one: bool,
}

/// One attribute.
#[derive(Debug)]
pub(crate) struct Field {
    /// `"name":`
    pub(crate) key: Box<[u8]>,
    pub(crate) value: Value,
}

/// A member of the record, and `"name":` as it is written.
#[derive(Debug)]
pub(crate) struct Member {
    pub(crate) path: Path,
    pub(crate) key: Box<[u8]>,
}

/// How the value of an attribute comes about.
#[derive(Debug)]
pub(crate) enum Value {
    /// Bytes known when the file was compiled, with the caption's attribute behind an id.
    Fixed(Box<[u8]>),
    Scalar(Scalar),
    /// An id and, behind it, its caption in the sibling attribute.
    Id(Expr, Captions),
    /// A value of the record as it is.
    Json(Expr),
    /// What nothing else took of the object of a scope.
    Rest(ScopeId),
    /// What nothing else took of some members, as an object.
    RestOf(Vec<Member>),
    Object(Object),
    Array(Vec<Item>),
    Cases(Vec<(Option<Predicate>, Value)>),
    First(Vec<Value>),
}

/// One value, and the type that it has to fit.
#[derive(Debug)]
pub(crate) struct Scalar {
    pub(crate) expr: Expr,
    pub(crate) fit: Fit,
    /// Index into the plan's observables.
    pub(crate) observable: Option<u16>,
}

/// What an array is made of.
#[derive(Debug)]
pub(crate) enum Item {
    One(Value),
    /// One for each element of a list.
    Each {
        list: Path,
        scope: ScopeId,
        when: Option<Predicate>,
        value: Value,
    },
    /// The elements of a list, or the value itself if it is none.
    Elements {
        list: Path,
        scalar: Scalar,
    },
    /// The pieces of a text list; `into`: `{"name":` if each is to be an object of one attribute.
    Pieces {
        expr: Expr,
        on: Box<str>,
        into: Option<Box<[u8]>>,
        scalar: Scalar,
    },
    /// The items, up to the first that yields an element.
    First(Vec<Item>),
    /// One element if there is none before.
    IfEmpty(Value),
    /// MITRE ATT&CK techniques, with the tactic among the categories.
    Techniques {
        list: Path,
        tactics: Vec<Path>,
    },
}

/// A type that a value is made to fit.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fit {
    Text {
        max: usize,
    },
    Email,
    Ip,
    Mac,
    Uuid,
    Int {
        min: i64,
        max: i64,
    },
    Float,
    Bool,
    /// Milliseconds since 1970.
    Time,
    /// A time by RFC 3339, as text.
    Date,
}

/// Ids and what is written for each: the id, and the caption in the sibling attribute.
#[derive(Debug)]
pub(crate) struct Captions {
    pub(crate) ids: Vec<(i64, Box<[u8]>)>,
    /// What goes before the source's own text for id 99.
    pub(crate) other: Option<Box<[u8]>>,
}

/// Where a value stands that is also listed as an observable.
#[derive(Debug)]
pub(crate) struct Observable {
    /// The path, cut where the indices of arrays go.
    pub(crate) path: Vec<Box<str>>,
    /// `","type_id":2,"type":"IP Address","value":`
    pub(crate) middle: Box<[u8]>,
    pub(crate) type_id: u8,
}
