//! What nobody has to ask for: spoofed sources get nothing in, and neither does an interface that the
//! policy does not name.
//!
//! Both follow from the proof of each point; they are proved apart, from [`crate::forwarding`] alone, so that a mistake in
//! how `spec` reads a path would show.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::forwarding::{Class, Forwarding, Next, groups};
use crate::model::{Hook, Host, HostId, LegId};
use crate::net::{AddrRange, AddrSet, CtState, Exhausted, Field, Packet, PacketSet, RangeSet, Verdict};
use crate::spec::Spec;

use super::artifacts::Artifacts;
use super::compose::Network;
use super::path::{self, Begin};
use super::report::{Counterexample, Outcome, Unasked, UnaskedProof};
use super::trace;
use super::translate::{Kind, Way};

/// How many classes of sources may arrive by another leg than the one that leads back before it is undecided.
const ASYMMETRIC: usize = 1_000;

/// Both claims, for every filtering machine.
pub(super) fn prove(
    network: &mut Network<'_>,
    forwarding: &Forwarding<'_>,
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    favourites: &[IpAddr],
) -> Vec<UnaskedProof> {
    let site = network.site;
    let mut proofs = Vec::new();
    let sources = Sources { forwarding, classes: forwarding.classes() };
    for (host, machine) in site.hosts().filter(|(_, h)| h.filters()) {
        let spoofed = spoofed(network, &sources, host, machine, favourites);
        proofs.push(UnaskedProof {
            host,
            kind: Unasked::Spoofed,
            claim: format!(
                "a source that does not live behind a leg of `{}` gets nothing in by it",
                machine.name
            ),
            outcome: outcome(spec, artifacts, host, spoofed),
        });
        if machine.legs.iter().all(|leg| leg.interface.is_some()) {
            let strange = strange(network, host, machine, favourites);
            proofs.push(UnaskedProof {
                host,
                kind: Unasked::Unnamed,
                claim: format!(
                    "nothing enters `{}` by an interface that the policy does not name",
                    machine.name
                ),
                outcome: outcome(spec, artifacts, host, strange),
            });
        }
    }
    proofs
}

fn outcome(
    spec: &Spec<'_>,
    artifacts: &Artifacts,
    host: HostId,
    found: Result<Option<(Hook, Packet)>, String>,
) -> Outcome {
    match found {
        Ok(None) => Outcome::Holds,
        Err(reason) => Outcome::Undecided { reason },
        Ok(Some((hook, packet))) => {
            let hops = trace::entering(spec, artifacts, host, hook, &packet);
            let done = hops.last().map_or(Verdict::Drop, |hop| hop.verdict);
            let meant = Verdict::Drop;
            Outcome::Refuted(Box::new(Counterexample { packet, meant, done, hops, reason: None }))
        }
    }
}

/// The addresses of all zones by how they are forwarded.
struct Sources<'f, 's> {
    forwarding: &'f Forwarding<'s>,
    classes: &'f [Class],
}

/// A packet that enters by a leg though its source does not live behind it.
fn spoofed(
    network: &mut Network<'_>,
    sources: &Sources<'_, '_>,
    host: HostId,
    machine: &Host,
    favourites: &[IpAddr],
) -> Result<Option<(Hook, Packet)>, String> {
    let mut behind = sources.behind(host);
    for (leg_id, leg) in machine.legs() {
        let behind = behind.remove(&leg_id).unwrap_or_default();
        let (asked, neighbours) = (network.never_filtered(leg), network.neighbours());
        let own = network.space.from(&behind);
        for hook in [Hook::Input, Hook::Forward] {
            // Leases are given by the machine itself.
            let base = if hook == Hook::Input { asked } else { neighbours };
            let good = network.space.or(base, own);
            let bad = network.space.not(good);
            if hook == Hook::Forward && !may_enter(network, host, machine, leg_id, bad) {
                continue;
            }
            let entering = entering(network, host, machine, hook, leg_id);
            // Nearly always there is none, and then what enters need not be one set.
            if !entering.iter().any(|set| network.space.meet(*set, bad)) {
                continue;
            }
            let entering = network.space.any(entering);
            let entering = network.space.minus(entering, base);
            let mut others = network.space.minus(entering, own);
            for _ in 0..ASYMMETRIC {
                // As it comes to the machine, whatever destination it gets there.
                let Some(packet) = said(network.space.witness_sent(others, favourites))? else { break };
                let Some(class) = arrives_by(network, sources, (host, leg_id), &packet) else {
                    let name = leg.interface_or_any();
                    return Ok(Some((hook, packet.at(name, ""))));
                };
                let class = network.space.from(&class);
                others = network.space.minus(others, class);
            }
            if !said(network.space.is_empty(others))? {
                return Err(format!("more than {ASYMMETRIC} classes of sources take another way back"));
            }
        }
    }
    said(network.space.within_budget())?;
    Ok(None)
}

fn said<T>(answer: Result<T, Exhausted>) -> Result<T, String> {
    answer.map_err(|why| why.to_string())
}

impl Sources<'_, '_> {
    /// By leg: the sources to which the machine itself would send by it.
    fn behind(&self, host: HostId) -> BTreeMap<LegId, AddrSet> {
        let mut all: BTreeMap<LegId, Vec<AddrRange>> = BTreeMap::new();
        for class in self.classes {
            match self.forwarding.onward(host, class.sample) {
                Next::OnLink { leg } | Next::Via { leg, .. } => {
                    all.entry(leg).or_default().extend(class.addrs.ranges());
                }
                Next::Local | Next::Ambiguous(_) | Next::NoRoute => {}
            }
        }
        all.into_iter().map(|(leg, ranges)| (leg, AddrSet::from_ranges(ranges))).collect()
    }
}

/// Whether anything of a set may enter by a leg to be forwarded, by whatever leg it leaves: of many legs nearly none lets anything
/// in, and nobody need ask each of them with each other.
fn may_enter(network: &mut Network<'_>, host: HostId, machine: &Host, leg: LegId, set: PacketSet) -> bool {
    if !machine.filters() || network.translates_at(host) {
        return true;
    }
    let wide = network.forwards_from(host, leg);
    network.space.meet(wide, set)
}

/// The class of the packet's source, if its routed path does enter the machine by this leg.
fn arrives_by(
    network: &Network<'_>,
    sources: &Sources<'_, '_>,
    (host, leg): (HostId, LegId),
    packet: &Packet,
) -> Option<AddrSet> {
    let forwarding = sources.forwarding;
    let class = sources.classes.iter().find(|c| c.addrs.contains(packet.src))?;
    let near = forwarding.site().leg(host, leg).is_some_and(|leg| leg.zone == class.zone);
    // S14: what a member says to a group is heard on the link it lives on, whatever way the machine's routes take back.
    if near && groups().contains(packet.dst) {
        return Some(class.addrs.clone());
    }
    let mut begins = vec![Begin::Zone(class.zone)];
    let owner = forwarding.owner_of(packet.src);
    begins.extend(owner.iter().flat_map(|&(h, l)| [Begin::Leg(h, l), Begin::Machine(h)]));
    let enters = |begin: &Begin| {
        let passes = |way: path::Path| {
            way.end == Some((host, leg))
                || way.transits.iter().any(|t| (t.0, t.1) == (host, leg))
                || way.bridged.iter().any(|hop| (hop.1, hop.2) == (host, leg))
        };
        let own = in_its_place(sources, host, leg, packet);
        path::walk(forwarding, *begin, packet.dst, None).is_ok_and(passes)
            || own.is_some_and(|dst| path::walk(forwarding, *begin, dst, Some((host, leg))).is_ok_and(passes))
            || handed_on(network, forwarding, (host, leg), *begin, packet.dst)
    };
    let found = begins.iter().any(enters);
    found.then(|| if owner.is_some() { AddrSet::one(packet.src) } else { class.addrs.clone() })
}

/// S44: whether a director to whom the packet was written hands it to this machine by this leg, or to somebody between whom and
/// itself the machine stands (S39). The answer goes past it, by whatever leg.
fn handed_on(
    network: &Network<'_>,
    forwarding: &Forwarding<'_>,
    here: (HostId, LegId),
    begin: Begin,
    dst: IpAddr,
) -> bool {
    let Some(at) = path::walk(forwarding, begin, dst, None).ok().and_then(|way| way.end) else {
        return false;
    };
    let handed = |real: &IpAddr| {
        let way = path::walk(forwarding, Begin::Machine(at.0), *real, None);
        let passes =
            |way: &path::Path| way.end == Some(here) || way.bridged.iter().any(|hop| (hop.1, hop.2) == here);
        way.is_ok_and(|way| way.transits.is_empty() && passes(&way))
    };
    network.directors.iter().filter(|d| d.direct && d.at == at.0).flat_map(|d| &d.reals).any(handed)
}

/// A dynamic leg stands for every address of its zone, whoever is said to have it (S20): the way to it is the way
/// to an address of the zone that nobody has.
fn in_its_place(
    sources: &Sources<'_, '_>,
    host: HostId,
    leg: LegId,
    packet: &Packet,
) -> Option<std::net::IpAddr> {
    let leg = sources.forwarding.site().leg(host, leg).filter(|leg| leg.dynamic)?;
    let classes = sources.classes.iter();
    let mut nobodys =
        classes.filter(|c| c.zone == leg.zone && c.gateway.is_none() && c.family == packet.family());
    nobodys.find(|c| !c.addrs.is_empty()).map(|c| c.sample)
}

/// What enters by a leg, whatever it leaves by: packets of any kind, with the source that they come with.
/// In parts.
fn entering(
    network: &mut Network<'_>,
    host: HostId,
    machine: &Host,
    hook: Hook,
    leg: LegId,
) -> Vec<PacketSet> {
    let outs: Vec<Option<LegId>> = match hook {
        Hook::Forward => machine.legs().map(|(out, _)| Some(out)).collect(),
        _ => vec![None],
    };
    let mut sets = Vec::new();
    for out in outs {
        for way in network.ways(host, hook, Some(leg), out) {
            let unmasked = Way { after: None, ..way };
            let (set, _) = network.through(&unmasked, PacketSet::EVERYTHING, Kind::default());
            sets.push(set);
        }
    }
    sets
}

/// A packet that enters by an interface that is no leg, nor `lo`.
fn strange(
    network: &mut Network<'_>,
    host: HostId,
    machine: &Host,
    favourites: &[IpAddr],
) -> Result<Option<(Hook, Packet)>, String> {
    let names = machine.legs.iter().filter_map(|leg| leg.interface.as_deref()).chain(["lo"]);
    let numbers: Vec<u128> = names.map(|name| network.space.interface(name)).collect();
    let known = RangeSet::from_ranges(numbers.iter().map(|&n| (n, n)).chain([(0, 0)]));
    let other = network.space.within(Field::Iif, &known.complement());
    let states = network.space.ct(&[CtState::New, CtState::Invalid]);
    // S37: what comes by no leg at the forward hook is a container's.
    let hooks = if machine.docker { &[Hook::Input][..] } else { &[Hook::Input, Hook::Forward] };
    for &hook in hooks {
        let accepted = network.accepted(host, hook);
        let strange = network.space.all(vec![accepted, other, states]);
        if let Some(packet) = said(network.space.witness(strange, favourites))? {
            return Ok(Some((hook, packet)));
        }
    }
    Ok(None)
}
