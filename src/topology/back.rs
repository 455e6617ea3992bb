//! The way of the replies: through the same filtering machines (S10), piece by piece under translation (S33).

use std::collections::BTreeSet;

use super::check::{Answerer, Trouble};
use super::reading::{Crossing, Own};
use super::translate::{Balanced, Course, Dnat, Mask, Put, Source, Way};
use super::{Blocked, ClassId, Path, Start, Topology, Transit};
use crate::model::{Host, HostId, LegId, Site, ZoneId};
use crate::net::{AddrSet, Family};

/// What is wrong with the way back of a way that there is.
pub(super) fn back(topology: &mut Topology<'_>, way: &Way) -> Option<Trouble> {
    let path = way.crossing.path.as_ref().as_ref().ok()?;
    match &way.course {
        Course::Plain => plain(topology, &way.crossing, path),
        Course::Dnat(dnat) => translated(topology, &way.crossing, path, dnat),
        Course::Balanced(balanced) if balanced.direct => None,
        Course::Balanced(balanced) => {
            plain(topology, &way.crossing, path).or_else(|| answered(topology, &way.crossing, path, balanced))
        }
        Course::Source(source) => masked(topology, &way.crossing, path, source),
        Course::Unserved | Course::Nowhere => None,
    }
}

/// S10: from every destination back to every source.
fn plain(topology: &mut Topology<'_>, crossing: &Crossing, path: &Path) -> Option<Trouble> {
    let there = path.filters(topology.site);
    for class in sources(topology, crossing) {
        for start in starts(topology, crossing, path, class) {
            let trouble = same(topology, start, class, &there);
            let trouble = trouble.or_else(|| strictly(topology, path, class));
            let trouble = trouble.or_else(|| answered_strictly(topology, start, class, crossing.class));
            if trouble.is_some() {
                return trouble;
            }
        }
    }
    None
}

/// Of a machine in the destination: what is wrong with its own way back to every source (S7).
pub(super) fn member(
    topology: &mut Topology<'_>,
    crossing: &Crossing,
    path: &Path,
    host: HostId,
) -> Option<Trouble> {
    let there = path.filters(topology.site);
    let sources = sources(topology, crossing);
    sources.into_iter().find_map(|class| same(topology, Start::Machine(host), class, &there))
}

/// S38: a strict machine to which packets of a class come by another leg than it would answer by. Whoever does not know
/// a way back at all is another trouble.
fn strictly(topology: &mut Topology<'_>, path: &Path, class: ClassId) -> Option<Trouble> {
    let passed = path.transits.iter().map(|transit| (transit.host, transit.inward));
    let all: Vec<(HostId, LegId)> = passed.chain(path.end).collect();
    all.into_iter().find_map(|(at, came)| {
        let site = topology.site;
        site.host(at).filter(|machine| machine.strict_source)?;
        let leads = topology.leg_towards(at, class).filter(|leads| *leads != came)?;
        let zone = |leg: LegId| site.leg(at, leg).map(|leg| leg.zone);
        Some(Trouble::Round { at, came: zone(came)?, leads: zone(leads)? })
    })
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

/// From T to M through the inner way, from M to the sender through the outer one.
fn translated(topology: &mut Topology<'_>, crossing: &Crossing, path: &Path, dnat: &Dnat) -> Option<Trouble> {
    let site = topology.site;
    let outer = path.filters(site);
    let senders = sources(topology, crossing);
    if let Some(trouble) = senders.iter().find_map(|class| strictly(topology, path, *class)) {
        return Some(trouble);
    }
    if let Some(Ok(inner)) = dnat.inner.as_ref().map(|p| p.as_ref().as_ref()) {
        let there = inner.filters(site);
        let target = topology.classes.of(dnat.target)?;
        let zone = topology.classes.class(target)?.zone;
        let start = dnat.machine.map_or(Start::Zone(zone, None), Start::Machine);
        if let Some(mask) = dnat.mask {
            for class in behind(topology, mask, crossing.family) {
                let trouble = same(topology, start, class, &there);
                let trouble = trouble.or_else(|| strictly(topology, inner, class));
                if trouble.is_some() {
                    return trouble;
                }
            }
        } else {
            for class in &senders {
                if let Some(trouble) = strictly(topology, inner, *class) {
                    return Some(trouble);
                }
                let trouble = match topology.path(start, *class).as_ref() {
                    Ok(back) => by_way_of(site, dnat.at, (&outer, &there), back),
                    Err(Blocked::Tie { ways, at }) => {
                        Some(Trouble::Tie { ways: ways.clone(), at: *at, back: true, ends: None })
                    }
                    Err(Blocked::NoWay) => Some(Trouble::NoWayBack),
                };
                if trouble.is_some() {
                    return trouble;
                }
            }
            // What comes to M goes on from there as M sends: it was compared.
            return None;
        }
    }
    senders.into_iter().find_map(|class| same(topology, Start::Machine(dnat.at), class, &outer))
}

/// S43: from every real server to M through the inner way, from M to the client through the outer one.
fn answered(
    topology: &mut Topology<'_>,
    crossing: &Crossing,
    path: &Path,
    balanced: &Balanced,
) -> Option<Trouble> {
    let site = topology.site;
    let outer = path.filters(site);
    for real in &balanced.reals {
        let Ok(inner) = real.inner.as_ref() else { continue };
        let there = inner.filters(site);
        let class = topology.classes.of(real.addr)?;
        let zone = topology.classes.class(class)?.zone;
        let start = real.machine.map_or(Start::Zone(zone, None), Start::Machine);
        for class in sources(topology, &Crossing { src: real.src.clone(), ..crossing.clone() }) {
            let trouble = match topology.path(start, class).as_ref() {
                Ok(back) => by_way_of(site, balanced.at, (&outer, &there), back),
                Err(Blocked::Tie { ways, at }) => {
                    Some(Trouble::Tie { ways: ways.clone(), at: *at, back: true, ends: None })
                }
                Err(Blocked::NoWay) => Some(Trouble::NoWayBack),
            };
            if trouble.is_some() {
                return trouble;
            }
        }
    }
    None
}

/// Whether replies come to M through the machines of the inner way, and go on through those of the outer one.
fn by_way_of(
    site: &Site,
    at: HostId,
    (outer, inner): (&[HostId], &[HostId]),
    back: &Path,
) -> Option<Trouble> {
    let mut there: Vec<HostId> = outer.iter().chain(inner).copied().chain([at]).collect();
    there.sort_unstable();
    there.dedup();
    let wrong = |direct: bool| {
        let (there, back, by) = (there.clone(), back.filters(site), Answerer::Anybody);
        Some(Trouble::Asymmetric { there, back, direct, by })
    };
    let Some(position) = back.transits.iter().position(|t| t.host == at) else {
        return wrong(back.transits.is_empty());
    };
    let (before, after) = back.transits.split_at(position);
    let after = after.get(1..).unwrap_or_default();
    if filters(site, before) == inner && filters(site, after) == outer { None } else { wrong(false) }
}

/// From the destination to M through what is behind it, from M to the sender through what is before.
fn masked(topology: &mut Topology<'_>, crossing: &Crossing, path: &Path, source: &Source) -> Option<Trouble> {
    let site = topology.site;
    let (before, after) = path.transits.split_at(source.position);
    let at = after.first()?.host;
    let up_to = Path { transits: path.transits.get(..=source.position)?.to_vec(), ..Path::default() };
    let beyond = Path { transits: after.get(1..)?.to_vec(), end: path.end, ..Path::default() };
    let (before, after) = (filters(site, before), filters(site, after.get(1..).unwrap_or_default()));
    for class in behind(topology, source.mask, crossing.family) {
        for start in starts(topology, crossing, path, class) {
            let trouble = same(topology, start, class, &after);
            let trouble = trouble.or_else(|| strictly(topology, &beyond, class));
            if trouble.is_some() {
                return trouble;
            }
        }
    }
    let senders = sources(topology, crossing);
    senders.into_iter().find_map(|class| {
        let trouble = same(topology, Start::Machine(at), class, &before);
        trouble.or_else(|| strictly(topology, &up_to, class))
    })
}

fn filters(site: &Site, transits: &[Transit]) -> Vec<HostId> {
    Path { transits: transits.to_vec(), ..Path::default() }.filters(site)
}

/// Whether one piece of the way passes these filtering machines and no others.
fn same(topology: &mut Topology<'_>, start: Start, class: ClassId, there: &[HostId]) -> Option<Trouble> {
    match topology.path(start, class).as_ref() {
        Ok(path) => {
            let back = path.filters(topology.site);
            let by = answerer(topology.site, start, path);
            let there = there.to_vec();
            (back != there).then_some(Trouble::Asymmetric { there, back, direct: false, by })
        }
        Err(Blocked::Tie { ways, at }) => {
            Some(Trouble::Tie { ways: ways.clone(), at: *at, back: true, ends: None })
        }
        Err(Blocked::NoWay) => Some(Trouble::NoWayBack),
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
        Put::Several => Vec::new(),
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
