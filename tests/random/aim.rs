//! Packets at points of a site, aimed at where its statements begin and end.

use std::net::IpAddr;

use fwc::model::{Access, End, Hook, HostId, Place, Point, Site, Term};
use fwc::net::addr::{addr, number};
use fwc::net::{AddrSet, CtState, Family, Interface, Limit, Packet, Proto};
use fwc::spec::reading;

use super::Dice;
use super::sketch::DATES;

/// The hooks of every machine that filters.
pub fn points(site: &Site) -> Vec<(HostId, Hook, Point)> {
    let machines = site.hosts().filter(|(_, h)| h.filters());
    let at = |host, hook| (host, hook, Point::Hook { host, hook });
    machines.flat_map(|(h, _)| [Hook::Input, Hook::Forward, Hook::Output].map(|hook| at(h, hook))).collect()
}

/// A packet as the hook of a machine may see it.
pub fn packet(dice: &mut Dice, site: &Site, host: HostId, hook: Hook) -> Packet {
    let access = (!site.accesses.is_empty() && !dice.one_in(6)).then(|| dice.pick(&site.accesses));
    of(dice, site, access.as_ref(), host, hook)
}

/// The same, of a statement.
pub fn of(dice: &mut Dice, site: &Site, access: Option<&Access>, host: HostId, hook: Hook) -> Packet {
    let (mut src, mut dst) = ends(dice, site, access);
    if dice.one_in(12) {
        std::mem::swap(&mut src, &mut dst);
    }
    let mut packet = Packet::new(src, dst, Proto::TCP, 40_000, 80);
    header(dice, &mut packet, access);
    packet.ct = if dice.one_in(5) { dice.pick(&CtState::ALL) } else { CtState::New };
    packet.time = if dice.one_in(2) {
        dice.pick(&DATES).0.wrapping_sub(u64::from(dice.one_in(2)))
    } else {
        DATES[0].0 / 2
    };
    let limits: Vec<Limit> = site.accesses.iter().filter_map(|a| a.limit).collect();
    packet.exceeded = limits.into_iter().filter(|_| dice.one_in(2)).collect();
    packet.exceeded.sort_by_key(|l| (l.burst, l.per));
    packet.exceeded.dedup();
    packet.ttl = dice.pick(&[64, 64, 1, 254, 255]);
    let (came, leaves) = (interface(dice, site, host), interface(dice, site, host));
    match hook {
        Hook::Input => packet.iif = came,
        Hook::Output => packet.oif = leaves,
        Hook::Prerouting | Hook::Forward | Hook::Postrouting => (packet.iif, packet.oif) = (came, leaves),
    }
    packet
}

fn interface(dice: &mut Dice, site: &Site, host: HostId) -> Interface {
    let legs = site.host(host).map_or(&[][..], |h| &h.legs);
    let names: Vec<String> = legs.iter().filter_map(|l| l.interface.clone()).collect();
    match dice.below(12) {
        0 => Interface::named("lo"),
        1 => Interface::named("odd9"),
        _ if names.is_empty() => Interface::named("eth0"),
        _ => Interface::named(dice.pick(&names)),
    }
}

fn header(dice: &mut Dice, packet: &mut Packet, access: Option<&Access>) {
    let v6 = packet.family() == Family::V6;
    let icmp = if v6 { Proto::ICMPV6 } else { Proto::ICMP };
    let wished = access.map(|a| dice.pick(&a.terms));
    packet.proto = match wished {
        Some(Term::Ports { proto, .. }) => proto,
        Some(Term::Icmp { .. }) => icmp,
        Some(Term::Protos(protos)) if !protos.is_full() => Proto(protos.first().unwrap_or(0)),
        Some(Term::Protos(_)) | None => dice.pick(&[Proto::TCP, Proto::UDP, icmp, Proto(112), Proto::ESP]),
    };
    if dice.one_in(8) {
        packet.proto = dice.pick(&[Proto::TCP, Proto::UDP, icmp, Proto::ICMP, Proto::ICMPV6, Proto(132)]);
    }
    let real_icmp = packet.proto == icmp;
    packet.tcp_flags = if packet.proto == Proto::TCP { dice.pick(&[2, 2, 4, 16, 20]) } else { 0 };
    packet.icmp_type = if real_icmp { dice.pick(&[8, 128, 3, 1, 4, 11, 130, 131, 135, 143, 0]) } else { 0 };
    packet.icmp_code = if real_icmp { dice.pick(&[0, 0, 0, 1]) } else { 0 };
    let ported = packet.proto.has_ports();
    let dhcp = dice.one_in(12) && packet.proto == Proto::UDP;
    let (sport, dport) = match dhcp {
        true => dice.pick(&[(67, 68), (68, 67), (547, 546), (546, 547)]),
        false => (
            dice.pick(&[40_000, 1023, 1024, 0, 65_535]),
            dice.pick(&[80, 80, 79, 81, 19, 20, 25, 26, 53, 22]),
        ),
    };
    (packet.sport, packet.dport) = if ported { (sport, dport) } else { (0, 0) };
}

/// A source and a destination of one family.
fn ends(dice: &mut Dice, site: &Site, access: Option<&Access>) -> (IpAddr, IpAddr) {
    for _ in 0..8 {
        let src = address(dice, site, access.map(|a| &a.from));
        let dst = address(dice, site, access.map(|a| &a.to));
        if src.is_ipv4() == dst.is_ipv4() {
            return (src, dst);
        }
    }
    (addr(Family::V4, 0x0a00_000a), addr(Family::V4, 0x0a00_010b))
}

fn address(dice: &mut Dice, site: &Site, place: Option<&Place>) -> IpAddr {
    let odd =
        ["127.0.0.1", "224.0.0.18", "255.255.255.255", "0.0.0.0", "fe80::1", "ff02::1:2", "::", "192.0.2.1"];
    if dice.one_in(10) {
        return dice.pick(&odd).parse().unwrap_or(IpAddr::from([192, 0, 2, 1]));
    }
    let statics: Vec<IpAddr> =
        site.hosts.iter().flat_map(|h| &h.legs).flat_map(|l| l.addresses.clone()).collect();
    let sets: Vec<AddrSet> = match place {
        Some(place) => {
            let item: End = if !place.except.is_empty() && dice.one_in(3) {
                dice.pick(&place.except)
            } else {
                dice.pick(&place.plus)
            };
            let set = reading::wide(site, &item);
            let own: Vec<IpAddr> = statics.iter().filter(|a| set.contains(**a)).copied().collect();
            if !own.is_empty() && dice.one_in(2) {
                return dice.pick(&own);
            }
            vec![set]
        }
        None => site.zones.iter().map(|zone| zone.addrs.clone()).collect(),
    };
    let ranges: Vec<_> = sets.iter().flat_map(AddrSet::ranges).collect();
    if ranges.is_empty() {
        return if statics.is_empty() { IpAddr::from([192, 0, 2, 1]) } else { dice.pick(&statics) };
    }
    let range = dice.pick(&ranges);
    let at = match dice.below(6) {
        0 => range.first,
        1 => range.last,
        2 => range.first.saturating_sub(1),
        3 => range.last.saturating_add(1),
        4 => range.first.saturating_add(10).min(range.last),
        _ => range.first.saturating_add(u128::from(dice.roll()) % (range.last - range.first).max(1)),
    };
    let found = addr(range.family, at);
    if number(found) == at { found } else { range.first_addr() }
}
