//! What may yet be written into a packet of which nobody knows what becomes: by the rule that it got lost in, or by one behind it.

use std::collections::BTreeSet;

use super::super::artifact::{ChainKind, Place, Ruleset, Statement};
use super::admits::{may_alter, may_copy, may_write};
use super::ties::{reached, statements, writes_mark};
use super::{Spot, Turn, turns};

/// What rules write that later ones, or others, go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Writes {
    /// The addresses and ports of a connection.
    Translation,
    /// Whether the packet is tracked.
    Tracking,
    /// Its mark, or that of its connection.
    Mark,
    /// Its headers, or where it goes (`tcp dport set`, `tproxy`, `queue`, `dup`).
    Packet,
}

/// Words by which a statement that is not understood leads to other chains (`numgen random mod 2 vmap { 0 : goto a }`).
const LEADS: [&str; 3] = ["vmap", "jump", "goto"];

/// The base chains of a hook in the order they run, with what those and the chains that they lead to may write.
pub struct Behind<'t>(Vec<(Turn<'t>, BTreeSet<usize>, BTreeSet<Writes>)>);

impl<'t> Behind<'t> {
    /// Of a ruleset at a hook.
    #[must_use]
    pub fn of(ruleset: &'t Ruleset, at: impl Into<Spot>) -> Self {
        let turns = turns(ruleset, at.into()).into_iter();
        let all = turns.map(|turn| {
            // What is not understood may lead to any chain of its table.
            let leads = statements(&turn).any(|statement| match statement {
                Statement::Unsupported(words) => LEADS.iter().any(|lead| words.contains(lead)),
                _ => false,
            });
            let reached = if leads { (0..turn.table.chains.len()).collect() } else { reached(&turn) };
            let chains = reached.iter().filter_map(|at| turn.table.chains.get(*at));
            let statements = chains.flat_map(|chain| &chain.rules).flat_map(|rule| &rule.statements);
            let written = statements.flat_map(|statement| written(&turn, statement)).collect();
            (turn, reached, written)
        });
        Self(all.collect())
    }

    /// What may be written into a packet that got lost at a place: by whatever stands in its chain, too.
    #[must_use]
    pub fn from(&self, place: Place) -> BTreeSet<Writes> {
        let (table, chain) = match place {
            Place::Policy { table, chain }
            | Place::Rule { table, chain, .. }
            | Place::Inline { table, chain, .. } => (table, Some(chain)),
            Place::Element { table, .. } => (table, None),
        };
        let passed_over = |(turn, reached, _): &&(Turn<'_>, BTreeSet<usize>, _)| {
            turn.at != table || chain.is_some_and(|chain| !reached.contains(&chain))
        };
        self.0.iter().skip_while(passed_over).flat_map(|(_, _, written)| written.iter().copied()).collect()
    }
}

/// What a statement that is not understood may write of a packet that no modelled field reads (MSS, DSCP), in its words.
#[must_use]
pub fn altered_by(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::Unsupported(words) if may_alter(words) => Some(words),
        _ => None,
    }
}

/// Whether rules of a ruleset may write headers, at whatever hook.
#[must_use]
pub fn writes_headers(ruleset: &Ruleset) -> bool {
    let spots = super::Hook::ALL.into_iter().map(Spot::from).chain([Spot::BRIDGE]);
    spots
        .flat_map(|spot| Behind::of(ruleset, spot).0)
        .any(|(_, _, written)| written.contains(&Writes::Packet))
}

/// What a statement of such a chain may write.
fn written(turn: &Turn<'_>, statement: &Statement) -> Vec<Writes> {
    let mut all = Vec::new();
    let untracks = turn.is_early() || turn.is_beside_tracking();
    match statement {
        Statement::Nat(_) => all.push(Writes::Translation),
        Statement::NoTrack if untracks => all.push(Writes::Tracking),
        Statement::Mangle { .. } if !writes_mark(statement) => all.push(Writes::Packet),
        Statement::Unsupported(words) => {
            if may_write(words) || may_copy(words) {
                let translates = turn.base.kind == ChainKind::Nat;
                all.push(if translates { Writes::Translation } else { Writes::Packet });
            }
            let said = words.to_ascii_lowercase();
            if untracks && (said.contains("notrack") || said.contains("ct")) {
                all.push(Writes::Tracking);
            }
        }
        _ => {}
    }
    if writes_mark(statement) {
        all.push(Writes::Mark);
    }
    all
}
