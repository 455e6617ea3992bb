//! What the gateway of a vpc does to addresses, for all packets that pass it (S57).
//!
//! *Input*: the site. *Output*: [`Gateway`]s, and packets as they leave them. *Design decisions*: the policy speaks of private
//! addresses, and a statement about the zone behind a gateway admits the public ones that are in it. So what nobody may send by
//! the one may be sent by the other, and whoever asks what *may* arrive (S26) asks for both: here a gateway is a machine that
//! translates, both ways, also for what turns round at it. What leaves without a public address has that of something which
//! the policy does not know (a NAT gateway, a load balancer): a public address of the zone beyond that no statement names, unless
//! [`Network::leave_by_any`] says otherwise.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use crate::model::{End, HostId, Place, Role, Site, Vpc, ZoneId};
use crate::net::{AddrRange, AddrSet, Family, Field, Packet, PacketSet};

use super::compose::Network;
use super::translate::{Entry, Kind};

/// A vpc's gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// The zone behind it.
    pub(crate) outside: ZoneId,
    /// What it puts for what.
    known: Vec<Known>,
    /// By what leaves it whatever has no public address: addresses that no statement names.
    unnamed: AddrSet,
    /// Of those one that each statement about most of the zone speaks of, and any.
    some: Vec<IpAddr>,
    /// The same, whoever names them.
    any: AddrSet,
    /// All public addresses of it, and the IPv4 addresses of the vpc that may have none.
    public: AddrSet,
    others: AddrSet,
    /// Destinations beyond it at which nobody looks who sends: nobody's in the zone, and those to which no public address leads.
    unseen: AddrSet,
}

/// An address of a leg, and the one that stands for it: of a leg whose address nobody knows one of several for one of several.
#[derive(Clone, Debug)]
struct Known {
    /// Whose.
    of: HostId,
    /// As the world has it.
    public: AddrSet,
    /// The same, one by one.
    publics: Vec<IpAddr>,
    /// As the leg has it.
    private: AddrSet,
    /// Of that some that statements tell apart.
    some: Vec<IpAddr>,
}

/// The gateways of a site, by the machine of their vpc.
pub(crate) fn gateways(site: &Site) -> BTreeMap<HostId, Gateway> {
    let mut all = BTreeMap::new();
    if site.vpcs.iter().all(|vpc| vpc.gateway.is_none()) {
        return all;
    }
    let named = named(site);
    let legs = || site.hosts.iter().flat_map(|host| &host.legs);
    let somebodys = one_by_one(legs().flat_map(|leg| leg.addresses.iter().chain(&leg.public)));
    let blocks = site.vpcs.iter().fold(never_public(), |all, vpc| all.union(&vpc.block));
    for (vpc, outside) in site.vpcs.iter().filter_map(|vpc| Some((vpc, vpc.gateway?))) {
        let known = known(site, vpc, &named);
        let beyond = site.zone(outside).map(|zone| zone.addrs.clone()).unwrap_or_default();
        let any = beyond.of(Family::V4).difference(&never_public());
        // Who speaks of most of them speaks of whoever is there, and names nobody.
        let names = |set: &&AddrSet| size(&set.intersection(&any)) <= size(&any) / 2;
        let (named, most): (Vec<&AddrSet>, Vec<&AddrSet>) = named.iter().partition(names);
        let unnamed = without_most(&any, &named);
        let some = some_of(&unnamed, most.into_iter());
        let public = known.iter().fold(AddrSet::empty(), |all, one| all.union(&one.public));
        // One whose address nobody knows has the public one beside others of its zone that have none.
        let sure = known.iter().filter(|one| is_one(&one.private));
        let private = sure.fold(AddrSet::empty(), |all, one| all.union(&one.private));
        let others = vpc.block.of(Family::V4).difference(&private);
        // Where some machine there has an address that nobody knows, any may be its.
        let machines = site.hosts.iter().filter(|host| host.role != Role::Vpc);
        let unsure = machines.flat_map(|host| &host.legs).any(|leg| leg.zone == outside && leg.dynamic);
        let nobodys = if unsure { AddrSet::empty() } else { beyond.difference(&somebodys) };
        let unseen = nobodys.union(&blocks);
        all.insert(vpc.machine, Gateway { outside, known, unnamed, some, any, public, others, unseen });
    }
    all
}

/// Addresses of a set: one that each of these speaks of, and any.
fn some_of<'a>(set: &AddrSet, these: impl Iterator<Item = &'a AddrSet>) -> Vec<IpAddr> {
    let parts = these.map(|one| set.intersection(one)).chain([set.clone()]);
    let mut some = Vec::new();
    for first in parts.filter_map(|part| Some(part.ranges().next()?.first_addr())) {
        if !some.contains(&first) {
            some.push(first);
        }
    }
    some
}

fn one_by_one<'a>(addrs: impl Iterator<Item = &'a IpAddr>) -> AddrSet {
    AddrSet::from_ranges(addrs.map(|addr| AddrRange::one(*addr)))
}

/// The addresses of a vpc that are known by another.
fn known(site: &Site, vpc: &Vpc, named: &[AddrSet]) -> Vec<Known> {
    let mut all = Vec::new();
    let owned = one_by_one(site.hosts.iter().flat_map(|host| &host.legs).flat_map(|leg| &leg.addresses));
    let legs = site.hosts().flat_map(|(of, host)| host.legs.iter().map(move |leg| (of, leg)));
    for (of, leg) in legs.filter(|(_, leg)| vpc.zones.contains(&leg.zone)) {
        for family in Family::BOTH {
            let in_family = |addrs: &[IpAddr]| -> Vec<IpAddr> {
                addrs.iter().copied().filter(|addr| Family::of(*addr) == family).collect()
            };
            let public = in_family(&leg.public);
            if leg.dynamic && !public.is_empty() {
                let zone = site.zone(leg.zone).map(|zone| zone.addrs.of(family)).unwrap_or_default();
                let private = zone.difference(&owned);
                let some = some_of(&private, named.iter());
                all.push(Known { of, public: one_by_one(public.iter()), publics: public, private, some });
                continue;
            }
            let pairs = public.into_iter().zip(in_family(&leg.addresses));
            all.extend(pairs.map(|(public, private)| Known {
                of,
                public: AddrSet::one(public),
                publics: vec![public],
                private: AddrSet::one(private),
                some: vec![private],
            }));
        }
    }
    all
}

/// The addresses that statements name, and those of machines that we know: few first.
fn named(site: &Site) -> Vec<AddrSet> {
    let of_place = |place: &Place| -> Vec<AddrSet> {
        let ends = place.plus.iter().chain(&place.except);
        let addrs = ends.filter_map(|end| match end {
            End::Addrs(addrs) => Some(AddrSet::clone(addrs)),
            End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => None,
        });
        addrs.collect()
    };
    let mut sets: BTreeSet<Vec<AddrRange>> = BTreeSet::new();
    for access in &site.accesses {
        let places = [&access.from, &access.to];
        sets.extend(places.into_iter().flat_map(of_place).map(|set| set.ranges().collect()));
    }
    let legs = site.hosts.iter().flat_map(|host| &host.legs);
    let ours = one_by_one(legs.flat_map(|leg| leg.addresses.iter().chain(&leg.public)));
    let mut all: Vec<AddrSet> = sets.into_iter().map(AddrSet::from_ranges).chain([ours]).collect();
    all.sort_by_key(size);
    all
}

fn is_one(set: &AddrSet) -> bool {
    size(set) == 1
}

fn size(set: &AddrSet) -> u128 {
    let sizes = set.ranges().map(|range| range.last.saturating_sub(range.first).saturating_add(1));
    sizes.fold(0, u128::saturating_add)
}

/// What is left of a set without as many of these, from the first on, as leave anything.
fn without_most(set: &AddrSet, these: &[&AddrSet]) -> AddrSet {
    let without = |many: usize| {
        let ranges = these.iter().take(many).flat_map(|these| these.ranges());
        set.difference(&AddrSet::from_ranges(ranges))
    };
    // Whoever takes away more leaves less: the first number that leaves nothing is found by halves.
    let (mut least, mut most) = (0usize, these.len());
    while least < most {
        let half = most.saturating_sub(most.saturating_sub(least) / 2);
        if without(half).is_empty() {
            most = half.saturating_sub(1);
        } else {
            least = half;
        }
    }
    without(least)
}

/// IPv4 addresses by which nothing is known in the Internet (RFC 6890).
fn never_public() -> AddrSet {
    let nets: [([u8; 4], u8); 8] = [
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([224, 0, 0, 0], 3),
    ];
    let ranges = nets.into_iter().filter_map(|(first, length)| {
        ipnet::IpNet::new(Ipv4Addr::from(first).into(), length).ok().map(AddrRange::net)
    });
    AddrSet::from_ranges(ranges)
}

impl Gateway {
    /// The addresses for which it puts others.
    pub(crate) fn public(&self) -> &AddrSet {
        &self.public
    }

    /// The addresses by which legs that have some of these are known beyond it.
    pub(crate) fn public_of(&self, private: &AddrSet) -> AddrSet {
        let theirs = self.known.iter().filter(|known| !known.private.is_disjoint(private));
        theirs.fold(AddrSet::empty(), |all, known| all.union(&known.public))
    }

    /// One packet from one zone of this gateway's machine to another: as it may leave it, untranslated first.
    pub(crate) fn across(&self, (came, goes): (ZoneId, ZoneId), packet: &Packet) -> Vec<Packet> {
        let made_public = |packet: &Packet| -> Vec<Packet> {
            let own = self.known.iter().filter(|known| known.private.contains(packet.src));
            let own = own.flat_map(|known| known.publics.iter().copied());
            let some = if self.others.contains(packet.src) { self.some.as_slice() } else { &[] };
            own.chain(some.iter().copied()).map(|src| Packet { src, ..packet.clone() }).collect()
        };
        if goes == self.outside {
            let seen = if self.unseen.contains(packet.dst) { Vec::new() } else { made_public(packet) };
            return [packet.clone()].into_iter().chain(seen).collect();
        }
        let known = self.known.iter().find(|known| known.public.contains(packet.dst));
        let Some(known) = known else { return vec![packet.clone()] };
        let delivered = known.some.iter().map(|dst| Packet { dst: *dst, ..packet.clone() });
        if came == self.outside {
            return [packet.clone()].into_iter().chain(delivered).collect();
        }
        delivered.flat_map(|packet| made_public(&packet)).collect()
    }
}

impl Network<'_> {
    /// Of packets that start anywhere in a zone, those that are not to a public address of a gateway before it: by S57 the
    /// private one stands for that there, and nothing is sent twice.
    pub(crate) fn stands_for_public(&mut self, zone: ZoneId, set: PacketSet) -> PacketSet {
        let behind = self.gateways.values().filter(|gateway| gateway.outside == zone);
        let public = behind.fold(AddrSet::empty(), |all, gateway| all.union(&gateway.public));
        let to_public = self.space.to(&public);
        self.space.minus(set, to_public)
    }

    /// The addresses by which legs that have some of these are known elsewhere.
    pub(crate) fn public_of(&self, private: &AddrSet) -> AddrSet {
        let all = self.gateways.values().map(|gateway| gateway.public_of(private));
        all.fold(AddrSet::empty(), |all, public| all.union(&public))
    }

    /// The same of legs whose address is one of these, whichever it is.
    pub(crate) fn public_within(&self, private: &AddrSet) -> AddrSet {
        let known = self.gateways.values().flat_map(|gateway| &gateway.known);
        let theirs = known.filter(|known| known.private.is_subset(private));
        theirs.fold(AddrSet::empty(), |all, known| all.union(&known.public))
    }

    /// Whether it makes a difference by which address that which has no public one leaves its vpc.
    pub(crate) fn leaves_unnamed(&self) -> bool {
        self.gateways.values().any(|gateway| !gateway.others.is_empty() && gateway.unnamed != gateway.any)
    }

    /// Packets of a kind that were sent to a public address of a leg whose private one nobody knows, and are for another machine
    /// than this one: whatever destination they have now, it is not its own. What an owner that forwards or shares out makes of
    /// them may be anybody's.
    pub(crate) fn for_another(&mut self, host: Option<HostId>, kind: Kind) -> PacketSet {
        let site = self.site;
        let keeps = |owner: HostId| {
            !site.is_director(owner) && site.host(owner).is_some_and(|machine| !machine.forwards())
        };
        let known = self.gateways.values().flat_map(|gateway| &gateway.known);
        let unsure =
            |known: &&Known| kind.dst && Some(known.of) != host && keeps(known.of) && !is_one(&known.private);
        let public = known.filter(unsure).fold(AddrSet::empty(), |all, known| all.union(&known.public));
        self.space.address(Field::SentDst, &public)
    }

    /// From now on what has no public address leaves its vpc by any that the zone beyond has, or by one that no statement names.
    pub(crate) fn leave_by_any(&mut self, any: bool) {
        self.by_any = any;
        self.forget_what_was_reached();
    }

    /// Packets from one zone of a gateway's machine to another, as they leave it.
    pub(crate) fn across(
        &mut self,
        gateway: &Gateway,
        (came, goes): (ZoneId, ZoneId),
        set: PacketSet,
        kind: Kind,
    ) -> Vec<(PacketSet, Kind)> {
        let public = self.space.to(&gateway.public);
        let public = self.space.and(set, public);
        let mut all = Vec::new();
        if goes == gateway.outside {
            // What is not IPv4, or goes by a gateway that translates nothing, is as it was.
            all.push((set, kind));
            let unseen = self.space.to(&gateway.unseen);
            let seen = self.space.minus(set, unseen);
            all.extend(self.made_public(gateway, seen, kind));
        } else {
            let plain = self.space.minus(set, public);
            let whole = if came == gateway.outside { set } else { plain };
            all.push((whole, kind));
            if public != PacketSet::NOTHING {
                let (delivered, as_delivered) = self.delivered(gateway, public, kind);
                if came == gateway.outside {
                    all.push((delivered, as_delivered));
                } else {
                    all.extend(self.made_public(gateway, delivered, as_delivered));
                }
            }
        }
        all.retain(|(set, _)| *set != PacketSet::NOTHING);
        all
    }

    /// Packets to public addresses, to the private ones.
    fn delivered(&mut self, gateway: &Gateway, set: PacketSet, kind: Kind) -> (PacketSet, Kind) {
        let mut sets = Vec::new();
        for known in &gateway.known {
            let (public, private) = (self.space.to(&known.public), self.space.to(&known.private));
            let theirs = self.space.and(set, public);
            let theirs = self.space.rename(Field::Dst, Field::OrigDst, theirs);
            sets.push(self.space.and(theirs, private));
        }
        let set = self.space.any(sets);
        self.left(Entry::Translated { port: false }, set, kind)
    }

    /// Packets from private addresses, from the public ones.
    fn made_public(&mut self, gateway: &Gateway, set: PacketSet, kind: Kind) -> Option<(PacketSet, Kind)> {
        let mut sets = Vec::new();
        for known in &gateway.known {
            let private = self.space.from(&known.private);
            let theirs = self.space.and(set, private);
            if theirs != PacketSet::NOTHING {
                sets.push(self.masked_as(&known.public, theirs, kind).0);
            }
        }
        let others = self.space.from(&gateway.others);
        let others = self.space.and(set, others);
        let by = if self.by_any { &gateway.any } else { &gateway.unnamed };
        if others != PacketSet::NOTHING && !by.is_empty() {
            sets.push(self.masked_as(by, others, kind).0);
        }
        let set = self.space.any(sets);
        (set != PacketSet::NOTHING).then_some((set, Kind { src: true, ..kind }))
    }
}
