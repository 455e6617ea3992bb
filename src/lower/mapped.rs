//! What clauses translate, at the hooks where it happens (S34), gathered into as few rules as say it.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use super::cells::Delivered;
use crate::ir::{Addrs, Numbers, Put, Translation, Translations, Wire};
use crate::model::{AccessId, Hook, HostId};
use crate::net::{AddrSet, Family};
use crate::topology::Topology;

/// What the rules of one statement that differ in their ends alone have in common.
type Sort = (Wire, AccessId, Family, Vec<[Numbers; 4]>, Vec<Addrs>, bool, Put);

/// One rectangle of sources and destinations.
struct Ends {
    src: AddrSet,
    dst: AddrSet,
}

/// The translations of every machine as they are found.
#[derive(Default)]
pub(super) struct Mapped {
    by_hook: BTreeMap<(HostId, Hook), BTreeMap<Sort, Vec<Ends>>>,
}

/// What a translation is about, its service apart.
pub(super) struct Mapping<'m> {
    /// By which the packet comes or leaves.
    pub(super) wire: Wire,
    /// The statement.
    pub(super) because: AccessId,
    /// The family.
    pub(super) family: Family,
    /// The sources and destinations, as seen there.
    pub(super) ends: (&'m AddrSet, &'m AddrSet),
    /// The original destinations, where they are asked.
    pub(super) original: Option<&'m AddrSet>,
    /// What it puts.
    pub(super) put: Put,
}

impl Mapped {
    /// Adds one.
    pub(super) fn add(&mut self, point: (HostId, Hook), mapping: Mapping<'_>, headers: &[Delivered]) {
        let (src, dst) = mapping.ends;
        let mut headers: Vec<[Numbers; 4]> =
            headers.iter().filter(|(f, _)| *f == mapping.family).map(|(_, sides)| *sides).collect();
        headers.sort_unstable();
        if src.is_empty() || dst.is_empty() || headers.is_empty() {
            return;
        }
        let before = mapping.original.map(|o| o.ranges().map(|r| (r.first, r.last)).collect::<Vec<_>>());
        let (asked, before) = (before.is_some(), before.unwrap_or_default());
        let sort = (mapping.wire, mapping.because, mapping.family, headers, before, asked, mapping.put);
        let ends = Ends { src: src.clone(), dst: dst.clone() };
        self.by_hook.entry(point).or_default().entry(sort).or_default().push(ends);
    }

    /// The rules.
    pub(super) fn finish(self, topology: &Topology<'_>) -> Vec<Translations> {
        self.by_hook
            .into_iter()
            .map(|((host, hook), sorts)| {
                let mut rules = Vec::new();
                let mut itself: BTreeSet<(IpAddr, IpAddr)> = BTreeSet::new();
                for (sort, ends) in sorts {
                    let (wire, because, family, headers, before, asked, put) = sort;
                    let original = asked.then(|| {
                        AddrSet::from_ranges(before.iter().map(|&(first, last)| crate::net::AddrRange {
                            family,
                            first,
                            last,
                        }))
                    });
                    for ends in joined(ends) {
                        // What comes to prerouting is the machine's own, whoever else may have the address.
                        if hook == Hook::Postrouting {
                            itself.extend(one_machine(topology, &ends.src, &ends.dst));
                        }
                        rules.push(Translation {
                            wire: wire.clone(),
                            because,
                            family,
                            src: ends.src,
                            dst: ends.dst,
                            headers: headers.clone(),
                            original: original.clone(),
                            put,
                        });
                    }
                }
                Translations { host, hook, itself: itself.into_iter().collect(), rules }
            })
            .collect()
    }
}

/// Fewer rectangles that hold the same: of one source, then of one destination.
fn joined(ends: Vec<Ends>) -> Vec<Ends> {
    let key = |set: &AddrSet| set.ranges().collect::<Vec<_>>();
    let mut by_src: BTreeMap<_, Ends> = BTreeMap::new();
    for one in ends {
        let found = by_src.entry(key(&one.src));
        found.and_modify(|e| e.dst = e.dst.union(&one.dst)).or_insert(one);
    }
    let mut by_dst: BTreeMap<_, Ends> = BTreeMap::new();
    for one in by_src.into_values() {
        let found = by_dst.entry(key(&one.dst));
        found.and_modify(|e| e.src = e.src.union(&one.src)).or_insert(one);
    }
    by_dst.into_values().collect()
}

/// S13: the pairs of addresses in a rectangle that belong to one machine.
pub(super) fn one_machine(topology: &Topology<'_>, src: &AddrSet, dst: &AddrSet) -> Vec<(IpAddr, IpAddr)> {
    let (sources, destinations) = (topology.count_owners(src), topology.count_owners(dst));
    if sources == 0 || destinations == 0 {
        return Vec::new();
    }
    let (few, other) = if sources <= destinations { (src, dst) } else { (dst, src) };
    let mut pairs = Vec::new();
    for (addr, host, _) in topology.owners(few) {
        for twin in topology.statics_of(host).filter(|a| other.contains(*a)) {
            pairs.push(if sources <= destinations { (addr, twin) } else { (twin, addr) });
        }
    }
    pairs
}
