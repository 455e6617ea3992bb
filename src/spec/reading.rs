//! How a name is read, as sets of addresses (S3, S11, S12): widely, narrowly, and after `except`.
//!
//! What depends on a path (the leg a host with several legs leaves by) or on the point (a dynamic leg at
//! its own host) is not a set of addresses: `judge` and `admitted` each decide that for themselves.

use crate::model::{End, Host, HostId, Leg, LegId, Place, Site, ZoneId};
use crate::net::AddrSet;

/// The readings of a site's names.
pub struct Readings<'s> {
    site: &'s Site,
    /// Every static address of a machine.
    known: AddrSet,
    /// Every static address of a machine that forwards.
    gateways: AddrSet,
}

impl<'s> Readings<'s> {
    /// The readings of a site.
    #[must_use]
    pub fn new(site: &'s Site) -> Self {
        let of = |hosts: &mut dyn Iterator<Item = &Host>| {
            let addrs = hosts.flat_map(|h| &h.legs).flat_map(|leg| &leg.addresses);
            AddrSet::from_ranges(addrs.map(|a| crate::net::AddrRange::one(*a)))
        };
        Self {
            site,
            known: of(&mut site.hosts.iter()),
            gateways: of(&mut site.hosts.iter().filter(|h| h.forwards())),
        }
    }

    /// One item, widely.
    #[must_use]
    pub fn wide(&self, end: &End) -> AddrSet {
        match end {
            End::Zone(zone) => self.zone(*zone),
            End::Host(host) => {
                let legs = self.legs(*host).iter();
                legs.fold(AddrSet::empty(), |all, leg| all.union(&self.wide_leg(leg)))
            }
            End::Leg(host, leg) => self.leg(*host, *leg).map(|leg| self.wide_leg(leg)).unwrap_or_default(),
            End::Addrs(addrs) => addrs.clone(),
            End::Anywhere => AddrSet::full(),
        }
    }

    /// All of `plus` widely, less all of `except` narrowly: as a `deny`, an `expect deny` or `reject from` reads it.
    #[must_use]
    pub fn wide_place(&self, place: &Place) -> AddrSet {
        let plus = self.union(place.plus.iter().map(|end| self.wide(end)));
        let except = self.union(place.except.iter().map(|end| self.narrow_except(end)));
        plus.difference(&except)
    }

    /// What `except` takes away from an `allow`: all of it, widely.
    #[must_use]
    pub fn wide_except(&self, place: &Place) -> AddrSet {
        self.union(place.except.iter().map(|end| self.wide(end)))
    }

    /// One item after `except`, narrowly: what it takes away from a `deny`.
    #[must_use]
    pub fn narrow_except(&self, end: &End) -> AddrSet {
        match end {
            End::Zone(zone) => self.narrow_zone(*zone),
            End::Host(host) => self.static_of(*host),
            End::Leg(host, leg) => self.leg(*host, *leg).map(Leg::address_set).unwrap_or_default(),
            End::Addrs(addrs) => addrs.clone(),
            End::Anywhere => self.union(self.site.zones().map(|(zone, _)| self.narrow_zone(zone))),
        }
    }

    /// A zone, narrowly: less every static address of a machine that forwards.
    #[must_use]
    pub fn narrow_zone(&self, zone: ZoneId) -> AddrSet {
        self.zone(zone).difference(&self.gateways)
    }

    /// The static addresses of machines that forward.
    #[must_use]
    pub fn gateways(&self) -> &AddrSet {
        &self.gateways
    }

    /// Every static address of a machine, whosever.
    #[must_use]
    pub fn known(&self) -> &AddrSet {
        &self.known
    }

    /// All static addresses of a machine.
    #[must_use]
    pub fn static_of(&self, host: HostId) -> AddrSet {
        self.union(self.legs(host).iter().map(Leg::address_set))
    }

    /// Every address of a zone.
    #[must_use]
    pub fn zone(&self, zone: ZoneId) -> AddrSet {
        self.site.zone(zone).map(|z| z.addrs.clone()).unwrap_or_default()
    }

    /// One leg, widely (S3).
    #[must_use]
    pub fn wide_leg(&self, leg: &Leg) -> AddrSet {
        let own = leg.address_set();
        if leg.dynamic { own.union(&self.zone(leg.zone).difference(&self.known)) } else { own }
    }

    fn union(&self, sets: impl Iterator<Item = AddrSet>) -> AddrSet {
        let ranges = sets.flat_map(|set| set.ranges().collect::<Vec<_>>());
        AddrSet::from_ranges(ranges)
    }

    fn legs(&self, host: HostId) -> &'s [Leg] {
        self.site.host(host).map_or(&[], |h| &h.legs)
    }

    fn leg(&self, host: HostId, leg: LegId) -> Option<&'s Leg> {
        self.site.leg(host, leg)
    }
}

/// One item, widely (S11). Who asks often keeps a [`Readings`].
#[must_use]
pub fn wide(site: &Site, end: &End) -> AddrSet {
    Readings::new(site).wide(end)
}
