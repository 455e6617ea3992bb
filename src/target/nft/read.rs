//! Reads nftables text, files and `nft list ruleset` alike, into the tree of [`artifact`](super::artifact).
//!
//! Law: `read(print(r)) == r`, for every `r` that prints. Beyond that it reads what others wrote: statements it
//! does not know become [`Statement::Unsupported`](super::artifact::Statement::Unsupported) up to the end of
//! their rule, so that nothing is skipped and nothing half understood. A structure it does not know is an
//! error with its line and column.
//!
//! Nothing here recurses and each byte is looked at a bounded number of times, so that no text, however
//! hostile, overflows the stack or takes more than linear time.

#![deny(clippy::arithmetic_side_effects)]

use super::artifact::{Expression, Field, Place, Rule, Ruleset, Statement};

mod again;
mod cursor;
mod dom;
mod json;
mod rule;
mod table;
mod tables;
mod token;
mod value;

pub use again::loadable;

/// A ruleset and where it stood in the text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Read {
    /// What was read.
    pub ruleset: Ruleset,
    /// On which lines.
    pub lines: Lines,
}

/// The text is not an nftables ruleset, or not one that this reader knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct ReadError {
    /// Line, from 1.
    pub line: u32,
    /// Column in bytes, from 1.
    pub column: u32,
    /// What was expected.
    pub message: String,
}

/// Reads a file or a listing. `add`, `delete` and `flush` of tables take effect on what was read before them.
///
/// # Errors
/// [`ReadError`] at the first structure that is not understood.
pub fn read(text: &str) -> Result<Read, ReadError> {
    let mut read = cursor::Parser::new(&again::typed(text)).file()?;
    read.lines.begin(text);
    Ok(read)
}

/// Reads a listing of whichever form, text or JSON (`nft -j list ruleset`), with the text that its lines speak of: of
/// JSON that is one object a line.
///
/// # Errors
/// [`ReadError`] at the first structure that is not understood.
pub fn listing(text: String) -> Result<(Read, String), ReadError> {
    if !text.trim_start().starts_with('{') {
        return Ok((read(&text)?, text));
    }
    let (mut read, lines) = json::read(&text)?;
    read.lines.begin(&lines);
    Ok((read, lines))
}

/// Turns the dates and the times of day of a listing into numbers. nft prints `meta time` and `meta hour` in its own time
/// zone: right only for a listing made with `TZ=UTC`.
pub fn dates_are_utc(ruleset: &mut Ruleset) {
    let rules = ruleset.tables.iter_mut().flat_map(|t| &mut t.chains).flat_map(|c| &mut c.rules);
    for statement in rules.flat_map(|r| &mut r.statements) {
        match statement {
            Statement::Match { left, right: Expression::Set(elements), .. }
            | Statement::VerdictMap { key: left, map: Expression::Set(elements) } => {
                elements.iter_mut().for_each(|element| to_numbers(left, &mut element.key));
            }
            Statement::Match { left, right, .. } => to_numbers(left, right),
            _ => {}
        }
    }
}

/// Whether a rule compares the time with a date or a time of day whose time zone nothing says.
#[must_use]
pub fn has_date(rule: &Rule) -> bool {
    rule.statements.iter().any(|statement| match statement {
        Statement::Match { left, right: Expression::Set(elements), .. }
        | Statement::VerdictMap { key: left, map: Expression::Set(elements) } => {
            elements.iter().any(|element| changes(left, &element.key))
        }
        Statement::Match { left, right, .. } => changes(left, right),
        _ => false,
    })
}

fn changes(left: &Expression, right: &Expression) -> bool {
    let mut numbers = right.clone();
    to_numbers(left, &mut numbers);
    numbers != *right
}

/// The numbers of a value that a clock is compared with, if it were UTC.
fn to_numbers(left: &Expression, right: &mut Expression) {
    match (left, &mut *right) {
        (Expression::Concat(fields), Expression::Concat(values)) => {
            fields.iter().zip(values).for_each(|(field, value)| to_numbers(field, value));
        }
        (_, Expression::Range(first, last)) => {
            to_numbers(left, first);
            to_numbers(left, last);
        }
        (Expression::Field(Field::Time), Expression::Text(date)) => {
            value::seconds(date).into_iter().for_each(|seconds| *right = Expression::Number(seconds));
        }
        (Expression::Unknown(words), Expression::Text(hour)) if words == "meta hour" => {
            value::seconds_of_day(hour).into_iter().for_each(|seconds| *right = Expression::Number(seconds));
        }
        _ => {}
    }
}

/// The lines of everything that has a [`Place`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Lines {
    tables: Vec<TableLines>,
    /// Where each line of the text begins, in bytes.
    begins: Vec<usize>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct TableLines {
    sets: Vec<Vec<u32>>,
    chains: Vec<ChainLines>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ChainLines {
    line: u32,
    rules: Vec<RuleLines>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct RuleLines {
    line: u32,
    // Per anonymous set: which statement it is in, and the lines of its elements.
    elements: Vec<(usize, Vec<u32>)>,
}

impl Lines {
    /// Notes where the lines of the text begin that it speaks of.
    fn begin(&mut self, text: &str) {
        let after = text.match_indices('\n').map(|(at, _)| at.saturating_add(1));
        self.begins = std::iter::once(0).chain(after).collect();
    }

    /// What a line of the text says, without its ends; `text` is the one that was read.
    #[must_use]
    pub fn said<'t>(&self, text: &'t str, line: u32) -> Option<&'t str> {
        let at = usize::try_from(line).ok()?.checked_sub(1)?;
        let rest = text.get(*self.begins.get(at)?..)?;
        rest.lines().next().map(str::trim)
    }

    /// The line of a rule, an element or a chain's policy, from 1.
    #[must_use]
    pub fn line(&self, place: Place) -> Option<u32> {
        match place {
            Place::Policy { table, chain } => Some(self.tables.get(table)?.chains.get(chain)?.line),
            Place::Rule { table, chain, rule } => {
                Some(self.tables.get(table)?.chains.get(chain)?.rules.get(rule)?.line)
            }
            Place::Element { table, set, element } => {
                self.tables.get(table)?.sets.get(set)?.get(element).copied()
            }
            Place::Inline { table, chain, rule, statement, element } => {
                let rule = self.tables.get(table)?.chains.get(chain)?.rules.get(rule)?;
                let set = rule.elements.iter().find(|(at, _)| *at == statement)?;
                set.1.get(element).copied()
            }
        }
    }
}
