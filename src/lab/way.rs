//! The points that a packet of the lab meets, in order, and what each of them sees.
//!
//! The way is walked hop by hop through [`Forwarding`] (S9), from where the lab sends the packet to where the lab takes
//! it in: a leg whose address the policy does not know has one here. Who is asked at the points (the
//! policy, the simulator, the kernel) is the caller's business.
//!
//! What translates a packet on its way is the caller's business too: [`way_through`] asks at the prerouting and postrouting
//! hook of every machine it passes. What connection tracking knows of a packet stays at the machine that knows it.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::forwarding::{Forwarding, Next, ZoneNext, is_group};
use crate::model::{Bridge, Hook, Host, HostId, LegId, Point, Site, ZoneId};
use crate::net::{Family, Interface, NatStatus, Packet};

use super::site::Start;

/// A point on the way of a packet, and the packet as it is seen there.
pub type Met = (Point, Packet);

/// Every hook of a filtering machine on the way, in order; none where no way leads there.
///
/// `end` is the leg that has the destination in the lab, where the policy does not say: that of a dynamic leg.
#[must_use]
pub fn way(
    forwarding: &Forwarding<'_>,
    start: Start,
    packet: &Packet,
    end: Option<(HostId, LegId)>,
) -> Option<Vec<Met>> {
    let owner = |addr: IpAddr| end.filter(|_| addr == packet.dst).or_else(|| forwarding.owner_of(addr));
    way_through(forwarding, start, packet, &owner, &|_, _, packet| packet.clone())
}

/// The leg that has an address in the lab; none where no machine has it.
pub type Owner<'a> = &'a dyn Fn(IpAddr) -> Option<(HostId, LegId)>;

/// What a machine makes of a packet at its prerouting or postrouting hook.
pub type Translate<'a> = &'a dyn Fn(HostId, Hook, &Packet) -> Packet;

/// The same, with translation.
#[must_use]
pub fn way_through(
    forwarding: &Forwarding<'_>,
    start: Start,
    packet: &Packet,
    owner: Owner<'_>,
    translate: Translate<'_>,
) -> Option<Vec<Met>> {
    let end = owner(packet.dst);
    let mut walk = Walk { forwarding, owner, translate, packet: packet.clone(), end, met: Vec::new() };
    walk.go(start)?;
    Some(walk.met)
}

/// The points that a packet to a group meets until one machine in its sender's zone has it (S14, S39); none where that
/// machine does not hear it.
#[must_use]
pub fn heard(forwarding: &Forwarding<'_>, start: Start, packet: &Packet, at: HostId) -> Option<Vec<Met>> {
    let translate: Translate<'_> = &|_, _, packet| packet.clone();
    let mut walk =
        Walk { forwarding, owner: &|_| None, translate, packet: packet.clone(), end: None, met: Vec::new() };
    let (zone, sender) = match start {
        Start::Zone(zone) => (zone, forwarding.owner_of(packet.src).map(|(host, _)| host)),
        Start::Leg(host, leg) => {
            walk.meet(host, Hook::Output, None, Some(leg));
            (walk.zone(host, leg)?, Some(host))
        }
        Start::Machine(host) => {
            let Next::OnLink { leg } = forwarding.onward(host, packet.dst) else { return None };
            walk.meet(host, Hook::Output, None, Some(leg));
            (walk.zone(host, leg)?, Some(host))
        }
    };
    walk.packet.skuid = None;
    let (leg, _) = forwarding.site().host(at)?.leg_in(zone).filter(|_| sender != Some(at))?;
    walk.cross(sender, zone, Some(at));
    walk.meet(at, Hook::Input, Some(leg), None);
    Some(walk.met)
}

/// The machines that filter and hear what is said to a group in a zone in a family, but for its sender.
#[must_use]
pub fn hearers(site: &Site, zone: ZoneId, family: Family, sender: Option<HostId>) -> Vec<HostId> {
    // S77: a hub forwards none of it.
    let alone = site.hub_of(zone).filter(|hub| sender != Some(*hub));
    let hears = |(id, host): (HostId, &Host)| {
        let leg = host.leg_in(zone).filter(|(_, leg)| leg.carries(site, family));
        let hears = host.filters() && leg.is_some() && alone.is_none_or(|hub| hub == id);
        (hears && sender != Some(id)).then_some(id)
    };
    site.hosts().filter_map(hears).collect()
}

struct Walk<'f, 's> {
    forwarding: &'f Forwarding<'s>,
    owner: Owner<'f>,
    translate: Translate<'f>,
    packet: Packet,
    end: Option<(HostId, LegId)>,
    met: Vec<Met>,
}

impl Walk<'_, '_> {
    fn go(&mut self, start: Start) -> Option<()> {
        let mut hop = self.first(start)?;
        let mut sender = match start {
            Start::Machine(host) | Start::Leg(host, _) => Some(host),
            Start::Zone(_) => self.forwarding.owner_of(self.packet.src).map(|(host, _)| host),
        };
        // A path that visits a machine twice is no path (S9), unless its destination became another on the way.
        let mut passed: BTreeSet<HostId> = sender.into_iter().collect();
        for _ in 0..=self.forwarding.site().hosts.len() {
            let (host, came) = match hop {
                Hop::Via(host, leg) => {
                    self.cross(sender, self.zone(host, leg)?, Some(host));
                    (host, leg)
                }
                Hop::OnLink(zone) => {
                    self.cross(sender, zone, self.end.map(|(host, _)| host));
                    match self.machine_in(zone) {
                        Some(there) => there,
                        None => return Some(()),
                    }
                }
            };
            // Who takes it in, or sends it on, shows only now: its destination may be another.
            let dst = self.packet.dst;
            self.translate(host, Hook::Prerouting, Some(came), None);
            if self.packet.dst != dst {
                passed.clear();
            }
            if !passed.insert(host) {
                return None;
            }
            let taken_in = || self.forwarding.takes_in(host, self.packet.dst);
            if self.end.is_some_and(|(end, _)| end == host) || taken_in() {
                self.meet(host, Hook::Input, Some(came), None);
                return Some(());
            }
            let left;
            (left, hop) = match self.forwarding.next(host, self.packet.dst) {
                Next::OnLink { leg } => (leg, Hop::OnLink(self.zone(host, leg)?)),
                Next::Via { leg, gateway, gateway_leg } => (leg, Hop::Via(gateway, gateway_leg)),
                Next::Local | Next::Ambiguous(_) | Next::NoRoute => return None,
            };
            self.meet(host, Hook::Forward, Some(came), Some(left));
            self.leave(host, Some(came), left)?;
            sender = Some(host);
        }
        None
    }

    fn first(&mut self, start: Start) -> Option<Hop> {
        let dst = self.packet.dst;
        match start {
            Start::Machine(host) => {
                let (leg, hop) = match self.forwarding.onward(host, dst) {
                    Next::OnLink { leg } => (leg, Hop::OnLink(self.zone(host, leg)?)),
                    Next::Via { leg, gateway, gateway_leg } => (leg, Hop::Via(gateway, gateway_leg)),
                    Next::Local | Next::Ambiguous(_) | Next::NoRoute => return None,
                };
                self.meet(host, Hook::Output, None, Some(leg));
                self.leave(host, None, leg)?;
                Some(hop)
            }
            Start::Leg(host, leg) => {
                let zone = self.zone(host, leg)?;
                let hop = Hop::of(&self.forwarding.from_member(zone, Some(host), dst), zone)?;
                self.meet(host, Hook::Output, None, Some(leg));
                self.leave(host, None, leg)?;
                Some(hop)
            }
            Start::Zone(zone) => Hop::of(&self.forwarding.from_zone(zone, self.packet.src, dst), zone),
        }
    }

    /// On the wire of its zone: the machine that has the address, with its leg there.
    fn machine_in(&self, zone: ZoneId) -> Option<(HostId, LegId)> {
        let (host, _) = self.end?;
        let (leg, _) = self.forwarding.site().host(host)?.leg_in(zone)?;
        Some((host, leg))
    }

    /// Over the bridge of a zone, where neither side is its machine (S39).
    fn cross(&mut self, sender: Option<HostId>, zone: ZoneId, receiver: Option<HostId>) {
        let Some((host, leg, how)) = self.forwarding.site().bridge_of(zone) else { return };
        // S77: a hub forwards nothing that is for a group.
        let stays = !how.has_ports() && is_group(self.packet.dst);
        if stays || [sender, receiver].contains(&Some(host)) {
            return;
        }
        match how {
            Bridge::BrNetfilter | Bridge::Hub => self.meet(host, Hook::Forward, Some(leg), Some(leg)),
            Bridge::Stateful | Bridge::Stateless(_) => self.meet(host, Hook::Bridge, None, None),
        }
    }

    fn translate(&mut self, host: HostId, hook: Hook, came: Option<LegId>, left: Option<LegId>) {
        let (iif, oif) = (self.name(host, came), self.name(host, left));
        self.packet = (self.translate)(host, hook, &Packet { iif, oif, ..self.packet.clone() });
        self.end = (self.owner)(self.packet.dst);
    }

    /// The packet goes out by a leg, unless nobody answers for its destination there; what the machine knows of it stays behind.
    fn leave(&mut self, host: HostId, came: Option<LegId>, left: LegId) -> Option<()> {
        self.translate(host, Hook::Postrouting, came, Some(left));
        (self.packet.ct_original, self.packet.ct_status) = (None, NatStatus::default());
        self.packet.skuid = None;
        (!self.forwarding.is_nobodys(host, left, self.packet.dst)).then_some(())
    }

    /// The packet comes to a hook; a machine that filters nothing is not asked.
    fn meet(&mut self, host: HostId, hook: Hook, came: Option<LegId>, left: Option<LegId>) {
        if self.forwarding.site().host(host).is_some_and(crate::model::Host::filters) {
            let (iif, oif) = (self.name(host, came), self.name(host, left));
            let packet = Packet { iif, oif, ..self.packet.clone() };
            self.met.push((Point::Hook { host, hook }, packet));
        }
    }

    fn name(&self, host: HostId, leg: Option<LegId>) -> Interface {
        match leg.and_then(|leg| self.forwarding.site().leg(host, leg)) {
            Some(leg) => Interface::named(leg.interface.as_deref().unwrap_or("eth0")),
            None => Interface::Unset,
        }
    }

    fn zone(&self, host: HostId, leg: LegId) -> Option<ZoneId> {
        self.forwarding.site().leg(host, leg).map(|leg| leg.zone)
    }
}

/// Where a packet goes next.
enum Hop {
    OnLink(ZoneId),
    Via(HostId, LegId),
}

impl Hop {
    fn of(next: &ZoneNext, zone: ZoneId) -> Option<Self> {
        match next {
            ZoneNext::OnLink => Some(Self::OnLink(zone)),
            ZoneNext::Via { gateway, gateway_leg } => Some(Self::Via(*gateway, *gateway_leg)),
            ZoneNext::Ambiguous(_) | ZoneNext::NoRoute => None,
        }
    }
}
