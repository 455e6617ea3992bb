//! `public`: the addresses by which the gateway of a vpc makes a leg known (S57).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::hosts::written;
use super::names::Names;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, Action, End, Expected, Host, HostId, Leg, LegId, Place, Public, Test, Vpc, Zone};
use crate::net::{AddrRange, AddrSet};
use crate::source::Span;

/// Whose a public address is.
struct Owner<'s> {
    host: HostId,
    name: &'s str,
    at: LegId,
    leg: &'s Leg,
    vpc: &'s Vpc,
    /// What stands for it within the vpc.
    private: AddrSet,
}

/// What is wrong with public addresses, and every statement that names one where it says nothing.
pub(super) fn check(
    names: &Names,
    (hosts, zones, vpcs): (&[Host], &[Zone], &[Vpc]),
    accesses: &[Access],
    tests: &[Test],
    findings: &mut Findings,
) {
    let mut owners: BTreeMap<IpAddr, Owner> = BTreeMap::new();
    let machines = (0u32..).map(HostId).zip(hosts);
    for (id, host, (at, leg)) in machines.flat_map(|(id, host)| host.legs().map(move |leg| (id, host, leg))) {
        if leg.public.is_empty() {
            continue;
        }
        let vpc = vpcs.iter().find(|vpc| vpc.zones.contains(&leg.zone));
        let Some(vpc) = vpc.filter(|vpc| vpc.gateway.is_some()) else {
            let message = format!(
                "`{}` is in no vpc with a gateway: nothing would make the address its own",
                host.name
            );
            let help = "a firewall that translates says so itself: `allow … dnat to …`";
            findings.push(Diagnostic::error(code::PUBLIC_ADDRESS, leg.span, message).help(help));
            continue;
        };
        for Public { address: public, stands_for } in &leg.public {
            let public = *public;
            if vpc.block.contains(public) {
                let message = format!("`{public}` is in the block of `{}`: it is private", vpc.name);
                let help = "the public address is the one that the outside knows";
                findings.push(Diagnostic::error(code::PUBLIC_ADDRESS, leg.span, message).help(help));
            }
            let private = if leg.dynamic {
                zones.get(leg.zone.index()).map(|zone| zone.addrs.clone()).unwrap_or_default()
            } else {
                AddrSet::from_ranges(stands_for.iter().map(|addr| AddrRange::one(*addr)))
            };
            let owner = Owner { host: id, name: &host.name, at, leg, vpc, private };
            if let Some(first) = owners.insert(public, owner) {
                let message =
                    format!("`{}` and `{}` both have the public address `{public}`", first.name, host.name);
                findings.push(
                    Diagnostic::error(code::DUPLICATE_ADDRESS, written(names, (id, leg), public), message)
                        .also(written(names, (first.host, first.leg), public), "the other one")
                        .help("an address is of one leg of one machine"),
                );
            }
        }
        let known: Vec<IpAddr> = leg.public.iter().map(|public| public.address).collect();
        let families = |addrs: &[IpAddr], v4: bool| addrs.iter().filter(|a| a.is_ipv4() == v4).count();
        if !leg.dynamic
            && [true, false].iter().any(|v4| families(&known, *v4) > families(&leg.addresses, *v4))
        {
            let message = format!("`{}` has more public addresses than private ones", host.name);
            let help = "the gateway puts one public address for one private address";
            findings.push(Diagnostic::error(code::PUBLIC_ADDRESS, leg.span, message).help(help));
        }
    }
    // Nearly always there are none, and very many statements.
    if owners.is_empty() {
        return;
    }
    let all = AddrSet::from_ranges(owners.keys().map(|addr| AddrRange::one(*addr)));
    let said = accesses.iter().map(|a| (&a.from, &a.to, a.action == Action::Allow, a.span));
    let expected = tests.iter().flat_map(|t| &t.expects);
    let expected = expected.map(|e| (&e.from, &e.to, e.kind == Expected::Allow, e.span));
    for (from, to, allows, span) in said.chain(expected) {
        for (place, other) in [(from, to), (to, from)] {
            let of_publics = |end: &&End| matches!(end, End::Addrs(addrs) if addrs.is_subset(&all));
            for addrs in place.plus.iter().filter(of_publics).filter_map(addresses) {
                let named = owners.iter().find(|(addr, _)| addrs.contains(**addr));
                findings.extend(named.map(|(addr, owner)| unseen(*addr, owner, span)));
            }
            for addrs in place.except.iter().filter(of_publics).filter_map(addresses) {
                let mut named = owners.iter().filter(|(addr, _)| addrs.contains(**addr));
                let idle = named.find(|(_, owner)| {
                    owner.stays_in(place)
                        && !(allows && other.plus.iter().all(|end| owner.is_beside(end, hosts)))
                });
                findings.extend(idle.map(|(addr, owner)| {
                    speaks_of_its_owner(*addr, owner, owner.taken_by(allows, zones), span)
                }));
            }
        }
    }
}

/// The addresses that a place names as such.
fn addresses(end: &End) -> Option<&AddrSet> {
    match end {
        End::Addrs(addrs) => Some(addrs),
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => None,
    }
}

fn unseen(public: IpAddr, owner: &Owner, span: Span) -> Diagnostic {
    let message =
        format!("`{public}` is the public address of `{}`, which nothing of ours ever sees", owner.name);
    Diagnostic::error(code::PUBLIC_ADDRESS, span, message).help(format!("name the machine: `{}`", owner.name))
}

/// After `except` a public address takes away what is written to it, or comes from it. It takes nothing away from a place that
/// holds the private one too, of what comes there by the gateway: that is seen by the private one alone.
fn speaks_of_its_owner(public: IpAddr, owner: &Owner, by: &str, span: Span) -> Diagnostic {
    let message = format!(
        "`{public}` is the public address of `{}`, of which this speaks by its private one all the same",
        owner.name
    );
    let what = if by == owner.name { "the machine" } else { "its zone" };
    let help = format!("name {what} too: `except {public}, {by}`");
    Diagnostic::error(code::PUBLIC_ADDRESS, span, message).help(help)
}

impl Owner<'_> {
    /// What takes it away after `except`: of one whose address nobody knows only what allows does so by its name (S12).
    fn taken_by<'s>(&'s self, allows: bool, zones: &'s [Zone]) -> &'s str {
        let zone = zones.get(self.leg.zone.index()).filter(|_| self.leg.dynamic && !allows);
        zone.map_or(self.name, |zone| &zone.name)
    }

    /// Whether a place holds a private address of it.
    fn stays_in(&self, place: &Place) -> bool {
        let taken = place.except.iter().filter_map(addresses).flat_map(AddrSet::ranges);
        let left = self.private.difference(&AddrSet::from_ranges(taken));
        !left.is_empty()
            && place.plus.iter().any(|end| self.is_in(end, &left))
            && !place.except.iter().any(|end| addresses(end).is_none() && self.is_in(end, &left))
    }

    fn is_in(&self, end: &End, private: &AddrSet) -> bool {
        match end {
            End::Zone(zone) => *zone == self.leg.zone,
            End::Host(host) => *host == self.host,
            End::Leg(host, leg) => *host == self.host && *leg == self.at,
            End::Addrs(addrs) => !addrs.is_disjoint(private),
            End::Anywhere => true,
        }
    }

    /// Whether an end is in its vpc, before the gateway.
    fn is_beside(&self, end: &End, hosts: &[Host]) -> bool {
        let is_own = |leg: &Leg| self.vpc.zones.contains(&leg.zone);
        let host = |host: &HostId| hosts.get(host.index());
        match end {
            End::Zone(zone) => self.vpc.zones.contains(zone),
            End::Host(of) => host(of).is_some_and(|host| host.legs.iter().all(is_own)),
            End::Leg(of, leg) => host(of).and_then(|host| host.legs.get(leg.index())).is_some_and(is_own),
            End::Addrs(addrs) => addrs.is_subset(&self.vpc.block),
            End::Anywhere => false,
        }
    }
}
