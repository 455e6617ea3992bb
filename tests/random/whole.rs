//! Everything there is on Linux, in one random site; and packets on their ways through such a site.
//!
//! Up to four gateways and eight hosts. A packet is drawn as somebody sends it and walked hop by hop, so that every hook
//! on its way sees it as it comes there: by its interfaces, translated as the policy says. Its neighbours in each field,
//! and packets drawn for a hook by themselves, are asked beside.

use std::cell::RefCell;
use std::net::IpAddr;

use fwc::forwarding::Forwarding;
use fwc::lab::machine::{self, Port};
use fwc::lab::site::Start;
use fwc::lab::way::way_through;
use fwc::model::{Access, End, Hook, HostId, LegId, Point, Role, Site, Term, ZoneId};
use fwc::net::addr::addr;
use fwc::net::{
    AddrSet, CtState, Direction, Family, Interface, NatStatus, Packet, Proto, Translation, Tuple,
};
use fwc::spec::Spec;

use super::{Dice, aim, nat, sketch};

/// A random site of any shape, with clauses, bridges, balancers, containers and strict sources.
pub fn site(seed: u64) -> Site {
    let mut site = sketch::sized(seed, (4, 7));
    let dice = &mut Dice::new(seed ^ 0x3401e);
    if dice.one_in(2) {
        sketch::bridges(dice, &mut site);
    }
    for host in site.hosts.iter_mut().filter(|host| host.role != Role::Router && host.filters()) {
        host.docker = dice.one_in(6) && host.legs.iter().all(|leg| leg.interface.is_some());
        host.strict_source = dice.one_in(4);
    }
    let count = 4 + dice.below(6);
    nat::clauses(dice, &mut site, count);
    nat::share(dice, &mut site, 3);
    site
}

/// A packet where it is to be asked about.
pub type Asked = (HostId, Hook, Packet);

/// What the policy makes of a packet that somebody sends.
#[derive(Clone, Debug)]
pub struct Journey {
    /// Where it is sent.
    pub start: Start,
    /// As it is sent.
    pub sent: Packet,
    /// Every hook on its way, those that translate too, as long as nothing stops it.
    pub met: Vec<Asked>,
    /// As it arrives if nothing stops it; of a source that was translated the port is not known.
    pub arrives: Packet,
    /// Whether its source was translated.
    pub masked: bool,
}

/// A site with its legs as the lab has them.
pub struct Walker<'s> {
    spec: &'s Spec<'s>,
    site: &'s Site,
    ports: Vec<(HostId, Vec<Port>)>,
}

impl<'s> Walker<'s> {
    pub fn new(spec: &'s Spec<'s>, site: &'s Site) -> Self {
        let ports = site.hosts().map(|(host, _)| (host, machine::ports(site, host))).collect();
        Self { spec, site, ports }
    }

    /// Packets for the hooks of a site: of ways, their neighbours, and by themselves.
    pub fn packets(&self, dice: &mut Dice, count: usize) -> Vec<Asked> {
        let points = aim::points(self.site);
        let mut all = Vec::new();
        if points.is_empty() {
            return all;
        }
        while all.len() < count {
            let journey = if dice.one_in(3) { None } else { self.journey(dice) };
            let Some(journey) = journey else {
                let (host, hook) = self.anywhere(dice, &points);
                all.push((host, hook, by_itself(dice, self.site, host, hook)));
                continue;
            };
            for (host, hook, packet) in journey.met {
                let packet = if dice.one_in(3) { next_door(dice, packet) } else { packet };
                all.push((host, hook, packet));
            }
        }
        all.truncate(count);
        all
    }

    fn anywhere(&self, dice: &mut Dice, points: &[(HostId, Hook, Point)]) -> (HostId, Hook) {
        let (host, hook, _) = dice.pick(points);
        let translates = self.site.hosts[host.index()].role == Role::Firewall && dice.one_in(3);
        (host, if translates { dice.pick(&[Hook::Prerouting, Hook::Postrouting]) } else { hook })
    }

    /// A packet of some statement, most of them with a clause, on its way; none where it has none.
    pub fn journey(&self, dice: &mut Dice) -> Option<Journey> {
        let (start, sent) = self.sent(dice)?;
        self.walk(start, &sent)
    }

    fn sent(&self, dice: &mut Dice) -> Option<(Start, Packet)> {
        let accesses = &self.site.accesses;
        let clauses: Vec<&Access> = accesses.iter().filter(|access| access.nat.is_some()).collect();
        let access = match (clauses.is_empty(), accesses.is_empty()) {
            (false, _) if !dice.one_in(3) => dice.pick(&clauses),
            (_, false) => &accesses[dice.below(accesses.len())],
            (_, true) => return None,
        };
        let mut packet = aim::of(dice, self.site, Some(access), HostId(0), Hook::Output);
        (packet.iif, packet.oif, packet.ct, packet.ttl) =
            (Interface::Unset, Interface::Unset, CtState::New, 64);
        if !dice.one_in(5) {
            (packet.src, packet.dst) = self.ends(dice, access)?;
            self.service(dice, access, &mut packet)?;
        }
        let start = match self.owner(packet.src) {
            Some((host, _)) if dice.one_in(2) => Start::Machine(host),
            Some((host, leg)) => Start::Leg(host, leg),
            None => Start::Zone(self.spec.forwarding().zone_of(packet.src)?),
        };
        Some((start, packet))
    }

    /// A source and a destination that the statement reads, of one family.
    fn ends(&self, dice: &mut Dice, access: &Access) -> Option<(IpAddr, IpAddr)> {
        (0..8).find_map(|_| {
            let (from, to) = (dice.pick(&access.from.plus), dice.pick(&access.to.plus));
            let (src, dst) = (self.one_of(dice, &from)?, self.one_of(dice, &to)?);
            (src.is_ipv4() == dst.is_ipv4()).then_some((src, dst))
        })
    }

    /// An address of an item: of a machine, of nobody we know, or at the end of a range.
    fn one_of(&self, dice: &mut Dice, end: &End) -> Option<IpAddr> {
        let ports = |host: HostId, leg: Option<LegId>| {
            let of = self.ports.iter().filter(move |(of, _)| *of == host).flat_map(|(_, ports)| ports);
            let of = of.filter(move |port| leg.is_none_or(|leg| port.leg == leg));
            of.flat_map(|port| &port.addresses).map(ipnet::IpNet::addr).collect::<Vec<_>>()
        };
        let all: Vec<IpAddr> = match end {
            End::Leg(host, leg) => ports(*host, Some(*leg)),
            End::Host(host) => ports(*host, None),
            End::Zone(zone) => self.members(dice, *zone),
            End::Anywhere => {
                let zone = dice.below(self.site.zones.len());
                self.members(dice, ZoneId(u32::try_from(zone).unwrap_or(0)))
            }
            End::Addrs(set) => {
                let own = self.ports.iter().flat_map(|(_, ports)| ports).flat_map(|port| &port.addresses);
                let own = own.map(ipnet::IpNet::addr).filter(|addr| set.contains(*addr));
                let inner = set.ranges().map(|range| addr(range.family, (range.first + 7).min(range.last)));
                own.chain(inner).collect()
            }
        };
        (!all.is_empty()).then(|| dice.pick(&all))
    }

    /// Of a zone: its plain machines, or somebody who is none.
    fn members(&self, dice: &mut Dice, zone: ZoneId) -> Vec<IpAddr> {
        let plain = self.site.hosts().filter(|(_, host)| !host.forwards());
        let legs = plain.flat_map(|(host, _)| self.ports.iter().filter(move |(of, _)| *of == host));
        let here = legs.flat_map(|(_, ports)| ports).filter(|port| port.zone == zone);
        let known: Vec<IpAddr> = here.flat_map(|port| &port.addresses).map(ipnet::IpNet::addr).collect();
        if !known.is_empty() && dice.one_in(2) {
            return known;
        }
        Family::BOTH
            .into_iter()
            .flat_map(|family| machine::strangers(self.site, zone, family, &AddrSet::empty()))
            .collect()
    }

    /// Makes a packet one of the statement's service, at an end of its ports.
    fn service(&self, dice: &mut Dice, access: &Access, packet: &mut Packet) -> Option<()> {
        let family = packet.family();
        let icmp = if family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
        let terms: Vec<&Term> = access
            .terms
            .iter()
            .filter(|term| !matches!(term, Term::Icmp { family: of, .. } if *of != family))
            .collect();
        if terms.is_empty() {
            return None;
        }
        let mut fresh = match dice.pick(&terms) {
            Term::Ports { proto, from, to } => {
                let (&(low, _), &(_, high)) = (from.ranges().first()?, from.ranges().last()?);
                let sport = if (low..=high).contains(&40_000) { 40_000 } else { low };
                let (first, last) = (to.ranges().first()?.0, to.ranges().last()?.1);
                Packet::new(packet.src, packet.dst, *proto, sport, dice.pick(&[first, last]))
            }
            Term::Icmp { types, codes, .. } => {
                Packet::icmp(packet.src, packet.dst, types.first()?, codes.first()?)
            }
            Term::Protos(protos) => {
                let some = [Proto::TCP, Proto::UDP, icmp, Proto(112)];
                let held: Vec<Proto> = some.into_iter().filter(|proto| protos.contains(proto.0)).collect();
                let proto = if held.is_empty() { Proto(protos.first()?) } else { dice.pick(&held) };
                let mut packet = Packet::new(packet.src, packet.dst, proto, 40_000, 80);
                packet.icmp_type = if proto == icmp { if family == Family::V4 { 8 } else { 128 } } else { 0 };
                packet
            }
        };
        (fresh.time, fresh.exceeded) = (packet.time, packet.exceeded.clone());
        *packet = fresh;
        Some(())
    }

    /// The leg that has an address in the lab, dynamic ones included.
    pub fn owner(&self, addr: IpAddr) -> Option<(HostId, LegId)> {
        let mut legs =
            self.ports.iter().flat_map(|(host, ports)| ports.iter().map(move |port| (*host, port)));
        legs.find(|(_, port)| port.has(addr)).map(|(host, port)| (host, port.leg))
    }

    /// Where a packet comes by, as the policy translates it.
    pub fn walk(&self, start: Start, sent: &Packet) -> Option<Journey> {
        let (met, last, masked) = (RefCell::new(Vec::new()), RefCell::new(sent.clone()), RefCell::new(false));
        let translate = |host: HostId, hook: Hook, packet: &Packet| {
            let mut on = packet.clone();
            if self.site.hosts[host.index()].filters() {
                met.borrow_mut().push((host, hook, packet.clone()));
            }
            match self.spec.translate(host, hook, packet) {
                None => {}
                Some(Translation::Destination { addr, port }) => {
                    let (src, dst, sport, dport) = (packet.src, packet.dst, packet.sport, packet.dport);
                    on.ct_original = Some(Tuple { src, dst, sport, dport });
                    (on.dst, on.dport) =
                        (addr, if packet.proto.has_ports() { port.unwrap_or(dport) } else { 0 });
                    on.ct_status = NatStatus { dnat: (on.dst, on.dport) != (dst, dport), snat: false };
                }
                Some(Translation::Source(addr)) => {
                    (on.src, *masked.borrow_mut()) = (addr, true);
                }
                Some(Translation::Masquerade) => {
                    let own = self.masquerades(host, &packet.oif, packet.family());
                    (on.src, *masked.borrow_mut()) = (own.unwrap_or(packet.src), true);
                }
            }
            last.replace(on.clone());
            on
        };
        let forwarding = self.spec.forwarding();
        let filters = way_through(forwarding, start, sent, &|addr| self.owner(addr), &translate)?;
        let arrives = last.into_inner();
        let filters = filters.into_iter().filter_map(|(point, packet)| match point {
            Point::Hook { host, hook } => Some((host, hook, packet)),
            _ => None,
        });
        let mut all: Vec<Asked> = filters.collect();
        all.extend(met.into_inner());
        Some(Journey { start, sent: sent.clone(), met: all, arrives, masked: masked.into_inner() })
    }

    fn masquerades(&self, host: HostId, oif: &Interface, family: Family) -> Option<IpAddr> {
        let ports = self.ports.iter().filter(|(of, _)| *of == host).flat_map(|(_, ports)| ports);
        let own = ports.filter(|port| port.name == oif.name()).flat_map(|port| &port.addresses);
        own.map(ipnet::IpNet::addr).find(|addr| Family::of(*addr) == family)
    }

    pub fn forwarding(&self) -> &Forwarding<'s> {
        self.spec.forwarding()
    }
}

/// A packet for a hook, with the interfaces that it has.
fn by_itself(dice: &mut Dice, site: &Site, host: HostId, hook: Hook) -> Packet {
    let mut packet = nat::shared(dice, site, host, hook);
    match hook {
        Hook::Prerouting => packet.oif = Interface::Unset,
        Hook::Bridge => (packet.iif, packet.oif) = (Interface::Unset, Interface::Unset),
        Hook::Input | Hook::Forward | Hook::Output | Hook::Postrouting => {}
    }
    packet
}

/// The same packet with one thing a step further.
fn next_door(dice: &mut Dice, mut p: Packet) -> Packet {
    let up = dice.one_in(2);
    let step = |n: u16| if up { n.saturating_add(1) } else { n.saturating_sub(1) };
    match dice.below(9) {
        0 if p.proto.has_ports() => p.dport = step(p.dport),
        1 => p.src = moved(p.src, up),
        2 => p.dst = moved(p.dst, up),
        3 => std::mem::swap(&mut p.src, &mut p.dst),
        4 => p.ct = dice.pick(&CtState::ALL),
        5 => p.ct_status = NatStatus::default(),
        6 if p.ct_original.is_some() => {
            p.ct_original = p.ct_original.map(|o| Tuple { dport: step(o.dport), ..o });
        }
        7 => {
            p.ct = CtState::Established;
            p.ct_direction = Direction::Reply;
        }
        _ if p.proto.has_ports() => std::mem::swap(&mut p.sport, &mut p.dport),
        _ => p.ttl = 1,
    }
    p
}

fn moved(addr: IpAddr, up: bool) -> IpAddr {
    let n = fwc::net::addr::number(addr);
    let n = if up { n.saturating_add(1) } else { n.saturating_sub(1) };
    let most = if addr.is_ipv4() { u128::from(u32::MAX) } else { u128::MAX };
    if n > most { addr } else { fwc::net::addr::addr(Family::of(addr), n) }
}
