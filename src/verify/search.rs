//! Some way by which a packet arrives though none may: the shortest, over whatever legs there are (S26).
//!
//! One packet of what [`super::widely`] found, through the artifacts and the policy hop by hop.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;

use crate::forwarding::is_group;
use crate::forwarding::shared::{self, Shared};
use crate::model::{End, Expect, Expected, Hook, Host, HostId, LegId, Site, ZoneId};
use crate::net::{AddrSet, CtState, Packet, Verdict};
use crate::spec::reading::Readings;
use crate::spec::{Spec, hold};

use super::artifacts::Artifacts;
use super::broadcasts::{self, Hearer};
use super::compose::{Spot, Start};
use super::gateways::Gateways;
use super::ipvs;
use super::path::bridge_gate;
use super::report::Hop;
use super::trace::{Machine, emulated, translated};
use super::translate::Kind;
use super::widely::{owner, starts_of};

/// Some way by which a packet arrives though none may: the shortest, over whatever legs there are (S26); of one that is to be translated
/// so when it arrives, one as which it is. None where it has none.
pub(super) fn anyhow(
    (site, gateways): (&Site, &Gateways),
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    from: &End,
    expect: &Expect,
    (packet, kind): (&Packet, Option<Kind>),
) -> Option<Vec<Hop>> {
    Search::of((site, gateways), spec, artifacts, expect, (packet, kind)).from(from)
}

struct Search<'a, 's> {
    site: &'s Site,
    spec: &'a Spec<'s>,
    artifacts: &'a Artifacts,
    expect: &'a Expect,
    gateways: &'a Gateways,
    sent: &'a Packet,
    /// What of it is to be translated when it arrives; none: whatever.
    kind: Option<Kind>,
    /// The addresses that several machines take in.
    shared: Vec<Shared>,
    /// Who may take it in besides whoever has its destination, and at which such addresses; none: nobody.
    hearers: Option<Vec<(Hearer, AddrSet)>>,
}

impl<'a, 's> Search<'a, 's> {
    fn of(
        (site, gateways): (&'s Site, &'a Gateways),
        spec: &'a Spec<'s>,
        artifacts: &'a Artifacts,
        expect: &'a Expect,
        (sent, kind): (&'a Packet, Option<Kind>),
    ) -> Self {
        let shared = shared::of_site(site);
        Self { site, spec, artifacts, expect, gateways, sent, kind, shared, hearers: None }
    }

    /// Its shortest way from an item: to whoever has its destination, else to another who takes it in.
    fn from(mut self, from: &End) -> Option<Vec<Hop>> {
        let to_its_own = self.by_any_way(from);
        if to_its_own.is_some() {
            return to_its_own;
        }
        let readings = Readings::new(self.site);
        let hearers = broadcasts::hearers(&readings, self.site, &self.shared, &self.expect.to, owner(from));
        if hearers.is_empty() {
            return None;
        }
        self.hearers = Some(hearers);
        self.by_any_way(from)
    }

    fn by_any_way(&self, from: &End) -> Option<Vec<Hop>> {
        let (site, packet) = (self.site, self.sent);
        let readings = Readings::new(site);
        let mut queue = VecDeque::new();
        for (start, addrs) in starts_of(site, &readings, from) {
            if !addrs.contains(packet.src) {
                continue;
            }
            match start {
                Start::Zone(zone) => {
                    queue.push_back((self.put_on(None, zone), packet.clone(), Vec::new()));
                }
                Start::Leg(host, leg) => {
                    let Some(zone) = site.leg(host, leg).map(|l| l.zone) else { continue };
                    for (packet, hops) in self.passes(host, Hook::Output, None, Some(leg), packet) {
                        queue.push_back((self.put_on(Some(host), zone), packet, hops));
                    }
                }
            }
        }
        self.first_arrival(queue)
    }

    /// [`Spot::put`].
    fn put_on(&self, by: Option<HostId>, zone: ZoneId) -> Spot {
        Spot::put(self.site, self.spec.forwarding().bridges(), by, zone)
    }

    /// [`Spot::heard_by`].
    fn hears(&self, host: HostId, spot: Spot) -> bool {
        spot.heard_by(self.spec.forwarding().bridges(), host)
    }
}

/// A packet somewhere, and the hops by which it came there.
type Found = (Spot, Packet, Vec<Hop>);

/// A packet that a director has sent on, with the hops by which it came there.
struct Handed {
    /// Where it is.
    to: Spot,
    /// The real server it is for.
    real: IpAddr,
    /// Whether it still has the destination that was written (S44).
    direct: bool,
    /// The packet.
    packet: Packet,
    /// Its hops.
    hops: Vec<Hop>,
}

impl Search<'_, '_> {
    fn first_arrival(&self, mut queue: VecDeque<Found>) -> Option<Vec<Hop>> {
        let mut seen: BTreeSet<(Spot, Packet)> = BTreeSet::new();
        let mut best: BTreeMap<usize, Vec<Hop>> = BTreeMap::new();
        while let Some((spot, packet, hops)) = queue.pop_front() {
            if !seen.insert((spot, packet.clone())) {
                continue;
            }
            if let Some(end) = self.taken(spot, &packet) {
                // Where somebody filters what he takes in, that the address may be nobody's shows less.
                let last = if end.is_empty() { usize::MAX } else { 0 };
                let way: Vec<Hop> = hops.iter().cloned().chain(end).collect();
                best.entry(way.len().max(last)).or_insert(way);
            }
            for handed in self.shared_out(spot, &packet, &hops) {
                if handed.direct {
                    if let Some(way) = self.received(&handed) {
                        best.entry(way.len()).or_insert(way);
                    }
                } else {
                    queue.push_back((handed.to, handed.packet, handed.hops));
                }
            }
            let zone = spot.zone();
            if let (Spot::Ports(..), Some((host, leg, _))) = (spot, self.site.bridge_of(zone)) {
                let gate = bridge_gate(self.site, host, leg);
                for (packet, more) in self.passes(host, gate.hook, gate.iif, gate.oif, &packet) {
                    queue.push_back((spot.bridged(), packet, hops.iter().cloned().chain(more).collect()));
                }
            }
            for (host, machine) in self.site.hosts().filter(|(_, h)| h.forwards()) {
                let Some((leg_in, _)) = machine.leg_in(zone).filter(|_| self.hears(host, spot)) else {
                    continue;
                };
                for (leg_out, leg) in machine.legs() {
                    let kept = || broadcasts::kept_from(self.site, &self.shared, host, leg.zone);
                    let is_shared = || self.shared.iter().any(|one| one.addr == packet.dst);
                    if self.hearers.is_some() && is_shared() && kept().contains(packet.dst) {
                        continue;
                    }
                    let by_gateway = self.gateways.get(&host).map(|gateway| {
                        let across = gateway.across((zone, leg.zone), &packet).into_iter();
                        across.map(|to| (to.clone(), translated(self.site, host, &packet, to))).collect()
                    });
                    let passed = by_gateway.unwrap_or_else(|| {
                        self.passes(host, Hook::Forward, Some(leg_in), Some(leg_out), &packet)
                    });
                    for (packet, more) in passed {
                        let next = self.put_on(Some(host), leg.zone);
                        queue.push_back((next, packet, hops.iter().cloned().chain(more).collect()));
                    }
                }
            }
        }
        best.pop_first().map(|(_, way)| way)
    }

    /// What the directors that hear a packet make of it.
    fn shared_out(&self, spot: Spot, packet: &Packet, hops: &[Hop]) -> Vec<Handed> {
        let mut all = Vec::new();
        for (host, machine) in self.site.hosts().filter(|(host, _)| self.site.is_director(*host)) {
            let heard = machine.leg_in(spot.zone()).filter(|_| self.hears(host, spot));
            let Some((leg_in, _)) = heard else { continue };
            for (taken, before) in self.passes(host, Hook::Input, Some(leg_in), None, packet) {
                for shared in ipvs::shared(self.site, host, &taken) {
                    let near = |zone| self.site.zone(zone).is_some_and(|z| z.addrs.contains(shared.real));
                    let hop = emulated(self.site, host, &shared, &taken);
                    for (leg_out, leg) in machine.legs().filter(|(_, leg)| !shared.direct || near(leg.zone)) {
                        let sent = self.passes(host, Hook::Output, None, Some(leg_out), &shared.packet);
                        all.extend(sent.into_iter().map(|(packet, after)| Handed {
                            to: self.put_on(Some(host), leg.zone),
                            real: shared.real,
                            direct: shared.direct,
                            packet,
                            hops: hops.iter().chain(&before).chain([&hop]).chain(&after).cloned().collect(),
                        }));
                    }
                }
            }
        }
        all
    }

    /// The way of a packet with another's destination into the real server that it is handed to, if that is forbidden
    /// (S49); none where it does not get in.
    fn received(&self, handed: &Handed) -> Option<Vec<Hop>> {
        let to = Readings::new(self.site).wide_place(&self.expect.to);
        let only = self.expect.kind == Expected::Only;
        let forbidden = !self.expect.direct
            && to.contains(handed.real)
            && hold(&self.expect.terms, &handed.packet) != only
            && self.is_so(&handed.packet);
        if !forbidden {
            return None;
        }
        let mut hops = handed.hops.clone();
        let owner = self.spec.forwarding().owner_of(handed.real).map(|(host, _)| host);
        let zone = handed.to.zone();
        let bridge = self.site.bridge_of(zone).filter(|(host, ..)| Some(*host) != owner);
        if let (Spot::Ports(..), Some((host, leg, _))) = (handed.to, bridge) {
            let gate = bridge_gate(self.site, host, leg);
            let passed = self.passes(host, gate.hook, gate.iif, gate.oif, &handed.packet);
            hops.extend(passed.into_iter().next()?.1);
        }
        let Some(host) = owner else { return Some(hops) };
        let (leg, _) = self.site.host(host)?.leg_in(zone)?;
        let taken = self.passes(host, Hook::Input, Some(leg), None, &handed.packet);
        hops.extend(taken.into_iter().next()?.1);
        Some(hops)
    }

    /// The packet as it leaves a machine that lets it pass, with its hops (none where it does not filter): in the
    /// first state in which it does, and, where that was translated, in the first in which it is not.
    fn passes(
        &self,
        host: HostId,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
        packet: &Packet,
    ) -> Vec<(Packet, Vec<Hop>)> {
        let machine = Machine { spec: self.spec, artifacts: self.artifacts, host };
        let mut found: Vec<(Packet, Vec<Hop>)> = Vec::new();
        for ct in [packet.ct, CtState::New, CtState::Untracked, CtState::Invalid] {
            let mut hops = Vec::new();
            let mut here = Packet { ct, exceeded: Vec::new(), ..packet.clone() };
            if let Some(came) = iif {
                here = machine.enters(came, here, &mut hops);
            }
            let interface = machine.interface(hook, iif, oif, &here);
            if let Some(hop) = &interface {
                if hop.verdict != Verdict::Accept {
                    continue;
                }
                hops.push(hop.clone());
            }
            match machine.at(hook, iif, oif, &here) {
                None => return vec![(packet.clone(), hops)],
                // What passes only as a reply does not count (S42).
                Some(hop) if hop.verdict == Verdict::Accept && self.spec.begins(&hop.point, &here) => {
                    // Behind output the interface comes second.
                    let at = if hook == Hook::Output {
                        hops.len().saturating_sub(usize::from(interface.is_some()))
                    } else {
                        hops.len()
                    };
                    hops.insert(at, hop);
                }
                Some(_) => continue,
            }
            here = machine.leaves(oif, here, &mut hops);
            here.ct = packet.ct;
            here.exceeded = packet.exceeded.clone();
            if found.iter().all(|(known, _)| *known != here) {
                found.push((here, hops));
            }
        }
        found
    }

    /// Whether the packet arrives where it is, by whom.
    fn taken(&self, spot: Spot, packet: &Packet) -> Option<Vec<Hop>> {
        if let Some(hearers) = &self.hearers {
            return self.taken_by_some(spot, packet, hearers);
        }
        let readings = Readings::new(self.site);
        let named = |host: HostId, dst: IpAddr| {
            let by_name = self.expect.to.plus.iter().any(|end| {
                matches!(end, End::Host(h) | End::Leg(h, _) if *h == host) && readings.wide(end).contains(dst)
            });
            let heard = is_group(dst) && self.site.host(host).is_some_and(Host::filters);
            by_name || heard || self.spec.forwarding().owner_of(dst).is_some_and(|(owner, _)| owner == host)
        };
        for (host, machine) in self.site.hosts() {
            let Some((leg, _)) = machine.leg_in(spot.zone()).filter(|_| self.hears(host, spot)) else {
                continue;
            };
            for (end, hops) in self.passes(host, Hook::Input, Some(leg), None, packet) {
                if named(host, end.dst) && self.forbids(&end) && self.is_so(&end) {
                    return Some(hops);
                }
            }
        }
        let owner = self.spec.forwarding().owner_of(packet.dst);
        let here = self.site.zone(spot.zone()).is_some_and(|z| z.addrs.contains(packet.dst));
        let known = self.gateways.values().any(|gateway| gateway.public().contains(packet.dst));
        let here = here && !known && matches!(spot, Spot::Link(..)) && self.may_be_nobodys(packet);
        (here && owner.is_none() && self.forbids(packet) && self.is_so(packet)).then(Vec::new)
    }

    /// Whether a question is about whoever has the address, and not about machines alone: what those take in has been asked.
    fn may_be_nobodys(&self, packet: &Packet) -> bool {
        let readings = Readings::new(self.site);
        let by_address = |end: &End| match end {
            End::Zone(_) | End::Addrs(_) | End::Anywhere => readings.wide(end).contains(packet.dst),
            End::Host(_) | End::Leg(..) => false,
        };
        // A machine of unknown address that wears no groups takes in whatever comes.
        let plain = |end: &End| match end {
            End::Host(host) | End::Leg(host, _) => self
                .site
                .host(*host)
                .is_some_and(|machine| machine.legs().all(|(leg, _)| !self.site.wears(*host, leg))),
            End::Zone(_) | End::Addrs(_) | End::Anywhere => false,
        };
        self.expect.to.plus.iter().any(|end| by_address(end) || plain(end))
    }

    /// The same of one to an address that several machines take in, by one of these.
    fn taken_by_some(&self, spot: Spot, packet: &Packet, hearers: &[(Hearer, AddrSet)]) -> Option<Vec<Hop>> {
        let read = |packet: &Packet| hold(&self.expect.terms, packet) != (self.expect.kind == Expected::Only);
        let forbidden =
            |end: &Packet| (read(self.sent) || !self.expect.direct && read(end)) && self.is_so(end);
        for (hearer, addrs) in hearers {
            match hearer {
                Hearer::Machine(host) => {
                    let leg = self.site.host(*host).and_then(|machine| machine.leg_in(spot.zone()));
                    let Some((leg, _)) = leg.filter(|_| self.hears(*host, spot)) else {
                        continue;
                    };
                    for (end, hops) in self.passes(*host, Hook::Input, Some(leg), None, packet) {
                        if addrs.contains(end.dst) && forbidden(&end) {
                            return Some(hops);
                        }
                    }
                }
                Hearer::Nobody(zone) => {
                    let here = matches!(spot, Spot::Link(..)) && spot.zone() == *zone;
                    if here && addrs.contains(packet.dst) && forbidden(packet) {
                        return Some(Vec::new());
                    }
                }
            }
        }
        None
    }

    /// Whether the expectation forbids what arrived (S35): as it was sent, or as it is.
    fn forbids(&self, arrived: &Packet) -> bool {
        let to = Readings::new(self.site).wide_place(&self.expect.to);
        let only = self.expect.kind == Expected::Only;
        // What is written to a public address is written to the one that it stands for (S57).
        let public = self.gateways.values().any(|of| of.public_of(&to).contains(self.sent.dst));
        let read = |packet: &Packet| hold(&self.expect.terms, packet) != only;
        (public || to.contains(self.sent.dst)) && read(self.sent)
            || !self.expect.direct && to.contains(arrived.dst) && read(arrived)
    }

    /// Whether what arrived is translated as is asked.
    fn is_so(&self, arrived: &Packet) -> bool {
        let sent = self.sent;
        self.kind.is_none_or(|kind| {
            kind.dst == (arrived.dst != sent.dst)
                && kind.src == (arrived.src != sent.src)
                && (kind.port || arrived.dport == sent.dport)
        })
    }
}
