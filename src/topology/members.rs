//! Machines with several legs that an `allow` means by their zone or address: each answers by its own routes (S7), whatever
//! the zone's other members do (S8), and a firewall that does not see the answer drops what follows.

use std::collections::BTreeSet;

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, End, HostId, Site};
use crate::net::{AddrSet, Family};

use super::back::member;
use super::check::speaks;
use super::reading::words;
use super::told::{NAMED, machines};
use super::trouble::Trouble;
use super::{Course, Topology};

/// The plain machines of a site that have several legs.
pub(super) fn of_several_legs(site: &Site) -> Vec<HostId> {
    site.hosts().filter(|(_, machine)| machine.is_multihomed()).map(|(host, _)| host).collect()
}

/// Warns of these machines where they are meant by their zone or address and answer past a firewall that saw the packet: of all of
/// a pair of ends at once, and of each machine once.
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
    let (mut elsewhere, mut nowhere) = (Told::default(), Told::default());
    for to in access.to.plus.iter().filter(of_many) {
        let meant = topology.wide_union(std::slice::from_ref(to));
        let there = |host: &HostId| !meant.is_disjoint(&topology.own(*host));
        let members: Vec<HostId> = several.iter().copied().filter(there).collect();
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
        for way in topology.ways(None, (from, to), (no_from, no_to), family) {
            let (Course::Plain, Ok(path)) = (&way.course, way.crossing.path.as_ref()) else { continue };
            for host in members {
                let meant = !topology.own(*host).is_disjoint(&way.crossing.dst);
                let itself = way.crossing.senders.iter().any(|own| own.host == *host);
                if !meant || itself || way.crossing.to_machine.is_some() || elsewhere.contains(host) {
                    continue;
                }
                match member(topology, &way.crossing, path, *host) {
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
