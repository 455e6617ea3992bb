//! Where one machine sends one packet: longest prefix over its legs, its declared routes and the topology.
//!
//! This is `docs/semantics.md`, *Forwarding*, one node at a time: [`Forwarding::next`] is S7,
//! [`Forwarding::from_zone`] is S8. Who wants a whole path walks it hop by hop (S9); nothing here
//! searches for one. [`Forwarding::table`] writes the decisions of a machine down as a routing table, which
//! the kernel lab installs and asks `ip route get` about.

mod classes;
mod declared;
mod distance;
pub(crate) mod shared;
mod table;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock, Mutex, OnceLock, PoisonError};

use hashbrown::HashMap;

use crate::model::{Bridges, Host, HostId, LegId, Site, ZoneId};
use crate::net::addr::number;
use crate::net::{AddrSet, Family};

pub use classes::Class;
pub use table::{RouteEntry, RouteHop};

use declared::{Declared, Routes};
use distance::{Gateways, Ways};
use shared::Shared;

/// Gateways of a zone from which on it is remembered which of them are nearest to another: of few it is as soon found again.
const MANY: usize = 8;

/// What a machine does with a packet by its destination (S7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// It is for the machine itself.
    Local,
    /// Its destination is in a zone the machine has a leg in.
    OnLink {
        /// The leg.
        leg: LegId,
    },
    /// It goes to a gateway.
    Via {
        /// The machine's leg.
        leg: LegId,
        /// The gateway.
        gateway: HostId,
        /// The gateway's leg in the same zone.
        gateway_leg: LegId,
    },
    /// Several are as near, and nothing declares which.
    Ambiguous(Vec<(LegId, HostId)>),
    /// None leads there.
    NoRoute,
}

/// What a member of a zone does with a packet (S8).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ZoneNext {
    /// Its destination is in the zone.
    OnLink,
    /// It goes to a gateway.
    Via {
        /// The gateway.
        gateway: HostId,
        /// The gateway's leg in the zone.
        gateway_leg: LegId,
    },
    /// Several are as near.
    Ambiguous(Vec<HostId>),
    /// None leads there.
    NoRoute,
}

/// The forwarding decisions of every machine of a site.
pub struct Forwarding<'s> {
    site: &'s Site,
    /// Where zones begin and end, ascending.
    zones: [Vec<(u128, u128, ZoneId)>; 2],
    owners: BTreeMap<IpAddr, (HostId, LegId)>,
    /// By zone, the bridge on whose ports its members hang.
    bridges: Bridges,
    /// Of them, those that are hubs (S77).
    hubs: Bridges,
    gateways: Gateways,
    /// The declared routes by machine.
    declared: Vec<Routes>,
    classes: OnceLock<Vec<Class>>,
    shared: OnceLock<Vec<Shared>>,
    nearest: Mutex<HashMap<(Family, HostId, ZoneId), Next>>,
    nearest_of_zone: Mutex<HashMap<(Family, ZoneId, ZoneId), ZoneNext>>,
    /// By the zone that a packet leaves, and the one it is for.
    ways: Mutex<HashMap<(Family, ZoneId, ZoneId), Arc<Ways>>>,
}

impl<'s> Forwarding<'s> {
    /// The forwarding of a site.
    #[must_use]
    pub fn new(site: &'s Site) -> Self {
        let rest = site.zones.iter().find(|z| z.rest).map(|z| &z.addrs);
        let mut owners = BTreeMap::new();
        for (host, machine) in site.hosts() {
            for (leg, l) in machine.legs() {
                for addr in &l.addresses {
                    owners.entry(*addr).or_insert((host, leg));
                }
            }
        }
        let declared = |(id, host): (HostId, &Host)| {
            Routes::new(host.routes.iter().map(|r| Declared::new(site, id, r, rest)).collect())
        };
        Self {
            site,
            zones: Family::BOTH.map(|family| extents(site, family)),
            owners,
            bridges: site.bridges(),
            hubs: site.hubs(),
            gateways: Gateways::new(site),
            declared: site.hosts().map(declared).collect(),
            classes: OnceLock::new(),
            shared: OnceLock::new(),
            nearest: Mutex::default(),
            nearest_of_zone: Mutex::default(),
            ways: Mutex::default(),
        }
    }

    /// The site.
    #[must_use]
    pub fn site(&self) -> &'s Site {
        self.site
    }

    /// [`Site::bridge_of`] of every zone.
    #[must_use]
    pub fn bridges(&self) -> &Bridges {
        &self.bridges
    }

    /// [`Site::bridge_of`], found once.
    #[must_use]
    pub fn bridge_of(&self, zone: ZoneId) -> Option<(HostId, LegId)> {
        self.bridges.get(&zone).copied()
    }

    /// [`Self::bridge_of`] for what goes to a group: no hub forwards that (S77).
    #[must_use]
    pub fn bridge_to_groups(&self, zone: ZoneId) -> Option<(HostId, LegId)> {
        self.bridge_of(zone).filter(|_| !self.hubs.contains_key(&zone))
    }

    /// Where a machine sends a packet to `dst` (S7).
    #[must_use]
    pub fn next(&self, host: HostId, dst: IpAddr) -> Next {
        match self.owner_of(dst) {
            Some((owner, _)) if owner == host => Next::Local,
            _ => self.onward(host, dst),
        }
    }

    /// S7 for an address that is not the machine's own.
    #[must_use]
    pub fn onward(&self, host: HostId, dst: IpAddr) -> Next {
        let next = self.chosen(host, dst);
        let (leg, gateway) = match &next {
            Next::OnLink { leg } => (*leg, None),
            Next::Via { leg, gateway, .. } => (*leg, Some(*gateway)),
            Next::Local | Next::Ambiguous(_) | Next::NoRoute => return next,
        };
        let zone = self.site.leg(host, leg).map(|leg| leg.zone);
        let carried = zone.is_none_or(|zone| self.is_carried(zone, Some(host), gateway, dst));
        if carried { next } else { Next::NoRoute }
    }

    /// S77: whether what a member says to another, or to a gateway, comes to it: its hub hands it on as the member means it.
    fn is_carried(&self, zone: ZoneId, sender: Option<HostId>, gateway: Option<HostId>, dst: IpAddr) -> bool {
        let Some((hub, leg)) = self.hubs.get(&zone).copied() else { return true };
        let receiver = gateway.or_else(|| self.owner_of(dst).map(|(owner, _)| owner));
        // A group is heard in its sender's zone, through whatever there is (S14).
        if sender == Some(hub) || receiver == Some(hub) || is_group(dst) {
            return true;
        }
        match self.chosen(hub, dst) {
            Next::OnLink { leg: by } => by == leg && gateway.is_none(),
            Next::Via { leg: by, gateway: through, .. } => by == leg && gateway == Some(through),
            Next::Local | Next::Ambiguous(_) | Next::NoRoute => false,
        }
    }

    /// S7 as the machine's own routes have it, whoever hands on what it sends.
    fn chosen(&self, host: HostId, dst: IpAddr) -> Next {
        let Some(machine) = self.site.host(host) else { return Next::NoRoute };
        let family = Family::of(dst);
        if is_group(dst) {
            return only_leg(self.site, machine, family);
        }
        let Some(zone) = self.zone_of(dst) else { return Next::NoRoute };
        let on_link = machine.leg_in(zone).filter(|(_, leg)| leg.carries(self.site, family));
        let declared = self.declared(host, None, dst);
        match (on_link, declared) {
            // A declared route beats the leg only where it names a longer prefix.
            (Some((leg, _)), Some((length, _))) if length <= self.on_link_length(zone, dst) => {
                Next::OnLink { leg }
            }
            (_, Some((_, next))) => next,
            (Some((leg, _)), None) => Next::OnLink { leg },
            (None, None) => self.nearest(host, family, zone),
        }
    }

    /// Where the member of a zone that has the address `src` sends a packet to `dst` (S8).
    #[must_use]
    pub fn from_zone(&self, zone: ZoneId, src: IpAddr, dst: IpAddr) -> ZoneNext {
        self.from_member(zone, self.owner_of(src).map(|(host, _)| host), dst)
    }

    /// S8 for a member that is this machine, or, with none, that is no machine we know.
    #[must_use]
    pub fn from_member(&self, zone: ZoneId, machine: Option<HostId>, dst: IpAddr) -> ZoneNext {
        let next = self.chosen_by_member(zone, machine, dst);
        let carried = match &next {
            ZoneNext::OnLink => self.is_carried(zone, machine, None, dst),
            ZoneNext::Via { gateway, .. } => self.is_carried(zone, machine, Some(*gateway), dst),
            ZoneNext::Ambiguous(_) | ZoneNext::NoRoute => true,
        };
        if carried { next } else { ZoneNext::NoRoute }
    }

    fn chosen_by_member(&self, zone: ZoneId, machine: Option<HostId>, dst: IpAddr) -> ZoneNext {
        // A group is heard in its sender's zone and nowhere else (S14).
        if is_group(dst) {
            return ZoneNext::OnLink;
        }
        let Some(to) = self.zone_of(dst) else { return ZoneNext::NoRoute };
        if to == zone {
            return ZoneNext::OnLink;
        }
        if let Some((_, next)) = machine.and_then(|host| self.declared(host, Some(zone), dst)) {
            return match next {
                Next::Via { gateway, gateway_leg, .. } => ZoneNext::Via { gateway, gateway_leg },
                Next::Ambiguous(ways) => ZoneNext::Ambiguous(ways.into_iter().map(|way| way.1).collect()),
                Next::Local | Next::OnLink { .. } | Next::NoRoute => ZoneNext::NoRoute,
            };
        }
        self.nearest_of_zone(zone, machine, Family::of(dst), to)
    }

    /// The zone that holds an address.
    #[must_use]
    pub fn zone_of(&self, addr: IpAddr) -> Option<ZoneId> {
        let [v4, v6] = &self.zones;
        let extents = if addr.is_ipv4() { v4 } else { v6 };
        let number = number(addr);
        let at = extents.partition_point(|&(_, last, _)| last < number);
        extents.get(at).filter(|(first, _, _)| *first <= number).map(|extent| extent.2)
    }

    /// The machine that has a static address, with the leg.
    #[must_use]
    pub fn owner_of(&self, addr: IpAddr) -> Option<(HostId, LegId)> {
        self.owners.get(&addr).copied()
    }

    /// The machines that can be used as gateways by the members of a zone (S5), with their legs there.
    #[must_use]
    pub fn gateways_in(&self, family: Family, zone: ZoneId) -> &[(HostId, LegId)] {
        self.gateways.usable(family, zone)
    }

    /// The declared routes of `host` with the longest prefix, those via `zone` alone where one is given.
    fn declared(&self, host: HostId, zone: Option<ZoneId>, dst: IpAddr) -> Option<(u8, Next)> {
        let holding = self.declared.get(host.index())?.holding(dst);
        let mut holding = holding.filter(|(.., route)| zone.is_none_or(|zone| zone == route.zone)).peekable();
        let (length, ..) = *holding.peek()?;
        let routes: Vec<&Declared> =
            holding.take_while(|(other, ..)| *other == length).map(|(.., route)| route).collect();
        let first = *routes.first()?;
        let next = if routes.iter().all(|r| (r.gateway, r.zone) == (first.gateway, first.zone)) {
            Next::Via { leg: first.leg, gateway: first.gateway, gateway_leg: first.gateway_leg }
        } else {
            Next::Ambiguous(routes.iter().map(|r| (r.leg, r.gateway)).collect())
        };
        Some((length, next))
    }

    /// The length of the zone's network that holds the address; 0 for `rest`.
    fn on_link_length(&self, zone: ZoneId, dst: IpAddr) -> u8 {
        let nets = self.site.zone(zone).map_or(&[][..], |z| &z.nets);
        nets.iter().filter(|net| net.contains(&dst)).map(ipnet::IpNet::prefix_len).max().unwrap_or(0)
    }

    fn nearest(&self, host: HostId, family: Family, zone: ZoneId) -> Next {
        let key = (family, host, zone);
        if let Some(known) = lock(&self.nearest).get(&key) {
            return known.clone();
        }
        let legs = self.site.host(host).into_iter().flat_map(Host::legs);
        let legs = legs.filter(|(_, l)| l.carries(self.site, family));
        let ways: Vec<(LegId, Arc<Ways>)> =
            legs.map(|(leg, l)| (leg, self.ways(family, l.zone, zone))).collect();
        let least = ways.iter().filter_map(|(_, ways)| ways.without(Some(host)).0).min();
        let of_leg = |(leg, ways): &(LegId, Arc<Ways>)| -> Vec<(LegId, HostId, LegId)> {
            let (distance, ways) = ways.without(Some(host));
            let ways = ways.filter(|_| distance == least);
            ways.map(|(gateway, gateway_leg)| (*leg, gateway, gateway_leg)).collect()
        };
        let ways: Vec<(LegId, HostId, LegId)> = ways.iter().flat_map(of_leg).collect();
        let next = match ways.as_slice() {
            [] => Next::NoRoute,
            [(leg, gateway, gateway_leg)] => {
                Next::Via { leg: *leg, gateway: *gateway, gateway_leg: *gateway_leg }
            }
            [_, _, ..] => Next::Ambiguous(ways.iter().map(|way| (way.0, way.1)).collect()),
        };
        lock(&self.nearest).insert(key, next.clone());
        next
    }

    fn nearest_of_zone(&self, zone: ZoneId, without: Option<HostId>, family: Family, to: ZoneId) -> ZoneNext {
        // Nearly always the sender is no gateway, and the answer is that of the zone.
        let usable = self.gateways_in(family, zone);
        let without = without.filter(|host| usable.iter().any(|(gateway, _)| gateway == host));
        let key = (family, zone, to);
        if without.is_none()
            && let Some(known) = lock(&self.nearest_of_zone).get(&key)
        {
            return known.clone();
        }
        let ways = self.ways(family, zone, to);
        let ways: Vec<(HostId, LegId)> = ways.without(without).1.collect();
        let next = match ways.as_slice() {
            [] => ZoneNext::NoRoute,
            [(gateway, gateway_leg)] => ZoneNext::Via { gateway: *gateway, gateway_leg: *gateway_leg },
            [_, _, ..] => ZoneNext::Ambiguous(ways.iter().map(|way| way.0).collect()),
        };
        if without.is_none() {
            lock(&self.nearest_of_zone).insert(key, next.clone());
        }
        next
    }

    /// Whether a machine takes in a packet to an address that is not its own, for it is everybody's of a link of it (S14): it
    /// sends that on to nobody. What a machine has for its own is that machine's.
    #[must_use]
    pub fn takes_in(&self, host: HostId, dst: IpAddr) -> bool {
        let Some(machine) = self.site.host(host) else { return false };
        let heard = |one: &Shared| machine.legs.iter().any(|leg| one.is_heard(machine, leg));
        self.owner_of(dst).is_none() && self.shared_as(dst).any(heard)
    }

    /// Whether nobody answers for an address that a machine looks for on the link of a leg: it is the broadcast address of a network
    /// there in which the machine has no address, so that it sends it to one member, and none has it (S14).
    #[must_use]
    pub fn is_nobodys(&self, host: HostId, leg: LegId, dst: IpAddr) -> bool {
        let zone = self.site.leg(host, leg).map(|leg| leg.zone);
        zone.is_some_and(|zone| self.is_broadcast(zone, dst)) && !self.takes_in(host, dst)
    }

    /// What an address is that several machines take in.
    fn shared_as(&self, addr: IpAddr) -> impl Iterator<Item = &Shared> {
        let shared = self.shared.get_or_init(|| shared::of_site(self.site));
        shared.iter().filter(move |one| one.addr == addr)
    }

    /// Whether an address is the broadcast address of a network of a zone, and no machine's own (S14). To the members of a hub it is an
    /// address as any other (S77).
    #[must_use]
    pub fn is_broadcast(&self, zone: ZoneId, addr: IpAddr) -> bool {
        let here = |one: &Shared| one.zone == zone;
        let link = addr.is_ipv4() && !self.hubs.contains_key(&zone);
        link && self.owner_of(addr).is_none() && self.shared_as(addr).any(here)
    }

    /// The static addresses of machines among these, ascending, each with the machine and the leg.
    pub fn owners_among(&self, addrs: &AddrSet) -> impl Iterator<Item = (IpAddr, (HostId, LegId))> {
        let ranges = addrs.ranges();
        let owners = ranges.flat_map(|range| self.owners.range(range.first_addr()..=range.last_addr()));
        owners.map(|(addr, owner)| (*addr, *owner))
    }

    /// The gateways of a zone that are nearest to another, found once: many machines have a leg in it.
    fn ways(&self, family: Family, zone: ZoneId, to: ZoneId) -> Arc<Ways> {
        let (key, gateways) = ((family, zone, to), self.gateways_in(family, zone));
        let find = || Arc::new(self.gateways.nearest(family, to, gateways));
        if gateways.len() < MANY {
            return find();
        }
        if let Some(known) = lock(&self.ways).get(&key) {
            return Arc::clone(known);
        }
        let ways = find();
        lock(&self.ways).insert(key, Arc::clone(&ways));
        ways
    }
}

/// Whether an address is a multicast group or the limited broadcast: heard by many, in no zone (S14).
#[must_use]
pub fn is_group(addr: IpAddr) -> bool {
    match addr {
        IpAddr::V4(a) => a.is_multicast() || a.is_broadcast(),
        IpAddr::V6(a) => a.is_multicast(),
    }
}

/// Every address of [`is_group`].
#[must_use]
pub fn groups() -> &'static AddrSet {
    static GROUPS: LazyLock<AddrSet> = LazyLock::new(|| {
        let nets = ["224.0.0.0/4", "255.255.255.255/32", "ff00::/8"];
        let nets = nets.iter().filter_map(|net| net.parse().ok());
        nets.fold(AddrSet::empty(), |set, net| set.union(&AddrSet::net(net)))
    });
    &GROUPS
}

/// A machine with one leg sends to a group by it; with several it would have to be told which.
fn only_leg(site: &Site, machine: &Host, family: Family) -> Next {
    let mut legs = machine.legs().filter(|(_, leg)| leg.carries(site, family));
    match (legs.next(), legs.next()) {
        (Some((leg, _)), None) => Next::OnLink { leg },
        (Some(_), Some(_)) | (None, _) => Next::NoRoute,
    }
}

fn extents(site: &Site, family: Family) -> Vec<(u128, u128, ZoneId)> {
    let of = |(id, zone): (ZoneId, &crate::model::Zone)| {
        let ranges: Vec<_> = zone.addrs.ranges().filter(|r| r.family == family).collect();
        ranges.into_iter().map(move |r| (r.first, r.last, id))
    };
    let mut all: Vec<_> = site.zones().flat_map(of).collect();
    all.sort_unstable();
    all
}

/// A cache that a panicking thread left is still a cache: entries go in whole.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
