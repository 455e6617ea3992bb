//! Base chains whose order no listing tells: of equal priority the one registered last runs first, and a listing shows tables
//! as they were made. It matters where one writes what another looks at.

use super::super::artifact::{Expression, Field, Ruleset, Statement, Table};
use super::{Hook, Spot, Turn, turns};

/// A place that rules write to and look at.
#[derive(Clone, Copy)]
enum Of {
    Mark,
    Connection,
    Tracking,
}

/// Pairs of tables, by their places, of which a chain of the first writes what a chain of the second looks at, or writes too, at the
/// same hook and priority; each with the names of the two chains.
#[must_use]
pub fn ties(ruleset: &Ruleset) -> Vec<[(usize, String); 2]> {
    let mut ties = Vec::new();
    for spot in Hook::ALL.into_iter().map(Spot::from).chain([Spot::BRIDGE]) {
        let turns = turns(ruleset, spot);
        for writer in turns.iter().filter(|turn| OF.into_iter().any(|of| writes(turn, of))) {
            let beside = turns.iter().filter(|turn| turn.at != writer.at && turn.when() == writer.when());
            for other in beside.filter(|other| depends(writer, other)) {
                ties.push([writer, other].map(|turn| (turn.at, named(turn))));
            }
        }
    }
    ties
}

const OF: [Of; 3] = [Of::Mark, Of::Connection, Of::Tracking];

fn named(turn: &Turn<'_>) -> String {
    let chain = turn.table.chains.get(turn.chain).map_or("", |chain| chain.name.as_str());
    format!("{} {} {chain}", turn.table.family.keyword(), turn.table.name)
}

fn depends(writer: &Turn<'_>, other: &Turn<'_>) -> bool {
    OF.into_iter()
        .any(|of| writes(writer, of) && (writes(other, of) || statements(other).any(|s| reads(s, of))))
}

/// What a packet may come to in a base chain.
fn statements<'t>(turn: &Turn<'t>) -> impl Iterator<Item = &'t Statement> + use<'t> {
    let (table, at): (&'t Table, usize) = (turn.table, turn.chain);
    let chains = table.chains.iter().enumerate().filter(move |(n, chain)| *n == at || chain.base.is_none());
    chains.flat_map(|(_, chain)| &chain.rules).flat_map(|rule| &rule.statements)
}

fn writes(turn: &Turn<'_>, of: Of) -> bool {
    statements(turn).any(|statement| match (statement, of) {
        (Statement::Mangle { field, .. }, Of::Mark) => *field == Field::Mark,
        (Statement::Mangle { field, .. }, Of::Connection) => *field == Field::CtMark,
        (Statement::NoTrack, Of::Tracking) => turn.is_early(),
        _ => false,
    })
}

fn reads(statement: &Statement, of: Of) -> bool {
    match statement {
        Statement::Match { left, .. } => looks(left, of),
        Statement::VerdictMap { key, .. } | Statement::SetUpdate { key, .. } => looks(key, of),
        Statement::Mangle { value, .. } => looks(value, of),
        Statement::Nat(nat) => nat.addr.iter().chain(&nat.port).any(|part| looks(part, of)),
        Statement::Unsupported(words) | Statement::Alter(words) => says(words, of),
        _ => false,
    }
}

fn looks(at: &Expression, of: Of) -> bool {
    match at {
        Expression::Field(field) | Expression::Bits { of: field, .. } => match of {
            Of::Mark => *field == Field::Mark,
            Of::Connection => *field == Field::CtMark,
            Of::Tracking => *field == Field::CtState || field.is_of_connection(),
        },
        Expression::Masked(at, _) | Expression::Lookup { key: at, .. } => looks(at, of),
        Expression::Concat(parts) => parts.iter().any(|part| looks(part, of)),
        Expression::Unknown(words) => says(words, of),
        _ => false,
    }
}

fn says(words: &str, of: Of) -> bool {
    words.contains(match of {
        Of::Mark | Of::Connection => "mark",
        Of::Tracking => "ct",
    })
}
