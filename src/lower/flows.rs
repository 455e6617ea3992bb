//! What is allowed, at every hook its path crosses (S20).

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::cells::{Header, entries, headers};
use super::{Raw, RawPair, replies, wire};
use crate::ir::Wire;
use crate::model::{Access, AccessId, Action, Bridge, Hook, HostId, Site};
use crate::net::{AddrSet, Family};
use crate::topology::reading::Own;
use crate::topology::{Bridged, Crossing, Topology};

/// Adds the rules of every `allow`.
pub(super) fn allow(topology: &mut Topology<'_>, site: &Site, raw: &mut BTreeMap<(HostId, Hook), Raw>) {
    for (id, access) in site.accesses().filter(|(_, a)| a.action == Action::Allow) {
        let headers = headers(&access.terms);
        let (no_from, no_to) =
            (topology.wide_union(&access.from.except), topology.wide_union(&access.to.except));
        for from in &access.from.plus {
            for to in &access.to.plus {
                for family in Family::BOTH {
                    for crossing in topology.crossings(from, to, family).iter() {
                        let Some(crossing) = crossing.less(&no_from, &no_to) else { continue };
                        let mut flow = Flow { topology, site, raw, access, id, headers: &headers };
                        flow.cross(&crossing);
                    }
                }
            }
        }
    }
}

struct Flow<'f, 's> {
    topology: &'f Topology<'s>,
    site: &'s Site,
    raw: &'f mut BTreeMap<(HostId, Hook), Raw>,
    access: &'f Access,
    id: AccessId,
    headers: &'f [Header],
}

impl Flow<'_, '_> {
    fn cross(&mut self, crossing: &Crossing) {
        // A pair without a path has its error already (S11): no rule comes of it.
        let Ok(path) = crossing.path.as_ref() else { return };
        for own in &crossing.senders {
            let out = wire(self.site, own.host, own.leg);
            self.add((own.host, Hook::Output), (None, Some(out)), &own.addrs, &crossing.dst);
        }
        for transit in &path.transits {
            let pair = (
                Some(wire(self.site, transit.host, transit.inward)),
                Some(wire(self.site, transit.host, transit.outward)),
            );
            self.add((transit.host, Hook::Forward), pair, &crossing.src, &crossing.dst);
        }
        for hop in &path.bridged {
            self.across(*hop, crossing);
        }
        match path.end {
            Some((host, leg)) => {
                let inward = wire(self.site, host, leg);
                self.add((host, Hook::Input), (Some(inward), None), &crossing.src, &crossing.dst);
            }
            None => {
                // S20: a dynamic leg has any address of its zone, unless the path passes its machine before.
                let passed = |own: &&Own| path.transits.iter().any(|t| t.host == own.host);
                for own in crossing.receivers.iter().filter(|own| !passed(own)) {
                    let inward = wire(self.site, own.host, own.leg);
                    self.add((own.host, Hook::Input), (Some(inward), None), &crossing.src, &own.addrs);
                }
            }
        }
    }

    /// S39: between the ports of a bridge, but for what its machine itself sends or takes in there.
    fn across(&mut self, hop: Bridged, crossing: &Crossing) {
        let how = self.site.leg(hop.host, hop.leg).and_then(|leg| leg.bridge.as_ref());
        let hook = if how == Some(&Bridge::BrNetfilter) { Hook::Forward } else { Hook::Bridge };
        let own = self.own(hop.host);
        let but = |addrs: &AddrSet, there: bool| if there { addrs.difference(&own) } else { addrs.clone() };
        let (src, dst) = (but(&crossing.src, hop.before == 0), but(&crossing.dst, hop.last));
        let bridge = Some(wire(self.site, hop.host, hop.leg));
        self.add((hop.host, hook), (bridge.clone(), bridge.clone()), &src, &dst);
        if matches!(how, Some(Bridge::Stateless(_))) && !src.is_empty() && !dst.is_empty() {
            let Some(raw) = self.raw.get_mut(&(hop.host, hook)) else { return };
            let pair = raw.pairs.entry((bridge.clone(), bridge)).or_default();
            let mut replies = Vec::new();
            entries(&dst, &src, &replies::headers(self.headers), self.access, self.id, &mut replies);
            pair.replies.extend(replies.into_iter().map(replies::unlogged));
        }
    }

    fn own(&self, host: HostId) -> AddrSet {
        let legs = self.site.host(host).map(|h| h.legs.as_slice()).unwrap_or_default();
        legs.iter().fold(AddrSet::empty(), |set, leg| set.union(&leg.address_set()))
    }

    /// Adds the entries at a point, where it filters.
    fn add(
        &mut self,
        point: (HostId, Hook),
        pair: (Option<Wire>, Option<Wire>),
        src: &AddrSet,
        dst: &AddrSet,
    ) {
        let (host, hook) = point;
        if src.is_empty() || dst.is_empty() {
            return;
        }
        let own = if matches!(hook, Hook::Input | Hook::Output) { self.own(host) } else { AddrSet::empty() };
        let Some(raw) = self.raw.get_mut(&point) else { return };
        // S13, at the machine's own hooks: the other end is never one of its own addresses.
        match hook {
            Hook::Input => raw.itself = raw.itself.union(&own.intersection(src)),
            Hook::Output => raw.itself = raw.itself.union(&own.intersection(dst)),
            Hook::Prerouting | Hook::Forward | Hook::Postrouting | Hook::Bridge => {}
        }
        let pair: &mut RawPair = raw.pairs.entry(pair).or_default();
        if matches!(hook, Hook::Forward | Hook::Bridge) {
            pair.itself.extend(one_machine(self.topology, src, dst));
        }
        entries(src, dst, self.headers, self.access, self.id, &mut pair.entries);
    }
}

/// S13: the pairs of addresses in a rectangle that belong to one machine.
fn one_machine(topology: &Topology<'_>, src: &AddrSet, dst: &AddrSet) -> Vec<(IpAddr, IpAddr)> {
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
