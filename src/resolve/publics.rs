//! `public`: the addresses by which the gateway of a vpc makes a leg known (S57).

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, Action, End, Host, Place, Test, Vpc};
use crate::net::{AddrRange, AddrSet};
use crate::source::Span;

/// What is wrong with public addresses, and every statement that names one.
pub(super) fn check(
    hosts: &[Host],
    vpcs: &[Vpc],
    accesses: &[Access],
    tests: &[Test],
    findings: &mut Findings,
) {
    let mut owners: BTreeMap<IpAddr, (&str, Span)> = BTreeMap::new();
    for (host, leg) in hosts.iter().flat_map(|host| host.legs.iter().map(move |leg| (host, leg))) {
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
        for public in leg.public.iter().map(|public| public.address) {
            if vpc.block.contains(public) {
                let message = format!("`{public}` is in the block of `{}`: it is private", vpc.name);
                let help = "the public address is the one that the outside knows";
                findings.push(Diagnostic::error(code::PUBLIC_ADDRESS, leg.span, message).help(help));
            }
            if let Some((first, at)) = owners.insert(public, (&host.name, leg.span)) {
                let message =
                    format!("`{first}` and `{}` both have the public address `{public}`", host.name);
                findings.push(
                    Diagnostic::error(code::DUPLICATE_ADDRESS, leg.span, message)
                        .also(at, "the other one")
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
    let expected = tests.iter().flat_map(|t| &t.expects).map(|e| (&e.from, &e.to, false, e.span));
    for (from, to, allows, span) in said.chain(expected) {
        // What an `allow` takes away may be the address that others write, or see.
        let named = |place| addresses(place).filter(move |(excepted, _)| !(allows && *excepted));
        for (_, addrs) in [from, to].into_iter().flat_map(named) {
            let named = owners.iter().find(|(addr, _)| addrs.contains(**addr));
            if let Some((addr, (host, _))) = named.filter(|_| addrs.is_subset(&all)) {
                let message =
                    format!("`{addr}` is the public address of `{host}`, which nothing of ours ever sees");
                let help = format!("name the machine: `{host}`");
                findings.push(Diagnostic::error(code::PUBLIC_ADDRESS, span, message).help(help));
            }
        }
    }
}

/// The addresses that a place names, and whether they stand after `except`.
fn addresses(place: &Place) -> impl Iterator<Item = (bool, &AddrSet)> {
    let ends = place.plus.iter().map(|end| (false, end)).chain(place.except.iter().map(|end| (true, end)));
    ends.filter_map(|(excepted, end)| match end {
        End::Addrs(addrs) => Some((excepted, addrs)),
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => None,
    })
}
