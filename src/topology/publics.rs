//! S57: who on the way knows a leg by its public address, because the gateway of its vpc is between them.
//!
//! *Input*: a way of an `allow` or an expectation. *Output*: the first who would have to know that address. *Design
//! decisions*: rules are made of private addresses alone, so whoever filters beyond the gateway, by a ruleset or by what it
//! wears in another vpc, is an error; on this side of it, and where no gateway is passed, nothing is translated.

use super::reading::Crossing;
use super::trouble::Trouble;
use super::{Path, Topology};
use crate::model::{End, Host, HostId, Leg, LegId, Place, Site};
use crate::net::{AddrRange, AddrSet, Family};

/// A leg with a public address at one end of a way, and where on it that address is put.
struct Known {
    host: HostId,
    leg: LegId,
    /// Which transit is its vpc.
    at: usize,
    /// Whether the leg is the source.
    source: bool,
}

/// A filtering machine, or an interface of another vpc, that knows one of the ends by its public address.
pub(super) fn seen(
    topology: &Topology<'_>,
    (from, to): (&Place, &Place),
    crossing: &Crossing,
    path: &Path,
) -> Option<Trouble> {
    if !topology.knows_public() {
        return None;
    }
    known(topology, crossing, path).into_iter().find_map(|known| {
        let at = filters_beyond(topology.site, crossing, path, &known);
        let trouble = |at, worn| Trouble::Public { host: known.host, at, worn };
        let named = if known.source { from } else { to };
        let wearer = || {
            wearer_beyond(topology, crossing, &known)
                .filter(|_| !covers(topology, (named, crossing.family), &known))
        };
        at.map(|at| trouble(at, false)).or_else(|| wearer().map(|at| trouble(at, true)))
    })
}

/// The ends that are known by a public address beyond a gateway of this way.
fn known(topology: &Topology<'_>, crossing: &Crossing, path: &Path) -> Vec<Known> {
    let mut all = Vec::new();
    for (set, dynamic, source) in
        [(&crossing.src, crossing.from_dynamic, true), (&crossing.dst, crossing.to_dynamic, false)]
    {
        let owners = topology.owners(set).into_iter().map(|(_, host, leg)| (host, leg));
        let anybody = unknown_among(topology.site, set);
        for (host, leg) in owners.chain(dynamic).chain(anybody) {
            let at = put_at(topology.site, path, (host, leg), crossing.family);
            all.extend(at.map(|at| Known { host, leg, at, source }));
        }
    }
    all
}

/// The legs whose private address nobody knows, where it may be among these.
fn unknown_among(site: &Site, set: &AddrSet) -> Vec<(HostId, LegId)> {
    let meets = |leg: &Leg| site.zone(leg.zone).is_some_and(|zone| !zone.addrs.is_disjoint(set));
    let known = |leg: &Leg| leg.dynamic && !leg.public.is_empty() && meets(leg);
    let legs = site.hosts().flat_map(|(host, of)| of.legs().map(move |(leg, of)| (host, leg, of)));
    legs.filter(|(.., of)| known(of)).map(|(host, leg, _)| (host, leg)).collect()
}

/// The transit that puts the public address of a leg in a family; none where the leg has none, or its vpc's gateway is not on
/// the way.
fn put_at(site: &Site, path: &Path, (host, leg): (HostId, LegId), family: Family) -> Option<usize> {
    let leg = site
        .leg(host, leg)
        .filter(|leg| leg.public.iter().any(|public| Family::of(public.address) == family))?;
    let vpc = site.vpc_of(leg.zone)?;
    let outer = |at: LegId| site.leg(vpc.machine, at).is_some_and(|of| Some(of.zone) == vpc.gateway);
    path.transits.iter().position(|t| t.host == vpc.machine && (outer(t.inward) || outer(t.outward)))
}

/// A machine that filters on the other side of the gateway.
fn filters_beyond(site: &Site, crossing: &Crossing, path: &Path, known: &Known) -> Option<HostId> {
    let transits = path.transits.iter().map(|t| t.host).enumerate();
    let bridges = path.bridged.iter().map(|hop| (hop.before, hop.host));
    let (ends, end) = if known.source {
        (&crossing.receivers, path.end.map(|(host, _)| host))
    } else {
        (&crossing.senders, None)
    };
    let transits = transits.filter(|(at, _)| if known.source { *at > known.at } else { *at < known.at });
    let bridges = bridges.filter(|(before, _)| (*before > known.at) == known.source);
    let on_the_way = transits.chain(bridges).map(|(_, host)| host);
    let mut all = on_the_way.chain(end).chain(ends.iter().map(|own| own.host));
    all.find(|host| site.host(*host).is_some_and(Host::filters))
}

/// A machine at the other end that wears groups.
fn wearer_beyond(topology: &Topology<'_>, crossing: &Crossing, known: &Known) -> Option<HostId> {
    let (set, dynamic) = if known.source {
        (&crossing.dst, crossing.to_dynamic)
    } else {
        (&crossing.src, crossing.from_dynamic)
    };
    let owners = topology.owners(set).into_iter().map(|(_, host, leg)| (host, leg));
    let worn = |(host, leg): &(HostId, LegId)| topology.site.wears(*host, *leg);
    owners.chain(dynamic).find(worn).map(|(host, _)| host)
}

/// Whether an end that is said by addresses says the public one too, as `anywhere` does: then the rules know it.
fn covers(topology: &Topology<'_>, (place, family): (&Place, Family), known: &Known) -> bool {
    let by_address = |end: &&End| matches!(end, End::Zone(_) | End::Addrs(_) | End::Anywhere);
    let add = |all: AddrSet, end: &End| all.union(&topology.wide(end));
    let said = place.plus.iter().filter(by_address).fold(AddrSet::empty(), add);
    let except = place.except.iter().fold(AddrSet::empty(), add);
    let public =
        topology.site.leg(known.host, known.leg).map(|leg| leg.public.as_slice()).unwrap_or_default();
    let public = AddrSet::from_ranges(public.iter().map(|public| AddrRange::one(public.address))).of(family);
    public.is_subset(&said) && public.is_disjoint(&except)
}
