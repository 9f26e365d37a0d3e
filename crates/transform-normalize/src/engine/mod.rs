//! What every target shares: where values are found in a record, and the closed set of operations.
//!
//! A plan refers to values by [`Path`]: a scope (the record, a selection, the element of a list)
//! and a slot in it. [`Run`] fills the slots of a scope in one walk over the members and evaluates
//! [`Expr`]essions; what they yield ([`Got`]) the target writes in its own form. A value that went
//! somewhere is marked, and what is not marked in the end is the residue.

mod evaluate;
mod expr;
mod predicate;
mod run;
mod scope;
mod table;

pub(crate) use expr::{Expr, Got, Keep, MetaField, Text};
pub(crate) use predicate::{Predicate, Test};
pub(crate) use run::{Run, Scratch};
pub(crate) use scope::{Path, Pick, ROOT, ScopeId, Scopes, Selection, Shape};
pub(crate) use table::{Otherwise, Table, Words};
