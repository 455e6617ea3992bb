//! One packet, point by point: what the policy says there and what the artifact does, side by side.

use std::collections::{BTreeSet, VecDeque};
use std::net::IpAddr;

use crate::forwarding::is_group;
use crate::model::{Hook, Host, HostId, Leg, LegId, Origin, Point, Public, Site, Way, ZoneId};
use crate::net::{NatStatus, Packet, Translation, Verdict};
use crate::spec::Spec;
use crate::target::nft::artifact::Place;
use crate::target::nft::sim;

use super::artifacts::{Artifacts, HostRules, hook_of};
use super::gateways::{Gateway, Gateways, gateways};
use super::interfaces::Grounds;
use super::ipvs;
use super::path::{self, Begin, Gate, gates};
use super::report::{Hop, Rewrite, place, statement};
use super::translate::{only, sources_of};

mod own;

pub use own::{IfOwn, if_own};

/// Why a packet has no way to be shown, in the reader's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoWay {
    /// None leads there.
    #[error("{0}")]
    NoPath(String),
    /// It is said to come by an interface that no machine has, or that several have.
    #[error("{0}")]
    Interface(String),
}

/// The way of a packet: every filtering point it meets until one stops it. It is the routed path from its source, of a machine that we
/// know by its own routes ([`by_its_leg`]); where the packet says by which interface it comes (`eth0`, or `fw.eth0` of a machine) and that is not on the path, a spoofed
/// source say, the way is the one from that interface on. What is for a group is heard on the link of that interface.
///
/// # Errors
/// [`NoWay`].
pub fn trace(site: &Site, artifacts: &Artifacts, packet: &Packet) -> Result<Vec<Hop>, NoWay> {
    trace_seen(site, artifacts, packet, None)
}

/// [`trace`] of a packet that was seen at a hook of the machine that has the interfaces it bears. That is what tells a machine's own
/// packets from others where nobody knows its address; [`if_own`] has what may be so where nothing tells.
///
/// # Errors
/// [`NoWay`].
pub fn trace_seen(
    site: &Site,
    artifacts: &Artifacts,
    packet: &Packet,
    seen: Option<Hook>,
) -> Result<Vec<Hop>, NoWay> {
    if let Some(hops) = own::known(site, artifacts, packet, seen)? {
        return Ok(hops);
    }
    let spec = Spec::new(site);
    let packet = &Packet { src: the_private(site, packet.src)?, ..packet.clone() };
    // Who is not in the zone behind that gateway sends to the public address, and is seen to.
    let sender = spec.forwarding().owner_of(packet.src).map(|(host, _)| host);
    let behind = spec.forwarding().zone_of(packet.src).filter(|_| sender.is_none());
    let gateways = gateways(site);
    let stands_for = privates(site, packet.dst)?;
    let outside = |(_, g): &(&HostId, &Gateway)| g.public().contains(packet.dst) && Some(g.outside) == behind;
    let by = gateways.iter().find(outside).map(|(by, _)| *by);
    let packet = &match (by, stands_for.as_slice()) {
        (Some(_), [one]) => Packet { dst: *one, ..packet.clone() },
        (Some(by), [_, _, ..]) => return to_each(site, artifacts, (by, &stands_for), packet),
        (Some(_), []) | (None, _) => packet.clone(),
    };
    if let Some(zone) = said_link(site, artifacts, packet)? {
        let sender = spec.forwarding().owner_of(packet.src);
        let sender = sender.filter(|(host, leg)| site.leg(*host, *leg).is_some_and(|leg| leg.zone == zone));
        let begin = sender.map_or(Begin::Zone(zone), |(host, leg)| Begin::Leg(host, leg));
        return Ok(routed(&spec, artifacts, begin, None, packet));
    }
    // A machine sends by its routes (S7), whichever of its addresses it writes from.
    let begin = match (spec.forwarding().owner_of(packet.src), spec.forwarding().zone_of(packet.src)) {
        (Some((host, _)), _) => Ok(Begin::Machine(host)),
        (None, Some(zone)) => Ok(Begin::Zone(zone)),
        (None, None) => Err(NoWay::NoPath(format!(
            "{} is in no zone; say by which interface it comes: `in HOST.INTERFACE`",
            packet.src
        ))),
    };
    let no_path =
        |why: path::NoPath| NoWay::NoPath(format!("from {} to {}: {}", packet.src, packet.dst, why.reason()));
    let walked = begin.and_then(|begin| {
        let from = |begin| Ok((begin, gates(site, &path::walk(spec.forwarding(), begin, packet.dst, None)?)));
        // To a group it is sent by the leg that has the address, and so is what the routes of a plain machine know no one way for. Who
        // filters would not hear the answer (S80): `by_its_leg` says what would be.
        let filters = |host| site.host(host).is_some_and(Host::filters);
        let owner = spec.forwarding().owner_of(packet.src);
        let sender = owner.filter(|(host, _)| is_group(packet.dst) || !filters(*host));
        let by_leg = |why| match sender {
            Some((host, leg)) => from(Begin::Leg(host, leg)).map_err(|_: path::NoPath| why),
            None => Err(why),
        };
        from(begin).or_else(by_leg).map_err(no_path)
    });
    if let Some(host) = to_itself(&spec, packet) {
        return Ok(by_loopback(&spec, artifacts, host, packet));
    }
    let ahead = walked.as_ref().map_or(&[][..], |(_, ahead)| ahead);
    if let Some((host, came)) = elsewhere(site, artifacts, packet.iif.name(), ahead)? {
        let ahead = path::rerouted(spec.forwarding(), host, came, packet.dst).map_err(no_path)?;
        let mut hops = Vec::new();
        let through = Through { spec: &spec, artifacts, gateways: &gateways, left: site.hosts.len() };
        let _end = through.follow(ahead.into(), packet.clone(), &mut hops);
        return Ok(hops);
    }
    let (begin, _) = walked?;
    Ok(routed(&spec, artifacts, begin, None, packet))
}

/// What becomes of a packet that its machine sends by the leg that has the source all the same, as statements about that address read
/// it (S8), where its routes lead by another way: from a bound socket, or by policy routing. With the leg's interface.
#[must_use]
pub fn by_its_leg(site: &Site, artifacts: &Artifacts, packet: &Packet) -> Option<(String, Vec<Hop>)> {
    let spec = Spec::new(site);
    let packet = Packet { src: the_private(site, packet.src).ok()?, ..packet.clone() };
    let (host, leg) = spec.forwarding().owner_of(packet.src)?;
    if !packet.iif.name().is_empty() || is_group(packet.dst) || to_itself(&spec, &packet).is_some() {
        return None;
    }
    let way = |begin| Some(gates(site, &path::walk(spec.forwarding(), begin, packet.dst, None).ok()?));
    let begin = Begin::Leg(host, leg);
    let interface = site.leg(host, leg)?.interface_or_any().to_owned();
    let by_leg = way(begin)?;
    (way(Begin::Machine(host)) != Some(by_leg))
        .then(|| (interface, routed(&spec, artifacts, begin, None, &packet)))
}

/// The machine that a packet is from and to, where it is not said to come by an interface: what an own address comes by is
/// somebody else's lie.
fn to_itself(spec: &Spec<'_>, packet: &Packet) -> Option<HostId> {
    let owner = |addr| spec.forwarding().owner_of(addr).map(|(host, _)| host);
    let machine = owner(packet.src).filter(|host| owner(packet.dst) == Some(*host));
    machine.filter(|_| ["", sim::LOOPBACK].contains(&packet.iif.name()))
}

/// S15: what a machine sends itself.
fn by_loopback(spec: &Spec<'_>, artifacts: &Artifacts, host: HostId, packet: &Packet) -> Vec<Hop> {
    let Some(rules) = artifacts.get(&host) else { return Vec::new() };
    let mut hops = Vec::new();
    for (hook, iif, oif) in [(Hook::Output, "", sim::LOOPBACK), (Hook::Input, sim::LOOPBACK, "")] {
        let here = packet.clone().at(iif, oif);
        hops.push(hop(spec, &Point::Hook { host, hook }, Some(rules), &here));
        if hops.last().is_some_and(|hop| hop.verdict != Verdict::Accept) {
            break;
        }
    }
    hops
}

/// The leg that an interface is said to be, where the way ahead does not come in by it; none where it does, or none is said.
fn elsewhere(
    site: &Site,
    artifacts: &Artifacts,
    interface: &str,
    ahead: &[Gate],
) -> Result<Option<(HostId, LegId)>, NoWay> {
    if interface.is_empty() {
        return Ok(None);
    }
    let all = said_to_be(site, interface);
    let by_it = |id, leg| ahead.iter().any(|gate| gate.host == id && gate.iif == Some(leg));
    let filters: Vec<_> = all.iter().filter(|(id, ..)| artifacts.contains_key(id)).copied().collect();
    if filters.is_empty() {
        return match all.iter().any(|(id, _, leg, _)| by_it(*id, *leg)) {
            true => Ok(None),
            false => Err(NoWay::Interface(format!("no machine that filters has an interface `{interface}`"))),
        };
    }
    let on_way: Vec<_> =
        filters.iter().filter(|(id, ..)| ahead.iter().any(|gate| gate.host == *id)).copied().collect();
    let asked = if on_way.is_empty() { filters } else { on_way };
    if asked.iter().all(|(id, _, leg, _)| by_it(*id, *leg)) {
        return Ok(None);
    }
    match asked.as_slice() {
        [(id, _, leg, _)] => Ok(Some((*id, *leg))),
        several => Err(which(interface, several)),
    }
}

/// The link that a packet to a group is said to come by: it is heard there, and goes nowhere else (S14). None where none is said.
fn said_link(site: &Site, artifacts: &Artifacts, packet: &Packet) -> Result<Option<ZoneId>, NoWay> {
    let interface = packet.iif.name();
    if interface.is_empty() || !is_group(packet.dst) {
        return Ok(None);
    }
    let all = said_to_be(site, interface);
    let filters: Vec<_> = all.iter().filter(|(id, ..)| artifacts.contains_key(id)).copied().collect();
    let asked = if filters.is_empty() { all } else { filters };
    let links: BTreeSet<ZoneId> = asked.iter().map(|(.., leg)| leg.zone).collect();
    match (links.first(), links.len()) {
        (Some(link), 1) => Ok(Some(*link)),
        (Some(_), _) => Err(which(interface, &asked)),
        (None, _) => Err(NoWay::Interface(format!("no machine has an interface `{interface}`"))),
    }
}

/// The legs that an interface may be: `eth0`, or `fw.eth0`.
fn said_to_be<'s>(site: &'s Site, interface: &str) -> Vec<(HostId, &'s Host, LegId, &'s Leg)> {
    let named = |host: &Host, leg: &Leg| {
        let own = leg.interface.as_deref();
        own == Some(interface)
            || own.is_some()
                && interface.strip_prefix(&host.name).and_then(|rest| rest.strip_prefix('.')) == own
    };
    let legs = site.hosts().flat_map(|(id, host)| host.legs().map(move |(leg, of)| (id, host, leg, of)));
    legs.filter(|(_, host, _, leg)| named(host, leg)).collect()
}

fn which(interface: &str, several: &[(HostId, &Host, LegId, &Leg)]) -> NoWay {
    let names: Vec<String> =
        several.iter().map(|(_, host, ..)| format!("`{}.{interface}`", host.name)).collect();
    let names = names.join(" or ");
    NoWay::Interface(format!("several machines have an interface `{interface}`: say {names}"))
}

/// S57: a packet to a public address that may stand for any of several private ones, to each in turn.
fn to_each(
    site: &Site,
    artifacts: &Artifacts,
    (by, stands_for): (HostId, &[IpAddr]),
    packet: &Packet,
) -> Result<Vec<Hop>, NoWay> {
    let mut hops = Vec::new();
    for dst in stands_for {
        let delivered = Packet { dst: *dst, ..packet.clone() };
        hops.extend(translated(site, by, packet, delivered.clone()));
        hops.extend(trace(site, artifacts, &delivered)?);
    }
    Ok(hops)
}

/// S57: the private address of whoever sends from this one. Several are asked about: which of them sends is for the asker to say.
fn the_private(site: &Site, addr: IpAddr) -> Result<IpAddr, NoWay> {
    let Some((name, _)) = known_by(site, addr) else { return Ok(addr) };
    match privates(site, addr)?.as_slice() {
        [one] => Ok(*one),
        several => {
            let several: Vec<String> = several.iter().map(ToString::to_string).collect();
            let several = several.join(" or ");
            Err(NoWay::NoPath(format!(
                "{addr} stands for {several} of `{name}`, nothing says for which: say that one"
            )))
        }
    }
}

/// S57: the private addresses that a public one stands for; what is none stands for itself.
fn privates(site: &Site, addr: IpAddr) -> Result<Vec<IpAddr>, NoWay> {
    match known_by(site, addr) {
        Some((name, public)) if public.stands_for.is_empty() => {
            let why = format!("{addr} stands for an address of `{name}` that nobody knows");
            Err(NoWay::NoPath(why))
        }
        Some((_, public)) => Ok(public.stands_for.clone()),
        None => Ok(vec![addr]),
    }
}

/// The machine that is known by a public address.
fn known_by(site: &Site, addr: IpAddr) -> Option<(&str, &Public)> {
    let legs = site.hosts.iter().flat_map(|host| host.legs.iter().map(move |leg| (host, leg)));
    let mut all = legs.flat_map(|(host, leg)| leg.public.iter().map(|public| (host.name.as_str(), public)));
    all.find(|(_, public)| public.address == addr)
}

/// The hops of a routed path, through every translation on it; none where there is no path.
pub(super) fn routed(
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    begin: Begin,
    towards: Option<(HostId, LegId)>,
    packet: &Packet,
) -> Vec<Hop> {
    let forwarding = spec.forwarding();
    let Ok(way) = path::walk(forwarding, begin, packet.dst, towards) else { return Vec::new() };
    let mut hops = Vec::new();
    let left = spec.forwarding().site().hosts.len();
    let gateways = gateways(forwarding.site());
    let through = Through { spec, artifacts, gateways: &gateways, left };
    let passed = through.follow(gates(forwarding.site(), &way).into(), packet.clone(), &mut hops);
    if !is_group(packet.dst) || towards.is_some() {
        return hops;
    }
    let sender = way.start.map(|(host, _)| host);
    match passed {
        Some(packet) if is_group(packet.dst) => {
            hops.extend(heard(spec, artifacts, (begin, sender, None), &packet));
        }
        // It became somebody's on its way.
        Some(_) => {}
        // The copy that a bridge takes in itself passes none of its ports.
        None => {
            let bridge = stopped_between_ports(forwarding.site(), &hops).filter(|own| sender != Some(*own));
            let own = bridge.map(|own| heard(spec, artifacts, (begin, sender, Some(own)), packet));
            hops.extend(own.unwrap_or_default());
        }
    }
    hops
}

/// The machine between whose ports the packet ended, if it ended so.
fn stopped_between_ports(site: &Site, hops: &[Hop]) -> Option<HostId> {
    let Point::Hook { host, hook: Hook::Forward | Hook::Bridge } = hops.last()?.point else { return None };
    site.host(host).filter(|machine| machine.has_bridge()).map(|_| host)
}

/// The hops of a packet at a time (UTC nanoseconds), as `way` finds them. The packet, and what becomes of its addresses,
/// bear that time only where some hop decides otherwise before every date or after all of them: what no date has a part in
/// is the same answer on any day.
pub(super) fn at_its_time(
    time: u64,
    packet: Packet,
    way: impl Fn(&Packet) -> Vec<Hop>,
) -> (Packet, Vec<Hop>) {
    let at = |time: u64| Packet { time, ..packet.clone() };
    let decided = |hops: &[Hop]| hops.iter().map(|hop| (hop.point.clone(), hop.verdict)).collect::<Vec<_>>();
    let mut hops = way(&at(time));
    let dated = [0, u64::MAX].into_iter().any(|other| decided(&way(&at(other))) != decided(&hops));
    if dated {
        return (at(time), hops);
    }
    for rewrite in hops.iter_mut().filter_map(|hop| hop.rewrite.as_mut()) {
        (rewrite.before.time, rewrite.after.time) = (0, 0);
    }
    (at(0), hops)
}

/// What a gateway delivers, and the way that is left of it.
struct Delivered {
    by: HostId,
    packet: Packet,
    ahead: Vec<Gate>,
}

/// A packet on its way through hooks; `left` bounds how many directors it may still be shared out by.
struct Through<'a, 's> {
    spec: &'a Spec<'s>,
    artifacts: &'a Artifacts,
    gateways: &'a Gateways,
    left: usize,
}

impl Through<'_, '_> {
    /// The packet as it comes out behind the last of its hooks; none where one stops it.
    fn follow(&self, mut ahead: VecDeque<Gate>, mut packet: Packet, hops: &mut Vec<Hop>) -> Option<Packet> {
        let (spec, artifacts, forwarding) = (self.spec, self.artifacts, self.spec.forwarding());
        // No machine is passed twice but by translations that go round; then there is no end.
        for _ in 0..forwarding.site().hosts.len().saturating_mul(2) {
            let Some(gate) = ahead.pop_front() else { break };
            let machine = Machine { spec, artifacts, host: gate.host };
            let mut gate = gate;
            if let Some(came) = gate.iif {
                let dst = packet.dst;
                packet = machine.enters(came, packet, hops);
                if packet.dst != dst {
                    let Ok(new) = path::rerouted(forwarding, gate.host, came, packet.dst) else { break };
                    ahead = new.into();
                    let Some(first) = ahead.pop_front() else { break };
                    gate = first;
                }
            }
            if gate.hook == Hook::Forward
                && gate.across.is_none()
                && forwarding.takes_in(gate.host, packet.dst)
            {
                gate = Gate { hook: Hook::Input, oif: None, ..gate };
                ahead.clear();
            }
            if gate.iif.is_some() && gate.across.is_none() && path::is_deaf(forwarding, gate.host, packet.src)
            {
                hops.push(unheard(forwarding.site(), gate.host));
                return None;
            }
            for hop in machine.beside(&gate, &packet) {
                let stopped = hop.verdict != Verdict::Accept;
                hops.push(hop);
                if stopped {
                    return None;
                }
            }
            packet = machine.leaves(gate.oif, packet, hops);
            let onto = gate.oif.filter(|_| gate.across.is_none());
            if onto.is_some_and(|leg| forwarding.is_nobodys(gate.host, leg, packet.dst)) {
                hops.push(unanswered(forwarding.site(), &gate, packet.dst));
                return None;
            }
            packet = self.leaving(&gate, packet, hops);
            if gate.hook == Hook::Input {
                self.share_out(gate.host, &packet, hops);
            }
            if ahead.is_empty() {
                let mut delivered = self.by_gateway(&gate, &packet);
                if delivered.len() > 1 {
                    self.deliver_each(delivered, &packet, hops);
                    return None;
                }
                if let Some(Delivered { by, packet: to, ahead: new }) = delivered.pop() {
                    hops.extend(translated(forwarding.site(), by, &packet, to.clone()));
                    (packet, ahead) = (to, new.into());
                }
            }
        }
        Some(packet)
    }

    /// S57: what leaves a vpc by its gateway, as it does where somebody behind it looks who sends.
    fn leaving(&self, gate: &Gate, packet: Packet, hops: &mut Vec<Hop>) -> Packet {
        let site = self.spec.forwarding().site();
        let zone = |leg: Option<LegId>| Some(site.leg(gate.host, leg?)?.zone);
        let legs = zone(gate.iif).zip(zone(gate.oif)).filter(|_| gate.across.is_none());
        let by = self.gateways.get(&gate.host).zip(legs).filter(|(by, (_, goes))| by.outside == *goes);
        let sent = by.and_then(|(by, legs)| by.across(legs, &packet).into_iter().nth(1));
        let Some(sent) = sent else { return packet };
        hops.extend(translated(site, gate.host, &packet, sent.clone()));
        sent
    }

    /// S57: what has come to the zone behind a gateway, for a public address of it, with the private one and the way that is left:
    /// with each that it may stand for. Who sends it, and whether that is known, is nothing to this.
    fn by_gateway(&self, gate: &Gate, packet: &Packet) -> Vec<Delivered> {
        let (forwarding, site) = (self.spec.forwarding(), self.spec.forwarding().site());
        let zone = gate.oif.and_then(|left| site.leg(gate.host, left)).map(|leg| leg.zone);
        let behind = |(_, gateway): &(&HostId, &Gateway)| {
            Some(gateway.outside) == zone && gateway.public().contains(packet.dst)
        };
        let found = zone.zip(self.gateways.iter().find(behind));
        let legs = || site.hosts().flat_map(|(host, of)| of.legs().map(move |(leg, of)| (host, leg, of)));
        let of = legs().find(|(_, _, leg)| leg.public.iter().any(|public| public.address == packet.dst));
        let Some(((zone, (by, gateway)), (host, leg, inside))) = found.zip(of) else { return Vec::new() };
        let delivered = gateway.across((zone, inside.zone), packet).into_iter().skip(1);
        let onward = |packet: Packet| {
            let way = path::walk(forwarding, Begin::Zone(zone), packet.dst, Some((host, leg))).ok()?;
            Some(Delivered { by: *by, packet, ahead: gates(site, &way) })
        };
        delivered.filter_map(onward).collect()
    }

    /// S57: nobody knows for which private address a public one stands: to each in turn.
    fn deliver_each(&self, all: Vec<Delivered>, packet: &Packet, hops: &mut Vec<Hop>) {
        let Some(left) = self.left.checked_sub(1) else { return };
        let on = Through { left, ..*self };
        for Delivered { by, packet: to, ahead } in all {
            hops.extend(translated(self.spec.forwarding().site(), by, packet, to.clone()));
            let _end = on.follow(ahead.into(), to, hops);
        }
    }

    /// S43 to S45: what a director takes in goes to one of its real servers, nobody knows which: to each in turn.
    fn share_out(&self, at: HostId, packet: &Packet, hops: &mut Vec<Hop>) {
        let Some(left) = self.left.checked_sub(1) else { return };
        let on = Through { left, ..*self };
        for shared in ipvs::shared(self.spec.forwarding().site(), at, packet) {
            let Ok(ahead) = ipvs::onwards(self.spec.forwarding(), at, shared.real) else { continue };
            hops.push(emulated(self.spec.forwarding().site(), at, &shared, packet));
            let _end = on.follow(ahead.into(), shared.packet, hops);
        }
    }
}

/// What a machine drops before its hooks, for no way leads back to its source (S80).
fn unheard(site: &Site, host: HostId) -> Hop {
    let place = format!("{}: no route back to its source (rp_filter)", name_of(site, host));
    let why = "its routes lead there by none or by several, and `rp_filter` is 2".to_owned();
    unruled(Point::Hook { host, hook: Hook::Prerouting }, place, why)
}

/// What goes nowhere from a machine behind its hooks, for nobody answers for a broadcast address (S14).
fn unanswered(site: &Site, gate: &Gate, dst: IpAddr) -> Hop {
    let name = name_of(site, gate.host);
    let place = format!("{name}: nobody has {dst}");
    let why = format!("it is the broadcast address of a network in which `{name}` has no address");
    unruled(Point::Hook { host: gate.host, hook: Hook::Postrouting }, place, why)
}

fn name_of(site: &Site, host: HostId) -> &str {
    site.host(host).map_or("?", |host| host.name.as_str())
}

/// What the kernel drops by itself: no rule does.
fn unruled(point: Point, place: String, why: String) -> Hop {
    Hop {
        point,
        place,
        verdict: Verdict::Drop,
        meant: Verdict::Drop,
        statements: vec![(why, None)],
        rules: Vec::new(),
        file: None,
        rewrite: None,
    }
}

/// What IPVS does, as the policy says it: no rule does, and no kernel was asked (S45).
pub(super) fn emulated(site: &Site, at: HostId, shared: &ipvs::Shared, packet: &Packet) -> Hop {
    let name = site.host(at).map_or("?", |host| host.name.as_str());
    let done = (shared.packet != *packet).then(|| Translation::Destination {
        addr: shared.packet.dst,
        port: (shared.packet.dport != packet.dport).then_some(shared.packet.dport),
    });
    let rewrite = done.map(|done| Rewrite {
        done: Some(done),
        meant: Some(done),
        before: packet.clone(),
        after: shared.packet.clone(),
    });
    Hop {
        point: Point::Hook { host: at, hook: Hook::Input },
        place: format!("{name} IPVS to {} (emulated)", shared.real),
        verdict: Verdict::Accept,
        meant: Verdict::Accept,
        statements: statement(site, Origin::Access(shared.access)).into_iter().collect(),
        rules: Vec::new(),
        file: None,
        rewrite,
    }
}

/// What the gateway of a vpc does, as the policy says it (S57): no rule does. A hop for each address that it has put.
pub(super) fn translated(site: &Site, at: HostId, packet: &Packet, to: Packet) -> Vec<Hop> {
    let destination = (packet.dst != to.dst).then_some(Translation::Destination { addr: to.dst, port: None });
    let source = (packet.src != to.src).then_some(Translation::Source(to.src));
    let between = Packet { dst: to.dst, ..packet.clone() };
    let steps = [
        (Hook::Prerouting, destination, packet.dst, packet.clone(), between.clone()),
        (Hook::Postrouting, source, to.src, between, to),
    ];
    let name = site.host(at).map_or("?", |host| host.name.as_str());
    let because = |public: IpAddr| {
        let legs = site.hosts.iter().flat_map(|host| host.legs.iter().map(move |leg| (host, leg)));
        let known = legs.into_iter().find(|(_, leg)| leg.public.iter().any(|of| of.address == public));
        let known = known.map(|(host, leg)| (format!("{} public {public}", host.name), Some(leg.span)));
        let vpc = site.vpcs.iter().find(|vpc| vpc.machine == at);
        let words = "what has no public address leaves by one that no statement names";
        known.or_else(|| vpc.map(|vpc| (words.to_owned(), Some(vpc.span))))
    };
    let hop =
        |(hook, done, public, before, after): (Hook, Option<Translation>, IpAddr, Packet, Packet)| Hop {
            point: Point::Hook { host: at, hook },
            place: format!("{name} gateway"),
            verdict: Verdict::Accept,
            meant: Verdict::Accept,
            statements: because(public).into_iter().collect(),
            rules: Vec::new(),
            file: None,
            rewrite: Some(Rewrite { done, meant: done, before, after }),
        };
    steps.into_iter().filter(|(_, done, ..)| done.is_some()).map(hop).collect()
}

/// S14: everyone in the sender's zone hears a group, each for itself; or one of them alone.
fn heard(
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    (begin, sender, alone): (Begin, Option<HostId>, Option<HostId>),
    packet: &Packet,
) -> Vec<Hop> {
    let site = spec.forwarding().site();
    let zone = match begin {
        Begin::Zone(zone) => Some(zone),
        Begin::Leg(host, leg) => site.leg(host, leg).map(|leg| leg.zone),
        Begin::Machine(_) => spec.forwarding().zone_of(packet.src),
    };
    let others =
        zone.into_iter().flat_map(|zone| super::groups::hearers(site, (zone, packet.family()), sender));
    let others = others.filter(|(host, _)| alone.is_none_or(|alone| alone == *host));
    let at = |(host, leg)| match path::is_deaf(spec.forwarding(), host, packet.src) {
        true => Some(unheard(site, host)),
        false => Machine { spec, artifacts, host }.at(Hook::Input, Some(leg), None, packet),
    };
    others.filter_map(at).collect()
}

/// A packet that comes to a machine: its prerouting, where that translates it, and a hook.
pub(super) fn entering(
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    host: HostId,
    hook: Hook,
    packet: &Packet,
) -> Vec<Hop> {
    let before = self::hop(spec, &Point::Hook { host, hook: Hook::Prerouting }, artifacts.get(&host), packet);
    let mut hops = Vec::new();
    let mut packet = packet.clone();
    if let Some(rewrite) = &before.rewrite {
        packet = rewrite.after.clone();
        hops.push(before);
    }
    hops.push(self::hop(spec, &Point::Hook { host, hook }, artifacts.get(&host), &packet));
    hops
}

/// A machine that a packet passes.
pub(super) struct Machine<'a, 's> {
    pub(super) spec: &'a Spec<'s>,
    pub(super) artifacts: &'a Artifacts,
    pub(super) host: HostId,
}

impl Machine<'_, '_> {
    /// The packet at a hook, by these legs; none where the machine does not filter.
    pub(super) fn at(
        &self,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
        packet: &Packet,
    ) -> Option<Hop> {
        let rules = self.artifacts.get(&self.host)?;
        let here = packet.clone().at(self.name(iif), self.name(oif));
        Some(hop(self.spec, &Point::Hook { host: self.host, hook }, Some(rules), &here))
    }

    /// The hook of a gate, and the interface before or behind it (S51).
    fn beside(&self, gate: &Gate, packet: &Packet) -> Vec<Hop> {
        let hook = self.at(gate.hook, gate.iif, gate.oif, packet);
        let interface = self.interface(gate.hook, gate.iif, gate.oif, packet);
        match gate.hook {
            Hook::Input => interface.into_iter().chain(hook).collect(),
            _ => hook.into_iter().chain(interface).collect(),
        }
    }

    /// What the groups of a leg do, where it wears any.
    pub(super) fn interface(
        &self,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
        packet: &Packet,
    ) -> Option<Hop> {
        let site = self.spec.forwarding().site();
        let (leg, way) = match hook {
            Hook::Input => (iif?, Way::Ingress),
            Hook::Output => (oif?, Way::Egress),
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => return None,
        };
        site.worn(self.host, leg).next()?;
        let text = self.artifacts.groups.first()?;
        Some(Grounds::new(site, text, false).hop(self.spec, (self.host, leg), way, packet))
    }

    /// Through prerouting: the packet as it goes on. There is a hop where its addresses are translated, or should be.
    pub(super) fn enters(&self, came: LegId, packet: Packet, hops: &mut Vec<Hop>) -> Packet {
        self.rewritten(Hook::Prerouting, Some(came), None, packet, hops)
    }

    /// Through postrouting, and out: what the machine knew of it is forgotten.
    pub(super) fn leaves(&self, left: Option<LegId>, packet: Packet, hops: &mut Vec<Hop>) -> Packet {
        let packet = match left {
            Some(left) => self.rewritten(Hook::Postrouting, None, Some(left), packet, hops),
            None => packet,
        };
        Packet { ct_original: None, ct_status: NatStatus::default(), ..packet.at("", "") }
    }

    fn rewritten(
        &self,
        hook: Hook,
        iif: Option<LegId>,
        oif: Option<LegId>,
        packet: Packet,
        hops: &mut Vec<Hop>,
    ) -> Packet {
        let Some(hop) = self.at(hook, iif, oif, &packet) else { return packet };
        let Some(rewrite) = &hop.rewrite else { return packet };
        let after = rewrite.after.clone();
        hops.push(hop);
        after
    }

    fn name(&self, leg: Option<LegId>) -> &str {
        leg.and_then(|l| self.spec.forwarding().site().leg(self.host, l)).map_or("", Leg::interface_or_any)
    }
}

/// A packet at a point. Without rules, the artifact is taken to do nothing (drop).
pub(super) fn hop(spec: &Spec<'_>, point: &Point, rules: Option<&HostRules>, packet: &Packet) -> Hop {
    match rules {
        Some(rules) => hop_by(spec, point, rules, &mut sim::Runner::new(&rules.ruleset), packet),
        None => hop_of(spec, point, None, packet),
    }
}

/// [`hop`] of one of many packets through these rules, which a runner is of.
pub(super) fn hop_by(
    spec: &Spec<'_>,
    point: &Point,
    rules: &HostRules,
    runner: &mut sim::Runner<'_>,
    packet: &Packet,
) -> Hop {
    let did = match point {
        Point::Hook { hook, .. } => Some((rules, runner.run(hook_of(*hook), packet))),
        _ => None,
    };
    hop_of(spec, point, did, packet)
}

/// What happens to a packet at a point, where this is what its rules did.
fn hop_of(spec: &Spec<'_>, point: &Point, did: Option<(&HostRules, sim::Run)>, packet: &Packet) -> Hop {
    let site = spec.forwarding().site();
    let judged = spec.judge(point, packet);
    let (rules, did) = did.unzip();
    let lines = did.as_ref().zip(rules).map(|(did, rules)| lines(did, rules)).unwrap_or_default();
    let verdict = did.as_ref().and_then(|did| did.verdict.verdict()).unwrap_or(Verdict::Drop);
    // A packet that is received has left by nothing yet, and one that is sent came by nothing.
    let (iif, oif) = match point {
        Point::Hook { hook: Hook::Prerouting | Hook::Input, .. } => (packet.iif.name(), ""),
        Point::Hook { hook: Hook::Output | Hook::Postrouting, .. } => ("", packet.oif.name()),
        Point::Hook { hook: Hook::Bridge, .. } => ("", ""),
        Point::Hook { hook: Hook::Forward, .. } | Point::Interface { .. } | Point::NetworkAcl { .. } => {
            (packet.iif.name(), packet.oif.name())
        }
    };
    let interfaces = match (iif, oif) {
        ("", "") => String::new(),
        (iif, "") => format!(" {iif}"),
        ("", oif) => format!(" -> {oif}"),
        (iif, oif) => format!(" {iif} -> {oif}"),
    };
    let (rewrite, because) = rewrite(spec, point, did.as_ref(), packet);
    let because = because.unwrap_or(judged.because);
    Hop {
        point: point.clone(),
        place: format!("{}{interfaces}", place(site, point)),
        verdict,
        meant: judged.verdict,
        statements: because.iter().filter_map(|origin| statement(site, *origin)).collect(),
        rules: lines,
        file: None,
        rewrite,
    }
}

/// What is done to a packet's addresses at a point, and what was to be; and the statements that say so.
fn rewrite(
    spec: &Spec<'_>,
    point: &Point,
    did: Option<&sim::Run>,
    packet: &Packet,
) -> (Option<Rewrite>, Option<Vec<Origin>>) {
    let Point::Hook { host, hook } = point else { return (None, None) };
    let site = spec.forwarding().site();
    let (meant, because) = spec.translate_because(*host, *hook, packet).unzip();
    let done = did.and_then(|did| did.translation).map(|to| settled(site, *host, packet, to));
    let Some(did) = did.filter(|_| meant.is_some() || done.is_some()) else { return (None, None) };
    let mut after = did.packet.clone();
    match done {
        Some(Translation::Source(addr)) => after.src = addr,
        Some(Translation::Masquerade) => {
            let left = site.host(*host).and_then(|m| m.legs().find(|(_, leg)| is_by(leg, packet)));
            let own = left.map(|(leg, _)| sources_of(site, *host, leg).of(packet.family()));
            let first = own.and_then(|own| own.ranges().next().map(|range| range.first_addr()));
            after.src = first.unwrap_or(after.src);
        }
        Some(Translation::Destination { .. }) | None => {}
    }
    (Some(Rewrite { done, meant, before: packet.clone(), after }), because)
}

fn is_by(leg: &Leg, packet: &Packet) -> bool {
    packet.oif.name() == leg.interface_or_any()
}

/// Masquerading by a leg with one address gives that address.
fn settled(site: &Site, host: HostId, packet: &Packet, to: Translation) -> Translation {
    let mut legs = site.host(host).map_or(&[][..], |m| &m.legs).iter();
    match (to, legs.find(|leg| is_by(leg, packet)).and_then(|leg| only(leg, packet.family()))) {
        (Translation::Masquerade, Some(addr)) => Translation::Source(addr),
        (to, _) => to,
    }
}

fn lines(did: &sim::Run, rules: &HostRules) -> Vec<(usize, String)> {
    let line = |place: &Place| {
        let number = rules.lines.line(*place)?;
        Some((usize::try_from(number).ok()?, rules.lines.said(&rules.text, number)?.to_owned()))
    };
    let mut lines: Vec<(usize, String)> = did.because.iter().filter_map(line).collect();
    lines.dedup();
    lines
}
