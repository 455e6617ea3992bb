//! Pairs of addresses that share their path, over classes of addresses.
//!
//! Written apart from [`super::path`], which walks for one packet: here a class of destinations stands for all
//! its addresses, and the start is one that all its addresses share.

use std::collections::{BTreeMap, BTreeSet};

use super::path::{Bridged, Path, Transit};
use super::reading::Readings;
use crate::forwarding::{Class, Forwarding, Next, ZoneNext, groups};
use crate::model::{HostId, LegId, Site, ZoneId};
use crate::net::{AddrRange, AddrSet, Family};

/// Why there is no path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Broken {
    /// Several next hops are as near.
    Ambiguous,
    /// None leads there.
    NoRoute,
    /// It comes back to a machine it has passed.
    Loop,
}

/// Where packets start, as far as forwarding can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum From {
    /// Members of a zone that nothing tells apart.
    Zone(ZoneId),
    /// A machine's leg (S8).
    Leg(HostId, LegId),
    /// A machine (S7).
    Machine(HostId),
}

/// Where packets go, as far as forwarding can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum To {
    /// The class at this place in [`Routes::classes`].
    Class(usize),
    /// Multicast groups and broadcast (S14).
    Group(Family),
}

/// The classes of a site, and the paths between them.
pub struct Routes<'s> {
    pub(super) site: &'s Site,
    pub(super) forwarding: Forwarding<'s>,
    pub(super) readings: Readings<'s>,
    pub(super) classes: Vec<Class>,
    /// The ranges of all classes, ascending.
    extents: Vec<(AddrRange, usize)>,
    by_zone: BTreeMap<ZoneId, Vec<usize>>,
    /// By zone: the legs of machines whose first hop is their own affair: those that forward, or declare a route there.
    special: BTreeMap<ZoneId, Vec<(HostId, LegId)>>,
}

impl<'s> Routes<'s> {
    /// The classes of a site.
    #[must_use]
    pub fn new(site: &'s Site) -> Self {
        let forwarding = Forwarding::new(site);
        let classes = forwarding.classes().to_vec();
        let mut extents: Vec<(AddrRange, usize)> = Vec::new();
        let mut by_zone: BTreeMap<ZoneId, Vec<usize>> = BTreeMap::new();
        for (at, class) in classes.iter().enumerate() {
            extents.extend(class.addrs.ranges().map(|range| (range, at)));
            by_zone.entry(class.zone).or_default().push(at);
        }
        extents.sort_unstable();
        let mut special: BTreeMap<ZoneId, Vec<(HostId, LegId)>> = BTreeMap::new();
        for (id, host) in site.hosts() {
            for (leg_id, leg) in host.legs().filter(|(_, leg)| !leg.dynamic) {
                if host.forwards() || host.routes.iter().any(|r| r.zone == leg.zone) {
                    special.entry(leg.zone).or_default().push((id, leg_id));
                }
            }
        }
        Self { site, forwarding, readings: Readings::new(site), classes, extents, by_zone, special }
    }

    /// The forwarding it walks by.
    #[must_use]
    pub fn forwarding(&self) -> &Forwarding<'s> {
        &self.forwarding
    }

    /// The readings of the site's names.
    #[must_use]
    pub fn readings(&self) -> &Readings<'s> {
        &self.readings
    }

    /// S9 over a class: the path from a start to its addresses. The end is known only where a machine that forwards
    /// has them: a plain host is found by its address.
    pub(super) fn path(&self, from: From, to: To) -> Result<Path, Broken> {
        let (first, zone) = match from {
            From::Zone(zone) => (None, zone),
            From::Leg(host, leg) => (Some((host, leg)), self.zone_of_leg(host, leg)?),
            From::Machine(host) => {
                let leg = self.leaves_by(host, to)?;
                (Some((host, leg)), self.zone_of_leg(host, leg)?)
            }
        };
        let mut path = Path { origin: first, transits: Vec::new(), end: None, bridged: Vec::new() };
        let origin = first.map(|(host, _)| host);
        let Some(class) = self.class(to) else {
            if self.forwarding.bridge_to_groups(zone).is_some() {
                path.bridged.extend(self.across(zone, origin, None, 0, true));
            }
            return Ok(path);
        };
        path.end = class.gateway;
        let owner = class.gateway.map(|(host, _)| host);
        let by_table = matches!(from, From::Machine(_));
        let next = match (first, by_table) {
            (Some((host, _)), true) => zone_next(self.forwarding.onward(host, class.sample)),
            (machine, _) => self.forwarding.from_member(zone, machine.map(|m| m.0), class.sample),
        };
        let mut hop = match next {
            ZoneNext::OnLink => {
                path.bridged.extend(self.across(zone, origin, owner, 0, true));
                return Ok(path);
            }
            ZoneNext::Via { gateway, gateway_leg } => (gateway, gateway_leg),
            ZoneNext::Ambiguous(_) => return Err(Broken::Ambiguous),
            ZoneNext::NoRoute => return Err(Broken::NoRoute),
        };
        path.bridged.extend(self.across(zone, origin, Some(hop.0), 0, false));
        let mut passed: BTreeSet<HostId> = origin.into_iter().collect();
        while passed.insert(hop.0) {
            let (host, came) = hop;
            let after = path.transits.len().saturating_add(1);
            let left = match self.forwarding.next_for(host, class) {
                Next::Local => {
                    path.end = Some((host, came));
                    return Ok(path);
                }
                Next::OnLink { leg } => {
                    path.transits.push(Transit { host, came, left: leg });
                    let zone = self.zone_of_leg(host, leg)?;
                    path.bridged.extend(self.across(zone, Some(host), owner, after, true));
                    return Ok(path);
                }
                Next::Via { leg, gateway, gateway_leg } => {
                    hop = (gateway, gateway_leg);
                    leg
                }
                Next::Ambiguous(_) => return Err(Broken::Ambiguous),
                Next::NoRoute => return Err(Broken::NoRoute),
            };
            path.transits.push(Transit { host, came, left });
            let zone = self.zone_of_leg(host, left)?;
            path.bridged.extend(self.across(zone, Some(host), Some(hop.0), after, false));
        }
        Err(Broken::Loop)
    }

    /// S39 over a class: where an end is none we know by its class, it may still be a plain host that bridges; who asks
    /// takes its addresses away.
    fn across(
        &self,
        zone: ZoneId,
        from: Option<HostId>,
        to: Option<HostId>,
        after: usize,
        last: bool,
    ) -> Option<Bridged> {
        let (host, leg) = self.forwarding.bridge_of(zone)?;
        let neither = [from, to].into_iter().flatten().all(|end| end != host);
        neither.then_some(Bridged { host, leg, after, last })
    }

    /// The leg by which a machine sends to a class.
    pub(super) fn leaves_by(&self, host: HostId, to: To) -> Result<LegId, Broken> {
        let next = match to {
            To::Class(_) => self.class(to).map(|class| self.forwarding.onward(host, class.sample)),
            To::Group(family) => self.only_leg(host, family).map(|leg| Next::OnLink { leg }),
        };
        match next.unwrap_or(Next::NoRoute) {
            Next::OnLink { leg } | Next::Via { leg, .. } => Ok(leg),
            Next::Ambiguous(_) => Err(Broken::Ambiguous),
            Next::Local | Next::NoRoute => Err(Broken::NoRoute),
        }
    }

    /// The classes that a set of addresses touches, with what it has of each; the groups of S14 last.
    pub(super) fn split(&self, addrs: &AddrSet) -> Vec<(To, AddrSet)> {
        if let Some(class) = self.only_class(addrs) {
            return vec![(To::Class(class), addrs.clone())];
        }
        let mut parts: BTreeMap<usize, Vec<AddrRange>> = BTreeMap::new();
        for range in addrs.ranges() {
            let from = (range.family, range.first);
            let at = self.extents.partition_point(|(r, _)| (r.family, r.last) < from);
            let touched = self.extents.iter().skip(at);
            let touched = touched.take_while(|(r, _)| r.family == range.family && r.first <= range.last);
            for (extent, class) in touched {
                let (first, last) = (range.first.max(extent.first), range.last.min(extent.last));
                parts.entry(*class).or_default().push(AddrRange { family: range.family, first, last });
            }
        }
        let classes = parts.into_iter().map(|(at, ranges)| (To::Class(at), AddrSet::from_ranges(ranges)));
        let heard = addrs.intersection(groups());
        let heard = Family::BOTH.map(|family| (To::Group(family), heard.of(family)));
        classes.chain(heard.into_iter().filter(|(_, part)| !part.is_empty())).collect()
    }

    /// The class that one range of addresses is in, where that is all there is: most statements name a host or a network.
    fn only_class(&self, addrs: &AddrSet) -> Option<usize> {
        let mut ranges = addrs.ranges();
        let (Some(range), None) = (ranges.next(), ranges.next()) else { return None };
        let from = (range.family, range.first);
        let at = self.extents.partition_point(|(r, _)| (r.family, r.last) < from);
        let (extent, class) = self.extents.get(at)?;
        let inside =
            extent.family == range.family && extent.first <= range.first && range.last <= extent.last;
        (inside && addrs.is_disjoint(groups())).then_some(*class)
    }

    /// The classes of a zone, narrowly: those of machines that forward are not meant.
    pub(super) fn classes_of(&self, zone: ZoneId) -> impl Iterator<Item = (To, AddrSet)> + '_ {
        let all = self.by_zone.get(&zone).into_iter().flatten();
        all.filter_map(|&at| Some((at, self.classes.get(at)?)))
            .filter(|(_, class)| class.gateway.is_none())
            .map(|(at, class)| (To::Class(at), class.addrs.clone()))
    }

    /// The starts of members of a zone that have these addresses.
    pub(super) fn members(&self, zone: ZoneId, addrs: &AddrSet) -> Vec<(From, AddrSet)> {
        let mut starts = Vec::new();
        let mut others = addrs.clone();
        for &(host, leg) in self.special.get(&zone).into_iter().flatten() {
            if let Some(of) = self.site.leg(host, leg).filter(|leg| leg.is_among(addrs)) {
                let own = of.address_set();
                others = others.difference(&own);
                starts.push((From::Leg(host, leg), own.intersection(addrs)));
            }
        }
        if !others.is_empty() {
            starts.push((From::Zone(zone), others));
        }
        starts
    }

    /// A leg's start; that of its zone where the machine has nothing of its own to say.
    pub(super) fn leg_start(&self, host: HostId, leg: LegId) -> From {
        let zone = self.site.leg(host, leg).map(|l| l.zone);
        let own = |zone: &ZoneId| self.special.get(zone).is_some_and(|legs| legs.contains(&(host, leg)));
        zone.filter(|zone| !own(zone)).map_or(From::Leg(host, leg), From::Zone)
    }

    /// The zone that one range of addresses is in, where it is in one class.
    pub(super) fn only_zone(&self, addrs: &AddrSet) -> Option<ZoneId> {
        self.classes.get(self.only_class(addrs)?).map(|class| class.zone)
    }

    /// The zones that a set touches, with what it has of each.
    pub(super) fn zones_of(&self, addrs: &AddrSet) -> BTreeMap<ZoneId, AddrSet> {
        let mut zones: BTreeMap<ZoneId, AddrSet> = BTreeMap::new();
        for (at, part) in self.split(addrs) {
            if let Some(class) = self.class(at) {
                let zone = zones.entry(class.zone).or_default();
                *zone = zone.union(&part);
            }
        }
        zones
    }

    /// The class of a destination that is one.
    pub(super) fn class(&self, to: To) -> Option<&Class> {
        match to {
            To::Class(at) => self.classes.get(at),
            To::Group(_) => None,
        }
    }

    fn only_leg(&self, host: HostId, family: Family) -> Option<LegId> {
        let carrying = self.site.host(host)?.legs().filter(|(_, leg)| leg.carries(self.site, family));
        match carrying.collect::<Vec<_>>().as_slice() {
            [(leg, _)] => Some(*leg),
            [] | [_, _, ..] => None,
        }
    }

    fn zone_of_leg(&self, host: HostId, leg: LegId) -> Result<ZoneId, Broken> {
        self.site.leg(host, leg).map(|leg| leg.zone).ok_or(Broken::NoRoute)
    }
}

fn zone_next(next: Next) -> ZoneNext {
    match next {
        Next::OnLink { .. } => ZoneNext::OnLink,
        Next::Via { gateway, gateway_leg, .. } => ZoneNext::Via { gateway, gateway_leg },
        Next::Ambiguous(ways) => ZoneNext::Ambiguous(ways.into_iter().map(|way| way.1).collect()),
        Next::Local | Next::NoRoute => ZoneNext::NoRoute,
    }
}
