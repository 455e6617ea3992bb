//! A machine that runs containers (S37): the rules of its input and output hooks, read once more at forward.
//!
//! What is published was written to the machine itself, so input's rules apply to the *original* destination; what is
//! started leaves as the machine, so output's rules apply whatever the source is.

use std::collections::BTreeMap;

use super::pairs::{RawPair, Wires, wire};
use super::{Raw, any_own};
use crate::ir::{Cell, Containers, Entry, FULL, Pair, PointRules, Side, Wire, everywhere};
use crate::model::{Hook, Host, HostId, Leg, LegId, Site};
use crate::net::{AddrRange, AddrSet, Proto};
use crate::opt::arrange;
use crate::topology::Topology;

/// What the forward hook of a machine does with packets of containers; none where it does not say `docker`.
pub(super) fn containers(
    topology: &Topology<'_>,
    site: &Site,
    host: HostId,
    machine: &Host,
    raw: &BTreeMap<(HostId, Hook), Raw>,
) -> Option<Containers> {
    if !machine.docker {
        return None;
    }
    let (input, output) = (raw.get(&(host, Hook::Input))?, raw.get(&(host, Hook::Output))?);
    let legs = machine.legs.iter().filter_map(|leg| leg.interface.clone()).collect();
    let own = any_own(site, machine);
    Some(Containers {
        legs,
        published: published(&own, input),
        own,
        started: machine.legs().map(|(id, leg)| started(topology, site, host, (id, leg), output)).collect(),
    })
}

/// Input's rules, for packets whose destination was translated from an address of the machine.
fn published(own: &AddrSet, input: &Raw) -> Side {
    let seen = |entries: &mut dyn Iterator<Item = &Entry>| -> Vec<Entry> {
        // What S32 says of a translated packet is said here of every one.
        let plain = entries.filter(|entry| !entry.cell.translated);
        plain.flat_map(|entry| of_own(entry, own)).collect()
    };
    let pair = |((inward, _), pair): (&Wires, &RawPair)| Pair {
        inward: inward.clone(),
        outward: None,
        itself: Vec::new(),
        layers: arrange(seen(&mut pair.entries.iter())),
        replies: Vec::new(),
    };
    Side {
        denies: arrange(seen(&mut input.denies.iter())),
        itself: input.itself.clone(),
        pairs: input.pairs.iter().map(pair).collect(),
    }
}

/// An entry as it stands behind the translation, for each range of the machine's own addresses in it.
fn of_own(entry: &Entry, own: &AddrSet) -> Vec<Entry> {
    let cell = entry.cell;
    let ported = cell.proto().is_some_and(|proto| proto == Proto::TCP || proto == Proto::UDP);
    let original = own.intersection(&AddrSet::from_ranges([cell.dst()]));
    let one = |range: AddrRange| {
        let mut entry = entry.clone();
        let [proto, to, from] = cell.header;
        let (to, port_before) = if ported { (FULL, to) } else { (to, FULL) };
        entry.cell = Cell {
            translated: true,
            ends: [cell.ends[0], everywhere(cell.family)],
            header: [proto, to, from],
            before: (range.first, range.last),
            port_before,
            ..cell
        };
        entry
    };
    original.ranges().map(one).collect()
}

/// Output's rules by one leg, whatever the source.
fn started(
    topology: &Topology<'_>,
    site: &Site,
    host: HostId,
    (id, leg): (LegId, &Leg),
    output: &Raw,
) -> (String, Side) {
    let name = leg.interface.clone().unwrap_or_default();
    let own = topology.wide(&crate::model::End::Leg(host, id));
    let seen = |entries: &mut dyn Iterator<Item = &Entry>| -> Vec<Entry> {
        let touches = |entry: &&Entry| !own.is_disjoint(&AddrSet::from_ranges([entry.cell.src()]));
        let mut all: Vec<Entry> = entries.filter(touches).cloned().collect();
        for entry in &mut all {
            entry.cell.ends[0] = everywhere(entry.cell.family);
        }
        all
    };
    let out = Some(wire(site, host, id));
    let pair = output.pairs.get(&(None, out.clone())).map(|pair| Pair {
        inward: None,
        outward: out,
        itself: Vec::new(),
        layers: arrange(seen(&mut pair.entries.iter())),
        replies: Vec::new(),
    });
    let side = Side {
        denies: arrange(seen(&mut output.denies.iter())),
        itself: output.itself.clone(),
        pairs: pair.into_iter().filter(|pair| !pair.layers.is_empty()).collect(),
    };
    (name, side)
}

/// S38: by interface, the sources to which the machine itself would send by it; none where it does not ask.
pub(super) fn strict(
    topology: &mut Topology<'_>,
    site: &Site,
    machine: &Host,
    point: &PointRules,
) -> Option<Vec<(Wire, AddrSet)>> {
    if !machine.strict_source || point.hook == Hook::Output {
        return None;
    }
    let own = machine.address_set();
    let mut by_wire: BTreeMap<Wire, AddrSet> = BTreeMap::new();
    for (class, addrs) in topology.classes().divide(&AddrSet::full().difference(&own)) {
        if let Some(leg) = topology.leg_towards(point.host, class) {
            let all = by_wire.entry(wire(site, point.host, leg)).or_default();
            *all = all.union(&addrs);
        }
    }
    Some(by_wire.into_iter().collect())
}
