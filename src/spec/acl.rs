//! Network ACLs: the edge of a subnet, without state and without looking at who in it is meant (S72).

use std::net::IpAddr;

use super::{Judgement, Spec, base, interface};
use crate::model::{HostId, Leg, LegId, Role, Site, Term, Way, ZoneId};
use crate::net::addr::addr;
use crate::net::{AddrRange, CtState, Family, Packet, Proto, Verdict};

/// The first port of those that an answer comes back to: what Linux, Windows, load balancers and NAT gateways take together
/// (Amazon VPC user guide, *Ephemeral ports*).
pub(super) const EPHEMERAL: u16 = 1024;

/// ICMP types that are asked and answered, with their family: echo, timestamp, information, address mask (RFC 792, 950, 4443).
pub(super) const ANSWERED: [(Family, u8, u8); 5] = [
    (Family::V4, 8, 0),
    (Family::V4, 13, 14),
    (Family::V4, 15, 16),
    (Family::V4, 17, 18),
    (Family::V6, 128, 129),
];

/// What the edge of a subnet is meant to do to a packet: it passes if some interface there lets it pass, or if it may be the
/// answer to what some interface there lets pass the other way.
pub(super) fn judge(spec: &Spec<'_>, subnet: ZoneId, way: Way, packet: &Packet) -> Judgement {
    for (host, leg, of) in legs(spec.site, subnet) {
        for own in owns(spec.site, of, packet.family()) {
            let there = at(packet, way, own);
            let said = interface::judge(spec, host, leg, way, &there);
            if said.verdict == Verdict::Accept {
                return said;
            }
            for asked in asked(spec.site, &there) {
                let said = interface::judge(spec, host, leg, other(way), &asked);
                if said.verdict == Verdict::Accept {
                    return said;
                }
            }
        }
    }
    base(Verdict::Drop)
}

/// The legs in a subnet, but its router's.
pub(super) fn legs(site: &Site, subnet: ZoneId) -> impl Iterator<Item = (HostId, LegId, &Leg)> {
    let hosts = site.hosts().filter(|(_, host)| host.role != Role::Vpc);
    hosts.flat_map(move |(id, host)| {
        host.legs().filter(move |(_, leg)| leg.zone == subnet).map(move |(leg, of)| (id, leg, of))
    })
}

pub(super) fn other(way: Way) -> Way {
    match way {
        Way::Ingress => Way::Egress,
        Way::Egress => Way::Ingress,
    }
}

/// Its addresses of a family; of one whose address nobody knows, one that it may have.
fn owns(site: &Site, leg: &Leg, family: Family) -> Vec<IpAddr> {
    if !leg.dynamic {
        return leg.addresses.iter().copied().filter(|a| Family::of(*a) == family).collect();
    }
    let nets = site.zone(leg.zone).map(|zone| zone.nets.as_slice()).unwrap_or_default();
    let ranges = nets.iter().map(|net| AddrRange::net(*net)).filter(|range| range.family == family);
    let statics = site.static_addresses();
    let free = |range: AddrRange| {
        let all = range.first.saturating_add(5).min(range.last)..=range.last;
        all.map(|number| addr(family, number)).find(|address| !statics.contains(*address))
    };
    ranges.filter_map(free).take(1).collect()
}

/// The packet with this near end, as one that opens something.
fn at(packet: &Packet, way: Way, own: IpAddr) -> Packet {
    let mut there = Packet { ct: CtState::New, ..packet.clone() };
    match way {
        Way::Ingress => there.dst = own,
        Way::Egress => there.src = own,
    }
    there
}

/// What the packet may be the answer to. It carries the port that it comes from, but an ACL does not look at it.
fn asked(site: &Site, packet: &Packet) -> Vec<Packet> {
    let back = Packet { src: packet.dst, dst: packet.src, sport: packet.dport, ..packet.clone() };
    if packet.proto.has_ports() {
        if packet.dport < EPHEMERAL {
            return Vec::new();
        }
        return ports(site).into_iter().map(|dport| Packet { dport, ..back.clone() }).collect();
    }
    if packet.proto != Proto::ICMP && packet.proto != Proto::ICMPV6 {
        return vec![back];
    }
    let proto = if packet.family() == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
    let pair = ANSWERED.iter().find(|(family, _, answer)| {
        (*family, proto) == (packet.family(), packet.proto)
            && (*answer, 0) == (packet.icmp_type, packet.icmp_code)
    });
    pair.map(|(_, question, _)| Packet { icmp_type: *question, ..back }).into_iter().collect()
}

/// Ports enough to meet every port that statements tell apart: one of each stretch between their bounds.
fn ports(site: &Site) -> Vec<u16> {
    let mut all = vec![0];
    for term in site.accesses().flat_map(|(_, access)| access.terms.iter()) {
        if let Term::Ports { to, .. } = term {
            for (first, last) in to.ranges() {
                all.extend([*first, last.saturating_add(1)]);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    all
}
