//! Legs that say `serves dhcp`: what must hold of them (S81).

use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Host, Leg, Vpc, Zone};

/// The server filters, by an address that it knows, and hears who has none yet.
pub(super) fn check(hosts: &[Host], zones: &[Zone], vpcs: &[Vpc], findings: &mut Findings) {
    for (at, host) in hosts.iter().enumerate() {
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
