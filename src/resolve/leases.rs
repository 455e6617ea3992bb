//! Legs that say `serves dhcp`: what must hold of them (S81).

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, End, Host, HostId, Leg, Nat, Term, Vpc, Zone};
use crate::net::Proto;

/// The server filters, by an address that it knows, and hears who has none yet.
pub(super) fn check(
    hosts: &[Host],
    zones: &[Zone],
    vpcs: &[Vpc],
    accesses: &[Access],
    findings: &mut Findings,
) {
    for (at, (id, host)) in (0u32..).map(HostId).zip(hosts).enumerate() {
        let shares_out = |access: &&Access| shares_out(access, id, host);
        if host.legs.iter().any(|leg| leg.dynamic) {
            findings.extend(accesses.iter().filter(|access| hands_on(access, id, host)).map(own_question));
        }
        for leg in host.legs.iter().filter(|leg| leg.serves_dhcp) {
            if !host.filters() {
                findings.push(idle(host, leg));
                continue;
            }
            let Some(zone) = zones.get(leg.zone.index()) else { continue };
            let between = between(hosts, at, leg);
            let (label, help) = if leg.dynamic {
                ("it has its own address from somebody else's".to_owned(), "give the leg a static address")
            } else if vpcs.iter().any(|vpc| vpc.zones.contains(&leg.zone)) {
                ("in a vpc Amazon gives the leases".to_owned(), "leave out `serves dhcp`")
            } else if zone.rest {
                (
                    format!("`{}` is everybody else", zone.name),
                    "leave out `serves dhcp`, or give the zone its networks",
                )
            } else if let Some(other) = between {
                let label = format!(
                    "who has no address yet is not heard past `{}`, which filters between them",
                    other.name
                );
                (label, "say `serves dhcp` of the machine that filters between the members")
            } else if let Some(access) = accesses.iter().find(shares_out) {
                findings.push(
                    Diagnostic::error(
                        code::CANNOT_SERVE_DHCP,
                        leg.span,
                        format!("`{}` cannot give leases to `{}`", host.name, zone.name),
                    )
                    .label("what a client asks of it goes to another")
                    .also(access.span, "shared out here")
                    .help("leave out `serves dhcp`, or let the director answer itself"),
                );
                continue;
            } else {
                continue;
            };
            let message = format!("`{}` cannot give leases to `{}`", host.name, zone.name);
            findings
                .push(Diagnostic::error(code::CANNOT_SERVE_DHCP, leg.span, message).label(label).help(help));
        }
    }
}

fn idle(host: &Host, leg: &Leg) -> Diagnostic {
    let message = format!("`{}` serves DHCP and filters nothing", host.name);
    Diagnostic::error(code::CANNOT_FILTER, leg.span, message)
        .also(host.span, "declared here")
        .help("leave out `serves dhcp`: a machine that does not filter hears its clients without a word")
}

/// Another machine on whose bridge or hub the members of the leg's zone hang (S39, S77).
fn between<'h>(hosts: &'h [Host], own: usize, leg: &Leg) -> Option<&'h Host> {
    let mut others = hosts.iter().enumerate().filter(|(at, _)| *at != own).map(|(_, host)| host);
    others.find(|host| host.bridges().any(|(_, other, _)| other.zone == leg.zone))
}

/// Whether a machine hands on, as a director, what clients ask of a server of DHCP.
fn shares_out(access: &Access, id: HostId, host: &Host) -> bool {
    let asks = |term: &Term| match term {
        Term::Ports { proto, to, .. } => *proto == Proto::UDP && (to.contains(67) || to.contains(547)),
        Term::Protos(protos) => protos.contains(Proto::UDP.0),
        Term::Icmp { .. } => false,
    };
    matches!(access.nat, Some(Nat::Ipvs { .. })) && access.terms.iter().any(asks) && is_at(access, id, host)
}

/// Whether a statement names a machine behind `to`, as far as a director can be named.
fn is_at(access: &Access, id: HostId, host: &Host) -> bool {
    let is_here = |end: &End| match end {
        End::Host(other) | End::Leg(other, _) => *other == id,
        End::Addrs(addrs) => host.legs.iter().any(|leg| !leg.address_set().is_disjoint(addrs)),
        End::Zone(_) | End::Anywhere => true,
    };
    access.to.plus.iter().any(is_here)
}

/// Whether a machine hands on, as a director, what looks like its own question for a lease (S18).
fn hands_on(access: &Access, id: HostId, host: &Host) -> bool {
    match &access.nat {
        Some(Nat::Ipvs { port: Some(port), .. }) => [67, 547].contains(port) && is_at(access, id, host),
        Some(Nat::Ipvs { port: None, .. }) => shares_out(access, id, host),
        Some(Nat::Dnat { .. } | Nat::Masquerade | Nat::Snat(..)) | None => false,
    }
}

fn own_question(access: &Access) -> Diagnostic {
    let message = "what is handed on here would pass as the director's own question for a lease".to_owned();
    Diagnostic::error(code::NAT_TARGET, access.span, message)
        .label("UDP 67 or 547, at a machine with a `dynamic` leg: no `deny` would hold at its output hook")
        .help("send it to another port, or give the leg a static address")
}
