//! What every filtering machine passes whatever the policy says (S17, S18, S81): it is no arrival of anybody's.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::model::Leg;
use crate::net::addr::LINK_LOCAL;
use crate::net::{AddrSet, CtState, Family, Field, PacketSet, Proto, RangeSet};

use super::compose::Network;

impl Network<'_> {
    /// What S17, S18 and S81 accept at the input of a machine by one of its legs: it does not count as arriving.
    pub(crate) fn never_filtered(&mut self, leg: &Leg) -> PacketSet {
        if leg.serves_dhcp {
            let neighbours = self.neighbours();
            let clients = self.clients(leg, Ipv4Addr::UNSPECIFIED);
            let (v4, v6) = (self.space.from(&clients), self.space.from(&AddrSet::net(LINK_LOCAL)));
            let asked = self.udp([(68, 67), (546, 547)]);
            let from = self.space.or(v4, v6);
            let carried = self.carried(leg);
            let asked = self.space.all(vec![asked, from, carried]);
            return self.space.or(neighbours, asked);
        }
        if let Some(known) = self.never_filtered.get(&leg.dynamic) {
            return *known;
        }
        let neighbours = self.neighbours();
        let all = if leg.dynamic {
            let leases = self.udp([(67, 68), (547, 546)]);
            self.space.or(neighbours, leases)
        } else {
            neighbours
        };
        self.never_filtered.insert(leg.dynamic, all);
        all
    }

    /// What S17 accepts at an input.
    pub(super) fn neighbours(&mut self) -> PacketSet {
        self.neighbourly(&[(130, 130)])
    }

    /// Packets of the families that a leg has addresses of.
    fn carried(&mut self, leg: &Leg) -> PacketSet {
        let carried = Family::BOTH.into_iter().filter(|family| leg.carries(self.site, *family));
        let sets = carried.map(|family| self.space.family(family)).collect();
        self.space.any(sets)
    }

    /// What they accept at its output: whoever hears it, it is the machine's own housekeeping, and no arrival either.
    pub(super) fn never_filtered_out(&mut self, leg: &Leg) -> PacketSet {
        let neighbours = self.neighbourly(&[(131, 132), (143, 143)]);
        let untracked = self.space.ct(&[CtState::Untracked]);
        let mut all = self.space.and(neighbours, untracked);
        if leg.dynamic {
            let asked = self.udp([(68, 67), (546, 547)]);
            let to_all = self.space.to(&AddrSet::one(IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2))));
            let v4 = self.space.family(Family::V4);
            let to_whom = self.space.or(v4, to_all);
            let asked = self.space.and(asked, to_whom);
            all = self.space.or(all, asked);
        }
        if leg.serves_dhcp {
            let told = self.udp([(67, 68), (547, 546)]);
            let clients = self.clients(leg, Ipv4Addr::BROADCAST);
            let (v4, v6) = (
                self.between(&leg.address_set(), &clients),
                self.between(&AddrSet::net(LINK_LOCAL), &AddrSet::net(LINK_LOCAL)),
            );
            let ends = self.space.or(v4, v6);
            let carried = self.carried(leg);
            let told = self.space.all(vec![told, ends, carried]);
            all = self.space.or(all, told);
        }
        all
    }

    /// Who has a lease of IPv4 by a leg, and who has none yet.
    fn clients(&self, leg: &Leg, without: Ipv4Addr) -> AddrSet {
        let zone = self.site.zone(leg.zone).map(|zone| zone.addrs.of(Family::V4));
        zone.unwrap_or_else(AddrSet::empty).union(&AddrSet::one(IpAddr::V4(without)))
    }

    /// UDP from one port to the other, by the family.
    fn udp(&mut self, ports: [(u128, u128); 2]) -> PacketSet {
        let mut sets = Vec::new();
        for (family, (from, to)) in Family::BOTH.into_iter().zip(ports) {
            let family = self.space.family(family);
            let udp = self.space.proto(Proto::UDP);
            let sport = self.space.is(Field::Sport, from);
            let dport = self.space.is(Field::Dport, to);
            sets.push(self.space.all(vec![family, udp, sport, dport]));
        }
        self.space.any(sets)
    }

    /// Neighbour discovery, and these types of multicast listener discovery (S17).
    pub(super) fn neighbourly(&mut self, listeners: &[(u128, u128)]) -> PacketSet {
        let v6 = self.space.family(Family::V6);
        let icmpv6 = self.space.proto(Proto::ICMPV6);
        let types = self.space.within(Field::IcmpType, &RangeSet::range(133, 136));
        let code = self.space.is(Field::IcmpCode, 0);
        let ttl = self.space.is(Field::Ttl, 255);
        let neighbours = self.space.all(vec![v6, icmpv6, types, code, ttl]);
        let listeners = self.space.within(Field::IcmpType, &RangeSet::from_ranges(listeners.iter().copied()));
        let one = self.space.is(Field::Ttl, 1);
        let listeners = self.space.all(vec![v6, icmpv6, listeners, code, one]);
        self.space.or(neighbours, listeners)
    }
}
