//! The clause of an `allow`: to whom and by whose address its connections are translated (S28).
//!
//! Here is settled what needs names and addresses alone; where the translation happens needs ways, and is `topology`'s.

use std::net::IpAddr;

use super::later::{self, Issue};
use super::places::{Item, Places};
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Nat, Term};
use crate::net::{AddrSet, Family, PortSet};
use crate::source::Span;
use crate::syntax::ast::{self, Clause, ClauseKind};

/// What a clause says; none after a finding.
pub(super) fn resolve(
    clause: &Clause,
    terms: &[Term],
    places: &Places,
    findings: &mut Findings,
) -> Option<Nat> {
    let nat = match &clause.kind {
        ClauseKind::Dnat { to, port, hairpin } => {
            let to = target(to, places, findings)?;
            Nat::Dnat { to, port: *port, hairpin: *hairpin }
        }
        ClauseKind::Masquerade => Nat::Masquerade,
        ClauseKind::Snat(leg) => snat(leg, places, findings)?,
        ClauseKind::Ipvs { .. } => {
            later::refuse("`ipvs`", Issue::Linux, clause.span, findings);
            return None;
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

fn one_address(to: &ast::Place, findings: &mut Findings) -> Option<Vec<IpAddr>> {
    let message = "`dnat to` names one address, and this is none or several";
    findings.push(
        Diagnostic::error(code::NAT_TARGET, to.span, message)
            .help("name a host with one leg, a leg `HOST.ZONE`, or an address; a balancer is `ipvs`"),
    );
    None
}

/// By whose address: a leg of a firewall.
fn snat(leg: &ast::Place, places: &Places, findings: &mut Findings) -> Option<Nat> {
    let spread = places.item(leg, findings)?;
    let items: Vec<&Item> = spread.items().collect();
    if let [Item::Leg(host, zone)] = items.as_slice()
        && let Some((leg, _)) = places.hosts.get(host.index()).and_then(|h| h.leg_in(*zone))
    {
        return Some(Nat::Snat(*host, leg));
    }
    let message = "`snat to` names a leg of a firewall";
    findings.push(Diagnostic::error(code::NAT_TARGET, leg.span, message).help(
        "write `snat to HOST.ZONE`; `masquerade` takes the leg by which the flow leaves its last firewall",
    ));
    None
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
        Nat::Dnat { .. } | Nat::Masquerade | Nat::Snat(..) => return true,
    };
    findings.push(Diagnostic::error(code::NAT_PORT, span, message).help(help));
    false
}
