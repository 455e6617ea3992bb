//! Machines with several legs that an `allow` means by their zone or address: each answers by its own routes (S7), whatever
//! the zone's other members do (S8), and a firewall that does not see the answer drops what follows. One that forwards is meant
//! by its address alone, and where nothing else is, its answer is the statement's (`back`).

use std::collections::BTreeSet;

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, End, Host, HostId, Nat, Role, Site};
use crate::net::{AddrSet, Family};

use super::Topology;
use super::back::{is_one, member};
use super::check::speaks;
use super::reading::words;
use super::told::{NAMED, machines};
use super::translate::Way;
use super::trouble::Trouble;

/// The machines of a site that have several legs. The router of a vpc is nobody's far end (S58).
pub(super) fn of_several_legs(site: &Site) -> Vec<HostId> {
    let several = site.hosts().filter(|(_, machine)| machine.legs.len() > 1 && machine.role != Role::Vpc);
    several.map(|(host, _)| host).collect()
}

/// Whether an item of `to` means a machine by its zone or its addresses. A zone leaves its gateways out, and one that is meant by one
/// address alone answers as the statement says (`back`).
fn is_among(topology: &Topology<'_>, to: &End, host: HostId) -> bool {
    let forwards = topology.site.host(host).is_some_and(Host::forwards);
    match to {
        End::Addrs(set) => {
            !(forwards && is_one(to)) && topology.statics_of(host).any(|addr| set.contains(addr))
        }
        End::Zone(zone) => {
            let zone = topology.site.zone(*zone).filter(|_| !forwards);
            zone.is_some_and(|zone| topology.statics_of(host).any(|addr| zone.addrs.contains(addr)))
        }
        End::Anywhere => !forwards,
        End::Host(_) | End::Leg(..) => false,
    }
}

/// Warns of these machines where they are meant by their zone or address and answer past a firewall that saw the packet: of all of
/// a pair of ends at once, and of each machine once.
pub(super) fn check(
    topology: &mut Topology<'_>,
    several: &[HostId],
    access: &Access,
    findings: &mut Findings,
) {
    // These are for a leg that is named.
    let to_legs = matches!(access.nat, Some(Nat::Dnat { .. } | Nat::Ipvs { .. }));
    if several.is_empty() || to_legs || access.waives_lint(code::ASYMMETRIC_MEMBER.as_str()) {
        return;
    }
    let site = topology.site;
    let except = (topology.wide_union(&access.from.except), topology.wide_union(&access.to.except));
    let (mut elsewhere, mut nowhere) = (Told::default(), Told::default());
    for to in &access.to.plus {
        let among = |host: &HostId| is_among(topology, to, *host);
        let members: Vec<HostId> = several.iter().copied().filter(among).collect();
        for from in &access.from.plus {
            let is_told = |host: &HostId| elsewhere.hosts.contains(host) || nowhere.hosts.contains(host);
            let left: Vec<HostId> = members.iter().copied().filter(|host| !is_told(host)).collect();
            if left.is_empty() {
                break;
            }
            let (past, lost) = wrong(topology, &left, access, (from, to), (&except.0, &except.1));
            elsewhere.add(site, past, (from, to));
            nowhere.add(site, lost, (from, to));
        }
    }
    findings.extend(elsewhere.finding(site, access, Why::Elsewhere));
    findings.extend(nowhere.finding(site, access, Why::Nowhere));
}

/// What is wrong with how a machine answers.
#[derive(Clone, Copy)]
enum Why {
    /// Past other firewalls.
    Elsewhere,
    /// By no way, or by none of several.
    Nowhere,
}

/// The members that answer past other firewalls than they are asked through, and those that do not know how.
fn wrong(
    topology: &mut Topology<'_>,
    members: &[HostId],
    access: &Access,
    (from, to): (&End, &End),
    (no_from, no_to): (&AddrSet, &AddrSet),
) -> (Vec<HostId>, Vec<HostId>) {
    let (mut elsewhere, mut nowhere) = (BTreeSet::new(), BTreeSet::new());
    for family in Family::BOTH.into_iter().filter(|family| speaks(&access.terms, *family)) {
        for way in topology.ways(access.nat.as_ref(), (from, to), (no_from, no_to), family) {
            for host in members {
                let meant = !topology.own(*host).is_disjoint(&way.crossing.dst);
                if !meant || elsewhere.contains(host) {
                    continue;
                }
                let Some(way) = others(topology, &way, *host) else { continue };
                match member(topology, &way, *host) {
                    Some(Trouble::Asymmetric { .. }) => {
                        elsewhere.insert(*host);
                    }
                    Some(_) => {
                        nowhere.insert(*host);
                    }
                    None => {}
                }
            }
        }
    }
    let nowhere = nowhere.difference(&elsewhere).copied().collect();
    (elsewhere.into_iter().collect(), nowhere)
}

/// A way as others than a machine go it (S13); none where nobody else is left.
fn others(topology: &Topology<'_>, way: &Way, host: HostId) -> Option<Way> {
    let mut crossing = way.crossing.clone();
    crossing.src = crossing.src.difference(&topology.own(host));
    crossing.senders.retain(|own| own.host != host);
    crossing.from_dynamic = crossing.from_dynamic.filter(|(of, _)| *of != host);
    let left = !crossing.src.is_empty() || !crossing.senders.is_empty() || crossing.from_dynamic.is_some();
    left.then(|| Way { crossing, course: way.course.clone() })
}

/// Machines that answer alike, and the ends at which they do.
#[derive(Default)]
struct Told {
    hosts: Vec<HostId>,
    from: BTreeSet<String>,
    to: BTreeSet<String>,
}

impl Told {
    fn add(&mut self, site: &Site, hosts: Vec<HostId>, (from, to): (&End, &End)) {
        if !hosts.is_empty() {
            self.from.insert(words(site, from));
            self.to.insert(words(site, to));
            self.hosts.extend(hosts);
        }
    }

    fn finding(self, site: &Site, access: &Access, why: Why) -> Option<Diagnostic> {
        let mut hosts = self.hosts;
        hosts.sort_unstable();
        let only = |ends: &BTreeSet<String>| ends.first().filter(|_| ends.len() == 1).cloned();
        let of =
            only(&self.to).map_or_else(|| "among its destinations".to_owned(), |to| format!("of `{to}`"));
        let to = only(&self.from).map(|from| format!(" to `{from}`")).unwrap_or_default();
        let (named, one) = (machines(site, &hosts), hosts.len() == 1);
        let (is, its, does) = if one { ("is", "its", "does") } else { ("are", "their", "do") };
        let message = match why {
            Why::Elsewhere => {
                format!("{named} {is} {of}, and {its} replies{to} pass other firewalls than the packets")
            }
            Why::Nowhere => format!("{named} {is} {of}, and {does} not know one way for {its} replies{to}"),
        };
        let (first, name) = (hosts.first()?, |host: &HostId| site.host(*host).map(|host| host.name.as_str()));
        let names: Vec<&str> = hosts.iter().filter_map(name).collect();
        let (it, except, leg) = match name(first) {
            Some(only) if one => ("it answers", only.to_owned(), "its leg"),
            _ if names.len() > NAMED => ("each answers", "HOST".to_owned(), "its leg"),
            _ => ("each answers", names.join(", "), "their legs"),
        };
        let own = if one { "it" } else { "each" };
        let help = format!(
            "{it} by its own routes: write `except {except}` and name {leg} beside them, or say `route PLACE via HOST.ZONE` in {own}"
        );
        Some(Diagnostic::warning(code::ASYMMETRIC_MEMBER, access.span, message).help(help))
    }
}
