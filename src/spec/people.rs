//! Who may log in where, and open what through it: S62, one question at a time.

use std::net::IpAddr;

use super::{Here, Spec};
use crate::model::{Access, Action, Hook, HostId, LegId, PersonId};
use crate::net::{Interface, Packet, Proto};

/// A port of those a client is given, which no service asks for.
const CLIENT_PORT: u16 = 40_000;

impl Spec<'_> {
    /// Whether a person may log in to a machine from an address, at an instant.
    #[must_use]
    pub fn may_log_in(&self, person: PersonId, host: HostId, src: IpAddr, time: u64) -> bool {
        let Some(machine) = self.site.host(host).filter(|machine| machine.sshd.is_some()) else {
            return false;
        };
        let port = machine.ssh_port;
        self.lives(person, time)
            && self.own_packets(host, Hook::Input, src, time).any(|(mut packet, own)| {
                (packet.dst, packet.dport) = (own, port);
                let here =
                    Here { spec: self, host, machine, hook: Hook::Input, across: None, packet: &packet };
                self.naming(person).any(|access| here.allows(access)) && !here.is_own(src)
            })
    }

    /// Whether a person may open an address and a port through a machine, at an instant.
    #[must_use]
    pub fn may_open(&self, person: PersonId, host: HostId, (dst, port): (IpAddr, u16), time: u64) -> bool {
        let Some(machine) = self.site.host(host).filter(|machine| machine.sshd.is_some()) else {
            return false;
        };
        let uid = self.site.uid_at(host, person);
        self.lives(person, time)
            && self.own_packets(host, Hook::Output, dst, time).any(|(mut packet, own)| {
                (packet.src, packet.dst, packet.dport, packet.skuid) = (own, dst, port, uid);
                let here =
                    Here { spec: self, host, machine, hook: Hook::Output, across: None, packet: &packet };
                let mut jumps = self.naming(person).filter(|access| self.site.jumps_from(access, host));
                let mut denies = self.site.accesses.iter().filter(|access| access.action == Action::Deny);
                jumps.any(|access| here.allows(access))
                    && !denies.any(|deny| here.denies(&Access { until: None, ..deny.clone() }))
                    && !here.is_own(dst)
            })
    }

    fn lives(&self, person: PersonId, time: u64) -> bool {
        self.site.person(person).is_some_and(|person| person.until.is_none_or(|end| time < end))
    }

    fn naming(&self, person: PersonId) -> impl Iterator<Item = &Access> {
        let allows = self.site.accesses.iter().filter(|access| access.action == Action::Allow);
        allows.filter(move |access| access.people.contains(&person))
    }

    /// A new TCP packet at each leg of a machine, with each address that the leg may have in the other's family.
    fn own_packets(
        &self,
        host: HostId,
        hook: Hook,
        other: IpAddr,
        time: u64,
    ) -> impl Iterator<Item = (Packet, IpAddr)> {
        let machine = self.site.host(host);
        let legs = machine.into_iter().flat_map(|machine| machine.legs());
        legs.flat_map(move |(id, leg)| {
            let zone = self.site.zone(leg.zone).filter(|_| leg.dynamic);
            let any = zone.and_then(|zone| zone.addrs.of(crate::net::Family::of(other)).ranges().next());
            let own = leg.addresses.iter().copied().chain(any.map(|range| range.first_addr()));
            let own = own.filter(move |own| own.is_ipv4() == other.is_ipv4());
            own.map(move |own| (self.by_leg(host, id, hook, other, time), own)).collect::<Vec<_>>()
        })
    }

    fn by_leg(&self, host: HostId, leg: LegId, hook: Hook, other: IpAddr, time: u64) -> Packet {
        let mut packet = Packet::new(other, other, Proto::TCP, CLIENT_PORT, 0);
        let name = self.site.leg(host, leg).and_then(|leg| leg.interface.clone());
        let by = Interface::named(name.unwrap_or_else(|| "eth0".to_owned()));
        if hook == Hook::Input {
            packet.iif = by;
        } else {
            packet.oif = by;
        }
        packet.time = time;
        packet
    }
}

impl Here<'_> {
    /// S13.
    fn is_own(&self, addr: IpAddr) -> bool {
        self.machine.legs.iter().any(|leg| leg.addresses.contains(&addr))
    }
}
