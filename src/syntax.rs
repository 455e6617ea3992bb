//! Text to [`ast`] and back. The only module that knows pest.
//!
//! Parsing never fails: [`parse`] always returns a [`ast::File`], and puts what it could not read into
//! the findings, statement by statement. The way of a text: `scan` cuts it into statements, the grammar
//! reads each by itself (`plain` the sentence that most lines of a large policy are), `build` makes the tree, and `explain` says in the reader's words what a
//! statement lacks.

pub mod ast;
mod build;
mod explain;
mod fmt;
mod grammar;
mod lookalike;
mod parse;
mod plain;
mod scan;

pub(crate) use explain::{common_start, is_reserved};
pub use fmt::fmt;
pub use parse::{parse, shape};
pub(crate) use scan::is_unseen;
