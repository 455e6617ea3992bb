//! Groups and variables: spread out one after the other, each after those it names.

use std::rc::Rc;

use super::cycles;
use super::places::{Item, Places};
use super::services::cycle_of;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::HostId;
use crate::syntax::ast::Name;

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
        let spread = places.sum(&def.parts, findings);
        if let Some(slot) = places.defs.get_mut(at) {
            *slot = spread.map(Rc::new);
        }
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
