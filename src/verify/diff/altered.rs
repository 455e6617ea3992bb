//! Whom the rules alter that write what no modelled field reads: MSS, DSCP, a helper, the port from which a packet goes on.
//!
//! *Input*: a table of one ruleset and the table of that name in the other, both without what counts and what is said to people.
//! *Output*: the rules of the first that may alter other packets, or otherwise, than those of the second. *Design decisions*: what
//! such a rule writes shows nowhere, so no packets tell two of them apart. Compared is what is written: the rule with its matches,
//! the sets that it looks into, whatever before it in its chain decides, in this order, and the rules that lead there from other chains.

use std::collections::BTreeSet;

use crate::target::nft::artifact::{Base, Chain, Expression, Rule, Set, Statement, Table};
use crate::target::nft::sim;
use crate::verify::beside::called;

/// The rules of a table by which other packets may be altered, or otherwise, than by the other table: by the places of their chains and
/// their own, with what they write.
pub(super) fn otherwise(table: &Table, other: Option<&Table>) -> Vec<(usize, usize, String)> {
    let (here, there) = (altering_chains(table), other.map(altering_chains).unwrap_or_default());
    let mut all = Vec::new();
    for (at, chain) in table.chains.iter().enumerate().filter(|(_, chain)| here.contains(chain.name.as_str()))
    {
        let own = Deciding::of(table, chain, &here);
        let others = other.and_then(|other| {
            let chain = other.chains.iter().find(|of| of.name == chain.name)?;
            Some(Deciding::of(other, chain, &there))
        });
        let words = |rule: usize| chain.rules.get(rule).map(words).unwrap_or_default();
        all.extend(own.unlike(others.as_ref()).into_iter().map(|rule| (at, rule, words(rule))));
    }
    all
}

/// The chains of a table that alter packets, or lead to one that does.
fn altering_chains(table: &Table) -> BTreeSet<&str> {
    let own = |chain: &&Chain| chain.rules.iter().any(alters);
    let mut all: BTreeSet<&str> = table.chains.iter().filter(own).map(|chain| chain.name.as_str()).collect();
    loop {
        let known = all.len();
        let leads = |chain: &&Chain| chain.rules.iter().any(|rule| leads(table, rule, &all));
        let more: Vec<&str> = table.chains.iter().filter(leads).map(|chain| chain.name.as_str()).collect();
        all.extend(more);
        if all.len() == known {
            return all;
        }
    }
}

fn leads(table: &Table, rule: &Rule, to: &BTreeSet<&str>) -> bool {
    rule.statements.iter().flat_map(|statement| called(table, statement)).any(|chain| to.contains(chain))
}

/// Whether a rule writes something that is not modelled.
fn alters(rule: &Rule) -> bool {
    rule.statements.iter().any(|statement| written(statement).is_some())
}

/// What a statement writes that is not modelled.
fn written(statement: &Statement) -> Option<String> {
    match statement {
        Statement::Alter(words) => Some(words.clone()),
        // From which port a packet goes on, nobody knows in any case.
        Statement::Nat(nat) => sim::of_source_ports(nat),
        _ => None,
    }
}

/// What a rule writes, or that it leads to one that does.
fn words(rule: &Rule) -> String {
    rule.statements.iter().find_map(written).unwrap_or_else(|| "jump".to_owned())
}

/// A rule by its place, without what only counts and tells.
type Placed<'t> = (usize, Vec<&'t Statement>);

/// What of a chain decides who is altered how: rules up to the last that alters or leads to one that does.
struct Deciding<'t> {
    base: Option<&'t Base>,
    rules: Vec<Placed<'t>>,
    /// Of those the ones that alter, or lead there.
    altering: BTreeSet<usize>,
    sets: Vec<&'t Set>,
}

impl<'t> Deciding<'t> {
    fn of(table: &'t Table, chain: &'t Chain, to: &BTreeSet<&str>) -> Self {
        let rules = || chain.rules.iter().enumerate();
        let altering: BTreeSet<usize> =
            rules().filter(|(_, rule)| alters(rule) || leads(table, rule, to)).map(|(at, _)| at).collect();
        let last = altering.last().copied();
        let rules = rules().filter(|(at, rule)| Some(*at) <= last && !goes_on(rule));
        let rules: Vec<Placed<'_>> = rules
            .map(|(at, rule)| {
                (at, rule.statements.iter().filter(|statement| !only_tells(statement)).collect())
            })
            .collect();
        let named: BTreeSet<&str> = rules.iter().flat_map(|(_, rule)| named(rule)).collect();
        let sets = named.into_iter().filter_map(|name| table.set(name)).collect();
        Self { base: chain.base.as_ref(), rules, altering, sets }
    }

    /// The rules that alter which the other chain has not, or, where it has them all, those behind what it has otherwise.
    fn unlike(&self, other: Option<&Self>) -> Vec<usize> {
        let altering = |of: &Placed<'_>| self.altering.contains(&of.0);
        let all = || self.rules.iter().filter(|of| altering(of));
        let Some(other) = other.filter(|other| (self.base, &self.sets) == (other.base, &other.sets)) else {
            return all().map(|(at, _)| *at).collect();
        };
        let same = |(one, another): (&Placed<'_>, &Placed<'_>)| one.1 == another.1;
        let alike = self.rules.iter().zip(&other.rules).take_while(|pair| same(*pair)).count();
        if alike == self.rules.len() && alike == other.rules.len() {
            return Vec::new();
        }
        let has = |rule: &[&Statement]| other.rules.iter().any(|(_, of)| of == rule);
        let gone: Vec<usize> = all().filter(|(_, rule)| !has(rule)).map(|(at, _)| *at).collect();
        if !gone.is_empty() {
            return gone;
        }
        self.rules.iter().skip(alike).filter(|of| altering(of)).map(|(at, _)| *at).collect()
    }
}

/// Whether whatever comes to a rule goes on to the next one as it came.
fn goes_on(rule: &Rule) -> bool {
    rule.statements.iter().all(|of| only_tells(of) || matches!(of, Statement::Match { .. }))
}

fn only_tells(statement: &Statement) -> bool {
    matches!(statement, Statement::Counter(_) | Statement::Log(_))
}

/// The named sets and maps that a rule looks into.
fn named<'t>(rule: &[&'t Statement]) -> BTreeSet<&'t str> {
    let mut all = BTreeSet::new();
    for statement in rule {
        match statement {
            Statement::Match { left, right, .. } => {
                [left, right].into_iter().for_each(|of| put(of, &mut all))
            }
            Statement::VerdictMap { key, map } => [key, map].into_iter().for_each(|of| put(of, &mut all)),
            Statement::Nat(nat) => {
                nat.addr.iter().chain(&nat.port).for_each(|of| put(of, &mut all));
            }
            Statement::Mangle { value, .. } => put(value, &mut all),
            Statement::SetUpdate { set, .. } => drop(all.insert(set.as_str())),
            _ => {}
        }
    }
    all
}

fn put<'t>(of: &'t Expression, all: &mut BTreeSet<&'t str>) {
    match of {
        Expression::Named(name) => drop(all.insert(name.as_str())),
        Expression::Lookup { key, map } => [key, map].into_iter().for_each(|of| put(of, all)),
        Expression::Masked(of, _) => put(of, all),
        Expression::Concat(parts) => parts.iter().for_each(|part| put(part, all)),
        _ => {}
    }
}
