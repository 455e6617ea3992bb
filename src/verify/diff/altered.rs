//! Whom the rules alter that write what no modelled field reads: MSS, DSCP, a helper, the port from which a packet goes on.
//!
//! *Input*: a table of one ruleset and the table of that name in the other, all without what counts and what is said to people.
//! *Output*: the rules of the first that may alter other packets, or otherwise, than those of the second. *Design decisions*: what
//! such a rule writes shows nowhere, so no packets tell two of them apart. Compared is what is written: the rule with its matches,
//! the sets and objects that it names, whatever before it in its chain decides, in this order, with the chains that are called
//! there, the rules that lead there from other chains, and the chains of the hook that write a mark which is asked for, or translate
//! where ports of that are altered.

use std::collections::{BTreeMap, BTreeSet};

use crate::target::nft::artifact::{
    Base, Chain, ChainKind, Expression, Hook, Object, Rule, Set, Statement, Table, TableFamily,
};
use crate::target::nft::sim;
use crate::verify::beside::called;

/// Whether a table alters packets at all.
pub(super) fn any(table: &Table) -> bool {
    table.chains.iter().flat_map(|chain| &chain.rules).any(alters)
}

/// The rules of a table by which other packets may be altered, or otherwise, than by the other table: by the places of their chains and
/// their own, with what they write. Of both rulesets the chains are given that write for others.
pub(super) fn otherwise(
    table: &Table,
    other: Option<&Table>,
    [ours, theirs]: [&[Writer<'_>]; 2],
) -> Vec<(usize, usize, String)> {
    let (here, there) = (altering_chains(table), other.map(altering_chains).unwrap_or_default());
    let mut all = Vec::new();
    for (at, chain) in table.chains.iter().enumerate().filter(|(_, chain)| here.contains(chain.name.as_str()))
    {
        let own = Deciding::of(table, chain, &here, ours);
        let others = other.and_then(|other| {
            let chain = other.chains.iter().find(|of| of.name == chain.name)?;
            Some(Deciding::of(other, chain, &there, theirs))
        });
        let words = |rule: usize| chain.rules.get(rule).map(words).unwrap_or_default();
        all.extend(own.unlike(others.as_ref()).into_iter().map(|rule| (at, rule, words(rule))));
    }
    all
}

/// The chains of a table that alter packets, or lead to one that does.
fn altering_chains(table: &Table) -> BTreeSet<&str> {
    let own = |chain: &&Chain| chain.rules.iter().any(alters);
    leading(table, table.chains.iter().filter(own).map(|chain| chain.name.as_str()).collect())
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
        _ => sim::altered_by(statement).map(str::to_owned),
    }
}

/// What a rule writes, or that it leads to one that does.
fn words(rule: &Rule) -> String {
    rule.statements.iter().find_map(written).unwrap_or_else(|| "jump".to_owned())
}

/// A rule by its place, without what only counts and tells.
type Placed<'t> = (usize, Vec<&'t Statement>);

/// A base chain that writes the mark of packets or of connections, or translates: then later ones of its hook do not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Writer<'t> {
    table: (TableFamily, &'t str),
    chain: &'t str,
    base: &'t Base,
    rules: Vec<Vec<&'t Statement>>,
    around: Around<'t>,
    marks: bool,
}

/// Those of a ruleset, as it is listed.
pub(super) fn writers(tables: &[Table]) -> Vec<Writer<'_>> {
    let mut all = Vec::new();
    for table in tables.iter().filter(|table| !sim::is_dormant(table)) {
        for chain in &table.chains {
            let Some(base) = &chain.base else { continue };
            let rules: Vec<Vec<&Statement>> = chain.rules.iter().filter_map(telling).collect();
            let around = Around::of(table, &rules, &rules);
            let mut statements = rules.iter().chain(around.chains.values().flatten()).flatten();
            let marks = statements.any(|statement| sim::writes_mark(statement));
            if marks || base.kind == ChainKind::Nat {
                let table = (table.family, table.name.as_str());
                all.push(Writer { table, chain: &chain.name, base, rules, around, marks });
            }
        }
    }
    all
}

/// What rules lead to and name: the chains that they call, and those that these call, and the sets and objects of all of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct Around<'t> {
    chains: BTreeMap<&'t str, Vec<Vec<&'t Statement>>>,
    sets: Vec<&'t Set>,
    objects: Vec<&'t Object>,
}

impl<'t> Around<'t> {
    /// Of some of a table's rules, of which some call chains that matter.
    fn of(table: &'t Table, rules: &[Vec<&'t Statement>], calling: &[Vec<&'t Statement>]) -> Self {
        let mut chains = BTreeMap::new();
        let mut open: Vec<&str> = calling.iter().flatten().flat_map(|of| called(table, of)).collect();
        while let Some(name) = open.pop() {
            if chains.contains_key(name) {
                continue;
            }
            let Some(chain) = table.chains.iter().find(|chain| chain.name == name) else { continue };
            // What is altered there is compared where it stands.
            let decides =
                |rule: &Vec<&Statement>| !rule.iter().all(|of| is_quiet(of) || written(of).is_some());
            let rules: Vec<Vec<&Statement>> =
                chain.rules.iter().filter_map(telling).filter(decides).collect();
            open.extend(rules.iter().flatten().flat_map(|of| called(table, of)));
            chains.insert(chain.name.as_str(), rules);
        }
        let all = || rules.iter().chain(chains.values().flatten());
        let names: BTreeSet<&str> = all().flat_map(|rule| named(rule)).collect();
        let sets = names.into_iter().filter_map(|name| table.set(name)).collect();
        let words: Vec<&str> = all().flatten().filter_map(|statement| unread(statement)).collect();
        let objects = table.objects.iter().filter(|object| words.iter().any(|words| names_it(words, object)));
        let objects = objects.collect();
        Self { chains, sets, objects }
    }
}

/// The words of a statement that is kept as it was written.
fn unread(statement: &Statement) -> Option<&str> {
    match statement {
        Statement::Alter(words) | Statement::Unsupported(words) => Some(words),
        _ => None,
    }
}

/// Whether words name an object, or a map, which may.
fn names_it(words: &str, object: &Object) -> bool {
    let name = object.head.rsplit(' ').next().unwrap_or_default();
    words.contains(name) || words.contains('@') || words.contains("map")
}

/// A rule without what only counts and tells; none where nothing of it matters to those that come after it.
fn telling(rule: &Rule) -> Option<Vec<&Statement>> {
    let of = || rule.statements.iter().filter(|statement| !only_tells(statement)).collect();
    (!rule.statements.iter().all(is_quiet)).then(of)
}

/// What of a chain decides who is altered how: rules up to the last that alters or leads to one that does.
struct Deciding<'t> {
    base: Option<&'t Base>,
    rules: Vec<Placed<'t>>,
    /// Of those the ones that alter, or lead there.
    altering: BTreeSet<usize>,
    around: Around<'t>,
    /// Who else writes the mark at the hooks that lead here, where it is asked for, and translates, where that is altered.
    others: Vec<&'t Writer<'t>>,
}

impl<'t> Deciding<'t> {
    fn of(table: &'t Table, chain: &'t Chain, to: &BTreeSet<&str>, writers: &'t [Writer<'t>]) -> Self {
        let rules = || chain.rules.iter().enumerate();
        let altering: BTreeSet<usize> =
            rules().filter(|(_, rule)| alters(rule) || leads(table, rule, to)).map(|(at, _)| at).collect();
        let last = altering.last().copied();
        let deciding = rules().filter(|(at, _)| Some(*at) <= last);
        let rules: Vec<Placed<'_>> = deciding.filter_map(|(at, rule)| Some((at, telling(rule)?))).collect();
        let all: Vec<Vec<&Statement>> = rules.iter().map(|(_, rule)| rule.clone()).collect();
        // What the last one leads to is compared there.
        let before = all.len().saturating_sub(1);
        let around = Around::of(table, &all, all.get(..before).unwrap_or_default());
        let of = || all.iter().chain(around.chains.values().flatten()).flatten();
        let asked = of().any(|statement| sim::reads_mark(statement));
        let translates = of().any(|statement| matches!(statement, Statement::Nat(_)));
        let concerns =
            |writer: &&Writer<'_>| asked && writer.marks || translates && writer.base.kind == ChainKind::Nat;
        let others = beside(table, chain, writers.iter().filter(concerns));
        Self { base: chain.base.as_ref(), rules, altering, around, others }
    }

    /// The rules that alter which the other chain has not, or, where it has them all, those behind what it has otherwise.
    fn unlike(&self, other: Option<&Self>) -> Vec<usize> {
        let altering = |of: &Placed<'_>| self.altering.contains(&of.0);
        let all = || self.rules.iter().filter(|of| altering(of));
        let alike = |other: &&Self| {
            (self.base, &self.around, &self.others) == (other.base, &other.around, &other.others)
        };
        let Some(other) = other.filter(alike) else {
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

/// Those of some chains that are at the hooks from which packets come to a chain; not the only one of a hook that leads to it, of
/// which the rules before are compared.
fn beside<'t>(
    table: &Table,
    chain: &Chain,
    writers: impl Iterator<Item = &'t Writer<'t>>,
) -> Vec<&'t Writer<'t>> {
    let to = leading(table, BTreeSet::from([chain.name.as_str()]));
    let bases = table.chains.iter().filter(|of| to.contains(of.name.as_str()));
    let mut hooks: BTreeMap<Hook, Vec<&str>> = BTreeMap::new();
    for (base, of) in bases.filter_map(|of| Some((of.base.as_ref()?, of))) {
        hooks.entry(base.hook).or_default().push(&of.name);
    }
    let own = (table.family, table.name.as_str());
    let matters = |writer: &&Writer<'_>| {
        let Some(bases) = hooks.get(&writer.base.hook) else { return false };
        let alone = writer.table == own && *bases == [writer.chain];
        !alone && (writer.table.0 == TableFamily::Bridge) == (table.family == TableFamily::Bridge)
    };
    writers.filter(matters).collect()
}

/// Chains and those of their table that lead to one of them.
fn leading<'t>(table: &'t Table, mut all: BTreeSet<&'t str>) -> BTreeSet<&'t str> {
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

/// Whether whatever comes to a statement goes on as it came, or to the next rule.
fn is_quiet(of: &Statement) -> bool {
    only_tells(of) || matches!(of, Statement::Match { .. })
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
            Statement::SetUpdate { set, key, .. } => {
                all.insert(set.as_str());
                put(key, &mut all);
            }
            Statement::Alter(words) | Statement::Unsupported(words) => all.extend(sim::mentioned(words)),
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
