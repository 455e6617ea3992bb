//! The lines of a machine that name places: `route`, `log from`, `reject from`.

use ipnet::IpNet;

use super::access::no_sender;
use super::hosts;
use super::literal;
use super::names::Names;
use super::places::{Item, Places};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Host, HostId, Place, Route, ZoneId};
use crate::net::{AddrSet, Family};
use crate::source::Span;
use crate::syntax::ast::{self, HostLine, Via};

/// What the lines of one machine say.
#[derive(Default)]
pub(super) struct Lines {
    pub(super) routes: Vec<Route>,
    pub(super) log_from: Vec<Place>,
    pub(super) reject_from: Vec<Place>,
}

/// The lines of every machine, in the order of [`Names::hosts`].
pub(super) fn resolve(
    names: &Names,
    members: &Places,
    places: &mut Places,
    findings: &mut Findings,
) -> Vec<Lines> {
    // What is wrong with an `each` was said when legs were given out.
    let lines = hosts::lines(names, members, &mut Findings::default());
    let machines = (0u32..).map(HostId).zip(lines);
    machines.map(|(host, lines)| machine(places, host, &lines, findings)).collect()
}

fn machine(places: &mut Places, host: HostId, lines: &[&HostLine], findings: &mut Findings) -> Lines {
    let mut out = Lines::default();
    let mut written = Vec::new();
    for line in lines {
        match line {
            HostLine::Route { to, via, span } => {
                for route in route(places, host, to, via, findings) {
                    written.push((route.clone(), *span));
                    out.routes.push(route);
                }
            }
            HostLine::Log { from, span } => out.log_from.extend(unasked(places, host, from, *span, findings)),
            HostLine::Reject { from, span } => {
                out.reject_from.extend(unasked(places, host, from, *span, findings))
            }
            HostLine::Leg(_)
            | HostLine::StrictSource(_)
            | HostLine::Nftables(_)
            | HostLine::Docker(_)
            | HostLine::SshPort { .. }
            | HostLine::HostKey(_) => {}
        }
    }
    conflicts(places, host, &written, findings);
    for places in [&mut out.log_from, &mut out.reject_from] {
        places.sort();
        places.dedup();
    }
    out.routes.sort();
    out.routes.dedup();
    out
}

/// The places of `log from` and `reject from`, on a machine that can.
fn unasked(
    places: &mut Places,
    host: HostId,
    from: &ast::Places,
    span: Span,
    findings: &mut Findings,
) -> Vec<Place> {
    if places.hosts.get(host.index()).is_some_and(|h| !h.filters()) {
        let message = format!("`{}` filters nothing, so it cannot do this", places.host_name(host));
        let help = "say `nftables` in its braces if it filters itself, or remove the line";
        findings.push(Diagnostic::error(code::CANNOT_FILTER, span, message).help(help));
    }
    let spread = places.spread(from, findings);
    no_sender(places, from, findings);
    spread.map(|s| places.model(&s)).unwrap_or_default()
}

/// The routes of one line: one for each place, so that each keeps the length of its networks.
fn route(
    places: &mut Places,
    host: HostId,
    to: &ast::Places,
    via: &Via,
    findings: &mut Findings,
) -> Vec<Route> {
    let spread = places.spread(to, findings);
    let gateway = gateway(places, host, via, findings);
    let (Some(spread), Some((gateway, zone))) = (spread, gateway) else { return Vec::new() };
    let mut routes = Vec::new();
    for (plus, except) in spread.pieces() {
        let less = except.iter().fold(AddrSet::empty(), |set, item| set.union(&fixed(places, item)));
        for item in plus {
            let to = fixed(places, item).difference(&less);
            if to.is_subset(literal::groups()) && !to.is_empty() {
                let message = "nothing is routed to a group: it is heard in its sender's zone";
                let help = "leave the group away; name the machines that speak to it, and what they say, in an `allow`";
                findings.push(Diagnostic::error(code::BAD_ROUTE, via.host.span, message).help(help));
            } else if to.is_empty() {
                let message = format!("no address of {} is known to route to", places.call(item));
                let help = "a route needs a zone, a network or a machine with an address";
                findings.push(Diagnostic::error(code::BAD_ROUTE, via.host.span, message).help(help));
            } else {
                routes.push(Route { to, gateway, zone });
            }
        }
    }
    for route in &routes {
        common_family(places, route, via, findings);
    }
    routes
}

/// The addresses of an item that can be routed to: those of a dynamic leg are not known.
fn fixed(places: &Places, item: &Item) -> AddrSet {
    let legs = |host: HostId, zone: Option<ZoneId>| {
        let legs = places.hosts.get(host.index()).into_iter().flat_map(|h| &h.legs);
        let legs = legs.filter(|leg| zone.is_none_or(|z| leg.zone == z));
        legs.fold(AddrSet::empty(), |set, leg| set.union(&leg.address_set()))
    };
    match item {
        Item::Host(host) => legs(*host, None),
        Item::Leg(host, zone) => legs(*host, Some(*zone)),
        Item::Zone(_) | Item::Addrs(_) | Item::Anywhere => places.addrs(item),
    }
}

/// The gateway of a route with the zone it shares with the machine; none after a finding.
fn gateway(places: &Places, host: HostId, via: &Via, findings: &mut Findings) -> Option<(HostId, ZoneId)> {
    let (gateway, zone) = (places.names.host(&via.host, findings), places.names.zone(&via.zone, findings));
    let (gateway, zone) = (gateway?, zone?);
    let (own, other) = (places.hosts.get(host.index())?, places.hosts.get(gateway.index())?);
    if places.unsure.contains(&host) || places.unsure.contains(&gateway) {
        return None;
    }
    let (name, zone_name) = (&other.name, places.zone_name(zone));
    let wrong = if gateway == host {
        format!("`{name}` is routed by itself")
    } else if !other.forwards() {
        format!("`{name}` forwards nothing: a gateway is a `firewall` or a `router`")
    } else if own.leg_in(zone).is_none() {
        format!("`{}` has no leg in `{zone_name}`, so it cannot send to `{name}` there", own.name)
    } else {
        match other.leg_in(zone) {
            None => format!("`{name}` has no leg in `{zone_name}`"),
            Some((_, leg)) if leg.dynamic => {
                format!(
                    "the address of `{name}` in `{zone_name}` is not known, so nothing can be routed by it"
                )
            }
            Some(_) => return Some((gateway, zone)),
        }
    };
    let unknown = other.leg_in(zone).is_some_and(|(_, leg)| leg.dynamic) && own.leg_in(zone).is_some();
    let help = if unknown && gateway != host && other.forwards() {
        "give it a static address there, or name another: a next hop has an address that is known"
    } else {
        "name a firewall or router by its leg in a zone where both have one: `lb.dmz`"
    };
    findings.push(Diagnostic::error(code::BAD_ROUTE, via.host.span.to(via.zone.span), wrong).help(help));
    None
}

/// A route is of use only in a family that its gateway's leg carries.
fn common_family(places: &Places, route: &Route, via: &Via, findings: &mut Findings) {
    let leg = places.hosts.get(route.gateway.index()).and_then(|h: &Host| h.leg_in(route.zone));
    let Some((_, leg)) = leg else { return };
    let carried = leg.address_set();
    if Family::BOTH.into_iter().any(|family| carried.has(family) && route.to.has(family)) {
        return;
    }
    let message = format!("`{}` has no address there of the family of what is routed", via.host.text);
    findings.push(
        Diagnostic::error(code::FAMILY_MISMATCH, via.host.span.to(via.zone.span), message)
            .help("IPv4 and IPv6 are routed apart: name a gateway with an address of the family"),
    );
}

/// The same network by two gateways: the longest prefix would not decide.
fn conflicts(places: &Places, host: HostId, routes: &[(Route, Span)], findings: &mut Findings) {
    let mut nets: Vec<(Vec<IpNet>, &Route, Span)> =
        routes.iter().map(|(route, span)| (prefixes(places, &route.to), route, *span)).collect();
    nets.sort_by_key(|(_, _, span)| *span);
    let mut seen: std::collections::BTreeMap<IpNet, (&Route, Span)> = std::collections::BTreeMap::new();
    for (prefixes, route, span) in &nets {
        for net in prefixes {
            match seen.get(net) {
                Some((first, at)) if (first.gateway, first.zone) != (route.gateway, route.zone) => {
                    let message = format!("`{}` has two routes to `{net}`", places.host_name(host));
                    findings.push(
                        Diagnostic::error(code::CONFLICTING_ROUTES, *span, message)
                            .also(*at, "the other one")
                            .help("the longest network decides between routes: give one of them up, or narrow it"),
                    );
                    break;
                }
                Some(_) => {}
                None => {
                    seen.insert(*net, (route, *span));
                }
            }
        }
    }
}

/// The networks a route is made of; those of `rest` count as the default routes (S7).
fn prefixes(places: &Places, to: &AddrSet) -> Vec<IpNet> {
    match places.zones.iter().find(|z| z.addrs == *to) {
        Some(zone) if zone.rest => ["0.0.0.0/0", "::/0"].into_iter().filter_map(|n| n.parse().ok()).collect(),
        Some(zone) => zone.nets.clone(),
        None => to.networks(),
    }
}
