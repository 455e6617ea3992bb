//! Text to [`ast`] and back. The only module that knows pest.
//!
//! Parsing never fails: [`parse`] always returns a [`ast::File`], and puts what it could not read into
//! the findings, statement by statement.

pub mod ast;
