//! `expect deny` and `expect only`: nothing arrives, on any path the legs make possible (S26, S27).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::forwarding::shared;
use crate::model::{Bridges, End, Expect, Expected, Hook, HostId, Place, Role, Site, Zone, ZoneId};
use crate::net::{AddrRange, AddrSet, Exhausted, Field, Packet, PacketSet};
use crate::spec::reading::Readings;

use super::broadcasts::{self, Hearer};
use super::compose::{Bound, Network, Reached, Spot, Start};
use super::translate::Kind;
use super::{groups, interfaces, terms};

/// A packet that arrives though none may, with the item of `from` it started at.
pub(crate) struct Arrival {
    /// The item it was read by.
    pub(crate) from: End,
    /// As its sender wrote it.
    pub(crate) packet: Packet,
    /// Whether it is to an address that several machines take in.
    pub(crate) shared: bool,
}

/// What an expectation forbids, from some items of its `from`.
struct Forbidden<'e> {
    /// The machine that the item is.
    own: Option<HostId>,
    /// The sources of the items.
    src: &'e AddrSet,
    /// Whom it may not come to.
    to: &'e Towards,
    /// The services.
    what: PacketSet,
}

/// What an expectation speaks of, whoever sends it: read once for all senders.
pub(crate) struct Towards {
    /// The addresses.
    addrs: AddrSet,
    /// Who has them.
    items: Vec<Item>,
    /// Who of them takes in what is sent to which address that several machines take in.
    hearers: Vec<(Hearer, AddrSet)>,
    what: PacketSet,
    direct: bool,
}

/// An item of a `to`, by who takes in what is sent there.
struct Item {
    /// Machines, with what is for them.
    machines: Vec<(HostId, PacketSet)>,
    /// Zones in which nobody we know has the rest, with what is for it.
    zones: Vec<(ZoneId, PacketSet)>,
}

impl Towards {
    /// What an expectation speaks of, but for what comes to a machine that sends it itself.
    pub(crate) fn of(network: &mut Network<'_>, expect: &Expect, own: Option<HostId>) -> Self {
        let what = terms::set(&mut network.space, &expect.terms);
        Self::with(network, expect, own, what)
    }

    fn with(network: &mut Network<'_>, expect: &Expect, own: Option<HostId>, what: PacketSet) -> Self {
        let (site, readings, shared) = (network.site, &network.readings, &network.shared);
        let addrs = readings.wide_place(&expect.to);
        let hearers = broadcasts::hearers(readings, site, shared, &expect.to, own);
        let items = expect.to.plus.iter().map(|item| Item::of(network, item)).collect();
        Self { addrs, items, hearers, what, direct: expect.direct }
    }
}

/// Packets on their way, and what machines take in of them.
struct Underway<'r> {
    reached: &'r Reached,
    /// Whatever it is for, where many are asked about the same packets.
    taken: Option<&'r mut BTreeMap<(Kind, HostId), PacketSet>>,
}

impl Underway<'_> {
    /// What a machine takes in of what is among some packets then, and is of a kind then.
    fn taken_in(
        &mut self,
        network: &mut Network<'_>,
        kind: Kind,
        host: HostId,
        among: PacketSet,
    ) -> PacketSet {
        let Some(taken) = &mut self.taken else { return taken_in(network, self.reached, kind, host, among) };
        let all = *taken
            .entry((kind, host))
            .or_insert_with(|| taken_in(network, self.reached, kind, host, PacketSet::EVERYTHING));
        network.space.and(all, among)
    }
}

/// A packet that arrives of what the expectation forbids: of the first item of `from` with one.
pub(crate) fn forbidden(
    network: &mut Network<'_>,
    expect: &Expect,
    favourites: &[IpAddr],
) -> Result<Option<Arrival>, Exhausted> {
    let named = terms::set(&mut network.space, &expect.terms);
    let what = match expect.kind {
        Expected::Only => network.space.not(named),
        Expected::Deny | Expected::Allow => named,
    };
    let to = network.readings.wide_place(&expect.to);
    let except = narrowly(&network.readings, &expect.from);
    // What is sent to others may be delivered here, where anything is translated.
    let read_twice = !expect.direct && network.translates();
    let asking = Asking { expect, to, what, except, read_twice };
    // Gateways put many addresses for many. What none of all items together sends, none of them does.
    let all = expect.from.plus.as_slice();
    if all.len() > 1 && !network.gateways.is_empty() && network.asked_about().is_none() {
        let arrives = asking.of(network, all, what, None, favourites)?;
        if arrives.is_none() {
            return Ok(None);
        }
    }
    for from in all {
        let what = network.may_be_sent(from, asking.what);
        let arrives = asking.of(network, std::slice::from_ref(from), what, owner(from), favourites)?;
        if let Some((packet, shared)) = arrives {
            return Ok(Some(Arrival { from: from.clone(), packet, shared }));
        }
    }
    Ok(None)
}

/// A packet that arrives of what an expectation forbids because it was written to a public address (S57).
pub(super) fn by_public(
    network: &mut Network<'_>,
    expect: &Expect,
    favourites: &[IpAddr],
) -> Result<Option<Packet>, Exhausted> {
    let what = terms::set(&mut network.space, &expect.terms);
    let to = network.readings.wide_place(&expect.to);
    let public = network.public_of(&to);
    let except = narrowly(&network.readings, &expect.from);
    for from in expect.from.plus.iter().filter(|_| !public.is_empty()) {
        let mut starts = Vec::new();
        for (start, addrs) in starts_of(network.site, &network.readings, from) {
            let headers = network.between(&addrs.difference(&except), &public);
            starts.push((start, network.space.and(headers, what)));
        }
        let reached = network.reach(&starts);
        let src = network.readings.wide(from).difference(&except);
        let towards = Towards::with(network, expect, owner(from), what);
        let meant = Forbidden { own: owner(from), src: &src, to: &towards, what };
        let itself = to_itself(network);
        let mut underway = Underway { reached: &reached, taken: None };
        for kind in kinds(&reached).into_iter().filter(|kind| kind.dst) {
            let arrived = meant.arrived(network, &mut underway, kind, PacketSet::NOTHING, itself);
            if let Some(packet) = network.space.witness_sent(arrived.written, favourites)? {
                return Ok(Some(packet));
            }
        }
    }
    Ok(None)
}

/// An expectation, read.
struct Asking<'e> {
    expect: &'e Expect,
    to: AddrSet,
    /// What nobody may send.
    what: PacketSet,
    /// Who is not asked about.
    except: AddrSet,
    read_twice: bool,
}

impl Asking<'_> {
    /// A packet that arrives of what items send of these services, from whoever but their own machine; and whether it is to an
    /// address that several machines take in.
    fn of(
        &self,
        network: &mut Network<'_>,
        items: &[End],
        what: PacketSet,
        own: Option<HostId>,
        favourites: &[IpAddr],
    ) -> Result<Option<(Packet, bool)>, Exhausted> {
        let (mut starts, mut sent, mut sources) = (Vec::new(), Vec::new(), AddrSet::empty());
        for from in items {
            for (start, addrs) in starts_of(network.site, &network.readings, from) {
                let src = addrs.difference(&self.except);
                let all = network.space.from(&src);
                sent.push((start.clone(), all));
                let headers = if self.read_twice {
                    all
                } else {
                    let headers = network.between(&src, &self.to.union(&network.public_of(&self.to)));
                    network.space.and(headers, what)
                };
                starts.push((start, headers));
            }
            sources = sources.union(&network.readings.wide(from).difference(&self.except));
        }
        let reached = network.reach(&starts);
        let towards = Towards::with(network, self.expect, own, what);
        let meant = Forbidden { own, src: &sources, to: &towards, what };
        let itself = to_itself(network);
        let found = kinds(&reached);
        // Of many machines it takes its time, and nearly always nothing gets another destination.
        let everybody = found.iter().any(|kind| kind.dst).then(|| Item::of(network, &End::Anywhere));
        let mut underway = Underway { reached: &reached, taken: None };
        for kind in found {
            let anywhere = match everybody.as_ref().filter(|_| kind.dst) {
                Some(everybody) => arriving(network, &mut underway, kind, everybody, own),
                None => PacketSet::NOTHING,
            };
            let arrived = meant.arrived(network, &mut underway, kind, anywhere, itself);
            let headers = network.space.or(arrived.written, arrived.delivered);
            if let Some(packet) = network.space.witness_sent(headers, favourites)? {
                return Ok(Some((packet, false)));
            }
        }
        let hearers = meant.hearers(network, &zones_of(network.site, &sent));
        if hearers.is_empty() {
            return Ok(None);
        }
        let addrs = hearers.iter().fold(AddrSet::empty(), |all, (_, addrs)| all.union(addrs));
        let sent = network.sent_to_shared(&sent, &addrs);
        let reached = network.reach_within(Bound::Shared, &sent);
        let mut underway = Underway { reached: &reached, taken: None };
        for (_, headers) in meant.heard(network, &mut underway, &kinds(&reached), &hearers) {
            if let Some(packet) = network.space.witness_sent(headers, favourites)? {
                return Ok(Some((packet, true)));
            }
        }
        Ok(None)
    }
}

/// What was sent from one item, wherever it may be by now.
pub(crate) struct Sent {
    from: End,
    src: AddrSet,
    starts: Vec<(Start, PacketSet)>,
    /// The zones it starts in.
    zones: BTreeSet<ZoneId>,
    reached: Reached,
    kinds: BTreeSet<Kind>,
    taken: BTreeMap<(Kind, HostId), PacketSet>,
    /// Of packets to addresses that several machines take in, once it was asked for.
    shared: Option<Shared>,
    /// By kind: what of it arrives at all.
    anywhere: BTreeMap<Kind, PacketSet>,
    /// S13: from a machine to itself.
    pub(crate) itself: PacketSet,
}

/// What was sent to addresses that several machines take in.
struct Shared {
    reached: Reached,
    kinds: BTreeSet<Kind>,
    taken: BTreeMap<(Kind, HostId), PacketSet>,
}

/// What arrives.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrived {
    /// Of what was written so by its sender (S35).
    pub(crate) written: PacketSet,
    /// Of what is so where it is delivered: also by an address that several machines take in (S14).
    pub(crate) delivered: PacketSet,
}

impl Sent {
    /// From an item, less some addresses.
    pub(crate) fn of(network: &mut Network<'_>, from: &End, except: &AddrSet) -> Self {
        let starts = starts_of(network.site, &network.readings, from);
        let starts = starts.into_iter().map(|(start, addrs)| (start, addrs.difference(except))).collect();
        let src = network.readings.wide(from).difference(except);
        Self::by(network, from, src, starts)
    }

    /// With these sources, from these places alone.
    pub(crate) fn by(
        network: &mut Network<'_>,
        from: &End,
        src: AddrSet,
        starts: Vec<(Start, AddrSet)>,
    ) -> Self {
        let mut sets = Vec::new();
        for (start, addrs) in starts {
            sets.push((start, network.space.from(&addrs)));
        }
        let (reached, itself) = (network.reach(&sets), to_itself(network));
        Self {
            from: from.clone(),
            src,
            zones: zones_of(network.site, &sets),
            starts: sets,
            kinds: kinds(&reached),
            reached,
            taken: BTreeMap::new(),
            shared: None,
            anywhere: BTreeMap::new(),
            itself,
        }
    }

    /// What arrives of what an expectation speaks of: by what of it is not as it was sent.
    pub(crate) fn arrivals(&mut self, network: &mut Network<'_>, to: &Towards) -> Vec<(Kind, Arrived)> {
        let src = self.src.clone();
        let meant = Forbidden { own: owner(&self.from), src: &src, to, what: to.what };
        let (itself, mut all) = (self.itself, Vec::new());
        for kind in self.kinds.clone() {
            // What was written for others and is delivered elsewhere arrives all the same.
            let anywhere = if kind.dst { self.anywhere(network, kind) } else { PacketSet::NOTHING };
            let mut underway = Underway { reached: &self.reached, taken: Some(&mut self.taken) };
            all.push((kind, meant.arrived(network, &mut underway, kind, anywhere, itself)));
        }
        let hearers = meant.hearers(network, &self.zones);
        if !hearers.is_empty() {
            let shared = self.shared.get_or_insert_with(|| {
                let all = shared::addresses(&network.shared);
                let sent = network.sent_to_shared(&self.starts, &all);
                let reached = network.reach_within(Bound::Shared, &sent);
                Shared { kinds: kinds(&reached), reached, taken: BTreeMap::new() }
            });
            let mut underway = Underway { reached: &shared.reached, taken: Some(&mut shared.taken) };
            for (kind, heard) in meant.heard(network, &mut underway, &shared.kinds, &hearers) {
                let nothing = (kind, Arrived { written: PacketSet::NOTHING, delivered: PacketSet::NOTHING });
                let at = all.iter().position(|(of, _)| *of == kind).unwrap_or(all.len());
                if at == all.len() {
                    all.push(nothing);
                }
                if let Some((_, arrived)) = all.get_mut(at) {
                    // What was not translated is one set.
                    let same = arrived.written == arrived.delivered;
                    arrived.delivered = network.space.or(arrived.delivered, heard);
                    arrived.written = if same { arrived.delivered } else { arrived.written };
                }
            }
        }
        all
    }

    fn anywhere(&mut self, network: &mut Network<'_>, kind: Kind) -> PacketSet {
        if let Some(known) = self.anywhere.get(&kind) {
            return *known;
        }
        let everybody = Item::of(network, &End::Anywhere);
        let mut underway = Underway { reached: &self.reached, taken: Some(&mut self.taken) };
        let set = arriving(network, &mut underway, kind, &everybody, owner(&self.from));
        self.anywhere.insert(kind, set);
        set
    }
}

/// What arrives of what the expectation speaks of, from one item of its `from`: by what of it is not as it was sent.
pub(crate) fn arrivals(network: &mut Network<'_>, asked: &Expect, from: &End) -> Vec<(Kind, PacketSet)> {
    let except = narrowly(&network.readings, &asked.from);
    let towards = Towards::of(network, asked, owner(from));
    let arrivals = Sent::of(network, from, &except).arrivals(network, &towards);
    let both =
        |(kind, arrived): (Kind, Arrived)| (kind, network.space.or(arrived.written, arrived.delivered));
    arrivals.into_iter().map(both).collect()
}

/// The kinds that a set of packets on their way may be of when it arrives: those it has, and new destinations here.
pub(super) fn kinds(reached: &Reached) -> BTreeSet<Kind> {
    let all: BTreeSet<Kind> = reached.keys().map(|(_, kind)| *kind).collect();
    let redirected =
        |kind: &Kind| [false, true].map(|port| Kind { dst: true, port: port || kind.port, ..*kind });
    all.iter().flat_map(|kind| [*kind].into_iter().chain(redirected(kind))).collect()
}

impl Forbidden<'_> {
    /// What arrives of packets of a kind (S35): as the sender wrote them, and as they are delivered; `anywhere` is what of those with
    /// a new destination arrives at all, `itself` what is not meant (S13).
    fn arrived(
        &self,
        network: &mut Network<'_>,
        underway: &mut Underway<'_>,
        kind: Kind,
        anywhere: PacketSet,
        itself: PacketSet,
    ) -> Arrived {
        let own = self.own;
        let mut at_items = Vec::new();
        for item in &self.to.items {
            at_items.push(arriving(network, underway, kind, item, own));
        }
        let at_items = network.space.any(at_items);
        let anywhere = network.space.or(anywhere, at_items);
        if anywhere == PacketSet::NOTHING && (self.to.direct || network.directors.is_empty()) {
            return Arrived { written: PacketSet::NOTHING, delivered: PacketSet::NOTHING };
        }
        let (src, to) = (self.src, &self.to.addrs);
        // What the source is and was sent to still holds; a gate only takes away.
        let pair = network.between(src, to);
        let pair = network.space.minus(pair, itself);
        // What is written to a public address is written to the one that it stands for (S57).
        let public = if kind.dst { network.public_of(to) } else { AddrSet::empty() };
        let to_public = network.between(src, &public);
        let to_public = network.space.minus(to_public, itself);
        let meant = network.space.or(pair, to_public);
        let meant = network.space.and(meant, self.what);
        let written = network.as_sent(kind, meant);
        let written = network.space.and(anywhere, written);
        if self.to.direct {
            return Arrived { written, delivered: written };
        }
        let handed = self.handed_on(network, underway.reached, kind);
        if kind == Kind::default() {
            let both = network.space.or(written, handed);
            return Arrived { written: both, delivered: both };
        }
        let pair = if kind.src { network.space.rename(Field::Src, Field::SentSrc, pair) } else { pair };
        let delivered = network.space.all(vec![at_items, pair, self.what]);
        let delivered = network.space.or(delivered, handed);
        Arrived { written, delivered }
    }
}

impl Forbidden<'_> {
    /// Who of `to` may take in what is sent to which address that several machines take in, of what starts in these zones.
    fn hearers(&self, network: &mut Network<'_>, zones: &BTreeSet<ZoneId>) -> Vec<(Hearer, AddrSet)> {
        let site = network.site;
        let hearers = self.to.hearers.iter();
        let mut may =
            hearers.filter(|(hearer, _)| broadcasts::may_hear(site, hearer, zones)).collect::<Vec<_>>();
        may.retain(|(hearer, _)| network.takes_shared(hearer));
        may.into_iter().cloned().collect()
    }

    /// What arrives of packets to such addresses, by kind. Their service is read as that of others is (S35).
    fn heard(
        &self,
        network: &mut Network<'_>,
        underway: &mut Underway<'_>,
        kinds: &BTreeSet<Kind>,
        hearers: &[(Hearer, AddrSet)],
    ) -> Vec<(Kind, PacketSet)> {
        let mut all = Vec::new();
        for &kind in kinds {
            let taken = heard_by_all(network, underway, kind, hearers);
            if taken == PacketSet::NOTHING {
                continue;
            }
            let src = network.space.from(self.src);
            let written = network.space.and(src, self.what);
            let written = network.as_sent(kind, written);
            let mut meant = written;
            if !self.to.direct {
                let src = if kind.src { network.space.rename(Field::Src, Field::SentSrc, src) } else { src };
                let delivered = network.space.and(src, self.what);
                meant = network.space.or(written, delivered);
            }
            let heard = network.space.and(taken, meant);
            if heard != PacketSet::NOTHING {
                all.push((kind, heard));
            }
        }
        all
    }

    /// What directors hand to real servers that `to` names, with the destination that it had (S49).
    fn handed_on(&self, network: &mut Network<'_>, reached: &Reached, kind: Kind) -> PacketSet {
        let mut sets = Vec::new();
        for (real, of, set) in network.handed_on(reached) {
            let machine = network.site.owner_of(real).map(|(host, _)| host);
            if of != kind || !self.to.addrs.contains(real) || machine.is_some() && machine == self.own {
                continue;
            }
            // S13
            let own = machine.map(|host| network.readings.static_of(host)).unwrap_or_default();
            let src = network.space.from(&self.src.difference(&own));
            let src = if kind.src { network.space.rename(Field::Src, Field::SentSrc, src) } else { src };
            sets.push(network.space.all(vec![set, src, self.what]));
        }
        network.space.any(sets)
    }
}

/// Every place where packets of an item, read widely, may start, with their sources.
pub(crate) fn starts_of(site: &Site, readings: &Readings<'_>, from: &End) -> Vec<(Start, AddrSet)> {
    let all = readings.wide(from);
    match from {
        End::Host(host) | End::Leg(host, _) => on_each_leg(site, *host, &all),
        End::Zone(zone) => {
            let mut starts = vec![(Start::Zone(*zone), all.difference(&routers_of(site, *zone)))];
            starts.extend(owners_among(site, &all));
            starts
        }
        End::Addrs(_) | End::Anywhere => {
            let here = |(id, zone): (ZoneId, &Zone)| {
                (Start::Zone(id), zone.addrs.intersection(&all).difference(&routers_of(site, id)))
            };
            let mut starts: Vec<(Start, AddrSet)> = site.zones().map(here).collect();
            starts.retain(|(_, addrs)| !addrs.is_empty());
            starts.extend(owners_among(site, &all));
            starts
        }
    }
}

/// The addresses that the router of a vpc has in a zone of it: nothing comes from those (S58).
fn routers_of(site: &Site, zone: ZoneId) -> AddrSet {
    let router = site.vpc_of(zone).and_then(|vpc| site.host(vpc.machine));
    let legs = router.into_iter().flat_map(|router| &router.legs).filter(|leg| leg.zone == zone);
    legs.fold(AddrSet::empty(), |all, leg| all.union(&leg.address_set()))
}

fn on_each_leg(site: &Site, host: HostId, addrs: &AddrSet) -> Vec<(Start, AddrSet)> {
    let Some(machine) = site.host(host) else { return Vec::new() };
    machine.legs().map(|(leg, _)| (Start::Leg(host, leg), addrs.clone())).collect()
}

/// Machines that have some of the addresses may send them by any of their legs. Where it has one, that is no more than what comes
/// from anywhere in its zone; but what it sends itself does not cross a bridge or hub of its own (S39).
fn owners_among(site: &Site, addrs: &AddrSet) -> Vec<(Start, AddrSet)> {
    let mut starts = Vec::new();
    // The router of a vpc sends nothing of its own (S58).
    for (id, host) in site.hosts().filter(|(_, host)| host.role != Role::Vpc) {
        let own = host.address_set().intersection(addrs);
        if !own.is_empty() && (host.legs.len() > 1 || host.stands_between()) {
            starts.extend(on_each_leg(site, id, &own));
        }
    }
    starts
}

/// S13: from a machine to itself, however the expectation names it.
fn to_itself(network: &mut Network<'_>) -> PacketSet {
    if let Some(known) = network.to_itself {
        return known;
    }
    let site = network.site;
    let mut pairs = Vec::new();
    for (host, _) in site.hosts() {
        let own = network.readings.static_of(host);
        let known_by = own.union(&network.public_of(&own));
        pairs.push(network.between(&own, &known_by));
    }
    let all = network.space.any(pairs);
    network.to_itself = Some(all);
    all
}

/// The machine that an end is, or whose leg it is.
pub(super) fn owner(end: &End) -> Option<HostId> {
    match end {
        End::Host(host) | End::Leg(host, _) => Some(*host),
        End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
    }
}

impl Item {
    fn of(network: &mut Network<'_>, to: &End) -> Self {
        let site = network.site;
        let addrs = network.readings.wide(to);
        if let End::Host(host) | End::Leg(host, _) = to {
            return Self { machines: vec![(*host, network.space.to(&addrs))], zones: Vec::new() };
        }
        let (mut machines, mut zones) = (Vec::new(), Vec::new());
        let mut owned: Vec<AddrRange> = Vec::new();
        for (id, host) in site.hosts() {
            let its = host.legs.iter().flat_map(|leg| &leg.addresses).filter(|addr| addrs.contains(**addr));
            let its = AddrSet::from_ranges(its.map(|addr| AddrRange::one(*addr)));
            owned.extend(its.ranges());
            if !its.is_empty() {
                machines.push((id, network.space.to(&its)));
            }
        }
        // Nor is a public address nobody's (S57): whose it is gets what the gateway delivers.
        let known = network
            .gateways
            .values()
            .fold(AddrSet::from_ranges(owned), |all, gateway| all.union(gateway.public()));
        let nobody = addrs.difference(&known);
        for (id, zone) in site.zones() {
            let here = zone.addrs.intersection(&nobody);
            if !here.is_empty() {
                zones.push((id, network.space.to(&here)));
            }
        }
        // S14: nobody has a group, and everybody who filters decides for himself what he hears.
        let heard = groups::among(&addrs);
        if !heard.is_empty() {
            let heard = network.space.to(&heard);
            machines.extend(site.hosts().filter(|(_, host)| host.filters()).map(|(id, _)| (id, heard)));
        }
        Self { machines, zones }
    }
}

/// The packets of a kind that arrive at an item of `to`; those a machine sends itself are not meant (S13).
fn arriving(
    network: &mut Network<'_>,
    underway: &mut Underway<'_>,
    kind: Kind,
    to: &Item,
    own: Option<HostId>,
) -> PacketSet {
    let mut sets = Vec::new();
    for (host, dst) in to.machines.iter().filter(|(host, _)| own != Some(*host)) {
        sets.push(underway.taken_in(network, kind, *host, *dst));
    }
    let somebodys = if to.zones.is_empty() { PacketSet::NOTHING } else { network.for_another(None, kind) };
    for (zone, dst) in &to.zones {
        for set in on_link(underway.reached, kind, *zone) {
            let here = network.space.and(set, *dst);
            sets.push(network.space.minus(here, somebodys));
        }
    }
    network.space.any(sets)
}

/// What is on the link of a zone, of a kind.
fn on_link(reached: &Reached, kind: Kind, zone: ZoneId) -> impl Iterator<Item = PacketSet> + '_ {
    at_spots(reached, Spot::Link(zone, None)).filter(move |((_, of), _)| *of == kind).map(|(_, set)| *set)
}

/// What is before the bridge of a zone, or on its link, whoever put it there: the first of these spots, and those like it.
fn at_spots(reached: &Reached, first: Spot) -> impl Iterator<Item = (&(Spot, Kind), &PacketSet)> {
    let here = reached.range((first, Kind::default())..);
    here.take_while(move |((spot, _), _)| spot.is_like(first))
}

/// What arrives at these, of packets to addresses that several machines take in, and of a kind.
fn heard_by_all(
    network: &mut Network<'_>,
    underway: &mut Underway<'_>,
    kind: Kind,
    hearers: &[(Hearer, AddrSet)],
) -> PacketSet {
    let mut sets = Vec::new();
    for (hearer, addrs) in hearers {
        let dst = network.space.to(addrs);
        match hearer {
            Hearer::Machine(host) => {
                let taken = underway.taken_in(network, kind, *host, dst);
                // S13
                let own = network.readings.static_of(*host);
                let own = network.space.from(&own);
                let own = network.as_sent(kind, own);
                sets.push(network.space.minus(taken, own));
            }
            Hearer::Nobody(zone) => {
                let here = network.space.any(on_link(underway.reached, kind, *zone).collect());
                sets.push(network.space.and(here, dst));
            }
        }
    }
    let all = network.space.any(sets);
    network.not_for_one(all)
}

/// What a machine takes in, by any leg, of what is for `addrs` then, and is of a kind then.
pub(super) fn into_machine(
    network: &mut Network<'_>,
    reached: &Reached,
    kind: Kind,
    host: HostId,
    addrs: &AddrSet,
) -> PacketSet {
    let dst = network.space.to(addrs);
    taken_in(network, reached, kind, host, dst)
}

/// The same of what is among some packets then.
fn taken_in(
    network: &mut Network<'_>,
    reached: &Reached,
    kind: Kind,
    host: HostId,
    among: PacketSet,
) -> PacketSet {
    let site = network.site;
    let Some(machine) = site.host(host) else { return PacketSet::NOTHING };
    let mut sets = Vec::new();
    let bridges = Arc::clone(&network.bridges);
    let anothers = network.for_another(Some(host), kind);
    for (leg_id, leg) in machine.legs() {
        let heard: Vec<(Kind, PacketSet)> = heard_in(reached, leg.zone, host, &bridges).collect();
        if heard.is_empty() {
            continue;
        }
        let mut base = if machine.filters() { network.never_filtered(leg) } else { PacketSet::NOTHING };
        if site.wears(host, leg_id) {
            let defaults = interfaces::defaults(&mut network.space);
            base = network.space.or(base, defaults);
        }
        for (of, here) in heard {
            for way in network.ways(host, Hook::Input, Some(leg_id), None) {
                let (taken, now) = network.through(&way, here, of);
                if now == kind {
                    let others = network.space.or(base, anothers);
                    let taken = network.space.minus(taken, others);
                    sets.push(network.space.and(taken, among));
                }
            }
        }
    }
    network.space.any(sets)
}

/// What a machine with a leg in a zone hears there, whatever its kind.
fn heard_in<'r>(
    reached: &'r Reached,
    zone: ZoneId,
    host: HostId,
    bridges: &'r Bridges,
) -> impl Iterator<Item = (Kind, PacketSet)> + 'r {
    let spots = [Spot::Ports(zone, None), Spot::Link(zone, None)];
    let here = spots.into_iter().flat_map(|first| at_spots(reached, first));
    here.filter(move |((spot, _), _)| spot.heard_by(bridges, host)).map(|((_, kind), set)| (*kind, *set))
}

/// The zones in which packets start.
fn zones_of(site: &Site, starts: &[(Start, PacketSet)]) -> BTreeSet<ZoneId> {
    let zone = |(start, _): &(Start, PacketSet)| match start {
        Start::Zone(zone) => Some(*zone),
        Start::Leg(host, leg) => site.leg(*host, *leg).map(|leg| leg.zone),
    };
    starts.iter().filter_map(zone).collect()
}

/// What follows `except`, read narrowly (S12).
fn narrowly(readings: &Readings<'_>, place: &Place) -> AddrSet {
    place.except.iter().fold(AddrSet::empty(), |set, end| set.union(&readings.narrow_except(end)))
}
