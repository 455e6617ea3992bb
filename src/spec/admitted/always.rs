//! S15 to S18, S81 as sets: what passes whatever the policy says.

use super::AtHook;
use super::allow::Crossing;
use crate::model::{Action, Bridge, Hook, Leg, LegId};
use crate::net::packet::tcp_flag;
use crate::net::space::Field;
use crate::net::{AddrSet, CtState, Family, PacketSet, Proto, RangeSet};

impl AtHook<'_, '_> {
    /// S15: over loopback.
    pub(super) fn itself(&mut self) -> PacketSet {
        let lo = self.space.interface("lo");
        match self.hook {
            Hook::Input => self.space.is(Field::Iif, lo),
            Hook::Output => self.space.is(Field::Oif, lo),
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => PacketSet::NOTHING,
        }
    }

    /// S16, S17, S18, S81.
    pub(super) fn always(&mut self) -> PacketSet {
        let established = self.space.ct(&[CtState::Established]);
        let related = self.related();
        let straight = self.straight();
        let established = self.space.and(established, straight);
        let related = self.space.and(related, straight);
        let untracked = self.untracked();
        let dhcp = self.dhcp();
        let leases = self.leases();
        self.space.any(vec![established, related, untracked, dhcp, leases])
    }

    fn related(&mut self) -> PacketSet {
        let mut kinds = vec![self.errors()];
        let mut denies = self.routes.site.accesses.iter().filter(|a| a.action == Action::Deny);
        if self.hook == Hook::Output && (!self.machine.reject_from.is_empty() || denies.any(|a| a.reject)) {
            let tcp = self.space.proto(Proto::TCP);
            // RST is bit 2: four of every eight values.
            let with_rst =
                tcp_flag::combinations().filter(|flags| flags & 4 != 0).map(|flags| (flags, flags));
            let rst = self.space.within(Field::TcpFlags, &RangeSet::from_ranges(with_rst));
            kinds.push(self.space.and(tcp, rst));
        }
        let kinds = self.space.any(kinds);
        let related = self.space.ct(&[CtState::Related]);
        self.space.and(related, kinds)
    }

    fn untracked(&mut self) -> PacketSet {
        let neighbourly = self.neighbourly();
        let untracked = self.space.ct(&[CtState::Untracked]);
        self.space.and(untracked, neighbourly)
    }

    /// S17, whatever the state; on a bridge in both directions (S40, S41).
    pub(super) fn neighbourly(&mut self) -> PacketSet {
        let mut by = PacketSet::EVERYTHING;
        let mld: &[(u128, u128)] = match self.hook {
            Hook::Input => &[(130, 130)],
            Hook::Output => &[(131, 132), (143, 143)],
            Hook::Bridge => &[(130, 132), (143, 143)],
            Hook::Forward => {
                by = self.between_ports();
                &[(130, 132), (143, 143)]
            }
            Hook::Prerouting | Hook::Postrouting => return PacketSet::NOTHING,
        };
        let neighbour = self.icmp(Family::V6, &[(133, 136)]);
        let far = self.space.is(Field::Ttl, 255);
        let neighbour = self.space.and(neighbour, far);

        let mld = self.icmp(Family::V6, mld);
        let near = self.space.is(Field::Ttl, 1);
        let from = self.space.from(&addrs(&["::/128", "fe80::/10"]));
        let mld = self.space.all(vec![mld, near, from]);

        let either = self.space.or(neighbour, mld);
        let code = self.space.is(Field::IcmpCode, 0);
        self.space.all(vec![by, code, either])
    }

    /// S40: what has a bridge as both interfaces. A hub is none: what it forwards is no frame (S77).
    pub(super) fn between_ports(&mut self) -> PacketSet {
        let mut sets = Vec::new();
        for (leg, _, how) in self.machine.bridges() {
            if *how == Bridge::BrNetfilter {
                sets.push(self.interfaces(Crossing::Through(leg, leg)));
            }
        }
        self.space.any(sets)
    }

    /// S16: ICMP errors, whatever the state.
    pub(super) fn errors(&mut self) -> PacketSet {
        let v4 = self.icmp(Family::V4, &[(3, 3), (11, 12)]);
        let v6 = self.icmp(Family::V6, &[(1, 4)]);
        self.space.or(v4, v6)
    }

    /// S18.
    fn dhcp(&mut self) -> PacketSet {
        let Some(field) = self.own_side() else { return PacketSet::NOTHING };
        let mut sets = Vec::new();
        for (id, leg) in self.machine.legs().filter(|(_, leg)| leg.dynamic) {
            for family in Family::BOTH.into_iter().filter(|f| leg.carries(self.routes.site, *f)) {
                let (server, client) = lease_ports(family);
                let ports = if field == Field::Iif { (server, client) } else { (client, server) };
                let ends = match (field, family) {
                    (Field::Iif, Family::V6) => self.space.from(&addrs(&["fe80::/10"])),
                    (_, Family::V6) => self.space.to(&addrs(&["ff02::1:2/128"])),
                    (_, Family::V4) => PacketSet::EVERYTHING,
                };
                sets.push(self.lease((field, id), family, ports, ends));
            }
        }
        self.space.any(sets)
    }

    /// S81.
    fn leases(&mut self) -> PacketSet {
        let Some(field) = self.own_side() else { return PacketSet::NOTHING };
        let asking = field == Field::Iif;
        let mut sets = Vec::new();
        for (id, leg) in self.machine.legs().filter(|(_, leg)| leg.serves_dhcp) {
            for family in Family::BOTH.into_iter().filter(|f| leg.carries(self.routes.site, *f)) {
                let (server, client) = lease_ports(family);
                let ports = if asking { (client, server) } else { (server, client) };
                let (clients, own) = match family {
                    Family::V4 => (self.clients(leg, asking), leg.address_set()),
                    Family::V6 => (addrs(&["fe80::/10"]), addrs(&["fe80::/10"])),
                };
                let ends = if asking {
                    self.space.from(&clients)
                } else {
                    let (from, to) = (self.space.from(&own), self.space.to(&clients));
                    self.space.and(from, to)
                };
                sets.push(self.lease((field, id), family, ports, ends));
            }
        }
        self.space.any(sets)
    }

    /// The interface that the machine itself is behind: that by which it takes in, or sends.
    fn own_side(&self) -> Option<Field> {
        match self.hook {
            Hook::Input => Some(Field::Iif),
            Hook::Output => Some(Field::Oif),
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => None,
        }
    }

    /// What a client and a server of DHCP say by a leg, from one port to the other.
    fn lease(
        &mut self,
        (field, leg): (Field, LegId),
        family: Family,
        (from, to): (u128, u128),
        ends: PacketSet,
    ) -> PacketSet {
        let parts = vec![
            self.space.ct(&[CtState::New]),
            self.space.family(family),
            self.by(field, leg),
            self.space.proto(Proto::UDP),
            self.space.is(Field::Sport, from),
            self.space.is(Field::Dport, to),
            ends,
        ];
        self.space.all(parts)
    }

    /// Whoever has a lease of IPv4, and who has none yet: as the source of what it asks, the destination of what it is told.
    fn clients(&self, leg: &Leg, asking: bool) -> AddrSet {
        let without = addrs(&[if asking { "0.0.0.0/32" } else { "255.255.255.255/32" }]);
        let zone = self.routes.site.zone(leg.zone);
        zone.map_or(without.clone(), |zone| zone.addrs.of(Family::V4).union(&without))
    }

    pub(super) fn icmp(&mut self, family: Family, types: &[(u128, u128)]) -> PacketSet {
        let proto = if family == Family::V4 { Proto::ICMP } else { Proto::ICMPV6 };
        let parts = vec![
            self.space.family(family),
            self.space.proto(proto),
            self.space.within(Field::IcmpType, &RangeSet::from_ranges(types.iter().copied())),
        ];
        self.space.all(parts)
    }
}

/// The ports of a server of DHCP and of its clients.
fn lease_ports(family: Family) -> (u128, u128) {
    match family {
        Family::V4 => (67, 68),
        Family::V6 => (547, 546),
    }
}

pub(super) fn addrs(nets: &[&str]) -> AddrSet {
    let nets = nets.iter().filter_map(|net| net.parse().ok());
    nets.fold(AddrSet::empty(), |all, net| all.union(&AddrSet::net(net)))
}
