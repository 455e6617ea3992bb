//! The clause of an `allow`: to whom and by whose address its connections are translated (S28).
//!
//! Here is settled what needs names and addresses alone; where the translation happens needs ways, and is `topology`'s.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::places::{Item, Places};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{HostId, LegId, Nat, Role, Term};
use crate::net::{AddrSet, Family, PortSet};
use crate::source::Span;
use crate::syntax::ast::{self, Clause, ClauseKind, IpvsMode};

/// What a clause says; none after a finding.
pub(super) fn resolve(
    clause: &Clause,
    terms: &[Term],
    places: &mut Places,
    findings: &mut Findings,
) -> Option<Nat> {
    let nat = match &clause.kind {
        ClauseKind::Dnat { to, port, hairpin } => {
            let to = target(to, places, findings)?;
            Nat::Dnat { to, port: *port, hairpin: *hairpin }
        }
        ClauseKind::Masquerade => Nat::Masquerade,
        ClauseKind::Snat(to) => snat(to, places, findings)?,
        ClauseKind::Ipvs { mode, to, port } => {
            let direct = *mode == IpvsMode::Dr;
            Nat::Ipvs { direct, servers: servers(to, places, findings)?, port: *port }
        }
    };
    ports(&nat, terms, clause.span, findings).then_some(nat)
}

/// Whom `dnat to` names: one address in each family.
fn target(to: &ast::Place, places: &Places, findings: &mut Findings) -> Option<Vec<IpAddr>> {
    let spread = places.item(to, findings)?;
    let items: Vec<&Item> = spread.items().collect();
    let addrs = match items.as_slice() {
        [Item::Host(host)] => {
            let legs = places.hosts.get(host.index()).map(|h| h.legs.as_slice()).unwrap_or_default();
            match legs {
                [leg] => leg.address_set(),
                _ => AddrSet::empty(),
            }
        }
        [Item::Leg(host, zone)] => {
            let leg = places.hosts.get(host.index()).and_then(|h| h.leg_in(*zone));
            leg.map(|(_, leg)| leg.address_set()).unwrap_or_default()
        }
        [Item::Addrs(addrs)] => (**addrs).clone(),
        _ => AddrSet::empty(),
    };
    let mut each = Vec::new();
    for family in Family::BOTH {
        let of = addrs.of(family);
        let mut ranges = of.ranges();
        match (ranges.next(), ranges.next()) {
            (None, _) => {}
            (Some(range), None) if range.first == range.last => each.push(range.first_addr()),
            (Some(_), _) => return one_address(to, findings),
        }
    }
    if each.is_empty() { one_address(to, findings) } else { Some(each) }
}

/// The real servers: hosts with one leg, legs and single addresses.
fn servers(to: &ast::Places, places: &mut Places, findings: &mut Findings) -> Option<Vec<IpAddr>> {
    let spread = places.spread(to, findings)?;
    let mut servers = BTreeSet::new();
    for (plus, except) in spread.pieces() {
        let mut taken = AddrSet::empty();
        for item in except {
            taken = taken.union(&of_item(item, places).unwrap_or_default());
        }
        for item in plus {
            if let Item::Host(host) = item
                && let Some(machine) = places.hosts.get(host.index())
                && machine.legs.len() > 1
            {
                let message = format!("`{}` has several legs: which of them serves?", machine.name);
                findings.push(
                    Diagnostic::error(code::WHICH_LEG, to.span, message).help("name the leg: `HOST.ZONE`"),
                );
                return None;
            }
            let addrs = of_item(item, places).unwrap_or_default().difference(&taken);
            let each: Vec<_> = addrs.ranges().collect();
            if each.is_empty() || each.iter().any(|range| range.first != range.last) {
                let message =
                    "`ipvs` names real servers by machine, leg or address, and one of these is none";
                findings.push(Diagnostic::error(code::NAT_TARGET, to.span, message).help(
                    "name hosts with one leg, legs `HOST.ZONE`, or addresses; a leg without a static address serves nobody",
                ));
                return None;
            }
            servers.extend(each.iter().map(|range| range.first_addr()));
        }
    }
    Some(servers.into_iter().collect())
}

/// The static addresses of what is no crowd.
fn of_item(item: &Item, places: &Places) -> Option<AddrSet> {
    match item {
        Item::Host(host) => Some(places.hosts.get(host.index())?.address_set()),
        Item::Leg(host, zone) => Some(places.hosts.get(host.index())?.leg_in(*zone)?.1.address_set()),
        Item::Addrs(addrs) => Some((**addrs).clone()),
        Item::Zone(_) | Item::Anywhere => None,
    }
}

fn one_address(to: &ast::Place, findings: &mut Findings) -> Option<Vec<IpAddr>> {
    let message = "`dnat to` names one address, and this is none or several";
    findings.push(
        Diagnostic::error(code::NAT_TARGET, to.span, message)
            .help("name an address, or a host with one leg, or a leg `HOST.ZONE`, that has one of a family; a balancer is `ipvs`"),
    );
    None
}

/// By whose address: a leg of a firewall, or one of the addresses of such a leg.
fn snat(to: &ast::Place, places: &Places, findings: &mut Findings) -> Option<Nat> {
    let spread = places.item(to, findings)?;
    let items: Vec<&Item> = spread.items().collect();
    let (message, help) = match items.as_slice() {
        [Item::Leg(host, zone)] => {
            let (leg, _) = places.hosts.get(host.index())?.leg_in(*zone)?;
            return Some(Nat::Snat(*host, leg, None));
        }
        [Item::Addrs(addrs)] if let Some(addr) = only(addrs) => match owner(addr, places) {
            Some((host, leg)) => return Some(Nat::Snat(host, leg, Some(addr))),
            None => (
                format!("no leg has the address `{addr}`: replies to it would come to nobody"),
                listed(addr, places),
            ),
        },
        [Item::Addrs(_)] | [_, _, ..] => (
            "`snat to` names one address, and these are several".to_owned(),
            "name one of them; IPv4 and IPv6 have a statement each".to_owned(),
        ),
        _ => (
            "`snat to` names a leg of a firewall, or an address of one".to_owned(),
            "write `snat to HOST.ZONE` or `snat to ADDRESS`; `masquerade` takes the leg by which the flow leaves its last firewall".to_owned(),
        ),
    };
    findings.push(Diagnostic::error(code::NAT_TARGET, to.span, message).help(help));
    None
}

/// The one address of a set.
fn only(addrs: &AddrSet) -> Option<IpAddr> {
    let mut ranges = addrs.ranges();
    let range = ranges.next().filter(|range| range.first == range.last)?;
    ranges.next().is_none().then(|| range.first_addr())
}

/// The leg that has a static address.
fn owner(addr: IpAddr, places: &Places) -> Option<(HostId, LegId)> {
    (0u32..).map(HostId).zip(places.hosts).find_map(|(host, machine)| {
        let mut legs = machine.legs();
        legs.find(|(_, leg)| leg.addresses.contains(&addr)).map(|(leg, _)| (host, leg))
    })
}

/// How the leg that has an address is written: a static one of a firewall, in the zone of the address.
fn listed(addr: IpAddr, places: &Places) -> String {
    let zone = places.zones.iter().position(|zone| zone.addrs.contains(addr));
    let firewalls = places.hosts.iter().filter(|machine| machine.role == Role::Firewall);
    let mut legs = firewalls.flat_map(|machine| machine.legs.iter().map(move |leg| (machine, leg)));
    let near = legs.find(|(_, leg)| Some(leg.zone.index()) == zone && !leg.dynamic);
    let Some(((machine, leg), zone)) = near.zip(zone.and_then(|at| places.zones.get(at))) else {
        return "list it among the static addresses of a firewall's leg, or name one that such a leg has"
            .to_owned();
    };
    let all: Vec<String> = leg.addresses.iter().chain([&addr]).map(ToString::to_string).collect();
    format!("list it on a leg, as of `{}`: `{} in {}`", machine.name, all.join(", "), zone.name)
}

/// Whether the service can be translated so: a port is put where there is one, and a translated source has another port.
fn ports(nat: &Nat, terms: &[Term], span: Span, findings: &mut Findings) -> bool {
    let all_ported = terms.iter().all(|t| matches!(t, Term::Ports { .. }));
    let from_any = terms.iter().all(|t| match t {
        Term::Ports { from, .. } => *from == PortSet::full(),
        Term::Icmp { .. } | Term::Protos(_) => true,
    });
    let (message, help) = match nat {
        Nat::Dnat { port: Some(_), .. } if !all_ported => (
            "`port` translates the port of a service, and this one is not TCP or UDP alone",
            "name TCP or UDP services, or leave `port` away",
        ),
        Nat::Masquerade | Nat::Snat(..) | Nat::Dnat { hairpin: true, .. } if !from_any => (
            "a connection that gets another source address may get another source port, and this service names its own",
            "leave `from` away from the service",
        ),
        Nat::Ipvs { direct: true, port: Some(_), .. } => (
            "under `ipvs dr` the packet keeps its port: the real servers answer on the one that clients write",
            "leave `port` away, or say `ipvs nat`",
        ),
        Nat::Ipvs { .. } if !all_ported => (
            "`ipvs` shares out TCP or UDP ports, and this service is not those alone",
            "name TCP or UDP services",
        ),
        Nat::Ipvs { .. } if each_port(terms) > MOST_PORTS => {
            ("IPVS has a service for each port, and these are more than 64", "name the ports that are served")
        }
        Nat::Dnat { .. } | Nat::Masquerade | Nat::Snat(..) | Nat::Ipvs { .. } => return true,
    };
    findings.push(Diagnostic::error(code::NAT_PORT, span, message).help(help));
    false
}

/// The services that a director may have of one statement.
const MOST_PORTS: u32 = 64;

fn each_port(terms: &[Term]) -> u32 {
    let ranges = terms.iter().flat_map(|term| match term {
        Term::Ports { to, .. } => to.ranges(),
        Term::Icmp { .. } | Term::Protos(_) => &[],
    });
    ranges.map(|&(first, last)| u32::from(last.saturating_sub(first)).saturating_add(1)).sum()
}
