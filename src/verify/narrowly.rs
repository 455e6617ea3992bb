//! `expect allow`: every packet gets through on its routed path, and its reply gets back (S10, S25).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use crate::forwarding::shared::{self, Shared};
use crate::forwarding::{Forwarding, Next};
use crate::model::{Action, End, Expect, Hook, HostId, LegId, Nat, Place, Role, Site, ZoneId};
use crate::net::{AddrRange, AddrSet, Exhausted, Family, Packet, PacketSet};
use crate::spec::reading::Readings;

use super::compose::Network;
use super::path::Begin;
use super::{follow, groups, path, terms};

/// Why an `expect allow` does not hold.
pub(crate) struct Stopped {
    /// A packet that does not get through, or whose reply does not get back.
    pub(crate) packet: Packet,
    /// Where it starts.
    pub(crate) begin: Begin,
    /// The machine it is for, where its address does not say.
    pub(crate) towards: Option<(HostId, LegId)>,
    /// What stops it, in the reader's words.
    pub(crate) reason: String,
}

/// Addresses that one path serves, with where it begins or ends.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    /// The addresses, of one family.
    pub(super) addrs: AddrSet,
    /// Whose they are.
    pub(super) machine: Option<(HostId, LegId)>,
    /// Where a packet from there begins.
    pub(super) begin: Begin,
    /// Whether the machine is named by the item, so that S7 picks its way (S10).
    pub(super) named: bool,
}

/// The packets that are asked about, whatever their addresses.
#[derive(Clone, Copy)]
pub(super) struct Asked {
    /// All of them.
    pub(super) what: PacketSet,
    /// What replies to them look like.
    pub(super) answers: PacketSet,
    /// Those that no kernel that tracks takes for `new`.
    pub(super) never_new: PacketSet,
}

impl Asked {
    fn of(network: &mut Network<'_>, expect: &Expect) -> Self {
        let named = terms::set(&mut network.space, &expect.terms);
        let answers = terms::answers(&mut network.space, &expect.terms);
        let never_new = terms::never_new(&mut network.space, &expect.terms);
        // Who names all types means those that begin a connection.
        let idle = network.space.begins_nothing();
        let begins = network.space.minus(named, idle);
        let what = network.space.or(begins, never_new);
        Self { what, answers, never_new }
    }
}

/// Of packets that pass a hook as `new`, those that never are: a rule of a ruleset that tracks lets none of them through. A bridge
/// that knows no connections takes them as they come (S42).
pub(super) fn unheard_of(
    network: &mut Network<'_>,
    (host, hook): (HostId, Hook),
    never_new: PacketSet,
    set: PacketSet,
) -> PacketSet {
    let filters = network.site.host(host).is_some_and(|machine| machine.filters());
    let untracked = hook == Hook::Bridge && network.is_stateless(host);
    if filters && !untracked { network.space.and(set, never_new) } else { PacketSet::NOTHING }
}

/// Why they do not pass.
pub(super) fn begins_nothing(place: &str) -> String {
    format!("{place} never sees such a packet as `new`: its ICMP type begins no connection")
}

/// The first packet that is stopped, or nothing.
pub(crate) fn stopped(
    network: &mut Network<'_>,
    forwarding: &Forwarding<'_>,
    expect: &Expect,
    favourites: &[IpAddr],
) -> Result<Option<Stopped>, Exhausted> {
    let asked = Asked::of(network, expect);
    let readings = Arc::clone(&network.readings);
    let (no_source, no_target) = (readings.wide_except(&expect.from), readings.wide_except(&expect.to));
    let heard = groups_of(&expect.to).difference(&no_target);
    for family in Family::BOTH.into_iter().filter(|family| heard.has(*family)) {
        let group = heard.of(family);
        let to = Piece { addrs: group.clone(), machine: None, begin: Begin::Zone(ZoneId(0)), named: false };
        for from in sources(forwarding, &readings, &expect.from, &no_source, &to) {
            let from = of_family(&from, family);
            let found = groups::unheard(network, forwarding, &from, (&group, family), asked, favourites)?;
            if found.is_some() {
                return Ok(found);
            }
        }
    }
    let nobodys = nobodys(&network.shared, &expect.to);
    for to in targets(forwarding, &readings, &expect.to, &no_target) {
        for from in sources(forwarding, &readings, &expect.from, &no_source, &to) {
            if same_machine(&from, &to) {
                continue;
            }
            for family in Family::BOTH {
                let (from, to) = (of_family(&from, family), of_family(&to, family));
                if from.addrs.is_empty() || to.addrs.is_empty() {
                    continue;
                }
                let itself = to_itself(network, &readings, &from, &to);
                let asked = Asked { what: network.space.minus(asked.what, itself), ..asked };
                let mut found = follow::pair(network, forwarding, &from, &to, asked, favourites)?;
                // Asked again without them alone where they may be why: most often all passes.
                if found.is_some() && to.machine.is_none() && !to.addrs.is_disjoint(&nobodys) {
                    let to = Piece { addrs: to.addrs.difference(&nobodys), ..to };
                    found = match to.addrs.is_empty() {
                        true => None,
                        false => follow::pair(network, forwarding, &from, &to, asked, favourites)?,
                    };
                }
                if found.is_some() {
                    return Ok(found);
                }
            }
        }
    }
    Ok(None)
}

/// The vpcs that pairs of an expectation go between by IPv4, by way of what is behind their gateways: by names. An Internet
/// gateway would put public addresses there, and no rule of the other vpc knows those (S57).
pub(super) fn joined(
    site: &Site,
    forwarding: &Forwarding<'_>,
    expect: &Expect,
) -> BTreeSet<(String, String)> {
    let mut all = BTreeSet::new();
    if site.vpcs.iter().filter(|vpc| vpc.gateway.is_some()).count() < 2 {
        return all;
    }
    let readings = Readings::new(site);
    let (no_source, no_target) = (readings.wide_except(&expect.from), readings.wide_except(&expect.to));
    for to in targets(forwarding, &readings, &expect.to, &no_target) {
        let Some(dst) = sample(&to.addrs.of(Family::V4)) else { continue };
        for from in sources(forwarding, &readings, &expect.from, &no_source, &to) {
            if !from.addrs.has(Family::V4) {
                continue;
            }
            let Ok(path) = path::walk(forwarding, from.begin, dst, to.machine) else { continue };
            let vpc = |(host, ..): &(HostId, LegId, LegId)| {
                site.vpcs.iter().find(|vpc| vpc.machine == *host).map(|vpc| vpc.name.clone())
            };
            let next = path.transits.iter().zip(path.transits.iter().skip(1));
            all.extend(next.filter_map(|(a, b)| vpc(a).zip(vpc(b))));
        }
    }
    all
}

/// What a clause would deliver to the machine that sends it (S13, S35).
fn to_itself(network: &mut Network<'_>, readings: &Readings<'_>, from: &Piece, to: &Piece) -> PacketSet {
    let site = network.site;
    let Some((host, _)) = from.machine else { return PacketSet::NOTHING };
    let mut sets = Vec::new();
    for access in site.accesses.iter().filter(|access| access.action == Action::Allow) {
        let Some(Nat::Dnat { to: targets, .. }) = &access.nat else { continue };
        let own = targets.iter().filter(|t| site.owner_of(**t).is_some_and(|(owner, _)| owner == host));
        let families = own.map(|target| Family::of(*target));
        let written = families.fold(AddrSet::empty(), |all, family| all.union(&to.addrs.of(family)));
        let written = written.intersection(&surely(readings, &access.to, to));
        if written.is_empty() {
            continue;
        }
        let (src, dst) =
            (network.space.from(&surely(readings, &access.from, from)), network.space.to(&written));
        let (ends, service) = (network.space.and(src, dst), terms::set(&mut network.space, &access.terms));
        sets.push(network.space.and(ends, service));
    }
    network.space.any(sets)
}

/// The addresses that a place names for sure, at one end of a packet: those of a leg whose address nobody knows only where it
/// is that end. Any other address there may be somebody else's.
fn surely(readings: &Readings<'_>, place: &Place, piece: &Piece) -> AddrSet {
    let here = |host: HostId, leg: Option<LegId>| {
        piece.machine.is_some_and(|(of, at)| of == host && leg.is_none_or(|leg| leg == at))
    };
    let named = place.plus.iter().fold(AddrSet::empty(), |all, end| {
        all.union(&match end {
            End::Host(host) if here(*host, None) => piece.addrs.clone(),
            End::Leg(host, leg) if here(*host, Some(*leg)) => piece.addrs.clone(),
            End::Host(_) | End::Leg(..) => readings.narrow_except(end),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => readings.wide(end),
        })
    });
    named.difference(&readings.wide_except(place))
}

/// The groups that a place names.
fn groups_of(place: &Place) -> AddrSet {
    place.plus.iter().fold(AddrSet::empty(), |all, end| match end {
        End::Addrs(addrs) => all.union(&groups::among(addrs)),
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => all,
    })
}

fn of_family(piece: &Piece, family: Family) -> Piece {
    Piece { addrs: piece.addrs.of(family), ..piece.clone() }
}

fn same_machine(a: &Piece, b: &Piece) -> bool {
    matches!((a.machine, b.machine), (Some(x), Some(y)) if x.0 == y.0)
}

pub(super) fn sample(addrs: &AddrSet) -> Option<IpAddr> {
    addrs.ranges().next().map(|range| range.first_addr())
}

fn targets(
    forwarding: &Forwarding<'_>,
    readings: &Readings<'_>,
    place: &Place,
    except: &AddrSet,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for end in &place.plus {
        match end {
            End::Host(host) => {
                let legs = forwarding.site().host(*host).map_or(0, |h| h.legs.len());
                pieces.extend(
                    (0u32..).map(LegId).take(legs).map(|leg| leg_piece(forwarding, readings, *host, leg)),
                );
            }
            End::Leg(host, leg) => pieces.push(leg_piece(forwarding, readings, *host, *leg)),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => pieces.extend(spread(forwarding, readings, end)),
        }
    }
    less(pieces, place, except)
}

/// The addresses that several machines take in, but for those that a place names otherwise than with the whole of their network: no
/// machine is reached at them.
fn nobodys(shared: &[Shared], place: &Place) -> AddrSet {
    let named = place.plus.iter().fold(AddrSet::empty(), |all, end| match end {
        // How the addresses were written is not known any more: neighbours are one range.
        End::Addrs(addrs) => {
            let whole = |one: &&Shared| addrs.contains(one.addr) && one.network().is_subset(addrs);
            all.union(&addrs.difference(&shared::addresses(shared.iter().filter(whole))))
        }
        End::Zone(_) | End::Host(_) | End::Leg(..) | End::Anywhere => all,
    });
    shared::addresses(shared).difference(&named)
}

fn sources(
    forwarding: &Forwarding<'_>,
    readings: &Readings<'_>,
    place: &Place,
    except: &AddrSet,
    to: &Piece,
) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for end in &place.plus {
        match end {
            End::Host(host) => pieces.extend(leaving(forwarding, readings, *host, to)),
            End::Leg(host, leg) => pieces.push(leg_piece(forwarding, readings, *host, *leg)),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => pieces.extend(spread(forwarding, readings, end)),
        }
    }
    less(pieces, place, except)
}

/// The pieces that are left of a place. Who is named after `except` is not meant, whatever address a dynamic leg of theirs has.
fn less(mut pieces: Vec<Piece>, place: &Place, except: &AddrSet) -> Vec<Piece> {
    let excepted = |(host, leg): (HostId, LegId)| {
        place.except.iter().any(|end| match end {
            End::Host(of) => *of == host,
            End::Leg(of, at) => (*of, *at) == (host, leg),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => false,
        })
    };
    pieces.retain(|piece| !piece.machine.is_some_and(excepted));
    for piece in &mut pieces {
        piece.addrs = piece.addrs.difference(except);
    }
    pieces.retain(|piece| !piece.addrs.is_empty());
    pieces
}

fn leg_piece(forwarding: &Forwarding<'_>, readings: &Readings<'_>, host: HostId, leg: LegId) -> Piece {
    let addrs = own_leg(forwarding.site(), readings, host, leg);
    Piece { addrs, machine: Some((host, leg)), begin: Begin::Leg(host, leg), named: true }
}

/// A machine by name alone starts on the leg its route to the destination leaves by, in each family.
fn leaving(forwarding: &Forwarding<'_>, readings: &Readings<'_>, host: HostId, to: &Piece) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for family in Family::BOTH {
        let Some(dst) = sample(&to.addrs.of(family)) else { continue };
        let leg = match forwarding.onward(host, dst) {
            Next::OnLink { leg } | Next::Via { leg, .. } => leg,
            // Every leg, so that the walk names the tie or the missing route.
            Next::Ambiguous(_) | Next::NoRoute | Next::Local => LegId(0),
        };
        let piece = leg_piece(forwarding, readings, host, leg);
        pieces.push(Piece { addrs: piece.addrs.of(family), begin: Begin::Machine(host), ..piece });
    }
    pieces
}

/// A zone, addresses or `anywhere`, cut where paths may differ: by class of forwarding and by owner.
fn spread(forwarding: &Forwarding<'_>, readings: &Readings<'_>, end: &End) -> Vec<Piece> {
    let site = forwarding.site();
    // For what is no machine, the narrow reading is the same before and after `except`.
    let all = readings.narrow_except(end);
    let mut pieces = Vec::new();
    for class in forwarding.classes() {
        let here = class.addrs.intersection(&all);
        if here.is_empty() {
            continue;
        }
        // By machine and leg, as they are declared.
        let mut owned: BTreeMap<(HostId, LegId), Vec<AddrRange>> = BTreeMap::new();
        for (addr, owner) in forwarding.owners_among(&here) {
            owned.entry(owner).or_default().push(AddrRange::one(addr));
        }
        let known = AddrSet::from_ranges(owned.values().flatten().copied());
        for ((host, leg), ranges) in owned {
            let (addrs, machine) = (AddrSet::from_ranges(ranges), Some((host, leg)));
            pieces.push(Piece { addrs, machine, begin: Begin::Leg(host, leg), named: false });
        }
        let addrs = here.difference(&known);
        pieces.push(Piece { addrs, machine: None, begin: Begin::Zone(class.zone), named: false });
    }
    if !matches!(end, End::Addrs(_)) {
        pieces.extend(dynamic_members(site, readings, end, &all));
    }
    pieces
}

/// Plain hosts that filter, whose address in a zone nobody knows: their own hooks must let it through too.
fn dynamic_members(site: &Site, readings: &Readings<'_>, end: &End, all: &AddrSet) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (id, host) in site.hosts().filter(|(_, h)| h.role == Role::Host { filters: true }) {
        for (leg_id, leg) in host.legs().filter(|(_, leg)| leg.dynamic) {
            let meant = match end {
                End::Zone(zone) => *zone == leg.zone,
                End::Anywhere => true,
                End::Host(_) | End::Leg(..) | End::Addrs(_) => false,
            };
            let addrs = own_leg(site, readings, id, leg_id).intersection(all);
            if meant && !addrs.is_empty() {
                let (machine, begin) = (Some((id, leg_id)), Begin::Leg(id, leg_id));
                pieces.push(Piece { addrs, machine, begin, named: false });
            }
        }
    }
    pieces
}

/// The addresses that a leg may have: of a dynamic one, those of its zone that no machine has (S3, S25) and none that many take in
/// (S14); all of them where machines have all.
fn own_leg(site: &Site, readings: &Readings<'_>, host: HostId, leg: LegId) -> AddrSet {
    let Some(leg) = site.leg(host, leg) else { return AddrSet::empty() };
    if !leg.dynamic {
        return leg.address_set();
    }
    let free = readings.wide_leg(leg).difference(&shared::addresses(&shared::of_site(site)));
    if free.is_empty() { readings.zone(leg.zone) } else { free }
}
