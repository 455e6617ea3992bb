//! Addresses that every machine routes alike, gathered into classes, so that a path is searched for once a class.
//!
//! Two addresses of a family are of one class if they lie in one zone, in a network of one length, are owned by the
//! same forwarding machine (or by none), and are held by the same declared routes at the same lengths. Plain hosts
//! do not count: they never pass a packet on, so no path bends at one (S9).

use std::collections::BTreeMap;
use std::net::IpAddr;

use hashbrown::HashMap;

use crate::model::{HostId, Role, Route, Site, ZoneId};
use crate::net::addr::number;
use crate::net::{AddrRange, AddrSet, Family};

/// A [`Class`] of a [`Classes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClassId(u32);

/// A declared route of a machine that holds the addresses of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Via {
    /// Whose route.
    pub host: HostId,
    /// Length of the prefix that holds the address; 0 where the place is `rest`.
    pub length: u8,
    /// The gateway.
    pub gateway: HostId,
    /// The zone in which both have a leg.
    pub zone: ZoneId,
}

/// What a class is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Class {
    /// The family.
    pub family: Family,
    /// The zone.
    pub zone: ZoneId,
    /// Length of the zone's network there; 0 in `rest`.
    pub length: u8,
    /// The forwarding machine that has the address.
    pub owner: Option<HostId>,
    /// Sorted.
    pub routes: Vec<Via>,
}

impl Class {
    /// The declared routes of a machine that hold the class, longest prefix last.
    pub fn routes_of(&self, host: HostId) -> impl Iterator<Item = Via> + '_ {
        let from = self.routes.partition_point(|v| v.host < host);
        self.routes.iter().skip(from).take_while(move |v| v.host == host).copied()
    }
}

struct Atom {
    first: u128,
    last: u128,
    class: ClassId,
}

/// The classes of a site.
#[derive(Default)]
pub struct Classes {
    list: Vec<Class>,
    ids: HashMap<Class, ClassId>,
    /// Sorted, disjoint.
    atoms: [Vec<Atom>; 2],
}

impl Classes {
    /// The classes of a site.
    #[must_use]
    pub fn new(site: &Site) -> Self {
        let mut classes = Self::default();
        for family in Family::BOTH {
            let atoms = classes.split(site, family);
            if let Some(slot) = classes.atoms.get_mut(family as usize) {
                *slot = atoms;
            }
        }
        classes
    }

    /// A class.
    #[must_use]
    pub fn class(&self, id: ClassId) -> Option<&Class> {
        self.list.get(id.0 as usize)
    }

    /// The same class as if nobody had the address: how to reach a dynamic leg's zone.
    pub fn unowned(&mut self, id: ClassId) -> ClassId {
        match self.class(id) {
            Some(class) if class.owner.is_some() => {
                let bare = Class { owner: None, ..class.clone() };
                self.intern(bare)
            }
            Some(_) | None => id,
        }
    }

    /// The class of an address, where it is in a zone.
    #[must_use]
    pub fn of(&self, addr: IpAddr) -> Option<ClassId> {
        let (family, number) = (Family::of(addr), number(addr));
        let atoms = self.atoms.get(family as usize)?;
        let at = atoms.partition_point(|a| a.last < number);
        atoms.get(at).filter(|a| a.first <= number).map(|a| a.class)
    }

    /// The class of a set of one range that lies within one.
    #[must_use]
    pub fn sole(&self, set: &AddrSet) -> Option<ClassId> {
        let mut ranges = set.ranges();
        let range = ranges.next().filter(|_| ranges.next().is_none())?;
        let atoms = self.atoms.get(range.family as usize)?;
        let atom = atoms.get(atoms.partition_point(|a| a.last < range.first))?;
        (atom.first <= range.first && range.last <= atom.last).then_some(atom.class)
    }

    /// A set by classes; what is in no zone is left out.
    #[must_use]
    pub fn divide(&self, set: &AddrSet) -> Vec<(ClassId, AddrSet)> {
        // Nearly always one range in one class: there is nothing to gather.
        if let Some(class) = self.sole(set) {
            return vec![(class, set.clone())];
        }
        let mut parts: BTreeMap<ClassId, Vec<AddrRange>> = BTreeMap::new();
        for range in set.ranges() {
            let Some(atoms) = self.atoms.get(range.family as usize) else { continue };
            let from = atoms.partition_point(|a| a.last < range.first);
            for atom in atoms.iter().skip(from).take_while(|a| a.first <= range.last) {
                let (first, last) = (atom.first.max(range.first), atom.last.min(range.last));
                parts.entry(atom.class).or_default().push(AddrRange { family: range.family, first, last });
            }
        }
        parts.into_iter().map(|(class, ranges)| (class, AddrSet::from_ranges(ranges))).collect()
    }

    fn intern(&mut self, class: Class) -> ClassId {
        if let Some(id) = self.ids.get(&class) {
            return *id;
        }
        let id = ClassId(u32::try_from(self.list.len()).unwrap_or(u32::MAX));
        self.list.push(class.clone());
        self.ids.insert(class, id);
        id
    }

    fn split(&mut self, site: &Site, family: Family) -> Vec<Atom> {
        let mut held: Vec<(AddrRange, Via)> = Vec::new();
        for (host, machine) in site.hosts() {
            for route in machine.routes.iter().filter(|r| serves(site, host, r, family)) {
                held.extend(prefixes(site, route, family).into_iter().map(|(range, length)| {
                    (range, Via { host, length, gateway: route.gateway, zone: route.zone })
                }));
            }
        }
        let owners: BTreeMap<u128, HostId> = site
            .hosts()
            .filter(|(_, h)| h.forwards())
            .flat_map(|(id, h)| h.legs.iter().flat_map(move |l| l.addresses.iter().map(move |a| (*a, id))))
            .filter(|(a, _)| Family::of(*a) == family)
            .map(|(a, id)| (number(a), id))
            .collect();
        let mut zones: Vec<(AddrRange, ZoneId, u8)> = Vec::new();
        for (id, zone) in site.zones() {
            let nets: Vec<_> = zone.nets.iter().map(|n| (AddrSet::net(*n), n.prefix_len())).collect();
            let mut left = zone.addrs.of(family);
            let mut longest = nets;
            longest.sort_by_key(|(_, length)| std::cmp::Reverse(*length));
            for (net, length) in longest {
                zones.extend(left.intersection(&net).ranges().map(|r| (r, id, length)));
                left = left.difference(&net);
            }
            zones.extend(left.ranges().map(|r| (r, id, 0)));
        }
        zones.sort();
        let mut cuts: Vec<u128> = Vec::new();
        let mut cut = |first: u128, last: u128| {
            cuts.push(first);
            cuts.extend(last.checked_add(1));
        };
        held.iter().for_each(|(r, _)| cut(r.first, r.last));
        owners.keys().for_each(|a| cut(*a, *a));
        cuts.sort_unstable();
        cuts.dedup();

        // The zones' ranges, cut wherever a route or a machine begins or ends.
        let mut raw: Vec<(u128, u128, ZoneId, u8, Vec<Via>)> = Vec::new();
        for (range, zone, length) in zones {
            let mut first = range.first;
            let from = cuts.partition_point(|c| *c <= range.first);
            for next in cuts.iter().skip(from).take_while(|c| **c <= range.last) {
                raw.push((first, next.saturating_sub(1), zone, length, Vec::new()));
                first = *next;
            }
            raw.push((first, range.last, zone, length, Vec::new()));
        }
        for (range, via) in held {
            let from = raw.partition_point(|a| a.1 < range.first);
            for atom in raw.iter_mut().skip(from).take_while(|a| a.0 <= range.last) {
                atom.4.push(via);
            }
        }
        raw.into_iter()
            .map(|(first, last, zone, length, mut routes)| {
                routes.sort_unstable();
                routes.dedup();
                let owner = owners.get(&first).copied();
                Atom { first, last, class: self.intern(Class { family, zone, length, owner, routes }) }
            })
            .collect()
    }
}

/// A route counts in the families in which its gateway can be used there (S5) and the machine's own leg carries.
fn serves(site: &Site, host: HostId, route: &Route, family: Family) -> bool {
    let own =
        site.host(host).and_then(|h| h.leg_in(route.zone)).is_some_and(|(_, l)| l.carries(site, family));
    own && usable(site, route.gateway, route.zone, family)
}

/// Whether a machine can be used as gateway by the members of a zone (S5).
pub fn usable(site: &Site, gateway: HostId, zone: ZoneId, family: Family) -> bool {
    let rest = site.zone(zone).is_some_and(|z| z.rest);
    site.host(gateway).filter(|g| g.forwards()).and_then(|g| g.leg_in(zone)).is_some_and(|(_, leg)| {
        leg.addresses.iter().any(|a| Family::of(*a) == family)
            || (rest || site.host(gateway).is_some_and(|g| g.role == Role::Vpc))
                && leg.dynamic
                && leg.carries(site, family)
    })
}

/// The prefixes of a route's places with their lengths; what is all of `rest` counts as length 0 (S7).
fn prefixes(site: &Site, route: &Route, family: Family) -> Vec<(AddrRange, u8)> {
    let mut to = route.to.of(family);
    let mut out = Vec::new();
    if to == AddrSet::full().of(family) {
        return to.ranges().map(|r| (r, 0)).collect();
    }
    for zone in site.zones.iter().filter(|z| z.rest) {
        let rest = zone.addrs.of(family);
        if !rest.is_empty() && rest.is_subset(&to) {
            out.extend(rest.ranges().map(|r| (r, 0)));
            to = to.difference(&rest);
        }
    }
    let width: u32 = match family {
        Family::V4 => 32,
        Family::V6 => 128,
    };
    for range in to.ranges() {
        let mut first = range.first;
        loop {
            // The largest aligned block that starts at `first` and ends by `range.last`.
            let aligned = first.trailing_zeros().min(width);
            let room = range.last.saturating_sub(first).saturating_add(1);
            let fits = if room == 0 { width } else { 127u32.saturating_sub(room.leading_zeros()).min(width) };
            let bits = aligned.min(fits);
            let size = 1u128.checked_shl(bits).unwrap_or(0);
            let last = first.wrapping_add(size.wrapping_sub(1));
            out.push((
                AddrRange { family, first, last },
                u8::try_from(width.saturating_sub(bits)).unwrap_or(0),
            ));
            match last.checked_add(1) {
                Some(next) if next <= range.last => first = next,
                Some(_) | None => break,
            }
        }
    }
    out
}
