//! Legs that say `clamps mss`: what must hold of them (S82).

use super::leases;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Access, Action, Host, HostId, Leg, Nat, Site, Term};
use crate::net::Proto;

/// What is said to be lowered is what the machine forwards, and a rule of ours sees.
pub(super) fn check(site: &Site, findings: &mut Findings) {
    for (id, host) in site.hosts() {
        let clamping = host.legs.iter().filter(|leg| leg.clamp.is_some());
        findings.extend(clamping.filter_map(|leg| cannot(site, id, host, leg)));
    }
}

fn cannot(site: &Site, id: HostId, host: &Host, leg: &Leg) -> Option<Diagnostic> {
    if !host.filters() {
        let message = format!("`{}` clamps the MSS and filters nothing", host.name);
        let finding = Diagnostic::error(code::CANNOT_FILTER, leg.span, message);
        return Some(finding.also(host.span, "declared here").help(
            "say it of a machine with a ruleset (`firewall`): neither a router nor a security group lowers anything for fwc",
        ));
    }
    let message = format!("`{}` cannot clamp the MSS by this leg", host.name);
    let finding = Diagnostic::error(code::CANNOT_CLAMP_MSS, leg.span, message);
    if !host.forwards() && !host.docker {
        let help = "leave out `clamps mss`: for connections of its own the kernel knows the path";
        return Some(finding.label("it forwards nothing").help(help));
    }
    if leg.bridge.as_ref().is_some_and(|bridge| bridge.has_ports()) {
        let help = "say it of the leg with the smaller MTU, or of the bridge `hub` if it is a tunnel";
        return Some(
            finding.label("frames between its ports are not routed: no path is looked up").help(help),
        );
    }
    let access = site.accesses.iter().find(|access| balances(access, id, host))?;
    let finding = finding.label("what IPVS sends on is not forwarded: no rule of that hook sees it");
    let finding = finding.also(access.span, "shared out here");
    Some(finding.help("leave out `clamps mss`, and give the servers a route with `advmss`"))
}

/// Whether a machine shares out TCP as a director (S43).
fn balances(access: &Access, id: HostId, host: &Host) -> bool {
    let is_tcp = |term: &Term| match term {
        Term::Ports { proto, .. } => *proto == Proto::TCP,
        Term::Protos(protos) => protos.contains(Proto::TCP.0),
        Term::Icmp { .. } => false,
    };
    let is_ipvs = access.action == Action::Allow && matches!(access.nat, Some(Nat::Ipvs { .. }));
    is_ipvs && access.terms.iter().any(is_tcp) && leases::is_at(access, id, host)
}
