//! Base chains whose order no listing tells: of equal priority the one registered last runs first, and a listing shows tables
//! as they were made. It matters where one writes what another looks at.

use std::collections::{BTreeMap, BTreeSet};

use super::super::artifact::{Chain, Data, Expression, Field, Ruleset, Statement, Table, Verdict};
use super::{Hook, Spot, Turn, turns};
use crate::net::Family;

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
        for writer in &turns {
            let beside = turns.iter().filter(|turn| turn.at != writer.at && turn.when() == writer.when());
            for other in beside.filter(|other| meet(writer, other) && depends(writer, other)) {
                // Of two that both write, one pair says it.
                if other.at > writer.at || !depends(other, writer) {
                    ties.push([writer, other].map(|turn| (turn.at, named(turn))));
                }
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

/// Whether there are packets that come to both.
fn meet(one: &Turn<'_>, other: &Turn<'_>) -> bool {
    Family::BOTH.into_iter().any(|family| one.sees(family) && other.sees(family))
}

fn depends(writer: &Turn<'_>, other: &Turn<'_>) -> bool {
    OF.into_iter()
        .any(|of| writes(writer, of) && (writes(other, of) || statements(other).any(|s| reads(s, of))))
}

/// What a packet may come to from a base chain.
fn statements<'t>(turn: &Turn<'t>) -> impl Iterator<Item = &'t Statement> + use<'t> {
    let table: &'t Table = turn.table;
    reached(turn).into_iter().filter_map(|at| table.chains.get(at)).flat_map(statements_of)
}

fn statements_of(chain: &Chain) -> impl Iterator<Item = &Statement> {
    chain.rules.iter().flat_map(|rule| &rule.statements)
}

/// The chain and those that it leads to. A map is taken to lead wherever a map of its table does.
fn reached(turn: &Turn<'_>) -> BTreeSet<usize> {
    let chains = &turn.table.chains;
    let places: BTreeMap<&str, usize> =
        (0..).zip(chains).map(|(at, chain)| (chain.name.as_str(), at)).collect();
    let mut by_maps: Option<BTreeSet<usize>> = None;
    let mut reached = BTreeSet::from([turn.chain]);
    let mut open = vec![turn.chain];
    while let Some(chain) = open.pop().and_then(|at| chains.get(at)) {
        let mut led = BTreeSet::new();
        for statement in statements_of(chain) {
            match statement {
                Statement::Verdict(Verdict::Jump(name) | Verdict::Goto(name)) => {
                    led.extend(places.get(name.as_str()));
                }
                Statement::VerdictMap { .. } => {
                    led.extend(by_maps.get_or_insert_with(|| led_to(turn.table, &places)).iter());
                }
                _ => {}
            }
        }
        open.extend(led.into_iter().filter(|at| reached.insert(*at)));
    }
    reached
}

/// Where the maps of a table lead.
fn led_to(table: &Table, places: &BTreeMap<&str, usize>) -> BTreeSet<usize> {
    let inline = table.chains.iter().flat_map(statements_of).filter_map(|statement| match statement {
        Statement::VerdictMap { map: Expression::Set(elements), .. } => Some(elements),
        _ => None,
    });
    let all = table.sets.iter().map(|set| &set.elements).chain(inline).flatten();
    all.filter_map(|element| match &element.data {
        Some(Data::Verdict(Verdict::Jump(name) | Verdict::Goto(name))) => places.get(name.as_str()).copied(),
        _ => None,
    })
    .collect()
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
