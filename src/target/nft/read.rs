//! nftables text back into an [`artifact`](super::artifact): the files we write, and listings nft makes of them.
//!
//! The reader is our own and shares nothing with the printer but the table of words, so that a proof over what it read is a proof
//! over what was *written*. What it does not understand becomes [`Statement::Unsupported`] with its text; what is
//! no nftables text at all is an error with line and column. Linear in the text; nesting is bounded.
#![deny(clippy::arithmetic_side_effects)]

mod body;
mod rule;
mod token;

use std::collections::BTreeMap;

use super::artifact::{Place, Ruleset, Statement, Table, TableFamily};
use token::{Token, Tokens};

/// What was read.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The ruleset.
    pub ruleset: Ruleset,
    /// Where its parts stand.
    pub lines: Lines,
}

/// The line of each policy, rule and element, from one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines(BTreeMap<Place, usize>);

impl Lines {
    /// The line of a place.
    #[must_use]
    pub fn of(&self, place: &Place) -> Option<usize> {
        self.0.get(place).copied()
    }

    fn put(&mut self, place: Place, line: usize) {
        self.0.insert(place, line);
    }
}

/// Why a text is no ruleset.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Unreadable {
    /// Line, from one.
    pub line: usize,
    /// Column in bytes, from one.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

/// Reads a file or a listing.
///
/// # Errors
/// [`Unreadable`]: the first thing that is no nftables text.
pub fn read(text: &str) -> Result<Reading, Unreadable> {
    let mut tokens = Tokens::of(text)?;
    let mut reading = Reading { ruleset: Ruleset::default(), lines: Lines::default() };
    loop {
        tokens.skip_separators();
        let _ = tokens.take_notes();
        let Some(word) = tokens.word() else {
            if tokens.at_end() {
                return Ok(reading);
            }
            return Err(tokens.expected("`table`, `add table` or `delete table`"));
        };
        match word.as_str() {
            "add" | "delete" | "destroy" => {
                let add = word == "add";
                tokens.keyword("table")?;
                let (family, name) = head(&mut tokens)?;
                let same = |t: &Table| t.family == family && t.name == name;
                // What a file adds and deletes before it makes a table is not there afterwards.
                if add && !reading.ruleset.tables.iter().any(same) {
                    reading.ruleset.tables.push(Table::new(family, name));
                } else if !add {
                    reading.ruleset.tables.retain(|t| !same(t));
                }
                tokens.end_of_line()?;
            }
            "table" => table(&mut tokens, &mut reading)?,
            _ => return Err(tokens.expected("`table`, `add table` or `delete table`")),
        }
    }
}

fn head(tokens: &mut Tokens) -> Result<(TableFamily, String), Unreadable> {
    let Some(first) = tokens.word() else { return Err(tokens.expected("a table")) };
    match TableFamily::ALL.into_iter().find(|f| f.keyword() == first) {
        Some(family) => {
            let name = tokens.word().ok_or_else(|| tokens.expected("the name of a table"))?;
            Ok((family, name))
        }
        None => Ok((TableFamily::Ip, first)),
    }
}

fn table(tokens: &mut Tokens, reading: &mut Reading) -> Result<(), Unreadable> {
    let (family, name) = head(tokens)?;
    tokens.expect(&Token::Open)?;
    let at = match reading.ruleset.tables.iter().position(|t| t.family == family && t.name == name) {
        Some(at) => at,
        None => {
            reading.ruleset.tables.push(Table::new(family, name));
            reading.ruleset.tables.len().saturating_sub(1)
        }
    };
    let Some(table) = reading.ruleset.tables.get_mut(at) else { return Ok(()) };
    body::table(tokens, table, at, &mut reading.lines)
}

/// A rule's text as a statement nobody can tell the effect of.
fn unsupported(text: &str) -> Statement {
    Statement::Unsupported(text.to_owned())
}
