//! What every ruleset does before it asks the policy: S15 to S18, S81.

use std::net::{IpAddr, Ipv4Addr};

use crate::model::{Action, Hook, Host, Leg, Site};
use crate::net::packet::tcp_flag;
use crate::net::{CtState, Family, Interface, Packet, Proto, Verdict};

/// The verdict where the policy is not asked; none for a new packet that it decides about. `bridged` says that the
/// packet is a frame between the ports of a bridge (S40, S41).
pub(super) fn judge(
    site: &Site,
    machine: &Host,
    hook: Hook,
    bridged: bool,
    packet: &Packet,
) -> Option<Verdict> {
    if itself(hook, packet) {
        return Some(Verdict::Accept);
    }
    let accept = match packet.ct {
        CtState::Established => true,
        CtState::Related => is_error(packet) || (own_reset(hook, packet) && has_reject(site, machine)),
        CtState::Invalid => false,
        CtState::Untracked => is_neighbourly(hook, bridged, packet),
        CtState::New if is_dhcp(site, machine, hook, packet) => true,
        CtState::New if gives_leases(site, machine, hook, packet) => true,
        CtState::New => return None,
    };
    Some(if accept { Verdict::Accept } else { Verdict::Drop })
}

/// S23: a leg without a name is every interface but `lo`.
pub(super) fn is_of(leg: &Leg, interface: &Interface) -> bool {
    match (&leg.interface, interface) {
        (_, Interface::Unset) => false,
        (Some(own), Interface::Named(name)) => own == name,
        (None, Interface::Named(name)) => name != "lo",
    }
}

/// S15.
fn itself(hook: Hook, packet: &Packet) -> bool {
    let lo = Interface::named("lo");
    match hook {
        Hook::Input => packet.iif == lo,
        Hook::Output => packet.oif == lo,
        Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => false,
    }
}

/// S16: the errors of a connection, of any code.
pub(super) fn is_error(packet: &Packet) -> bool {
    match (packet.family(), packet.proto) {
        (Family::V4, Proto::ICMP) => [3, 11, 12].contains(&packet.icmp_type),
        (Family::V6, Proto::ICMPV6) => [1, 2, 3, 4].contains(&packet.icmp_type),
        (Family::V4 | Family::V6, Proto(_)) => false,
    }
}

fn own_reset(hook: Hook, packet: &Packet) -> bool {
    hook == Hook::Output && packet.proto == Proto::TCP && packet.tcp_flags & tcp_flag::RST != 0
}

fn has_reject(site: &Site, machine: &Host) -> bool {
    let denied = |access: &crate::model::Access| access.action == Action::Deny && access.reject;
    !machine.reject_from.is_empty() || site.accesses.iter().any(denied)
}

/// S17; over a bridge as in input and output both (S40, S41).
pub(super) fn is_neighbourly(hook: Hook, bridged: bool, packet: &Packet) -> bool {
    let comes = hook == Hook::Input || bridged;
    let goes = hook == Hook::Output || bridged;
    (comes || goes) && is_neighbour_discovery(packet)
        || comes && is_mld(&[130], packet)
        || goes && is_mld(&[131, 132, 143], packet)
}

/// RFC 4861: a hop limit of 255 proves that the sender is on the link.
fn is_neighbour_discovery(packet: &Packet) -> bool {
    is_icmpv6(packet) && packet.ttl == 255 && [133, 134, 135, 136].contains(&packet.icmp_type)
}

/// RFC 2710 and 3810: queries come in, reports go out.
fn is_mld(types: &[u8], packet: &Packet) -> bool {
    is_icmpv6(packet)
        && packet.ttl == 1
        && types.contains(&packet.icmp_type)
        && (packet.src.is_unspecified() || is_link_local(packet.src))
}

fn is_icmpv6(packet: &Packet) -> bool {
    packet.family() == Family::V6 && packet.proto == Proto::ICMPV6 && packet.icmp_code == 0
}

pub(super) fn is_link_local(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(a) => a.is_unicast_link_local(),
    }
}

/// S18: a machine asks for the address of its dynamic leg.
fn is_dhcp(site: &Site, machine: &Host, hook: Hook, packet: &Packet) -> bool {
    let ports = (packet.sport, packet.dport);
    let right = match (hook, packet.family()) {
        (Hook::Input, Family::V4) => ports == (67, 68),
        (Hook::Output, Family::V4) => ports == (68, 67),
        (Hook::Input, Family::V6) => ports == (547, 546) && is_link_local(packet.src),
        (Hook::Output, Family::V6) => ports == (546, 547) && is_all_dhcp_agents(packet.dst),
        (Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge, Family::V4 | Family::V6) => {
            false
        }
    };
    let by = if hook == Hook::Input { &packet.iif } else { &packet.oif };
    let asks = |leg: &Leg| leg.dynamic && leg.carries(site, packet.family()) && is_of(leg, by);
    packet.proto == Proto::UDP && right && machine.legs.iter().any(asks)
}

/// S81: a machine gives leases to the zone of a leg that `serves dhcp`.
fn gives_leases(site: &Site, machine: &Host, hook: Hook, packet: &Packet) -> bool {
    let (by, client, ports, unknown) = match hook {
        Hook::Input => (&packet.iif, packet.src, (packet.dport, packet.sport), Ipv4Addr::UNSPECIFIED),
        Hook::Output => (&packet.oif, packet.dst, (packet.sport, packet.dport), Ipv4Addr::BROADCAST),
        Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => return false,
    };
    let family = packet.family();
    let is_client = |leg: &Leg| match family {
        Family::V4 => client == unknown || site.zone(leg.zone).is_some_and(|z| z.addrs.contains(client)),
        Family::V6 => is_link_local(client),
    };
    // What a director hands on has its client's source, and is no answer of its own.
    let is_own = |leg: &Leg| match (hook, family) {
        (Hook::Output, Family::V4) => leg.addresses.contains(&packet.src),
        (Hook::Output, Family::V6) => is_link_local(packet.src),
        (_, Family::V4 | Family::V6) => true,
    };
    let right = ports == if family == Family::V4 { (67, 68) } else { (547, 546) };
    let serves = |leg: &Leg| leg.serves_dhcp && leg.carries(site, family) && is_of(leg, by);
    let gives = |leg: &Leg| serves(leg) && is_client(leg) && is_own(leg);
    packet.proto == Proto::UDP && right && machine.legs.iter().any(gives)
}

/// ff02::1:2 (RFC 8415).
fn is_all_dhcp_agents(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(_) => false,
        IpAddr::V6(a) => a.segments() == [0xff02, 0, 0, 0, 0, 0, 1, 2],
    }
}
