//! Addresses that no machine can have: the first and the last of an IPv4 network, of which one is the network's own and the
//! other its broadcast (RFC 919, section 7), and the first of an IPv6 network, which is that of every router there (RFC 4291,
//! section 2.6.1). Each a warning, silent where the policy waives it by name: `waive lint unusable-address nas "why"`.
//!
//! Networks count as they are written: two that lie side by side are two links until somebody says otherwise. Of subnets of a
//! vpc AWS keeps more, and that is an error ([`super::vpcs`]).

use std::net::IpAddr;

use ipnet::IpNet;

use super::unused::Waived;
use crate::diag::{Diagnostic, Findings, code};
use crate::model::{Host, Vpc, Zone, ZoneId};

/// Looks at the static addresses of every machine.
pub(super) fn check(
    hosts: &[Host],
    zones: &[Zone],
    vpcs: &[Vpc],
    waived: &Waived<'_>,
    findings: &mut Findings,
) {
    let in_vpc = |zone: ZoneId| vpcs.iter().any(|vpc| vpc.zones.contains(&zone));
    for host in hosts.iter().filter(|host| !waived.contains(&(code::UNUSABLE_ADDRESS, host.name.as_str()))) {
        for leg in host.legs.iter().filter(|leg| !in_vpc(leg.zone)) {
            let Some(zone) = zones.get(leg.zone.index()) else { continue };
            for addr in &leg.addresses {
                let routed =
                    || !host.forwards() && hosts.iter().any(|router| forwards_into(router, leg.zone));
                let edge = |net| edge(net, *addr).filter(|_| addr.is_ipv4() || routed());
                let Some((net, (which, why))) = zone.nets.iter().find_map(|net| Some((net, edge(*net)?)))
                else {
                    continue;
                };
                let message = format!(
                    "`{}` has `{addr}`, the {which} address of `{}` ({net}): {why}",
                    host.name, zone.name
                );
                let help = format!(
                    "give it another; if links are smaller than this network, declare their networks, or say `waive lint {} {} \"why\"`",
                    code::UNUSABLE_ADDRESS.as_str(),
                    host.name
                );
                findings.push(Diagnostic::warning(code::UNUSABLE_ADDRESS, leg.span, message).help(help));
            }
        }
    }
}

fn forwards_into(router: &Host, zone: ZoneId) -> bool {
    router.forwards() && router.legs.iter().any(|leg| leg.zone == zone)
}

/// Which end of a network an address is, where no machine can have that, or none but routers, and why. A network of two
/// addresses has no such ends (RFC 3021, RFC 6164), and IPv6 has no broadcast.
fn edge(net: IpNet, addr: IpAddr) -> Option<(&'static str, &'static str)> {
    match (net, addr) {
        _ if net.max_prefix_len().saturating_sub(net.prefix_len()) <= 1 => None,
        (IpNet::V4(net), IpAddr::V4(addr)) if addr == net.broadcast() => {
            Some(("last", "sent to all there, and no machine's own"))
        }
        (IpNet::V4(net), IpAddr::V4(addr)) if addr == net.network() => {
            Some(("first", "the network's own, and no machine's"))
        }
        (IpNet::V6(net), IpAddr::V6(addr)) if addr == net.network() => {
            Some(("first", "every router there takes it for its own (RFC 4291, section 2.6.1)"))
        }
        _ => None,
    }
}
