//! Packets from or to a machine's own dynamic leg (S3): nobody knows its address, so any address of its zone that nobody has may be it.
//!
//! *Input*: a packet, and at which hook it was seen, where whoever captured it says so. *Output*: its way where that says whose the address
//! is; else its ways for each machine of ours that may have it.
//! *Design decisions*: hooks of such a machine are judged as they are (S20: the leg stands for its whole zone). Where groups decide, of which
//! one packet's addresses say too little, the address is supposed ([`supposed`]).

use std::net::IpAddr;

use crate::forwarding::is_group;
use crate::model::{Hook, Host, HostId, Leg, LegId, Site};
use crate::net::Packet;
use crate::spec::Spec;
use crate::verify::artifacts::Artifacts;
use crate::verify::gateways::{Gateways, gateways};
use crate::verify::path::{self, Begin, Gate, gates};
use crate::verify::report::Hop;
use crate::verify::supposed;

use super::{NoWay, Through, known_by, said_to_be, to_itself, trace, which};

/// The most machines that wear the same kinds of groups, or other ones, that are asked about at one end of a packet.
const KINDS: usize = 8;

/// What becomes of a packet if one of its addresses is that of a machine's own dynamic leg.
#[derive(Clone, Debug)]
pub struct IfOwn {
    /// The address.
    pub address: IpAddr,
    /// The machine that may have it.
    pub machine: String,
    /// By which interface, where it is known.
    pub interface: Option<String>,
    /// Whether that is far-fetched: of the `rest`, where the way of a packet leads through the machine and on by that leg, it is the
    /// address of somebody out there.
    pub far_fetched: bool,
    /// Its way then.
    pub hops: Vec<Hop>,
}

/// A dynamic leg of a machine that decides about its own packets.
type Own = (HostId, LegId);

struct Asking<'a> {
    spec: Spec<'a>,
    artifacts: &'a Artifacts,
    gateways: Gateways,
    packet: &'a Packet,
}

/// The way of a packet that is known to be from or to such a leg: it was seen at a hook of the machine, or comes by that very leg.
pub(super) fn known(
    site: &Site,
    artifacts: &Artifacts,
    packet: &Packet,
    seen: Option<Hook>,
) -> Result<Option<Vec<Hop>>, NoWay> {
    let asking = Asking::new(site, artifacts, packet);
    let (interface, address) = match seen {
        Some(Hook::Output) => (packet.oif.name(), packet.src),
        Some(Hook::Input) | None => (packet.iif.name(), packet.dst),
        Some(Hook::Forward | Hook::Prerouting | Hook::Postrouting | Hook::Bridge) => return Ok(None),
    };
    if interface.is_empty() || to_itself(&asking.spec, packet).is_some() {
        return Ok(None);
    }
    let own = asking.may_have(address);
    let by = said_to_be(site, interface);
    // What a bridge hears by its leg may be for another member.
    let comes = |leg: LegId, of: &Leg, own: LegId| seen.is_some() || leg == own && of.bridge.is_none();
    let found: Vec<(HostId, &Host, LegId, &Leg)> = by
        .into_iter()
        .filter(|(host, _, leg, of)| own.iter().any(|own| own.0 == *host && comes(*leg, of, own.1)))
        .collect();
    let [(host, _, leg, _)] = found.as_slice() else {
        return if found.is_empty() { Ok(None) } else { Err(which(interface, &found)) };
    };
    let Some(own) = own.iter().find(|own| own.0 == *host) else { return Ok(None) };
    Ok(match seen {
        Some(Hook::Output) => asking.sent_by(*own, Some(*leg)),
        _ => asking.sent_to(*own, Some((*host, *leg))),
    })
}

/// What becomes of a packet for each machine that may have one of its addresses; none where [`known`] says whose it is.
#[must_use]
pub fn if_own(site: &Site, artifacts: &Artifacts, packet: &Packet, seen: Option<Hook>) -> Vec<IfOwn> {
    let asking = Asking::new(site, artifacts, packet);
    if is_group(packet.dst) || !matches!(known(site, artifacts, packet, seen), Ok(None)) {
        return Vec::new();
    }
    let all = said_to_be(site, packet.iif.name());
    let came = match all.as_slice() {
        [(host, _, leg, _)] => Some((*host, *leg)),
        _ => None,
    };
    let plain = asking.plain();
    let (sender, receiver) = (asking.owner(packet.src), asking.owner(packet.dst));
    let mut found = Vec::new();
    for own in asking.may_have(packet.dst) {
        // Where the machine itself says that it sent it on, it did not take it in.
        let passed = matches!(seen, Some(Hook::Forward)) && came.is_some_and(|came| came.0 == own.0);
        let far = asking.is_beyond(&plain, own, |gate| gate.oif);
        if sender != Some(own.0) && !passed {
            found.extend(asking.if_its(packet.dst, own, far, asking.sent_to(own, came)));
        }
    }
    let said = !packet.iif.name().is_empty() || seen.is_some();
    for own in asking.may_have(packet.src).into_iter().filter(|_| !said) {
        let far = asking.is_beyond(&plain, own, |gate| gate.iif);
        if receiver != Some(own.0) && !far {
            found.extend(asking.if_its(packet.src, own, false, asking.sent_by(own, None)));
        }
    }
    found
}

impl<'a> Asking<'a> {
    fn new(site: &'a Site, artifacts: &'a Artifacts, packet: &'a Packet) -> Self {
        Self { spec: Spec::new(site), artifacts, gateways: gateways(site), packet }
    }

    fn site(&self) -> &'a Site {
        self.spec.forwarding().site()
    }

    fn owner(&self, addr: IpAddr) -> Option<HostId> {
        self.spec.forwarding().owner_of(addr).map(|(host, _)| host)
    }

    /// The dynamic legs that may have an address, of machines that filter or wear groups: of those that wear the same, one.
    fn may_have(&self, addr: IpAddr) -> Vec<Own> {
        let (site, forwarding) = (self.site(), self.spec.forwarding());
        let zone = forwarding.zone_of(addr).filter(|zone| !forwarding.is_broadcast(*zone, addr));
        if zone.is_none() || self.owner(addr).is_some() || known_by(site, addr).is_some() {
            return Vec::new();
        }
        let mut kinds = Vec::new();
        let mut found = Vec::new();
        for (host, machine) in site.hosts() {
            for (leg, _) in machine.legs().filter(|(_, leg)| leg.dynamic && Some(leg.zone) == zone) {
                let worn: Vec<_> = site.worn(host, leg).collect();
                if worn.is_empty() && self.artifacts.contains_key(&host) {
                    found.push((host, leg));
                } else if !worn.is_empty() && kinds.len() < KINDS && !kinds.contains(&worn) {
                    kinds.push(worn);
                    found.push((host, leg));
                }
            }
        }
        found
    }

    fn begin(&self) -> Option<Begin> {
        let sender = self.owner(self.packet.src).map(Begin::Machine);
        sender.or_else(|| self.spec.forwarding().zone_of(self.packet.src).map(Begin::Zone))
    }

    /// The hooks on its way where nobody of ours has an address that we do not know.
    fn plain(&self) -> Vec<Gate> {
        let way = self.begin().map(|from| path::walk(self.spec.forwarding(), from, self.packet.dst, None));
        way.and_then(Result::ok).map(|way| gates(self.site(), &way)).unwrap_or_default()
    }

    /// Whether the way leads through the machine to, or from, the `rest` behind that leg.
    fn is_beyond(&self, plain: &[Gate], own: Own, by: impl Fn(&Gate) -> Option<LegId>) -> bool {
        let site = self.site();
        let rest = site.leg(own.0, own.1).and_then(|leg| site.zone(leg.zone)).is_some_and(|zone| zone.rest);
        let through =
            |gate: &Gate| gate.host == own.0 && gate.hook == Hook::Forward && by(gate) == Some(own.1);
        rest && plain.iter().any(through)
    }

    fn if_its(&self, address: IpAddr, own: Own, far_fetched: bool, hops: Option<Vec<Hop>>) -> Option<IfOwn> {
        let (machine, leg) = (self.site().host(own.0)?, self.site().leg(own.0, own.1)?);
        let interface = leg.interface.clone();
        Some(IfOwn { address, machine: machine.name.clone(), interface, far_fetched, hops: hops? })
    }

    /// Its way to a machine that has its destination; from the leg on by which it came, where its way does not lead there.
    fn sent_to(&self, own: Own, came: Option<Own>) -> Option<Vec<Hop>> {
        if self.site().wears(own.0, own.1) {
            return self.as_if(own, self.packet.dst);
        }
        let forwarding = self.spec.forwarding();
        let way = self.begin().map(|from| path::walk(forwarding, from, self.packet.dst, Some(own)));
        let ahead = way.and_then(Result::ok).map(|way| self.until(gates(self.site(), &way), own));
        let passes = |ahead: &Vec<Gate>, (host, leg): Own| {
            ahead.iter().any(|gate| (gate.host, gate.iif) == (host, Some(leg)))
        };
        let ahead = match came {
            Some(came) if !ahead.as_ref().is_some_and(|ahead| passes(ahead, came)) => {
                let on = || path::rerouted(forwarding, came.0, came.1, self.packet.dst).ok();
                if came.0 == own.0 { vec![input(own.0, came.1)] } else { self.until(on()?, own) }
            }
            Some(_) | None => ahead?,
        };
        Some(self.follow(ahead))
    }

    /// Its way from a machine that has its source; by this leg, where one is known.
    fn sent_by(&self, own: Own, by: Option<LegId>) -> Option<Vec<Hop>> {
        if self.site().wears(own.0, own.1) {
            return self.as_if(own, self.packet.src);
        }
        let way = |from| path::walk(self.spec.forwarding(), from, self.packet.dst, None).ok();
        let leaves = |way: &path::Path| by.is_none_or(|by| way.start == Some((own.0, by)));
        let by_its_routes = way(Begin::Machine(own.0)).filter(leaves);
        let way = by_its_routes.or_else(|| way(Begin::Leg(own.0, by.unwrap_or(own.1))))?;
        Some(self.follow(gates(self.site(), &way)))
    }

    /// A machine that it is for takes it in where it comes to it first.
    fn until(&self, mut ahead: Vec<Gate>, own: Own) -> Vec<Gate> {
        let comes = |gate: &Gate| gate.host == own.0 && gate.iif.is_some() && gate.across.is_none();
        let (at, leg) = match ahead.iter().position(comes) {
            Some(at) => (at, ahead.get(at).and_then(|gate| gate.iif)),
            None => (ahead.len(), None),
        };
        ahead.truncate(at);
        ahead.push(input(own.0, leg.unwrap_or(own.1)));
        ahead
    }

    fn follow(&self, ahead: Vec<Gate>) -> Vec<Hop> {
        let (spec, artifacts, gateways) = (&self.spec, self.artifacts, &self.gateways);
        let through = Through { spec, artifacts, gateways, left: self.site().hosts.len() };
        let mut hops = Vec::new();
        let _end = through.follow(ahead.into(), self.packet.clone(), &mut hops);
        hops
    }

    /// Its way if a leg that wears groups has one of its addresses.
    fn as_if(&self, own: Own, addr: IpAddr) -> Option<Vec<Hop>> {
        let site = supposed::with(self.site(), [(Some(own), addr), (None, addr)]);
        trace(&site, self.artifacts, self.packet).ok()
    }
}

fn input(host: HostId, leg: LegId) -> Gate {
    Gate { host, hook: Hook::Input, iif: Some(leg), oif: None, across: None }
}
