//! Machines with several legs that an `allow` means by their zone or address: each answers by its own routes (S7), whatever
//! the zone's other members do (S8), and a firewall that does not see the answer drops what follows.

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, End, HostId, Site};
use crate::net::{AddrSet, Family};

use super::back::member;
use super::check::Trouble;
use super::reading::words;
use super::{Course, Topology};

/// The plain machines of a site that have several legs.
pub(super) fn of_several_legs(site: &Site) -> Vec<HostId> {
    site.hosts().filter(|(_, machine)| machine.is_multihomed()).map(|(host, _)| host).collect()
}

/// Warns of the first of these machines that is meant by its zone or address and answers past a firewall that saw the packet.
pub(super) fn check(
    topology: &mut Topology<'_>,
    several: &[HostId],
    access: &Access,
    findings: &mut Findings,
) {
    if several.is_empty() || access.nat.is_some() || access.waives_lint(code::ASYMMETRIC_MEMBER.as_str()) {
        return;
    }
    let site = topology.site;
    let except = (topology.wide_union(&access.from.except), topology.wide_union(&access.to.except));
    let of_many = |end: &&End| matches!(end, End::Zone(_) | End::Addrs(_) | End::Anywhere);
    for to in access.to.plus.iter().filter(of_many) {
        let meant = topology.wide_union(std::slice::from_ref(to));
        let there = |host: &HostId| !meant.is_disjoint(&topology.own(*host));
        let members: Vec<HostId> = several.iter().copied().filter(there).collect();
        if members.is_empty() {
            continue;
        }
        for from in &access.from.plus {
            if let Some(found) = first(topology, &members, (from, to), (&except.0, &except.1)) {
                findings.push(told(site, access, (from, to), found));
                return;
            }
        }
    }
}

/// The first member that answers otherwise than it is asked, and what is wrong.
fn first(
    topology: &mut Topology<'_>,
    members: &[HostId],
    (from, to): (&End, &End),
    (no_from, no_to): (&AddrSet, &AddrSet),
) -> Option<(HostId, Trouble)> {
    for family in Family::BOTH {
        for way in topology.ways(None, (from, to), (no_from, no_to), family) {
            let (Course::Plain, Ok(path)) = (&way.course, way.crossing.path.as_ref()) else { continue };
            for host in members {
                let meant = !topology.own(*host).is_disjoint(&way.crossing.dst);
                let itself = way.crossing.senders.iter().any(|own| own.host == *host);
                if !meant || itself || way.crossing.to_machine.is_some() {
                    continue;
                }
                if let Some(trouble) = member(topology, &way.crossing, path, *host) {
                    return Some((*host, trouble));
                }
            }
        }
    }
    None
}

fn told(
    site: &Site,
    access: &Access,
    (from, to): (&End, &End),
    (host, trouble): (HostId, Trouble),
) -> Diagnostic {
    let (from, to) = (words(site, from), words(site, to));
    let name = site.host(host).map_or("", |machine| machine.name.as_str());
    let message = match trouble {
        Trouble::Asymmetric { .. } => {
            format!(
                "`{name}` is of `{to}`, and its replies to `{from}` pass other firewalls than the packets"
            )
        }
        _ => format!("`{name}` is of `{to}`, and does not know one way for its replies to `{from}`"),
    };
    Diagnostic::warning(code::ASYMMETRIC_MEMBER, access.span, message).help(format!(
        "it answers by its own routes: write `except {name}` and name its leg beside them, or say `route PLACE via HOST.ZONE` in it"
    ))
}
