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

use crate::model::{End, HostId, Place, Public, Role, Site, Vpc, ZoneId};
use crate::net::{AddrRange, AddrSet, Family, Field, Packet, PacketSet};

use super::compose::Network;
use super::translate::Kind;

/// A vpc's gateway.
#[derive(Clone, Debug)]
pub(crate) struct Gateway {
    /// The machine that it is.
    machine: HostId,
    /// The zone behind it.
    pub(crate) outside: ZoneId,
    /// The addresses of its vpc.
    block: AddrSet,
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
    /// Destinations beyond it at which nobody looks who sends.
    unseen: AddrSet,
}

/// An address of a leg, and the one that stands for it: where nothing says which, one of several for one of several.
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
    /// Whether the leg has another, which nobody knows.
    unknown: bool,
}

/// Gateways, by the machine of their vpc.
pub(crate) type Gateways = BTreeMap<HostId, Gateway>;

/// What was put for what, all of it: by the gateway, the field in which stands what was there, and whether what has no public
/// address leaves by any.
pub(crate) type PutFor = BTreeMap<(HostId, Field, bool), PacketSet>;

/// The gateways of a site.
pub(crate) fn gateways(site: &Site) -> Gateways {
    let mut all = BTreeMap::new();
    if site.vpcs.iter().all(|vpc| vpc.gateway.is_none()) {
        return all;
    }
    let named = named(site);
    for (vpc, outside) in site.vpcs.iter().filter_map(|vpc| Some((vpc, vpc.gateway?))) {
        let known = known(site, vpc, &named);
        let beyond = site.zone(outside).map(|zone| zone.addrs.clone()).unwrap_or_default();
        let any = beyond.of(Family::V4).difference(&never_public());
        // Who speaks of most of them speaks of whoever is there, and names nobody.
        let names = |set: &&AddrSet| size(&set.intersection(&any)) <= size(&any) / 2;
        let (named, most): (Vec<&AddrSet>, Vec<&AddrSet>) = named.iter().partition(names);
        let unnamed = without_most(&any, &named);
        let some = some_of(&unnamed, most.into_iter());
        let public = AddrSet::from_ranges(known.iter().flat_map(|one| one.public.ranges()));
        // One whose address nobody knows has the public one beside others of its zone that have none.
        let sure = known.iter().filter(|one| is_one(&one.private));
        let private = AddrSet::from_ranges(sure.flat_map(|one| one.private.ranges()));
        let others = vpc.block.of(Family::V4).difference(&private);
        let unseen = unseen(site, vpc, outside);
        let (machine, block) = (vpc.machine, vpc.block.clone());
        let gateway = Gateway { machine, outside, block, known, unnamed, some, any, public, others, unseen };
        all.insert(machine, gateway);
    }
    all
}

/// Destinations beyond the gateway of a vpc at which nobody looks who sends: nobody's in the zone behind it, those to which nothing
/// leads from there, and groups, which are heard on the link of their sender alone (S14).
fn unseen(site: &Site, vpc: &Vpc, outside: ZoneId) -> AddrSet {
    let zone = site.zone(outside);
    let beyond = zone.map(|zone| zone.addrs.clone()).unwrap_or_default();
    // Where some machine there has an address that nobody knows, any may be its; and who joins the ports of a bridge there
    // looks at whatever passes between them.
    let machines = site.hosts.iter().filter(|host| host.role != Role::Vpc);
    let unsure = machines.flat_map(|host| &host.legs).any(|leg| leg.zone == outside && leg.dynamic);
    let any = unsure || site.bridge_of(outside).is_some();
    let legs = || site.hosts.iter().flat_map(|host| &host.legs);
    let public = legs().flat_map(|leg| leg.public.iter().map(|public| &public.address));
    let somebodys = one_by_one(legs().flat_map(|leg| &leg.addresses).chain(public));
    // Zones of ours in no vpc may be reached from there, whatever their addresses.
    let of_vpcs: BTreeSet<ZoneId> = site.vpcs.iter().flat_map(|vpc| vpc.zones.iter().copied()).collect();
    let others = site.zones().filter(|(id, _)| *id != outside && !of_vpcs.contains(id));
    let seen = others.fold(somebodys, |all, (_, zone)| all.union(&zone.addrs));
    let seen = if any { seen.union(&beyond) } else { seen };
    // In the Internet no private address of a vpc leads to it; in a network of one's own that of another may.
    let internet = zone.is_some_and(|zone| zone.rest);
    let blocks = site.vpcs.iter().filter(|of| internet || of.machine == vpc.machine);
    let blocks = blocks.fold(AddrSet::empty(), |all, vpc| all.union(&vpc.block));
    let nobodys = beyond.union(&never_public()).difference(&seen);
    nobodys.difference(&all_blocks(site)).union(&blocks).union(&groups())
}

fn all_blocks(site: &Site) -> AddrSet {
    site.vpcs.iter().fold(AddrSet::empty(), |all, vpc| all.union(&vpc.block))
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
            let of_family = |public: &&Public| Family::of(public.address) == family;
            let public: Vec<&Public> = leg.public.iter().filter(of_family).collect();
            if leg.dynamic && !public.is_empty() {
                let publics: Vec<IpAddr> = public.iter().map(|public| public.address).collect();
                let zone = site.zone(leg.zone).map(|zone| zone.addrs.of(family)).unwrap_or_default();
                let private = zone.difference(&owned);
                let some = some_of(&private, named.iter());
                let public = one_by_one(publics.iter());
                all.push(Known { of, public, publics, private, some, unknown: true });
                continue;
            }
            all.extend(public.into_iter().map(|public| Known {
                of,
                public: AddrSet::one(public.address),
                publics: vec![public.address],
                private: one_by_one(public.stands_for.iter()),
                some: public.stands_for.clone(),
                unknown: false,
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
    let ours = one_by_one(
        legs.flat_map(|leg| leg.addresses.iter().chain(leg.public.iter().map(|public| &public.address))),
    );
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
    addresses_of(&[
        ([0, 0, 0, 0], 8),
        ([10, 0, 0, 0], 8),
        ([100, 64, 0, 0], 10),
        ([127, 0, 0, 0], 8),
        ([169, 254, 0, 0], 16),
        ([172, 16, 0, 0], 12),
        ([192, 168, 0, 0], 16),
        ([224, 0, 0, 0], 3),
    ])
}

/// IPv4 addresses of groups.
fn groups() -> AddrSet {
    addresses_of(&[([224, 0, 0, 0], 4)])
}

fn addresses_of(nets: &[([u8; 4], u8)]) -> AddrSet {
    let ranges = nets.iter().filter_map(|(first, length)| {
        ipnet::IpNet::new(Ipv4Addr::from(*first).into(), *length).ok().map(AddrRange::net)
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

/// What is taken for granted of a source without a public address (S57).
pub(crate) const LEAVING_UNNAMED: &str =
    "what has no public address leaves its vpc by one that no statement names";

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
        let unsure = |known: &&Known| kind.dst && Some(known.of) != host && keeps(known.of) && known.unknown;
        let public = known.filter(unsure).fold(AddrSet::empty(), |all, known| all.union(&known.public));
        self.space.address(Field::SentDst, &public)
    }

    /// From now on what has no public address leaves its vpc by any that the zone beyond has, or by one that no statement names.
    pub(crate) fn leave_by_any(&mut self, any: bool) {
        self.by_any = any;
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
            // What was delivered to an address of the vpc is within it, and does not come out again.
            let within = if kind.dst { self.space.to(&gateway.block) } else { PacketSet::NOTHING };
            let set = self.space.minus(set, within);
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
        (self.put(gateway, Field::Dst, set, kind.dst), Kind { dst: true, ..kind })
    }

    /// Packets from private addresses, from the public ones; their source port may be any.
    fn made_public(&mut self, gateway: &Gateway, set: PacketSet, kind: Kind) -> Option<(PacketSet, Kind)> {
        let private = gateway.known.iter().flat_map(|known| known.private.ranges());
        let private = AddrSet::from_ranges(private).union(&gateway.others);
        let from = self.space.from(&private);
        let set = self.space.and(set, from);
        if set == PacketSet::NOTHING {
            return None;
        }
        let set = if kind.src {
            self.space.forget(Field::Sport, set)
        } else {
            self.space.rename(Field::Sport, Field::SentSport, set)
        };
        let set = self.put(gateway, Field::Src, set, kind.src);
        (set != PacketSet::NOTHING).then_some((set, Kind { src: true, ..kind }))
    }

    /// Packets with an address that a gateway has put for another. What was there is what their sender wrote, unless that is known
    /// already.
    fn put(&mut self, gateway: &Gateway, field: Field, set: PacketSet, known: bool) -> PacketSet {
        let (stood, sent) = match field {
            Field::Src => (Field::OrigSrc, Field::SentSrc),
            _ => (Field::OrigDst, Field::SentDst),
        };
        let before = if known { stood } else { sent };
        let set = self.space.rename(field, before, set);
        let pairs = self.pairs(gateway, field, before);
        let set = self.space.and(set, pairs);
        if known { self.space.forget(before, set) } else { set }
    }

    /// All that a gateway puts, in a field, for what stood there and is in another: each pair of them, once for all packets.
    fn pairs(&mut self, gateway: &Gateway, field: Field, before: Field) -> PacketSet {
        let key = (gateway.machine, before, self.by_any);
        if let Some(known) = self.put_for.get(&key) {
            return *known;
        }
        let mut pairs: Vec<(&AddrSet, &AddrSet)> = Vec::new();
        for known in &gateway.known {
            let outwards = field == Field::Src;
            let (public, private) = (&known.public, &known.private);
            pairs.push(if outwards { (private, public) } else { (public, private) });
        }
        if field == Field::Src {
            pairs.push((&gateway.others, if self.by_any { &gateway.any } else { &gateway.unnamed }));
        }
        let mut sets = Vec::new();
        for (was, is) in pairs {
            let (was, is) = (self.space.address(before, was), self.space.address(field, is));
            sets.push(self.space.and(was, is));
        }
        let set = self.space.any(sets);
        self.put_for.insert(key, set);
        set
    }
}
