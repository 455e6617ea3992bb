//! What is found by name: chains and sets of a table; interfaces, known before wildcards are asked which of them begin like
//! they do.

use std::collections::BTreeSet;

use hashbrown::HashMap;

use super::super::super::artifact::{Element, Expression, Field, Ruleset, Statement, Table};
use super::super::buckets::{Buckets, buckets};
use super::super::{LOOPBACK, all_known, parts};
use super::written;
use crate::net::Space;

/// The chains and the unchanging sets of a table by their names.
pub(super) struct Names<'t> {
    pub(super) chains: HashMap<&'t str, usize>,
    pub(super) sets: HashMap<&'t str, usize>,
    /// The sets that some rule looks into.
    pub(super) read: BTreeSet<&'t str>,
    /// The sets that some rule puts something into.
    pub(super) buckets: Buckets<'t>,
}

impl<'t> Names<'t> {
    pub(super) fn of(table: &'t Table) -> Self {
        let mut chains = HashMap::with_capacity(table.chains.len());
        for (at, chain) in table.chains.iter().enumerate() {
            chains.entry(chain.name.as_str()).or_insert(at);
        }
        Self { chains, sets: all_known(table), read: written::read(table), buckets: buckets(table) }
    }
}

/// Interns every interface that these rulesets name, where one of them has a wildcard: what is named later may begin with
/// anything.
pub fn interfaces(rulesets: &[&Ruleset], space: &mut Space) {
    let tables = rulesets.iter().flat_map(|ruleset| &ruleset.tables);
    let names: Vec<&str> = tables.flat_map(names).collect();
    if names.iter().any(|name| name.ends_with('*')) {
        space.interface(LOOPBACK);
        for name in names.into_iter().filter(|name| !name.ends_with('*')) {
            space.interface(name);
        }
    }
}

fn names(table: &Table) -> Vec<&str> {
    let (mut all, mut seen) = (Vec::new(), BTreeSet::new());
    let rules = table.chains.iter().flat_map(|chain| &chain.rules);
    for statement in rules.flat_map(|rule| &rule.statements) {
        let (left, right) = match statement {
            Statement::Match { left, right, .. } => (left, right),
            Statement::VerdictMap { key, map } => (key, map),
            _ => continue,
        };
        let interface = |part: &Expression| {
            let Expression::Field(field) = part else { return false };
            matches!(field, Field::Iifname | Field::Oifname | Field::Iif | Field::Oif)
        };
        for (at, _) in parts(left).iter().enumerate().filter(|(_, part)| interface(part)) {
            let elements: &[Element] = match right {
                Expression::Set(elements) => elements,
                Expression::Named(name) if !seen.insert((at, name)) => continue,
                Expression::Named(name) => table.set(name).map_or(&[], |set| set.elements.as_slice()),
                one => {
                    all.extend(parts(one).get(at).and_then(name));
                    continue;
                }
            };
            all.extend(elements.iter().filter_map(|element| parts(&element.key).get(at).and_then(name)));
        }
    }
    all
}

fn name(part: &Expression) -> Option<&str> {
    match part {
        Expression::Text(name) | Expression::Word(name) => Some(name),
        _ => None,
    }
}
