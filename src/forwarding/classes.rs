//! The addresses, split so that as destinations every machine treats those of one class alike.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::declared::Routes;
use super::{Forwarding, Next};
use crate::model::{HostId, LegId, ZoneId};
use crate::net::{AddrRange, AddrSet, Family};

/// Addresses of one zone and family that nobody can tell apart by forwarding (S7, S8), but for one thing:
/// that a plain host takes in its own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The addresses.
    pub addrs: AddrSet,
    /// Their family.
    pub family: Family,
    /// Their zone.
    pub zone: ZoneId,
    /// The forwarding machine that has them, with the leg.
    pub gateway: Option<(HostId, LegId)>,
    /// One of them.
    pub sample: IpAddr,
}

/// What tells classes apart: zone, length of its network there, forwarding owner, and the declared routes (machine,
/// place among its routes, length) that hold the address.
type Key = (ZoneId, u8, Option<(HostId, LegId)>, Vec<(HostId, usize, u8)>);

impl Forwarding<'_> {
    /// Every address of every zone, by class, in the order of zones.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        self.classes.get_or_init(|| self.found_classes())
    }

    fn found_classes(&self) -> Vec<Class> {
        let mut classes = Vec::new();
        for family in Family::BOTH {
            let mut found: BTreeMap<Key, Vec<AddrRange>> = BTreeMap::new();
            for range in self.pieces(family) {
                let first = range.first_addr();
                let Some(zone) = self.zone_of(first) else { continue };
                let gateway = self.owner_of(first).filter(|(host, _)| self.forwards(*host));
                let key = (zone, self.on_link_length(zone, first), gateway, self.declared_by_all(first));
                found.entry(key).or_default().push(range);
            }
            for ((zone, _, gateway, _), ranges) in found {
                if let Some(sample) = ranges.first().map(|r| r.first_addr()) {
                    let addrs = AddrSet::from_ranges(ranges);
                    classes.push(Class { addrs, family, zone, gateway, sample });
                }
            }
        }
        classes
    }

    fn forwards(&self, host: HostId) -> bool {
        self.site.host(host).is_some_and(crate::model::Host::forwards)
    }

    /// The zones' ranges, cut wherever a route or an address of a forwarding machine begins or ends.
    fn pieces(&self, family: Family) -> Vec<AddrRange> {
        let mut cuts: BTreeSet<u128> = BTreeSet::new();
        let mut cut = |range: AddrRange| {
            if range.family == family {
                cuts.insert(range.first);
                cuts.extend(range.last.checked_add(1));
            }
        };
        for (address, (host, _)) in &self.owners {
            if self.forwards(*host) {
                cut(AddrRange::one(*address));
            }
        }
        for zone in &self.site.zones {
            zone.nets.iter().for_each(|net| cut(AddrRange::net(*net)));
        }
        for route in self.declared.iter().flat_map(Routes::iter) {
            route.prefixes().for_each(|net| cut(AddrRange::net(net)));
        }
        let [v4, v6] = &self.zones;
        let extents = match family {
            Family::V4 => v4,
            Family::V6 => v6,
        };
        let mut pieces = Vec::new();
        for &(first, last, _) in extents {
            let mut from = first;
            for &at in cuts.range(first..=last).filter(|at| **at != first) {
                pieces.push(AddrRange { family, first: from, last: at.saturating_sub(1) });
                from = at;
            }
            pieces.push(AddrRange { family, first: from, last });
        }
        pieces
    }

    /// The declared routes that hold an address: also those that lose by their length, since S8 asks for those via
    /// one zone only.
    fn declared_by_all(&self, dst: IpAddr) -> Vec<(HostId, usize, u8)> {
        let machines = (0u32..).map(HostId).zip(&self.declared);
        let holding = machines.flat_map(|(host, routes)| routes.holding(dst).map(move |held| (host, held)));
        let mut all: Vec<_> = holding.map(|(host, (length, at, _))| (host, at, length)).collect();
        all.sort_unstable();
        all
    }

    /// S7 for a class: what `host` does with its addresses (as one that is not a plain host having them).
    #[must_use]
    pub fn next_for(&self, host: HostId, class: &Class) -> Next {
        match class.gateway {
            Some((owner, _)) if owner == host => Next::Local,
            Some(_) | None => self.onward(host, class.sample),
        }
    }
}
