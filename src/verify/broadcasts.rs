//! Addresses that several machines take in, though they look like one machine's: the broadcast address of an IPv4 network,
//! the anycast address of the routers of an IPv6 network (S14, S26).
//!
//! *Input*: the site. *Output*: [`Shared`] addresses, who of a place takes one in, and packets to it where they come.
//! *Design decisions*: a zone stays its networks as written, and rulesets let pass what a statement about it reads, these
//! addresses too. So whoever asks what *may* arrive asks once more, of packets to them alone: they reach everybody on the link they
//! are sent to, and end at whoever forwards and has a leg there, for nobody passes them on (the kernel's `bc_forwarding` is 0,
//! and an anycast address is a router's own).

use std::collections::BTreeSet;

use crate::forwarding::shared::{Shared, addresses, heard_at, of_link, of_site};
use crate::model::{End, Hook, HostId, Leg, Place, Site, ZoneId};
use crate::net::{AddrSet, Family, PacketSet, Proto};
use crate::spec::reading::Readings;

use super::compose::{Network, Start};

/// Like TCP it has two ends: no machine takes in what is broadcast of either (RFC 1122, section 4.2.3.10; RFC 9260, section 8.4).
const SCTP: Proto = Proto(132);

/// The shared addresses of a site that no machine has for its own: whoever takes one in does not answer from it.
#[must_use]
pub fn nobodys_own(site: &Site) -> AddrSet {
    addresses(&of_site(site)).difference(&site.static_addresses())
}

/// Those whose packets a machine does not pass on into a zone: it takes them in itself, or knows them for broadcasts there.
pub(crate) fn kept_from(site: &Site, shared: &[Shared], host: HostId, zone: ZoneId) -> AddrSet {
    let taken = site.host(host).map(|machine| heard_at(shared, machine)).unwrap_or_default();
    taken.union(&of_link(shared, zone))
}

/// Who of a place takes in what is sent to a shared address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Hearer {
    /// A machine with an address of the place in the network.
    Machine(HostId),
    /// Whoever has an address of the place there that we know of nobody: on the link of the zone.
    Nobody(ZoneId),
}

/// Who of a place takes in which of these addresses, but for the machine that an item of `from` is (S13).
pub(crate) fn hearers(
    readings: &Readings<'_>,
    site: &Site,
    shared: &[Shared],
    place: &Place,
    own: Option<HostId>,
) -> Vec<(Hearer, AddrSet)> {
    let to = readings.wide_place(place);
    let mut all: Vec<(Hearer, AddrSet)> = Vec::new();
    let mut put = |hearer: Hearer, heard: AddrSet| {
        if !heard.is_empty() {
            match all.iter_mut().find(|(known, _)| *known == hearer) {
                Some((_, so_far)) => *so_far = so_far.union(&heard),
                None => all.push((hearer, heard)),
            }
        }
    };
    for end in &place.plus {
        let addrs = readings.wide(end).intersection(&to);
        let named = match end {
            End::Host(host) | End::Leg(host, _) => Some(*host),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
        };
        let one = named.and_then(|id| Some((id, site.host(id)?)));
        let machines = one.into_iter().chain(site.hosts().filter(|_| named.is_none()));
        for (id, machine) in machines.filter(|(id, _)| own != Some(*id)) {
            let heard = machine.legs().filter(|(leg, l)| match end {
                End::Leg(_, of) => *of == *leg,
                End::Host(_) => true,
                End::Zone(_) | End::Addrs(_) | End::Anywhere => {
                    l.addresses.iter().any(|addr| addrs.contains(*addr))
                }
            });
            for (_, leg) in heard {
                let of_leg = if named.is_some() { readings.wide_leg(leg) } else { leg.address_set() };
                let theirs = of_leg.intersection(&addrs);
                if theirs.is_empty() {
                    continue;
                }
                let meant = |one: &&Shared| one.is_heard(machine, leg) && !theirs.is_disjoint(&one.network());
                put(Hearer::Machine(id), addresses(shared.iter().filter(meant)));
            }
        }
        if by_address(end) {
            // Who forwards is known; and where the address itself is of the place and nobody's, it has arrived as any other.
            let meant = |one: &&Shared| {
                one.addr.is_ipv4() && (!to.contains(one.addr) || readings.known().contains(one.addr))
            };
            for one in shared.iter().filter(meant) {
                let others = addrs.intersection(&one.network()).difference(readings.known());
                if !others.is_empty() {
                    put(Hearer::Nobody(one.zone), AddrSet::one(one.addr));
                }
            }
        }
    }
    all
}

/// Whether what starts in these zones can come to somebody who takes it in: who has one leg and forwards nothing hears the
/// link of that alone, and nobody routes a broadcast there.
pub(crate) fn may_hear(site: &Site, hearer: &Hearer, near: &BTreeSet<ZoneId>) -> bool {
    match hearer {
        Hearer::Nobody(zone) => near.contains(zone),
        Hearer::Machine(host) => site.host(*host).is_some_and(|machine| {
            let near = |leg: &Leg| near.contains(&leg.zone);
            machine.forwards() || machine.legs.len() > 1 || machine.legs.iter().any(near)
        }),
    }
}

fn by_address(end: &End) -> bool {
    match end {
        End::Zone(_) | End::Addrs(_) | End::Anywhere => true,
        End::Host(_) | End::Leg(..) => false,
    }
}

impl Network<'_> {
    /// Packets from these places to these shared addresses.
    pub(crate) fn sent_to_shared(
        &mut self,
        starts: &[(Start, PacketSet)],
        to: &AddrSet,
    ) -> Vec<(Start, PacketSet)> {
        let mut all = Vec::new();
        for (start, set) in starts {
            // Its own anycast address a machine keeps to itself.
            let own = match start {
                Start::Leg(host, _) => self.taken_by(*host).of(Family::V6),
                Start::Zone(_) => AddrSet::empty(),
            };
            let to = self.space.to(&to.difference(&own));
            let set = self.space.and(*set, to);
            if set != PacketSet::NOTHING {
                all.push((start.clone(), set));
            }
        }
        all
    }

    /// Of packets to shared addresses, those of protocols that are taken in so.
    pub(super) fn not_for_one(&mut self, set: PacketSet) -> PacketSet {
        let v4 = self.space.family(Family::V4);
        let (tcp, sctp) = (self.space.proto(Proto::TCP), self.space.proto(SCTP));
        let sctp = self.space.and(v4, sctp);
        let set = self.space.minus(set, tcp);
        self.space.minus(set, sctp)
    }

    /// The shared addresses that a machine takes in.
    pub(crate) fn taken_by(&mut self, host: HostId) -> AddrSet {
        let (site, shared) = (self.site, &self.shared);
        let taken = || site.host(host).map(|machine| heard_at(shared, machine)).unwrap_or_default();
        self.taken.entry(host).or_insert_with(taken).clone()
    }

    /// Whether somebody may take in what is sent to a shared address: nothing of ours keeps it from him, or a rule lets it in.
    pub(crate) fn takes_shared(&mut self, hearer: &Hearer) -> bool {
        let site = self.site;
        let Hearer::Machine(host) = hearer else { return true };
        let Some(machine) = site.host(*host).filter(|machine| machine.filters()) else { return true };
        if let Some(known) = self.takes_shared.get(host) {
            return *known;
        }
        let addrs = self.taken_by(*host);
        let to = self.space.to(&addrs);
        let mut takes = false;
        for (leg_id, leg) in machine.legs() {
            let base = self.never_filtered(leg);
            for way in self.ways(*host, Hook::Input, Some(leg_id), None) {
                let taken = self.space.and(way.gate, to);
                takes |= self.space.minus(taken, base) != PacketSet::NOTHING;
            }
        }
        self.takes_shared.insert(*host, takes);
        takes
    }
}
