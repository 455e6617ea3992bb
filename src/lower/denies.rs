//! What is denied, at every hook (S19).
//!
//! A plain `deny` is left out where it could change nothing: where no `allow` of the hook meets it, and no `deny`
//! that rejects, the default drops its packets anyway. One that rejects stands everywhere, and so does every other
//! where a machine's `reject from` would speak instead.
//!
//! Where a `dnat to` happens, what is denied as its sender wrote it stays denied (S32).

use std::collections::{BTreeMap, BTreeSet};

use super::cells::{Said, all_of, entries, headers, original, translated};
use super::pairs::Pairs;
use super::{Raw, any_own, replies};
use crate::model::{Action, Bridge, Hook, Host, HostId, Site};
use crate::net::{AddrRange, AddrSet, Family};
use crate::topology::Topology;

/// Adds the rules of every `deny`; `translating` are the machines where a `dnat to` happens, or containers publish ports.
pub(super) fn deny(
    topology: &Topology<'_>,
    site: &Site,
    translating: &BTreeSet<HostId>,
    raw: &mut BTreeMap<(HostId, Hook), Raw>,
) {
    if site.accesses.iter().all(|access| access.action != Action::Deny) {
        return;
    }
    let met: BTreeMap<(HostId, Hook), Met> = raw.iter().map(|(point, raw)| (*point, Met::by(raw))).collect();
    let told = Met::by_rejecting(topology, site);
    let rejecting = site.accesses.iter().any(|a| a.action == Action::Deny && a.reject);
    for (id, access) in site.accesses().filter(|(_, a)| a.action == Action::Deny) {
        let headers = headers(&access.terms);
        let said = Said { access, id, bucket: None };
        let (no_from, no_to) =
            (topology.kept_back(&access.from.except), topology.kept_back(&access.to.except));
        let sets = |ends: &[crate::model::End], less: &AddrSet| -> Vec<AddrSet> {
            ends.iter().map(|e| topology.wide(e).difference(less)).filter(|s| !s.is_empty()).collect()
        };
        let (sources, destinations) = (sets(&access.from.plus, &no_from), sets(&access.to.plus, &no_to));
        for ((host, hook), raw) in raw.iter_mut() {
            let Some(machine) = site.host(*host) else { continue };
            let netfilter = machine.bridges().any(|(.., how)| *how == Bridge::BrNetfilter);
            if *hook == Hook::Forward && !machine.forwards() && !netfilter {
                continue; // S24: it drops everything already.
            }
            let stateless = *hook == Hook::Bridge
                && machine.bridges().any(|(.., how)| matches!(how, Bridge::Stateless(_)));
            // A rejection by the original destination (S32) meets packets to wherever they were translated.
            let translated_here = translating.contains(host) && rejecting;
            let rejects = !matches!(hook, Hook::Output | Hook::Bridge)
                && (!machine.reject_from.is_empty() || translated_here);
            let everywhere = access.reject && *hook != Hook::Bridge || rejects;
            let near = met.get(&(*host, *hook)).map(|m| m.meets(&told, machine, site, *hook, access.log));
            let Some((src, dst)) = near else { continue };
            for source in &sources {
                let from = if everywhere { source.clone() } else { touching(source, &src) };
                if from.is_empty() {
                    continue;
                }
                for destination in &destinations {
                    let to = if everywhere { destination.clone() } else { touching(destination, &dst) };
                    if *hook == Hook::Bridge {
                        let (mut denied, mut unanswered) = (Vec::new(), Vec::new());
                        entries(&from, &to, &headers, said, &mut denied);
                        raw.denies.extend(denied.into_iter().map(replies::silent));
                        if stateless {
                            entries(&to, &from, &replies::headers(&headers), said, &mut unanswered);
                            raw.unanswered.extend(unanswered.into_iter().map(replies::unlogged));
                        }
                        continue;
                    }
                    entries(&from, &to, &headers, said, &mut raw.denies);
                    // S32: wherever it was translated to.
                    if *hook != Hook::Output && translating.contains(host) {
                        let headers = original(&headers);
                        for family in Family::BOTH {
                            let sets = (&from, &all_of(family), destination);
                            translated(sets, &headers, said, &mut raw.denies);
                        }
                    }
                }
            }
        }
    }
}

/// The ranges of a set that meet another, whole: so that a rule does not change with what it happens to meet.
fn touching(set: &AddrSet, other: &AddrSet) -> AddrSet {
    let meets = |range: &AddrRange| !AddrSet::from_ranges([*range]).is_disjoint(other);
    AddrSet::from_ranges(set.ranges().filter(meets))
}

/// The sources and destinations of a hook's `allow`s.
struct Met {
    src: AddrSet,
    dst: AddrSet,
}

impl Met {
    fn by(raw: &Raw) -> Self {
        let pairs = || raw.pairs.values().chain(raw.confined.values().flat_map(Pairs::values));
        let cells = || pairs().flat_map(|p| p.entries.iter().map(|e| e.cell));
        Self {
            src: AddrSet::from_ranges(cells().map(|c| c.src())),
            dst: AddrSet::from_ranges(cells().map(|c| c.dst())),
        }
    }

    /// Of every `deny` that rejects: a drop wins over it (S19).
    fn by_rejecting(topology: &Topology<'_>, site: &Site) -> Self {
        let rejecting = || site.accesses.iter().filter(|a| a.action == Action::Deny && a.reject);
        let union = |sets: Vec<AddrSet>| AddrSet::from_ranges(sets.iter().flat_map(AddrSet::ranges));
        Self {
            src: union(rejecting().map(|a| topology.widely(&a.from)).collect()),
            dst: union(rejecting().map(|a| topology.widely(&a.to)).collect()),
        }
    }

    /// What a `deny` has to meet to matter: the `allow`s and what rejects; for one that logs, whatever may come by.
    fn meets(&self, told: &Self, machine: &Host, site: &Site, hook: Hook, log: bool) -> (AddrSet, AddrSet) {
        let (src, dst) = (self.src.union(&told.src), self.dst.union(&told.dst));
        if !log {
            return (src, dst);
        }
        let own = any_own(site, machine);
        match hook {
            Hook::Input => (AddrSet::full(), dst.union(&own)),
            Hook::Output => (src.union(&own), AddrSet::full()),
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => {
                (AddrSet::full(), AddrSet::full())
            }
        }
    }
}
