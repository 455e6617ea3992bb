//! Legs that say `serves dhcp`: what must hold of them (S81).

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, End, Host, HostId, Leg, Nat, Term, Vpc, Zone};
use crate::net::Proto;

/// What was declared besides.
struct Site<'s> {
    hosts: &'s [Host],
    zones: &'s [Zone],
    vpcs: &'s [Vpc],
    accesses: &'s [Access],
}

/// The server filters, by an address that it knows, and hears who has none yet; and no director's packets look like DHCP of its own.
pub(super) fn check(
    hosts: &[Host],
    zones: &[Zone],
    vpcs: &[Vpc],
    accesses: &[Access],
    findings: &mut Findings,
) {
    let site = Site { hosts, zones, vpcs, accesses };
    for (id, host) in (0u32..).map(HostId).zip(hosts) {
        if host.legs.iter().any(|leg| leg.dynamic) {
            findings.extend(accesses.iter().filter(|access| hands_on(access, id, host)).map(own_question));
        }
        for leg in host.legs.iter().filter(|leg| leg.serves_dhcp) {
            let found = if host.filters() { site.cannot(id, host, leg) } else { Some(idle(host, leg)) };
            findings.extend(found);
        }
    }
}

impl Site<'_> {
    /// Why a machine that filters cannot give leases by a leg.
    fn cannot(&self, id: HostId, host: &Host, leg: &Leg) -> Option<Diagnostic> {
        let zone = self.zones.get(leg.zone.index())?;
        let message = format!("`{}` cannot give leases to `{}`", host.name, zone.name);
        let finding = Diagnostic::error(code::CANNOT_SERVE_DHCP, leg.span, message);
        if leg.dynamic {
            return Some(
                finding
                    .label("it has its own address from somebody else's")
                    .help("give the leg a static address"),
            );
        }
        if self.vpcs.iter().any(|vpc| vpc.zones.contains(&leg.zone)) {
            return Some(finding.label("in a vpc Amazon gives the leases").help("leave out `serves dhcp`"));
        }
        if zone.rest {
            let help = "leave out `serves dhcp`, or give the zone its networks";
            return Some(finding.label(format!("`{}` is everybody else", zone.name)).help(help));
        }
        if let Some(other) = self.between(id, leg) {
            let name = &other.name;
            let label =
                format!("who has no address yet is not heard past `{name}`, which filters between them");
            let help = "say `serves dhcp` of the machine that filters between the members";
            return Some(finding.label(label).help(help));
        }
        let access = self.accesses.iter().find(|access| shares_out(access, id, host))?;
        let finding =
            finding.label("what a client asks of it goes to another").also(access.span, "shared out here");
        Some(finding.help("leave out `serves dhcp`, or let the director answer itself"))
    }

    /// Another machine on whose bridge or hub the members of the leg's zone hang (S39, S77).
    fn between(&self, own: HostId, leg: &Leg) -> Option<&Host> {
        let mut others = (0u32..).map(HostId).zip(self.hosts).filter(|(id, _)| *id != own);
        let hangs = |host: &Host| host.bridges().any(|(_, other, _)| other.zone == leg.zone);
        others.find(|(_, host)| hangs(host)).map(|(_, host)| host)
    }
}

fn idle(host: &Host, leg: &Leg) -> Diagnostic {
    let message = format!("`{}` serves DHCP and filters nothing", host.name);
    Diagnostic::error(code::CANNOT_FILTER, leg.span, message)
        .also(host.span, "declared here")
        .help("leave out `serves dhcp`: a machine that does not filter hears its clients without a word")
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
pub(super) fn is_at(access: &Access, id: HostId, host: &Host) -> bool {
    let is_here = |end: &End| match end {
        End::Host(other) | End::Leg(other, _) => *other == id,
        End::Addrs(addrs) => host.legs.iter().any(|leg| leg.is_among(addrs)),
        End::Zone(_) | End::Anywhere => true,
    };
    access.to.plus.iter().any(is_here)
}

/// Whether a machine hands on, as a director, what looks like its own question for a lease (S18).
fn hands_on(access: &Access, id: HostId, host: &Host) -> bool {
    let is_udp = |term: &Term| match term {
        Term::Ports { proto, .. } => *proto == Proto::UDP,
        Term::Protos(protos) => protos.contains(Proto::UDP.0),
        Term::Icmp { .. } => false,
    };
    match &access.nat {
        Some(Nat::Ipvs { port: Some(port), .. }) => {
            [67, 547].contains(port) && access.terms.iter().any(is_udp) && is_at(access, id, host)
        }
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
