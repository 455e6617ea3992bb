//! Machines with several legs that an `allow` means by their zone or address: each answers by its own routes (S7), whatever
//! the zone's other members do (S8), and a firewall that does not see the answer drops what follows. One that forwards is meant
//! by its address alone, and where nothing else is, its answer is the statement's (`back`). Who asks, and filters, hears what answers
//! it by its own routes likewise (S38, S80).

use std::collections::BTreeSet;

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, End, Host, HostId, Nat, Role, Site};
use crate::net::{AddrSet, Family};

use super::Topology;
use super::back::{is_one, member, unanswered};
use super::check::speaks;
use super::reading::{Crossing, words};
use super::told::{NAMED, machines};
use super::translate::{Course, Way};
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

/// Warns of these machines where they are meant by their zone or address and answer past a firewall that saw the packet, or do not
/// hear what answers them: of all of a pair of ends at once, and of each machine once.
pub(super) fn check(
    topology: &mut Topology<'_>,
    several: &[HostId],
    access: &Access,
    findings: &mut Findings,
) {
    if several.is_empty() || access.waives_lint(code::ASYMMETRIC_MEMBER.as_str()) {
        return;
    }
    let except = (topology.wide_union(&access.from.except), topology.wide_union(&access.to.except));
    // These are for a leg that is named.
    if !matches!(access.nat, Some(Nat::Dnat { .. } | Nat::Ipvs { .. })) {
        receivers(topology, several, access, &except, findings);
    }
    senders(topology, several, access, &except, findings);
}

/// Those who answer.
fn receivers(
    topology: &mut Topology<'_>,
    several: &[HostId],
    access: &Access,
    except: &(AddrSet, AddrSet),
    findings: &mut Findings,
) {
    let site = topology.site;
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
            elsewhere.add(site, past, (to, from));
            nowhere.add(site, lost, (to, from));
        }
    }
    findings.extend(elsewhere.finding(site, access, Why::Elsewhere));
    findings.extend(nowhere.finding(site, access, Why::Nowhere));
}

/// Those who ask, and filter.
fn senders(
    topology: &mut Topology<'_>,
    several: &[HostId],
    access: &Access,
    except: &(AddrSet, AddrSet),
    findings: &mut Findings,
) {
    let site = topology.site;
    let filters = |host: &HostId| site.host(*host).is_some_and(Host::filters);
    let several: Vec<HostId> = several.iter().copied().filter(filters).collect();
    let (mut round, mut lost) = (Told::default(), Told::default());
    // Of one address it is an error.
    for from in access.from.plus.iter().filter(|from| !is_one(from)) {
        let among = |host: &HostId| is_among(topology, from, *host) || is_unknown_among(site, from, *host);
        let members: Vec<HostId> = several.iter().copied().filter(among).collect();
        for to in &access.to.plus {
            let is_told = |host: &HostId| round.hosts.contains(host) || lost.hosts.contains(host);
            let left: Vec<HostId> = members.iter().copied().filter(|host| !is_told(host)).collect();
            if left.is_empty() {
                break;
            }
            let (strict, deaf) = deaf(topology, &left, access, (from, to), (&except.0, &except.1));
            round.add(site, strict, (from, to));
            lost.add(site, deaf, (from, to));
        }
    }
    findings.extend(round.finding(site, access, Why::Strict));
    findings.extend(lost.finding(site, access, Why::Deaf));
}

/// Whether an item means a plain machine by a leg whose address nobody knows.
fn is_unknown_among(site: &Site, from: &End, host: HostId) -> bool {
    let plain = site.host(host).filter(|machine| !machine.forwards());
    plain.into_iter().flat_map(|machine| &machine.legs).any(|leg| {
        leg.dynamic
            && match from {
                End::Zone(zone) => leg.zone == *zone,
                End::Anywhere => true,
                End::Addrs(_) | End::Host(_) | End::Leg(..) => false,
            }
    })
}

/// What is wrong with how a machine answers, or is answered.
#[derive(Clone, Copy)]
enum Why {
    /// Past other firewalls.
    Elsewhere,
    /// By no way, or by none of several.
    Nowhere,
    /// By a leg that its rules do not take it by (S38).
    Strict,
    /// By no way that its kernel knows, or by one of several (S80).
    Deaf,
}

impl Why {
    fn is_of_senders(self) -> bool {
        matches!(self, Self::Strict | Self::Deaf)
    }
}

/// The members whose rules do not take what answers them, and those whose kernel does not.
fn deaf(
    topology: &mut Topology<'_>,
    members: &[HostId],
    access: &Access,
    (from, to): (&End, &End),
    (no_from, no_to): (&AddrSet, &AddrSet),
) -> (Vec<HostId>, Vec<HostId>) {
    let (mut strict, mut deaf) = (BTreeSet::new(), BTreeSet::new());
    for family in Family::BOTH.into_iter().filter(|family| speaks(&access.terms, *family)) {
        for Way { crossing, course } in
            topology.ways(access.nat.as_ref(), (from, to), (no_from, no_to), family)
        {
            // Where there is no way, or no place for a clause, that was said.
            let led = crossing.path.is_ok() && !matches!(course, Course::Unserved | Course::Nowhere);
            // A group answers nobody.
            let Some(class) = crossing.class.filter(|_| led) else { continue };
            for own in crossing.senders.iter().filter(|own| members.contains(&own.host)) {
                if !is_for_others(topology, &crossing, own.host) {
                    continue;
                }
                match unanswered(topology, own, class) {
                    Some(Trouble::Round { .. }) => {
                        strict.insert(own.host);
                    }
                    Some(_) => {
                        deaf.insert(own.host);
                    }
                    None => {}
                }
            }
        }
    }
    let deaf = deaf.difference(&strict).copied().collect();
    (strict.into_iter().collect(), deaf)
}

/// Whether anybody but a machine is a destination (S13).
fn is_for_others(topology: &Topology<'_>, crossing: &Crossing, host: HostId) -> bool {
    !crossing.dst.is_subset(&topology.own(host))
        || crossing.receivers.iter().any(|own| own.host != host)
        || crossing.to_dynamic.is_some_and(|(of, _)| of != host)
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

/// Machines that answer, or are answered, alike; the ends that they are of, and the others.
#[derive(Default)]
struct Told {
    hosts: Vec<HostId>,
    of: BTreeSet<String>,
    others: BTreeSet<String>,
}

impl Told {
    fn add(&mut self, site: &Site, hosts: Vec<HostId>, (of, other): (&End, &End)) {
        if !hosts.is_empty() {
            self.of.insert(words(site, of));
            self.others.insert(words(site, other));
            self.hosts.extend(hosts);
        }
    }

    fn finding(self, site: &Site, access: &Access, why: Why) -> Option<Diagnostic> {
        let mut hosts = self.hosts;
        hosts.sort_unstable();
        let only = |ends: &BTreeSet<String>| ends.first().filter(|_| ends.len() == 1).cloned();
        let among = if why.is_of_senders() { "among its sources" } else { "among its destinations" };
        let of = only(&self.of).map_or_else(|| among.to_owned(), |of| format!("of `{of}`"));
        let other = only(&self.others);
        let to = other.as_ref().map(|other| format!(" to `{other}`")).unwrap_or_default();
        let from = other.as_ref().map(|other| format!(" of `{other}`")).unwrap_or_default();
        let (named, one) = (machines(site, &hosts), hosts.len() == 1);
        let (is, its, does) = if one { ("is", "its", "does") } else { ("are", "their", "do") };
        let message = match why {
            Why::Elsewhere => {
                format!("{named} {is} {of}, and {its} replies{to} pass other firewalls than the packets")
            }
            Why::Nowhere => format!("{named} {is} {of}, and {does} not know one way for {its} replies{to}"),
            Why::Strict => format!(
                "{named} {is} {of}, and {does} not hear the answers{from}: `strict-source`, and {its} own way there is by another leg"
            ),
            Why::Deaf => format!(
                "{named} {is} {of}, and {does} not hear the answers{from}: by {its} own routes there is no one way there (`rp_filter`, `strict-source`)"
            ),
        };
        let (first, name) = (hosts.first()?, |host: &HostId| site.host(*host).map(|host| host.name.as_str()));
        let names: Vec<&str> = hosts.iter().filter_map(name).collect();
        let (answers, except, leg) = match name(first) {
            Some(only) if one => ("it answers", only.to_owned(), "its leg"),
            _ if names.len() > NAMED => ("each answers", "HOST".to_owned(), "its leg"),
            _ => ("each answers", names.join(", "), "their legs"),
        };
        let own = if one { "it" } else { "each" };
        let help = match why {
            Why::Elsewhere | Why::Nowhere => format!(
                "{answers} by its own routes: write `except {except}` and name {leg} beside them, or say `route PLACE via HOST.ZONE` in {own}"
            ),
            Why::Strict | Why::Deaf => format!(
                "say `route PLACE via HOST.ZONE` in {own}, by the leg that is among them, or write `except {except}`"
            ),
        };
        Some(Diagnostic::warning(code::ASYMMETRIC_MEMBER, access.span, message).help(help))
    }
}
