//! Tables of packets in literal addresses: how a line is read, the points its packet meets, and who judges them.
//!
//! ```text
//! SRC[:port] -> DST PROTO[/port|/type.code] STATE VERDICT [options]
//! 198.51.100.7:40000 -> 10.0.3.10 tcp/5432 new   drop
//! [2001:db8::7]:40000 -> 2001:db8:3::10 tcp/5432 new   drop
//! ```
//!
//! The packet goes end to end over the site: from the zone (or the machine) that has the source, hop by hop by
//! [`Forwarding`], asking every machine that filters on the way. The verdict is that of the first that does not
//! accept; `lost` where no way leads there. Options: `at HOST HOOK [in IF] [out IF]` for one point alone,
//! `ttl N`, `rst`, `over` (every limit is exceeded), `when 2027-01-01T00:00:00Z`.
//!
//! A packet goes on as the judge says it is translated. What is accepted goes on, or arrives, with the addresses and
//! the destination port it has in the line, or with `arrives DST[:port]` and `source SRC`. At one point, `wrote DST[:port]`
//! is the original destination of a packet whose destination was translated.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

pub(crate) mod cases;
pub(crate) mod judges;
pub(crate) mod kernel;

use std::net::{IpAddr, SocketAddr};

use fwc::forwarding::{Forwarding, Next, ZoneNext};
use fwc::model::{Bridge, Hook, HostId, LegId, Point, Site, Way, ZoneId};
use fwc::net::packet::tcp_flag;
use fwc::net::{CtState, Interface, NatStatus, Packet, Proto, Translation, Tuple, Verdict};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A line of a table.
pub(crate) struct Probe {
    /// The packet; without interfaces where it goes end to end.
    pub(crate) packet: Packet,
    /// The one point that is asked; none for end to end.
    pub(crate) at: Option<Point>,
    /// `accept`, `drop`, `reject` or `lost`.
    pub(crate) expected: &'static str,
    /// What it arrives with, if it is accepted: source, destination, destination port.
    pub(crate) arrives: (IpAddr, IpAddr, u16),
}

/// Who says what is done to addresses.
pub(crate) type Translate<'a> = &'a mut dyn FnMut(HostId, Hook, &Packet) -> Option<Translation>;

/// The points on the way of a packet, and the packet as it arrives if each of them accepts it.
pub(crate) struct Passed {
    pub(crate) steps: Vec<Step>,
    pub(crate) arrived: Packet,
}

/// A point on the way of a packet, and the packet as it is seen there.
pub(crate) type Step = (Point, Packet);

impl Probe {
    /// The points that are asked, in order; none where no way leads there.
    pub(crate) fn steps(&self, forwarding: &Forwarding<'_>) -> Option<Vec<Step>> {
        self.way(forwarding, &mut |_, _, _| None).map(|way| way.steps)
    }

    /// The same through translations.
    pub(crate) fn way(&self, forwarding: &Forwarding<'_>, translate: Translate<'_>) -> Option<Passed> {
        match &self.at {
            Some(point) => {
                let mut arrived = self.packet.clone();
                if let Point::Hook { host, hook } = point {
                    put(forwarding.site(), *host, *hook, &mut arrived, translate);
                }
                Some(Passed { steps: vec![(point.clone(), self.packet.clone())], arrived })
            }
            None => way(forwarding, &self.packet, translate),
        }
    }
}

/// The word of a table for a verdict.
pub(crate) fn keyword(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Accept => "accept",
        Verdict::Drop => "drop",
        Verdict::Reject => "reject",
    }
}

/// Reads a line; none where it is not one.
pub(crate) fn probe(site: &Site, line: &str) -> Option<Probe> {
    let words: Vec<&str> = line.split('#').next()?.split_whitespace().collect();
    let [src, "->", dst, proto, state, verdict, options @ ..] = words.as_slice() else { return None };
    let (src, sport) = source(src)?;
    let mut packet = header(src, dst.parse().ok()?, sport, proto)?;
    packet.ct = CtState::ALL.into_iter().find(|s| s.keyword() == *state)?;
    let expected = ["accept", "drop", "reject", "lost"].into_iter().find(|v| v == verdict)?;
    let mut at = None;
    let mut arrives = (packet.src, packet.dst, packet.dport);
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "at" => {
                let host = site.host_named(rest.next()?)?;
                let wanted = rest.next()?;
                let hooks = [
                    Hook::Prerouting,
                    Hook::Input,
                    Hook::Forward,
                    Hook::Output,
                    Hook::Postrouting,
                    Hook::Bridge,
                ];
                let hook = hooks.into_iter().find(|h| h.keyword() == *wanted)?;
                at = Some(Point::Hook { host, hook });
            }
            "in" => packet.iif = Interface::named(*rest.next()?),
            "out" => packet.oif = Interface::named(*rest.next()?),
            "arrives" => (arrives.1, arrives.2) = to(rest.next()?, packet.dport)?,
            "source" => arrives.0 = rest.next()?.parse().ok()?,
            "wrote" => {
                let (dst, dport) = to(rest.next()?, packet.dport)?;
                packet.ct_status.dnat = true;
                packet.ct_original = Some(Tuple { src: packet.src, dst, sport: packet.sport, dport });
            }
            "ttl" => packet.ttl = rest.next()?.parse().ok()?,
            "rst" => packet.tcp_flags = tcp_flag::RST | tcp_flag::ACK,
            "over" => packet.exceeded = site.accesses.iter().filter_map(|a| a.limit).collect(),
            "when" => {
                let time = OffsetDateTime::parse(rest.next()?, &Rfc3339).ok()?;
                packet.time = u64::try_from(time.unix_timestamp_nanos()).ok()?;
            }
            _ => return None,
        }
    }
    Some(Probe { packet, at, expected, arrives })
}

/// A destination, with the port it has where none is said.
fn to(text: &str, port: u16) -> Option<(IpAddr, u16)> {
    match text.parse::<SocketAddr>() {
        Ok(both) => Some((both.ip(), both.port())),
        Err(_) => Some((text.parse().ok()?, port)),
    }
}

fn source(text: &str) -> Option<(IpAddr, u16)> {
    match text.parse::<SocketAddr>() {
        Ok(both) => Some((both.ip(), both.port())),
        Err(_) => Some((text.parse().ok()?, 40_000)),
    }
}

fn header(src: IpAddr, dst: IpAddr, sport: u16, proto: &str) -> Option<Packet> {
    let (name, detail) = proto.split_once('/').unwrap_or((proto, ""));
    let number = Proto::by_name(name).or_else(|| name.parse().ok().map(Proto))?;
    let own_icmp = if src.is_ipv4() { Proto::ICMP } else { Proto::ICMPV6 };
    if number == own_icmp {
        let (kind, code) = detail.split_once('.').unwrap_or((detail, "0"));
        return Some(Packet::icmp(src, dst, kind.parse().ok()?, code.parse().ok()?));
    }
    let port = if detail.is_empty() { Some(0) } else { detail.parse().ok() };
    (src.is_ipv4() == dst.is_ipv4()).then(|| Packet::new(src, dst, number, sport, port.unwrap_or(0)))
}

// ---- the way of a packet -----------------------------------------------------------------------------

/// Every point on the way, with what it sees; none where no way leads there.
fn way(forwarding: &Forwarding<'_>, packet: &Packet, translate: Translate<'_>) -> Option<Passed> {
    let site = forwarding.site();
    let zone = forwarding.zone_of(packet.src)?;
    let mut steps = Vec::new();
    let mut packet = packet.clone();
    let origin = forwarding.owner_of(packet.src);
    if let Some((host, leg)) = origin {
        steps.extend(step(site, &packet, host, Hook::Output, (None, Some(leg))));
        steps.extend(interface(site, &packet, host, leg, Way::Egress));
        leaves(site, host, leg, &mut packet, translate);
    }
    let mut hop = match forwarding.from_member(zone, origin.map(|(host, _)| host), packet.dst) {
        ZoneNext::OnLink => forwarding.owner_of(packet.dst),
        ZoneNext::Via { gateway, gateway_leg } => Some((gateway, gateway_leg)),
        ZoneNext::Ambiguous(_) | ZoneNext::NoRoute => return None,
    };
    steps.extend(across(site, &packet, zone, [origin, hop]));
    for _ in 0..2 * site.hosts.len() {
        let Some((host, came)) = hop else { return Some(Passed { steps, arrived: packet }) };
        let mut here = packet.clone().at(&name(site, host, came), "");
        put(site, host, Hook::Prerouting, &mut here, translate);
        packet = here;
        let (left, next) = match forwarding.next(host, packet.dst) {
            Next::Local => {
                steps.extend(interface(site, &packet, host, came, Way::Ingress));
                steps.extend(step(site, &packet, host, Hook::Input, (Some(came), None)));
                return Some(Passed { steps, arrived: packet });
            }
            Next::OnLink { leg } => (leg, forwarding.owner_of(packet.dst)),
            Next::Via { leg, gateway, gateway_leg } => (leg, Some((gateway, gateway_leg))),
            Next::Ambiguous(_) | Next::NoRoute => return None,
        };
        steps.extend(step(site, &packet, host, Hook::Forward, (Some(came), Some(left))));
        leaves(site, host, left, &mut packet, translate);
        hop = next;
        let zone = site.leg(host, left)?.zone;
        steps.extend(across(site, &packet, zone, [Some((host, left)), hop]));
    }
    None
}

/// Over the bridge of a zone, where neither end is its machine.
fn across(site: &Site, packet: &Packet, zone: ZoneId, ends: [Option<(HostId, LegId)>; 2]) -> Option<Step> {
    let (host, leg, how) = site.bridge_of(zone)?;
    if ends.iter().flatten().any(|(end, _)| *end == host) {
        return None;
    }
    match how {
        Bridge::BrNetfilter | Bridge::Hub => step(site, packet, host, Hook::Forward, (Some(leg), Some(leg))),
        Bridge::Stateful | Bridge::Stateless(_) => step(site, packet, host, Hook::Bridge, (None, None)),
    }
}

/// Out of a machine, which forgets.
fn leaves(site: &Site, host: HostId, leg: LegId, packet: &mut Packet, translate: Translate<'_>) {
    *packet = packet.clone().at("", &name(site, host, leg));
    put(site, host, Hook::Postrouting, packet, translate);
    (packet.ct_status, packet.ct_original) = (NatStatus::default(), None);
}

/// What is done to a packet's addresses.
fn put(site: &Site, host: HostId, hook: Hook, packet: &mut Packet, translate: Translate<'_>) {
    let original = Tuple { src: packet.src, dst: packet.dst, sport: packet.sport, dport: packet.dport };
    match translate(host, hook, packet) {
        None => {}
        Some(Translation::Destination { addr, port }) => {
            packet.ct_status.dnat = true;
            packet.ct_original = Some(original);
            (packet.dst, packet.dport) = (addr, port.unwrap_or(packet.dport));
        }
        Some(Translation::Source(addr)) => packet.src = addr,
        Some(Translation::Masquerade) => {
            let machine = &site.hosts[host.index()];
            let leg =
                machine.legs.iter().find(|l| l.interface.as_deref() == Some(packet.oif.name())).unwrap();
            let own = match leg.dynamic {
                true => site.zones[leg.zone.index()].addrs.clone(),
                false => leg.address_set(),
            };
            packet.src = own.of(packet.family()).ranges().next().unwrap().first_addr();
        }
    }
}

fn name(site: &Site, host: HostId, leg: LegId) -> String {
    site.leg(host, leg).and_then(|leg| leg.interface.clone()).unwrap_or_else(|| "eth0".to_owned())
}

/// The interface beside a hook, where the leg wears a group.
fn interface(site: &Site, packet: &Packet, host: HostId, leg: LegId, way: Way) -> Option<Step> {
    site.worn(host, leg).next()?;
    Some((Point::Interface { host, leg, way }, packet.clone().at("", "")))
}

fn step(
    site: &Site,
    packet: &Packet,
    host: HostId,
    hook: Hook,
    (came, left): (Option<LegId>, Option<LegId>),
) -> Option<Step> {
    let name =
        |leg: Option<LegId>| leg.map_or(Interface::Unset, |leg| Interface::named(name(site, host, leg)));
    let mut packet = packet.clone();
    (packet.iif, packet.oif) = (name(came), name(left));
    site.host(host)?.filters().then_some((Point::Hook { host, hook }, packet))
}
