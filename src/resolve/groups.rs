//! Groups and variables: spread out one after the other, each after those it names; and which security groups they name.

use std::collections::BTreeMap;
use std::rc::Rc;

use super::cycles;
use super::names::{Meaning, Names};
use super::places::{Item, Places};
use super::services::cycle_of;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{GroupId, HostId, Named};
use crate::syntax::ast::{self, Name, PlaceKind};

/// Fills [`Places::defs`].
pub(super) fn resolve(places: &mut Places, findings: &mut Findings) {
    let defs = &places.names.defs;
    let refers: Vec<Vec<usize>> = defs.iter().map(|d| places.names.refers(&d.parts)).collect();
    let order = cycles::order(&refers);
    for cycle in &order.cycles {
        findings.extend(cycle_of(cycle.iter().filter_map(|&n| defs.get(n)).map(|d| d.name)));
    }
    for at in order.order {
        let Some(def) = places.names.defs.get(at).filter(|d| !d.broken) else { continue };
        let spread = places.sum(Some(&def.name.text), &def.parts, findings);
        if let Some(slot) = places.defs.get_mut(at) {
            *slot = spread.map(Rc::new);
        }
    }
}

/// Which security groups a place names (S54).
pub(super) struct Worn<'a> {
    names: &'a Names<'a>,
    /// Those that a group or variable names, by its place in [`Names::defs`]; empty where a policy has none.
    defs: Vec<Vec<GroupId>>,
}

impl<'a> Worn<'a> {
    /// Looks through every group and variable.
    pub(super) fn new(names: &'a Names<'a>) -> Self {
        let mut worn = Self { names, defs: Vec::new() };
        if names.security_groups.is_empty() {
            return worn;
        }
        // Without an error every group that is declared is one of the site, in the same order.
        let ids: BTreeMap<usize, GroupId> =
            names.security_groups.iter().zip((0..).map(GroupId)).map(|((_, def), id)| (*def, id)).collect();
        let refers: Vec<Vec<usize>> = names.defs.iter().map(|d| names.refers(&d.parts)).collect();
        worn.defs = vec![Vec::new(); names.defs.len()];
        for at in cycles::order(&refers).order {
            let Some(def) = names.defs.get(at) else { continue };
            let named = match ids.get(&at) {
                Some(own) => vec![*own],
                None => worn.of(def.parts.iter().copied()),
            };
            if let Some(slot) = worn.defs.get_mut(at) {
                *slot = named;
            }
        }
        worn
    }

    /// What the two ends of a statement name; none where that is nothing.
    pub(super) fn named(&self, from: &ast::Places, to: &ast::Places) -> Option<Box<Named>> {
        if self.defs.is_empty() {
            return None;
        }
        let named = Named { from: self.of([from]), to: self.of([to]) };
        (named != Named::default()).then(|| Box::new(named))
    }

    /// Those before `except`: nobody is meant by what is taken away.
    fn of<'p>(&self, parts: impl IntoIterator<Item = &'p ast::Places>) -> Vec<GroupId> {
        let mut named = Vec::new();
        for place in parts.into_iter().flat_map(|part| &part.plus) {
            let (PlaceKind::Name(name) | PlaceKind::Leg(name, _)) = &place.kind else { continue };
            if let Some(Meaning::Def(def)) = self.names.places.get(name.text.as_str()) {
                named.extend(self.defs.get(*def).into_iter().flatten().copied());
            }
        }
        named.sort_unstable();
        named.dedup();
        named
    }
}

/// The machines of `each GROUP`: its members must be machines as a whole. None after a finding.
pub(super) fn machines(members: &Places, group: &Name, findings: &mut Findings) -> Option<Vec<HostId>> {
    let def = members.names.group(group, findings)?;
    let spread = members.defs.get(def)?.clone()?;
    let hosts: Vec<Option<HostId>> = spread.items().map(|i| machine(members, i, group, findings)).collect();
    let mut hosts = hosts.into_iter().collect::<Option<Vec<HostId>>>()?;
    hosts.sort();
    hosts.dedup();
    Some(hosts)
}

fn machine(members: &Places, item: &Item, group: &Name, findings: &mut Findings) -> Option<HostId> {
    match item {
        Item::Host(host) => Some(*host),
        Item::Zone(_) | Item::Leg(..) | Item::Addrs(_) | Item::Anywhere => {
            let message =
                format!("`{}` has a member, {}, that is no machine", group.text, members.call(item));
            findings.push(
                Diagnostic::error(code::WRONG_KIND, group.span, message)
                    .help("`each` gives its lines to machines: make a group of machines alone"),
            );
            None
        }
    }
}
