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
//! `ttl N`, `rst`, `over` (every limit is exceeded), `when 2027-01-01T00:00:00Z`, `was DST[:port]` for a packet whose
//! destination was translated from that.
//!
//! At `prerouting` and `postrouting` the verdict is what the packet gets: `to=ADDR`, `to=ADDR,PORT`, `from=ADDR`,
//! `masquerade`, or `same`.
#![allow(dead_code, reason = "each test file is a crate of its own and uses a part")]

pub(crate) mod cases;
pub(crate) mod judges;
pub(crate) mod kernel;

use std::net::{IpAddr, SocketAddr};

use fwc::forwarding::{Forwarding, Next, ZoneNext};
use fwc::model::{Hook, HostId, LegId, Point, Site};
use fwc::net::packet::tcp_flag;
use fwc::net::{CtState, Interface, Packet, Proto, Translation, Tuple, Verdict};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// A line of a table.
pub(crate) struct Probe {
    /// The packet; without interfaces where it goes end to end.
    pub(crate) packet: Packet,
    /// The one point that is asked; none for end to end.
    pub(crate) at: Option<Point>,
    /// `accept`, `drop`, `reject` or `lost`; at the hooks that translate, what the packet gets.
    pub(crate) expected: String,
}

/// A point on the way of a packet, and the packet as it is seen there.
pub(crate) type Step = (Point, Packet);

impl Probe {
    /// The points that are asked, in order; none where no way leads there.
    pub(crate) fn steps(&self, forwarding: &Forwarding<'_>) -> Option<Vec<Step>> {
        match &self.at {
            Some(point) => Some(vec![(point.clone(), self.packet.clone())]),
            None => way(forwarding.site(), forwarding, &self.packet),
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

/// The word of a table for what a hook that translates gives a packet.
pub(crate) fn gotten(translation: Option<Translation>) -> String {
    match translation {
        None => "same".to_owned(),
        Some(Translation::Destination { addr, port: None }) => format!("to={addr}"),
        Some(Translation::Destination { addr, port: Some(port) }) => format!("to={addr},{port}"),
        Some(Translation::Source(addr)) => format!("from={addr}"),
        Some(Translation::Masquerade) => "masquerade".to_owned(),
    }
}

/// Reads a line; none where it is not one.
pub(crate) fn probe(site: &Site, line: &str) -> Option<Probe> {
    let words: Vec<&str> = line.split('#').next()?.split_whitespace().collect();
    let [src, "->", dst, proto, state, verdict, options @ ..] = words.as_slice() else { return None };
    let (src, sport) = source(src)?;
    let mut packet = header(src, dst.parse().ok()?, sport, proto)?;
    packet.ct = CtState::ALL.into_iter().find(|s| s.keyword() == *state)?;
    let gets = ["to=", "from="].iter().any(|way| verdict.starts_with(way));
    let known = ["accept", "drop", "reject", "lost", "masquerade", "same"].contains(verdict);
    let expected = (gets || known).then(|| (*verdict).to_owned())?;
    let mut at = None;
    let mut rest = options.iter();
    while let Some(option) = rest.next() {
        match *option {
            "at" => {
                let host = site.host_named(rest.next()?)?;
                let wanted = rest.next()?;
                let hooks = [Hook::Prerouting, Hook::Input, Hook::Forward, Hook::Output, Hook::Postrouting];
                let hook = hooks.into_iter().find(|h| h.keyword() == *wanted)?;
                at = Some(Point::Hook { host, hook });
            }
            "in" => packet.iif = Interface::named(*rest.next()?),
            "out" => packet.oif = Interface::named(*rest.next()?),
            "was" => {
                let (dst, dport) = match rest.next()?.parse::<SocketAddr>() {
                    Ok(both) => (both.ip(), both.port()),
                    Err(_) => {
                        (options.iter().skip_while(|o| **o != "was").nth(1)?.parse().ok()?, packet.dport)
                    }
                };
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
    Some(Probe { packet, at, expected })
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
pub(crate) fn way(site: &Site, forwarding: &Forwarding<'_>, packet: &Packet) -> Option<Vec<Step>> {
    let zone = forwarding.zone_of(packet.src)?;
    let mut steps = Vec::new();
    if let Some((host, leg)) = forwarding.owner_of(packet.src) {
        steps.extend(step(site, packet, host, Hook::Output, (None, Some(leg))));
    }
    let mut hop = match forwarding.from_zone(zone, packet.src, packet.dst) {
        ZoneNext::OnLink => {
            steps.extend(arrival(site, forwarding, packet));
            return Some(steps);
        }
        ZoneNext::Via { gateway, gateway_leg } => (gateway, gateway_leg),
        ZoneNext::Ambiguous(_) | ZoneNext::NoRoute => return None,
    };
    for _ in &site.hosts {
        let (host, came) = hop;
        let left = match forwarding.next(host, packet.dst) {
            Next::Local => {
                steps.extend(step(site, packet, host, Hook::Input, (Some(came), None)));
                return Some(steps);
            }
            Next::OnLink { leg } => {
                steps.extend(step(site, packet, host, Hook::Forward, (Some(came), Some(leg))));
                steps.extend(arrival(site, forwarding, packet));
                return Some(steps);
            }
            Next::Via { leg, gateway, gateway_leg } => {
                hop = (gateway, gateway_leg);
                leg
            }
            Next::Ambiguous(_) | Next::NoRoute => return None,
        };
        steps.extend(step(site, packet, host, Hook::Forward, (Some(came), Some(left))));
    }
    None
}

fn arrival(site: &Site, forwarding: &Forwarding<'_>, packet: &Packet) -> Option<Step> {
    let (host, leg) = forwarding.owner_of(packet.dst)?;
    step(site, packet, host, Hook::Input, (Some(leg), None))
}

fn step(
    site: &Site,
    packet: &Packet,
    host: HostId,
    hook: Hook,
    (came, left): (Option<LegId>, Option<LegId>),
) -> Option<Step> {
    let name = |leg: Option<LegId>| match leg.map(|leg| site.leg(host, leg)) {
        Some(Some(leg)) => Interface::named(leg.interface.as_deref().unwrap_or("eth0")),
        Some(None) | None => Interface::Unset,
    };
    let mut packet = packet.clone();
    (packet.iif, packet.oif) = (name(came), name(left));
    site.host(host)?.filters().then_some((Point::Hook { host, hook }, packet))
}
