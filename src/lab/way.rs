//! The points that a packet of the lab meets, in order, and what each of them sees.
//!
//! The way is walked hop by hop through [`Forwarding`] (S9), from where the lab sends the packet to where the lab takes
//! it in: a leg whose address the policy does not know has one here. Who is asked at the points (the
//! policy, the simulator, the kernel) is the caller's business.
//!
//! What translates a packet on its way is the caller's business too: [`way_through`] asks at the prerouting and postrouting
//! hook of every machine it passes. What connection tracking knows of a packet stays at the machine that knows it.

use crate::forwarding::{Forwarding, Next, ZoneNext};
use std::net::IpAddr;

use crate::model::{Hook, HostId, LegId, Point, ZoneId};
use crate::net::{Interface, NatStatus, Packet};

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
        let (mut host, mut came) = match self.first(start)? {
            Hop::OnLink(zone) => return self.arrive(zone),
            Hop::Via(host, leg) => (host, leg),
        };
        self.translate(host, Hook::Prerouting, Some(came), None);
        // A path that visits a machine twice is no path (S9).
        for _ in &self.forwarding.site().hosts {
            if self.end.is_some_and(|(end, _)| end == host) {
                self.meet(host, Hook::Input, Some(came), None);
                return Some(());
            }
            let (left, hop) = match self.forwarding.next(host, self.packet.dst) {
                Next::OnLink { leg } => (leg, Hop::OnLink(self.zone(host, leg)?)),
                Next::Via { leg, gateway, gateway_leg } => (leg, Hop::Via(gateway, gateway_leg)),
                Next::Local | Next::Ambiguous(_) | Next::NoRoute => return None,
            };
            self.meet(host, Hook::Forward, Some(came), Some(left));
            self.leave(host, Some(came), left);
            match hop {
                Hop::OnLink(zone) => return self.arrive(zone),
                Hop::Via(next, leg) => (host, came) = (next, leg),
            }
            self.translate(host, Hook::Prerouting, Some(came), None);
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
                self.leave(host, None, leg);
                Some(hop)
            }
            Start::Leg(host, leg) => {
                let zone = self.zone(host, leg)?;
                let hop = Hop::of(&self.forwarding.from_member(zone, Some(host), dst), zone)?;
                self.meet(host, Hook::Output, None, Some(leg));
                self.leave(host, None, leg);
                Some(hop)
            }
            Start::Zone(zone) => Hop::of(&self.forwarding.from_zone(zone, self.packet.src, dst), zone),
        }
    }

    /// On the wire of its zone: whoever has the address there takes it in.
    fn arrive(&mut self, zone: ZoneId) -> Option<()> {
        if let Some((host, _)) = self.end
            && let Some((leg, _)) = self.forwarding.site().host(host)?.leg_in(zone)
        {
            self.translate(host, Hook::Prerouting, Some(leg), None);
            self.meet(host, Hook::Input, Some(leg), None);
        }
        Some(())
    }

    fn translate(&mut self, host: HostId, hook: Hook, came: Option<LegId>, left: Option<LegId>) {
        let (iif, oif) = (self.name(host, came), self.name(host, left));
        self.packet = (self.translate)(host, hook, &Packet { iif, oif, ..self.packet.clone() });
        self.end = (self.owner)(self.packet.dst);
    }

    /// The packet goes out by a leg; what the machine knows of it stays behind.
    fn leave(&mut self, host: HostId, came: Option<LegId>, left: LegId) {
        self.translate(host, Hook::Postrouting, came, Some(left));
        (self.packet.ct_original, self.packet.ct_status) = (None, NatStatus::default());
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
