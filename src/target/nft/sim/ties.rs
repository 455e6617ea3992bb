//! Base chains whose order no listing tells: of equal priority the one registered last runs first, and a listing shows tables
//! as they were made. It matters where one writes what another looks at. Chains that translate hang below one hook of the kernel's
//! own, registered with the first of them: so neither is their order known beside any other chain at its priority.

use std::collections::{BTreeMap, BTreeSet};

use super::super::artifact::{Chain, ChainKind, Data, Expression, Field, Ruleset, Statement, Table, Verdict};
use super::settled::{End, may_translate};
use super::{Hook, Spot, Turn, turns};
use crate::net::Family;

/// A place that rules write to and look at.
#[derive(Clone, Copy)]
enum Of {
    Mark,
    Connection,
    Tracking,
    /// The addresses and ports of one end, and what is said of their translation.
    Ends(End),
}

/// Pairs of tables, by their places, of which a chain of the first writes what a chain of the second looks at, or writes too, at the
/// same hook and priority; each with the names of the two chains.
#[must_use]
pub fn ties(ruleset: &Ruleset) -> Vec<[(usize, String); 2]> {
    let mut ties = Vec::new();
    for spot in Hook::ALL.into_iter().map(Spot::from).chain([Spot::BRIDGE]) {
        let turns = turns(ruleset, spot);
        for writer in &turns {
            let beside = turns.iter().filter(|turn| turn.at != writer.at && tied(turn, writer));
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

/// Whether nothing says which of two chains runs first. Those that translate run in the order of their own priorities.
fn tied(one: &Turn<'_>, other: &Turn<'_>) -> bool {
    let translates = |turn: &Turn<'_>| turn.base.kind == ChainKind::Nat;
    if translates(one) == translates(other) {
        one.when() == other.when()
    } else {
        one.when().0 == other.when().0
    }
}

fn named(turn: &Turn<'_>) -> String {
    let chain = turn.table.chains.get(turn.chain).map_or("", |chain| chain.name.as_str());
    format!("{} {} {chain}", turn.table.family.keyword(), turn.table.name)
}

/// Whether there are packets that come to both.
fn meet(one: &Turn<'_>, other: &Turn<'_>) -> bool {
    Family::BOTH.into_iter().any(|family| one.sees(family) && other.sees(family))
}

fn depends(writer: &Turn<'_>, other: &Turn<'_>) -> bool {
    let both = |of: Of| match of {
        // Which of two translations comes first is their priority's business.
        Of::Ends(_) => other.base.kind != ChainKind::Nat && statements(other).any(|s| reads(s, of)),
        _ => writes(other, of) || statements(other).any(|s| reads(s, of)),
    };
    let ends = End::of(writer.base.hook).map(Of::Ends);
    OF.into_iter().chain(ends).any(|of| writes(writer, of) && both(of))
}

/// What a packet may come to from a base chain.
pub(super) fn statements<'t>(turn: &Turn<'t>) -> impl Iterator<Item = &'t Statement> + use<'t> {
    let table: &'t Table = turn.table;
    reached(turn).into_iter().filter_map(|at| table.chains.get(at)).flat_map(statements_of)
}

fn statements_of(chain: &Chain) -> impl Iterator<Item = &Statement> {
    chain.rules.iter().flat_map(|rule| &rule.statements)
}

/// The chain and those that it leads to. A map is taken to lead wherever a map of its table does.
pub(super) fn reached(turn: &Turn<'_>) -> BTreeSet<usize> {
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
        (Statement::NoTrack, Of::Tracking) => turn.is_early(),
        (statement, Of::Ends(_)) => turn.base.kind == ChainKind::Nat && may_translate(statement),
        (Statement::Unsupported(words), Of::Tracking) => turn.is_early() && says(words, of),
        _ => writes_it(statement, of),
    })
}

/// Whether a statement writes the mark of a packet or of its connection, or may.
#[must_use]
pub fn writes_mark(statement: &Statement) -> bool {
    [Of::Mark, Of::Connection].into_iter().any(|of| writes_it(statement, of))
}

/// Whether it looks at either, or may.
#[must_use]
pub fn reads_mark(statement: &Statement) -> bool {
    [Of::Mark, Of::Connection].into_iter().any(|of| reads(statement, of))
}

fn writes_it(statement: &Statement, of: Of) -> bool {
    match (statement, of) {
        (Statement::Mangle { field, .. }, Of::Mark) => *field == Field::Mark,
        (Statement::Mangle { field, .. }, Of::Connection) => *field == Field::CtMark,
        (Statement::Unsupported(words) | Statement::Alter(words), Of::Mark | Of::Connection) => {
            says(words, of) && may_set(words)
        }
        _ => false,
    }
}

/// Whether words that are not understood may be those of a statement that writes, in text or JSON.
fn may_set(words: &str) -> bool {
    let words = words.to_ascii_lowercase();
    ["set", "target", "mangle"].iter().any(|word| words.contains(word))
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
            Of::Ends(end) => end.has(*field) || *field == Field::CtStatus,
        },
        Expression::Masked(at, _) | Expression::Lookup { key: at, .. } => looks(at, of),
        Expression::Concat(parts) => parts.iter().any(|part| looks(part, of)),
        Expression::Unknown(words) => says(words, of),
        _ => false,
    }
}

fn says(words: &str, of: Of) -> bool {
    let words = words.to_ascii_lowercase();
    match of {
        Of::Mark | Of::Connection => words.contains("mark"),
        Of::Tracking => words.contains("ct") || words.contains("notrack"),
        // What is not understood may look at anything; what is looked at and not modelled, at headers or routes.
        Of::Ends(_) => !["meta ", "socket ", "osf "].iter().any(|quiet| words.starts_with(quiet)),
    }
}
