//! Packets for every `expect`: members of what its sentence names, and their neighbours just outside.
//!
//! *Input*: the site and its expectations. *Output*: [`Question`]s, in the order of the tests.
//!
//! *Design decisions*. Ends are read as the expectation reads them (S11, S12): narrowly for `allow`, widely for `deny`
//! and `only`. Of a zone are asked every machine in it and two addresses that nobody has, the lowest and the highest; of a
//! range of ports its ends and the ports beside them. What a proof says of all packets is not proved again: a bounded
//! choice of them, the same on every run, goes through the kernel.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::forwarding::{Forwarding, Next, is_group};
use crate::lab::machine::{self, Port};
use crate::lab::reach::{fresh_state, is_whole};
use crate::lab::site::Start;
use crate::lab::way::way;
use crate::lab::wire::may_be;
use crate::model::{Action, End, Expect, Expected, HostId, LegId, Nat, Place, Role, Site, Term, ZoneId};
use crate::net::{AddrSet, Family, Packet, Proto};
use crate::spec::reading::Readings;
use crate::verify::nobodys_own;

use super::super::packet::show;
use super::questions::{self, Question, Source, Wanted, Way};

/// How many packets an expectation is asked about, about.
const MOST: usize = 64;
/// How many ranges of ports or addresses have their ends asked about.
const MOST_RANGES: usize = 4;
const SOURCE_PORT: u16 = 40_000;

/// The questions of every expectation.
pub(super) fn all(forwarding: &Forwarding<'_>) -> Vec<Question> {
    let site = forwarding.site();
    let ends = Ends {
        forwarding,
        readings: Readings::new(site),
        ports: site.hosts().map(|(host, _)| machine::ports(site, host)).collect(),
    };
    let expects = site.tests.iter().flat_map(|test| &test.expects);
    expects.enumerate().flat_map(|(at, expect)| ends.questions(at, expect)).collect()
}

/// The places of the expectations that no question is of.
pub(super) fn untried(site: &Site, asked: &[Question]) -> Vec<usize> {
    let tried: BTreeSet<usize> = asked
        .iter()
        .filter_map(|question| match question.source {
            Source::Expect(at) => Some(at),
            Source::Probe { .. } => None,
        })
        .collect();
    let all: usize = site.tests.iter().map(|test| test.expects.len()).sum();
    (0..all).filter(|at| !tried.contains(at)).collect()
}

/// The ends of expectations, as addresses of the lab.
struct Ends<'f, 's> {
    forwarding: &'f Forwarding<'s>,
    readings: Readings<'s>,
    ports: Vec<Vec<Port>>,
}

/// An address, with the leg that has it in the lab.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Spot {
    addr: IpAddr,
    leg: Option<(HostId, LegId)>,
}

impl Ends<'_, '_> {
    fn questions(&self, at: usize, expect: &Expect) -> Vec<Question> {
        let mut pairs = self.pairs(expect);
        // What no way leads to is no merit of any rule; it is asked about only where there is nothing else.
        let led: Vec<_> = pairs.iter().copied().filter(|pair| self.leads(pair)).collect();
        if !led.is_empty() {
            pairs = led;
        }
        let mut packets = Vec::new();
        for (place, (start, src, dst)) in pairs.iter().enumerate() {
            let users = self.users(*start, expect);
            let shapes = shapes(&expect.terms, *src, *dst).into_iter();
            let of_each =
                |packet: Packet| users.iter().map(move |user| Packet { skuid: *user, ..packet.clone() });
            let shapes: Vec<Packet> = shapes.flat_map(of_each).collect();
            let all = shapes.len().saturating_mul(pairs.len());
            let step = all.div_ceil(MOST).max(1);
            let chosen = shapes.into_iter().enumerate().filter(|(n, _)| (n + place).is_multiple_of(step));
            packets.extend(chosen.map(|(_, packet)| (*start, packet)));
        }
        let mut questions = Vec::new();
        for (start, packet) in packets {
            let heard = questions::heard(self.forwarding, start, &packet);
            let ways = if is_group(packet.dst) { heard } else { vec![Way::EndToEnd(start)] };
            let unsent = self.unsent(&packet);
            questions.extend(ways.into_iter().map(|way| Question {
                unsent: unsent.clone(),
                source: Source::Expect(at),
                text: questions::in_words(self.site(), &show(&packet, self.site()), &way),
                wanted: if unsent.is_some()
                    || self.is_to_itself(start, &packet)
                    || self.is_of_nobody_known(start, expect)
                {
                    Wanted::Anything
                } else {
                    wanted(expect, &packet)
                },
                way,
                packet: packet.clone(),
            }));
        }
        questions
    }

    fn site(&self) -> &Site {
        self.forwarding.site()
    }

    /// Whether a clause would deliver a packet to the machine that sends it: that is not meant (S13, S35).
    fn is_to_itself(&self, start: Start, packet: &Packet) -> bool {
        let (Start::Machine(host) | Start::Leg(host, _)) = start else { return false };
        let allowed = self.site().accesses.iter().filter(|access| access.action == Action::Allow);
        allowed.into_iter().any(|access| {
            let Some(Nat::Dnat { to, .. }) = &access.nat else { return false };
            let own = |target: &IpAddr| {
                let owner = self.site().owner_of(*target).map(|(owner, _)| owner);
                target.is_ipv4() == packet.dst.is_ipv4() && owner == Some(host)
            };
            let served = self.names(&access.from, packet.src) && self.names(&access.to, packet.dst);
            served && to.iter().any(own) && access.terms.iter().any(|term| holds(term, packet))
        })
    }

    /// Whether a place names an address of the lab, where every leg has one.
    fn names(&self, place: &Place, addr: IpAddr) -> bool {
        let named = place.plus.iter().any(|end| match end {
            End::Host(_) | End::Leg(..) => {
                self.spots(end, true, &AddrSet::empty()).iter().any(|spot| spot.addr == addr)
            }
            End::Zone(_) | End::Addrs(_) | End::Anywhere => self.readings.wide(end).contains(addr),
        });
        named && !self.readings.wide_except(place).contains(addr)
    }

    /// Who sends the packets of an expectation on a machine: the users of those whom it names after `as`, as far as they are known
    /// there (S63, S65); elsewhere, and where it names nobody, whoever does.
    fn users(&self, start: Start, expect: &Expect) -> BTreeSet<Option<u32>> {
        let (Start::Machine(host) | Start::Leg(host, _)) = start else { return BTreeSet::from([None]) };
        let users: BTreeSet<Option<u32>> =
            expect.people.iter().map(|id| self.site().uid_at(host, *id)).collect();
        if users.is_empty() { BTreeSet::from([None]) } else { users }
    }

    /// Why a packet cannot be sent, if it is of a user whom nobody may be here, or at an address that is a member of a security
    /// group and that the lab alone knows: other groups ask who has it.
    fn unsent(&self, packet: &Packet) -> Option<String> {
        let user = packet.skuid.filter(|user| !may_be(*user));
        let is_unknown = |addr: &IpAddr| self.forwarding.owner_of(*addr).is_none() && self.is_member(*addr);
        let unknown = [packet.src, packet.dst].into_iter().find(is_unknown);
        let user = user.map(|user| format!("nobody may send as user {user} here: run it as root"));
        user.or_else(|| Some(format!("{} is a member of a group in the lab alone", unknown?)))
    }

    /// Whether a leg that has an address in the lab wears a security group.
    fn is_member(&self, addr: IpAddr) -> bool {
        let mut legs = self.ports.iter().zip(0u32..).flat_map(|(ports, host)| {
            ports.iter().filter(|port| port.has(addr)).map(move |port| (HostId(host), port.leg))
        });
        legs.any(|(host, leg)| self.site().wears(host, leg))
    }

    /// Whether an `as` speaks of somebody whose user on the machine is not known: the rules there let everybody send it, and whom
    /// it is of is its sshd's to say (S65).
    fn is_of_nobody_known(&self, start: Start, expect: &Expect) -> bool {
        let (Start::Machine(host) | Start::Leg(host, _)) = start else { return false };
        let unknown = |id| self.site().uid_at(host, id).is_none();
        let jumps = self.site().host(host).is_some_and(|machine| machine.sshd.is_some());
        jumps && expect.kind != Expected::Allow && expect.people.iter().copied().any(unknown)
    }

    /// Every way from an item of `from` to an item of `to`: where it starts, source, destination.
    fn pairs(&self, expect: &Expect) -> Vec<(Start, IpAddr, IpAddr)> {
        let wide = expect.kind != Expected::Allow;
        let mut pairs = BTreeSet::new();
        // No kernel takes in what comes from an address that many have (S14).
        let no_source = self.taken(&expect.from, wide).union(&nobodys_own(self.site()));
        let no_target = self.taken(&expect.to, wide);
        for to in expect.to.plus.iter().flat_map(|end| self.spots(end, wide, &no_target)) {
            if !self.remains(&to, &expect.to, wide) {
                continue;
            }
            for from in &expect.from.plus {
                for (start, spot) in self.starts(from, &to, wide, &no_source) {
                    let itself = spot.leg.is_some() && spot.leg.map(|l| l.0) == to.leg.map(|l| l.0);
                    let alike = spot.addr.is_ipv4() == to.addr.is_ipv4() && !itself && spot.addr != to.addr;
                    if alike && self.remains(&spot, &expect.from, wide) {
                        pairs.insert((start, spot.addr, to.addr));
                    }
                }
            }
        }
        pairs.into_iter().collect()
    }

    fn leads(&self, (start, src, dst): &(Start, IpAddr, IpAddr)) -> bool {
        if is_group(*dst) {
            return true;
        }
        let end =
            self.ports.iter().zip(0u32..).find_map(|(ports, host)| {
                Some((HostId(host), ports.iter().find(|port| port.has(*dst))?.leg))
            });
        way(self.forwarding, *start, &Packet::new(*src, *dst, Proto::UDP, 1, 1), end).is_some()
    }

    /// What `except` takes away: read the other way round (S12).
    fn taken(&self, place: &Place, wide: bool) -> AddrSet {
        place.except.iter().fold(AddrSet::empty(), |all, end| all.union(&self.taken_by(end, wide)))
    }

    fn taken_by(&self, end: &End, wide: bool) -> AddrSet {
        if wide { self.readings.narrow_except(end) } else { self.readings.wide(end) }
    }

    /// Whether `except` leaves it.
    fn remains(&self, spot: &Spot, place: &Place, wide: bool) -> bool {
        let named = |end: &End| match (end, spot.leg) {
            (End::Host(host), Some((owner, _))) => *host == owner,
            (End::Leg(host, leg), Some(owner)) => (*host, *leg) == owner,
            _ => false,
        };
        !place.except.iter().any(|end| named(end) || self.taken_by(end, wide).contains(spot.addr))
    }

    /// Where an item of `from` may start towards a destination.
    fn starts(&self, end: &End, to: &Spot, wide: bool, except: &AddrSet) -> Vec<(Start, Spot)> {
        if let (End::Host(host), false) = (end, wide) {
            // By name alone it leaves by the leg of its route.
            let leg = match self.forwarding.onward(*host, to.addr) {
                Next::OnLink { leg } | Next::Via { leg, .. } => leg,
                Next::Local | Next::Ambiguous(_) | Next::NoRoute => return Vec::new(),
            };
            let same = |spot: &Spot| spot.addr.is_ipv4() == to.addr.is_ipv4();
            let own = self.of_leg(*host, leg).into_iter().filter(same);
            // To a group a machine speaks by a leg, as a member of its zone.
            let start = if is_group(to.addr) { Start::Leg(*host, leg) } else { Start::Machine(*host) };
            return own.map(|spot| (start, spot)).collect();
        }
        let start = |spot: Spot| match spot.leg {
            Some((host, leg)) => Some((Start::Leg(host, leg), spot)),
            None => Some((Start::Zone(self.forwarding.zone_of(spot.addr)?), spot)),
        };
        self.spots(end, wide, except).into_iter().filter_map(start).collect()
    }

    /// Addresses of an item; those that nobody has are not in `except`.
    fn spots(&self, end: &End, wide: bool, except: &AddrSet) -> Vec<Spot> {
        let in_zone = |zone: ZoneId| self.in_zone(zone, wide, except);
        match end {
            End::Zone(zone) => in_zone(*zone),
            End::Anywhere => self.site().zones().flat_map(|(zone, _)| in_zone(zone)).collect(),
            End::Host(host) => {
                let legs = self.site().host(*host).into_iter().flat_map(crate::model::Host::legs);
                legs.flat_map(|(leg, _)| self.of_leg(*host, leg)).collect()
            }
            End::Leg(host, leg) => self.of_leg(*host, *leg),
            End::Addrs(addrs) => self.of_addresses(&addrs.difference(except)),
        }
    }

    fn of_leg(&self, host: HostId, leg: LegId) -> Vec<Spot> {
        let port = self.ports.get(host.index()).into_iter().flatten().find(|port| port.leg == leg);
        let addresses = port.into_iter().flat_map(|port| &port.addresses);
        addresses.map(|net| Spot { addr: net.addr(), leg: Some((host, leg)) }).collect()
    }

    /// The machines of a zone, and two that are nobody. Narrowly, not those that forward.
    fn in_zone(&self, zone: ZoneId, wide: bool, except: &AddrSet) -> Vec<Spot> {
        let mut spots = Vec::new();
        for (host, machine) in self.site().hosts() {
            let meant = wide || matches!(machine.role, Role::Host { .. });
            if let Some((leg, _)) = machine.leg_in(zone).filter(|_| meant) {
                spots.extend(self.of_leg(host, leg));
            }
        }
        for family in Family::BOTH {
            let nobody = machine::strangers(self.site(), zone, family, except);
            spots.extend(nobody.into_iter().map(|addr| Spot { addr, leg: None }));
        }
        spots
    }

    /// The ends of each range. They never stand for a dynamic leg (S12).
    fn of_addresses(&self, addrs: &AddrSet) -> Vec<Spot> {
        let ranges = addrs.ranges().take(MOST_RANGES);
        let both = ranges.flat_map(|range| [range.first_addr(), range.last_addr()]);
        let sent_to = both.filter(|addr| self.forwarding.zone_of(*addr).is_some() || is_group(*addr));
        sent_to.map(|addr| Spot { addr, leg: self.forwarding.owner_of(addr) }).collect()
    }
}

/// What the expectation says of a packet.
fn wanted(expect: &Expect, packet: &Packet) -> Wanted {
    let named = expect.terms.iter().any(|term| holds(term, packet));
    match (expect.kind, named) {
        (Expected::Allow, true) => Wanted::Arrives,
        (Expected::Deny, true) | (Expected::Only, false) => Wanted::Stopped,
        (Expected::Allow | Expected::Deny, false) | (Expected::Only, true) => Wanted::Anything,
    }
}

fn holds(term: &Term, packet: &Packet) -> bool {
    match term {
        Term::Ports { proto, from, to } => {
            packet.proto == *proto && from.contains(packet.sport) && to.contains(packet.dport)
        }
        Term::Icmp { family, types, codes } => {
            let own = if *family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
            let icmp = packet.family() == *family && packet.proto == own;
            icmp && types.contains(packet.icmp_type) && codes.contains(packet.icmp_code)
        }
        Term::Protos(protos) => protos.contains(packet.proto.0),
    }
}

/// Whether a packet is told by its protocol and its ends alone. What has ports or types is asked about by them; 0 and 255 are
/// reserved, and what carries packets of its own (IPv4 and IPv6 in IP) is none of these.
fn is_sent_alone(packet: &Packet) -> bool {
    let told = [Proto::TCP, Proto::UDP, Proto::ICMP, Proto::ICMPV6].contains(&packet.proto);
    !told && ![0, 4, 41, 255].contains(&packet.proto.0) && is_whole(packet)
}

/// Packets between two addresses at the boundaries of what is named, and a few that anybody would try.
fn shapes(terms: &[Term], src: IpAddr, dst: IpAddr) -> Vec<Packet> {
    let mut all = BTreeSet::new();
    let ping = if src.is_ipv4() { 8 } else { 128 };
    all.insert(Packet::icmp(src, dst, ping, 0));
    all.insert(Packet::new(src, dst, Proto::TCP, SOURCE_PORT, 22));
    all.insert(Packet::new(src, dst, Proto::UDP, SOURCE_PORT, 53));
    for term in terms {
        match term {
            Term::Ports { proto, from, to } => {
                let sport = if from.contains(SOURCE_PORT) { SOURCE_PORT } else { from.first().unwrap_or(0) };
                for (first, last) in to.ranges().iter().take(MOST_RANGES) {
                    for port in [first.saturating_sub(1), *first, *last, last.saturating_add(1)] {
                        all.insert(Packet::new(src, dst, *proto, sport, port));
                    }
                }
            }
            Term::Icmp { family, types, codes } if *family == Family::of(src) => {
                for (first, last) in types.ranges().iter().take(MOST_RANGES) {
                    let code = codes.first().unwrap_or(0);
                    all.extend([*first, *last].map(|icmp_type| Packet::icmp(src, dst, icmp_type, code)));
                }
            }
            Term::Icmp { .. } => {}
            Term::Protos(protos) => {
                for &(first, last) in protos.ranges().iter().take(MOST_RANGES) {
                    let named = [first, last].map(|n| Packet::new(src, dst, Proto(n), SOURCE_PORT, 80));
                    all.extend(named.into_iter().filter(is_sent_alone));
                }
                let of_ports = [(Proto::TCP, 1), (Proto::TCP, 80), (Proto::TCP, 65_535), (Proto::UDP, 1)];
                all.extend(of_ports.map(|(proto, port)| Packet::new(src, dst, proto, SOURCE_PORT, port)));
                // GRE, ESP, SCTP.
                all.extend([47, 50, 132].map(|n| Packet::new(src, dst, Proto(n), SOURCE_PORT, 80)));
            }
        }
    }
    // As conntrack sees them when they are sent.
    all.into_iter().map(|packet| Packet { ct: fresh_state(&packet), ..packet }).collect()
}
