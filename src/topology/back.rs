//! The way of the replies: through the same filtering machines (S10), piece by piece under translation (S33).

use std::collections::BTreeSet;

use super::reading::{Crossing, Own};
use super::seen::{Ends, Piece, Seen};
use super::translate::{Balanced, Course, Dnat, Mask, Put, Real, Source, Way};
use super::trouble::{Answerer, Trouble};
use super::{Blocked, ClassId, Path, Start, Topology};
use crate::model::{End, Host, HostId, LegId, Role, Site, ZoneId};
use crate::net::{AddrSet, Family};

/// What is wrong with the way back of a way that there is, to an item of `to`.
pub(super) fn back(topology: &mut Topology<'_>, way: &Way, to: &End) -> Option<Trouble> {
    let path = way.crossing.path.as_ref().as_ref().ok()?;
    // Who forwards answers by its own routes, whichever of its addresses is written. Of more than one it is a member.
    let host = path.end.map(|(host, _)| host).filter(|_| is_one(to));
    let own = host.and_then(|host| member(topology, way, host));
    own.or_else(|| match &way.course {
        Course::Plain => plain(topology, &way.crossing, path),
        Course::Dnat(dnat) => translated(topology, &way.crossing, path, dnat),
        Course::Balanced(balanced) if balanced.direct => past(topology, &way.crossing, path, balanced),
        Course::Balanced(balanced) => {
            plain(topology, &way.crossing, path).or_else(|| answered(topology, &way.crossing, path, balanced))
        }
        Course::Source(source) => masked(topology, &way.crossing, path, source),
        Course::Unserved | Course::Nowhere => None,
    })
}

/// Whether an item is one address.
pub(super) fn is_one(end: &End) -> bool {
    let End::Addrs(set) = end else { return false };
    let mut ranges = set.ranges();
    ranges.next().is_some_and(|range| range.first == range.last) && ranges.next().is_none()
}

/// S80: why a machine that filters does not hear what comes from a class: in IPv4 its kernel, where it says `strict-source` its rules
/// in either family (S38).
pub(super) fn deaf(topology: &mut Topology<'_>, at: HostId, class: ClassId, back: bool) -> Option<Trouble> {
    let known = topology.classes.class(class)?;
    let machine = topology.site.host(at).filter(|machine| machine.filters() && known.owner != Some(at))?;
    if known.family == Family::V6 && !machine.strict_source {
        return None;
    }
    if topology.leg_towards(at, class).is_some() {
        return None;
    }
    let found = topology.path(Start::Machine(at), class);
    // In a vpc the machine gets a route by each of its interfaces from DHCP, and no policy can name the vpc's router in another.
    let is_vpc = |(host, _): &(HostId, ZoneId)| {
        topology.site.host(*host).is_some_and(|machine| machine.role == Role::Vpc)
    };
    if matches!(found.as_ref(), Err(Blocked::Tie { ways, .. }) if ways.iter().all(is_vpc)) {
        return None;
    }
    Some(match found.as_ref() {
        Err(Blocked::Tie { ways, at }) => Trouble::Tie { ways: ways.clone(), at: *at, back, ends: None },
        Ok(_) | Err(Blocked::NoWay) if back => Trouble::NoWayBack,
        Ok(_) | Err(Blocked::NoWay) => Trouble::NoWay { ends: None, only: None },
    })
}

/// Why a sender does not hear, at its own leg, what answers it from a class: its kernel does not (S80), or its rules, which say
/// `strict-source`, do not by that leg (S38).
pub(super) fn unanswered(topology: &mut Topology<'_>, sender: &Own, class: ClassId) -> Option<Trouble> {
    let Own { host, leg, .. } = *sender;
    deaf(topology, host, class, false).or_else(|| strict_at(topology, host, class, leg))
}

/// S10: from every destination back to every source.
fn plain(topology: &mut Topology<'_>, crossing: &Crossing, path: &Path) -> Option<Trouble> {
    let (there, known) = (Piece::whole(path), Known { whole: true, ..topology.known(crossing) });
    for class in sources(topology, crossing) {
        for start in starts(topology, crossing, path, class) {
            let trouble = same(topology, (start, class), &there, known);
            let trouble = trouble.or_else(|| strictly(topology, path, class));
            let trouble = trouble.or_else(|| answered_strictly(topology, start, class, crossing.class));
            let trouble = trouble.or_else(|| ended_strictly(topology, start, class, crossing.class));
            if trouble.is_some() {
                return trouble;
            }
        }
    }
    None
}

/// Of a machine in the destination: what is wrong with its own way back (S7) to every source, or to who masks them. What another
/// clause translates is answered by a machine that the clause names.
pub(super) fn member(topology: &mut Topology<'_>, way: &Way, host: HostId) -> Option<Trouble> {
    let (crossing, start) = (&way.crossing, Start::Machine(host));
    let path = crossing.path.as_ref().as_ref().ok().filter(|_| crossing.to_machine.is_none())?;
    let known = topology.known(crossing);
    let (there, classes, known) = match &way.course {
        Course::Plain => (Piece::whole(path), sources(topology, crossing), Known { whole: true, ..known }),
        Course::Source(source) => {
            let sender = Some(path.transits.get(source.position)?.host);
            let (_, beyond) = Piece::split(path, source.position);
            (beyond, behind(topology, source.mask, crossing.family), Known { sender, ..known })
        }
        Course::Dnat(_) | Course::Balanced(_) | Course::Unserved | Course::Nowhere => return None,
    };
    // By which leg it comes to one that forwards stands in the path, and was asked.
    let to = crossing.class.filter(|_| path.end.is_none());
    classes.into_iter().find_map(|class| {
        let trouble = same(topology, (start, class), &there, known);
        trouble.or_else(|| ended_strictly(topology, start, class, to))
    })
}

/// S38: a strict machine to which packets of a class come by another leg than it would answer by. Whoever does not know
/// a way back at all is another trouble.
fn strictly(topology: &mut Topology<'_>, path: &Path, class: ClassId) -> Option<Trouble> {
    let passed = path.transits.iter().map(|transit| (transit.host, transit.inward));
    let all: Vec<(HostId, LegId)> = passed.chain(path.end).collect();
    all.into_iter().find_map(|(at, came)| strict_at(topology, at, class, came))
}

/// The same of the replies, which come from a class.
fn answered_strictly(
    topology: &mut Topology<'_>,
    start: Start,
    class: ClassId,
    from: Option<ClassId>,
) -> Option<Trouble> {
    let found = topology.path(start, class);
    strictly(topology, found.as_ref().as_ref().ok()?, from?)
}

/// The same of the machine that packets of a class end at, by its leg in the zone of the address that they are for.
fn ended_strictly(
    topology: &mut Topology<'_>,
    start: Start,
    class: ClassId,
    to: Option<ClassId>,
) -> Option<Trouble> {
    let Start::Machine(at) = start else { return None };
    let came = topology.zone_of_class(to?)?;
    let (leg, _) = topology.site.host(at)?.leg_in(came)?;
    strict_at(topology, at, class, leg)
}

/// The same of a machine that they come to by a leg.
fn strict_at(topology: &mut Topology<'_>, at: HostId, class: ClassId, leg: LegId) -> Option<Trouble> {
    let site = topology.site;
    site.host(at).filter(|machine| machine.strict_source)?;
    let leads = topology.leg_towards(at, class).filter(|leads| *leads != leg)?;
    let zone = |leg: LegId| site.leg(at, leg).map(|leg| leg.zone);
    Some(Trouble::Round { at, came: zone(leg)?, leads: zone(leads)? })
}

/// From T to M through the inner way, from M to the sender through the outer one.
fn translated(topology: &mut Topology<'_>, crossing: &Crossing, path: &Path, dnat: &Dnat) -> Option<Trouble> {
    let outer = Piece::whole(path);
    let senders = sources(topology, crossing);
    if let Some(trouble) = senders.iter().find_map(|class| strictly(topology, path, *class)) {
        return Some(trouble);
    }
    if let Some(Ok(inner)) = dnat.inner.as_ref().map(|p| p.as_ref().as_ref()) {
        let there = Piece::whole(inner);
        let target = topology.classes.of(dnat.target)?;
        let zone = topology.classes.class(target)?.zone;
        let start = dnat.machine.map_or(Start::Zone(zone, None), Start::Machine);
        if let Some(mask) = dnat.mask {
            for class in behind(topology, mask, crossing.family) {
                let known = Known { sender: Some(dnat.at), zone: Some(zone), whole: false };
                let trouble = same(topology, (start, class), &there, known);
                let trouble = trouble.or_else(|| strictly(topology, inner, class));
                let trouble = trouble.or_else(|| ended_strictly(topology, start, class, Some(target)));
                if trouble.is_some() {
                    return trouble;
                }
            }
        } else {
            for class in &senders {
                let strict = strictly(topology, inner, *class);
                let strict = strict.or_else(|| ended_strictly(topology, start, *class, Some(target)));
                if strict.is_some() {
                    return strict;
                }
                let answers = (dnat.at, dnat.machine, zone);
                let trouble = by_way_of(topology, crossing, (start, *class), (&outer, &there), answers);
                if trouble.is_some() {
                    return trouble;
                }
            }
            // What comes to M goes on from there as M sends: it was compared.
            return None;
        }
    }
    let start = Start::Machine(dnat.at);
    let known = topology.known(crossing);
    senders.into_iter().find_map(|class| same(topology, (start, class), &outer, known))
}

/// S43: from every real server to M through the inner way, from M to the client through the outer one.
fn answered(
    topology: &mut Topology<'_>,
    crossing: &Crossing,
    path: &Path,
    balanced: &Balanced,
) -> Option<Trouble> {
    let outer = Piece::whole(path);
    for real in &balanced.reals {
        let Ok(inner) = real.inner.as_ref() else { continue };
        let there = Piece::whole(inner);
        let (start, zone) = serves(topology, real)?;
        let clients = Crossing { src: real.src.clone(), ..crossing.clone() };
        for class in sources(topology, &clients) {
            let answers = (balanced.at, real.machine, zone);
            let trouble = by_way_of(topology, &clients, (start, class), (&outer, &there), answers);
            let to = topology.classes.of(real.addr);
            let trouble = trouble.or_else(|| ended_strictly(topology, start, class, to));
            if trouble.is_some() {
                return trouble;
            }
        }
    }
    None
}

/// S44: from every real server to the client, past M, which has the address that the replies come from, and through whoever saw
/// the packet on its way to M and on from there.
fn past(
    topology: &mut Topology<'_>,
    crossing: &Crossing,
    path: &Path,
    balanced: &Balanced,
) -> Option<Trouble> {
    let site = topology.site;
    for real in &balanced.reals {
        let Ok(inner) = real.inner.as_ref() else { continue };
        let (start, _) = serves(topology, real)?;
        let clients = Crossing { src: real.src.clone(), ..crossing.clone() };
        let known = topology.known(&clients);
        for class in sources(topology, &clients) {
            let found = topology.path(start, class);
            let back = match found.as_ref() {
                Ok(back) => back,
                Err(blocked) => return Some(lost(blocked)),
            };
            let ends = topology.between((start, class), known);
            let seen = Seen::of(site, &Piece::whole(back), ends);
            if seen.passes(balanced.at) {
                return Some(Trouble::Returned { at: balanced.at, real: real.addr });
            }
            let outer = topology.between((Start::Machine(balanced.at), class), known);
            let outer = Seen::of(site, &Piece::whole(path), outer);
            let there = Seen::of(site, &Piece::whole(inner), ends).and(outer);
            if !there.sees_replies(&seen) {
                let by = answerer(site, start, back);
                return Some(Trouble::Asymmetric { there, back: seen, direct: false, by });
            }
            // At M every packet is the first of its connection: it never hears of a reply, but it hears the packet.
            let before = Path { end: None, ..path.clone() };
            let trouble = deaf(topology, balanced.at, class, true);
            let trouble = trouble
                .or_else(|| strictly(topology, &before, class))
                .or_else(|| strictly(topology, inner, class));
            let trouble = trouble.or_else(|| answered_strictly(topology, start, class, clients.class));
            let to = topology.classes.of(real.addr);
            let trouble = trouble.or_else(|| ended_strictly(topology, start, class, to));
            if trouble.is_some() {
                return trouble;
            }
        }
    }
    None
}

/// Where the answers of a real server start.
fn serves(topology: &Topology<'_>, real: &Real) -> Option<(Start, ZoneId)> {
    let zone = topology.zone_of_class(topology.classes.of(real.addr)?)?;
    Some((real.machine.map_or(Start::Zone(zone, None), Start::Machine), zone))
}

/// What is wrong where there is no way for replies.
fn lost(blocked: &Blocked) -> Trouble {
    match blocked {
        Blocked::Tie { ways, at } => Trouble::Tie { ways: ways.clone(), at: *at, back: true, ends: None },
        Blocked::NoWay => Trouble::NoWayBack,
    }
}

/// Whether replies come to M through the machines of the inner way, and go on through those of the outer one; they are of a machine,
/// where it is known, with an address of a zone.
fn by_way_of(
    topology: &mut Topology<'_>,
    crossing: &Crossing,
    (start, class): (Start, ClassId),
    (outer, inner): (&Piece<'_>, &Piece<'_>),
    (at, machine, zone): (HostId, Option<HostId>, ZoneId),
) -> Option<Trouble> {
    let site = topology.site;
    let found = topology.path(start, class);
    let back = match found.as_ref() {
        Ok(back) => back,
        Err(blocked) => return Some(lost(blocked)),
    };
    let beyond = topology.between((Start::Machine(at), class), topology.known(crossing));
    let zones = [topology.zone_of_class(class), Some(zone)];
    let within = Ends { zones, machines: [Some(at), machine], whole: false };
    let (outer, inner) = (Seen::of(site, outer, beyond), Seen::of(site, inner, within));
    let wrong = |direct: bool, back: Seen| {
        let there = outer.clone().and(inner.clone()).with(at);
        Some(Trouble::Asymmetric { there, back, direct, by: Answerer::Anybody })
    };
    let Some(position) = back.transits.iter().position(|t| t.host == at) else {
        return wrong(back.transits.is_empty(), Seen::of(site, &Piece::whole(back), within));
    };
    let (before, after) = Piece::split(back, position);
    let (before, after) = (Seen::of(site, &before, within), Seen::of(site, &after, beyond));
    if inner.sees_replies(&before) && outer.sees_replies(&after) {
        return None;
    }
    wrong(false, before.and(after).with(at))
}

/// From the destination to M through what is behind it, from M to the sender through what is before.
fn masked(topology: &mut Topology<'_>, crossing: &Crossing, path: &Path, source: &Source) -> Option<Trouble> {
    let at = path.transits.get(source.position)?.host;
    let up_to = Path { transits: path.transits.get(..=source.position)?.to_vec(), ..Path::default() };
    let behind_it = path.transits.get(source.position.saturating_add(1)..).unwrap_or_default();
    let beyond = Path { transits: behind_it.to_vec(), end: path.end, ..Path::default() };
    let (before, after) = Piece::split(path, source.position);
    let known = topology.known(crossing);
    for class in behind(topology, source.mask, crossing.family) {
        for start in starts(topology, crossing, path, class) {
            let trouble = same(topology, (start, class), &after, Known { sender: Some(at), ..known });
            let trouble = trouble.or_else(|| strictly(topology, &beyond, class));
            if trouble.is_some() {
                return trouble;
            }
        }
    }
    let senders = sources(topology, crossing);
    senders.into_iter().find_map(|class| {
        let trouble = same(topology, (Start::Machine(at), class), &before, known);
        trouble.or_else(|| strictly(topology, &up_to, class))
    })
}

/// Whether the replies to a piece of the way pass whoever saw it, and nobody else who would have had to.
fn same(
    topology: &mut Topology<'_>,
    (start, class): (Start, ClassId),
    there: &Piece<'_>,
    known: Known,
) -> Option<Trouble> {
    let found = topology.path(start, class);
    let (site, ends) = (topology.site, topology.between((start, class), known));
    let path = match found.as_ref() {
        Ok(path) => path,
        Err(blocked) => return Some(lost(blocked)),
    };
    let (there, back) = (Seen::of(site, there, ends), Seen::of(site, &Piece::whole(path), ends));
    let by = answerer(site, start, path);
    (!there.sees_replies(&back)).then_some(Trouble::Asymmetric { there, back, direct: false, by })
}

/// What is known of a piece.
#[derive(Clone, Copy)]
struct Known {
    /// The machine that alone sends what is answered.
    sender: Option<HostId>,
    /// The zone of the address that it is for.
    zone: Option<ZoneId>,
    /// Whether it is the whole way of a connection, of which nothing is translated.
    whole: bool,
}

/// The machine that a start is.
fn machine_of(start: Start) -> Option<HostId> {
    match start {
        Start::Machine(host) => Some(host),
        Start::Zone(_, host) => host,
    }
}

impl Topology<'_> {
    fn zone_of_class(&self, class: ClassId) -> Option<ZoneId> {
        self.classes.class(class).map(|class| class.zone)
    }

    fn known(&self, crossing: &Crossing) -> Known {
        let zone = crossing.class.and_then(|class| self.zone_of_class(class));
        // No bridge, and nobody asks.
        let sender = if self.bridges.is_empty() { None } else { self.lone(crossing) };
        Known { sender, zone, whole: false }
    }

    /// The ends of a piece whose replies start there, and are for a class.
    fn between(&self, (start, class): (Start, ClassId), known: Known) -> Ends {
        Ends {
            zones: [self.zone_of_class(class), known.zone],
            machines: [known.sender, machine_of(start)],
            whole: known.whole,
        }
    }
}

/// Who starts a way back, and whether it is on link for them.
fn answerer(site: &Site, start: Start, path: &Path) -> Answerer {
    match start {
        Start::Machine(host) => {
            let zone = path.out.and_then(|leg| site.leg(host, leg)).map(|leg| leg.zone);
            let on_link = zone.filter(|_| path.transits.is_empty());
            on_link.map_or(Answerer::Machine(host), |zone| Answerer::OnLink(host, zone))
        }
        Start::Zone(_, Some(host)) => Answerer::Machine(host),
        Start::Zone(_, None) => Answerer::Anybody,
    }
}

/// The classes of a mask's address; of a dynamic leg, those of its zone.
fn behind(topology: &mut Topology<'_>, mask: Mask, family: Family) -> Vec<ClassId> {
    match mask.addr {
        Put::Known(addr) => topology.classes.of(addr).into_iter().collect(),
        Put::Dynamic => {
            let zone = topology.site.leg(mask.host, mask.leg).and_then(|l| topology.site.zone(l.zone));
            let addrs = zone.map(|z| z.addrs.of(family)).unwrap_or_default();
            let parts = topology.classes.divide(&addrs);
            let unowned = parts.into_iter().map(|(class, _)| topology.classes.unowned(class));
            unowned.collect::<BTreeSet<_>>().into_iter().collect()
        }
        Put::Several(_) => Vec::new(),
    }
}

/// The classes of the sources. Dynamic legs are replied to as members of their zone: what is a source for them alone may be
/// the address of a gateway there, and is none of its where they have it (S20).
fn sources(topology: &mut Topology<'_>, crossing: &Crossing) -> Vec<ClassId> {
    let site = topology.site;
    let dynamic = match crossing.from_dynamic.and_then(|(h, l)| site.leg(h, l)) {
        Some(leg) => site.zone(leg.zone).map(|z| z.addrs.of(crossing.family)).unwrap_or_default(),
        None => owned(&AddrSet::empty(), &crossing.senders).difference(&crossing.src),
    };
    let known = topology.classes.divide(&crossing.src).into_iter().map(|(class, _)| class);
    let mut classes: BTreeSet<ClassId> = known.collect();
    for (class, _) in topology.classes.divide(&dynamic) {
        classes.insert(topology.classes.unowned(class));
    }
    classes.into_iter().collect()
}

fn owned(addrs: &AddrSet, own: &[Own]) -> AddrSet {
    own.iter().fold(addrs.clone(), |all, o| all.union(&o.addrs))
}

/// Where the replies to the addresses of a class start: at the machine that is named or that has the address,
/// else in the zone, and at each of its members that has a route of its own.
fn starts(topology: &Topology<'_>, crossing: &Crossing, path: &Path, class: ClassId) -> Vec<Start> {
    let zone = crossing.class.and_then(|id| topology.classes.class(id)).map(|c| c.zone);
    let Some(zone) = zone else { return Vec::new() };
    match (crossing.to_machine, path.end) {
        (Some(host), _) => vec![Start::Machine(host)],
        (None, Some((host, _))) => vec![Start::Zone(zone, Some(host))],
        (None, None) => members(topology, crossing, zone, class),
    }
}

fn members(topology: &Topology<'_>, crossing: &Crossing, zone: ZoneId, class: ClassId) -> Vec<Start> {
    let site = topology.site;
    let mut starts: Vec<Start> = vec![Start::Zone(zone, None)];
    let routed: BTreeSet<HostId> = topology
        .classes
        .class(class)
        .into_iter()
        .flat_map(|c| c.routes.iter().filter(|v| v.zone == zone).map(|v| v.host))
        .collect();
    let here = |host: &HostId| {
        let leg = site.host(*host).and_then(|h: &Host| h.leg_in(zone)).map(|(_, leg)| leg);
        leg.is_some_and(|l| {
            l.addresses.iter().any(|a| crossing.dst.contains(*a))
                || crossing.receivers.iter().any(|o| o.host == *host)
        })
    };
    starts.extend(routed.into_iter().filter(here).map(|h| Start::Zone(zone, Some(h))));
    // Every destination has a route of its own: nobody is left who would go by the zone's gateway.
    let replying = owned(&crossing.dst, &crossing.receivers);
    let plain = replying.ranges().any(|r| r.first != r.last)
        || topology.count_owners(&replying) < replying.ranges().count()
        || starts.len() == 1;
    if !plain {
        starts.remove(0);
    }
    starts
}
