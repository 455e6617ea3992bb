//! `expect deny` and `expect only`: nothing arrives, on any path the legs make possible (S26, S27).

use crate::model::{End, Expect, Expected, Hook, HostId, LegId, Place, Site, ZoneId};
use crate::net::{AddrSet, Exhausted, PacketSet};
use crate::spec::reading::Readings;

use super::compose::{Asking, Network, Reached, Start};
use super::groups;
use super::terms;

/// A packet that arrives though none may, as headers, with the item of `from` it started at.
pub(crate) struct Arrival {
    /// The item it was read by.
    pub(crate) from: End,
    /// Every header that arrives from there.
    pub(crate) headers: PacketSet,
}

/// What arrives of what the expectation forbids: the first item of `from` with something, or nothing.
pub(crate) fn forbidden(network: &mut Network<'_>, expect: &Expect) -> Result<Option<Arrival>, Exhausted> {
    let site = network.site;
    let named = terms::set(&mut network.space, &expect.terms);
    let what = match expect.kind {
        Expected::Only => network.space.not(named),
        Expected::Deny | Expected::Allow => named,
    };
    let to = network.readings.wide_place(&expect.to);
    let except = narrowly(&network.readings, &expect.from);
    for from in &expect.from.plus {
        let mut starts = Vec::new();
        for (start, addrs) in starts_of(site, &network.readings, from) {
            let headers = network.between(&addrs.difference(&except), &to);
            let headers = network.space.and(headers, what);
            starts.push((start, headers));
        }
        let reached = network.reach(&starts);
        let own = owner(from);
        let mut arrived = Vec::new();
        for item in &expect.to.plus {
            let headers = arriving(network, &reached, item, own);
            arrived.push(headers);
        }
        let arrived = network.space.any(arrived);
        // What the source is and was sent to still holds; a gate only takes away.
        let meant = network.readings.wide(from).difference(&except);
        let meant = network.between(&meant, &to);
        let headers = network.space.all(vec![arrived, meant, what]);
        let itself = to_itself(network);
        let headers = network.space.minus(headers, itself);
        if !network.space.is_empty(headers)? {
            return Ok(Some(Arrival { from: from.clone(), headers }));
        }
    }
    Ok(None)
}

/// Every place where packets of an item, read widely, may start, with their sources.
pub(crate) fn starts_of(site: &Site, readings: &Readings<'_>, from: &End) -> Vec<(Start, AddrSet)> {
    let all = readings.wide(from);
    match from {
        End::Host(host) | End::Leg(host, _) => on_each_leg(site, *host, &all),
        End::Zone(zone) => {
            let mut starts = vec![(Start::Zone(*zone), all.clone())];
            starts.extend(owners_among(site, &all));
            starts
        }
        End::Addrs(_) | End::Anywhere => {
            let mut starts: Vec<(Start, AddrSet)> =
                site.zones().map(|(id, zone)| (Start::Zone(id), zone.addrs.intersection(&all))).collect();
            starts.retain(|(_, addrs)| !addrs.is_empty());
            starts.extend(owners_among(site, &all));
            starts
        }
    }
}

fn on_each_leg(site: &Site, host: HostId, addrs: &AddrSet) -> Vec<(Start, AddrSet)> {
    let Some(machine) = site.host(host) else { return Vec::new() };
    machine.legs().map(|(leg, _)| (Start::Leg(host, leg), addrs.clone())).collect()
}

/// Machines that have some of the addresses may send them by any of their legs.
fn owners_among(site: &Site, addrs: &AddrSet) -> Vec<(Start, AddrSet)> {
    let mut starts = Vec::new();
    for (id, host) in site.hosts() {
        let own = host.legs.iter().fold(AddrSet::empty(), |set, leg| set.union(&leg.address_set()));
        let own = own.intersection(addrs);
        if !own.is_empty() && host.legs.len() > 1 {
            starts.extend(on_each_leg(site, id, &own));
        }
    }
    starts
}

/// S13: from a machine to itself, however the expectation names it.
fn to_itself(network: &mut Network<'_>) -> PacketSet {
    let site = network.site;
    let own = site.hosts().map(|(host, _)| network.readings.static_of(host)).collect::<Vec<_>>();
    let pairs = own.iter().map(|addrs| network.between(addrs, addrs)).collect();
    network.space.any(pairs)
}

fn owner(end: &End) -> Option<HostId> {
    match end {
        End::Host(host) | End::Leg(host, _) => Some(*host),
        End::Zone(_) | End::Addrs(_) | End::Anywhere => None,
    }
}

/// The headers that arrive at an item of `to`; those a machine sends itself are not meant (S13).
fn arriving(network: &mut Network<'_>, reached: &Reached, to: &End, own: Option<HostId>) -> PacketSet {
    let site = network.site;
    let addrs = network.readings.wide(to);
    match to {
        End::Host(host) | End::Leg(host, _) => {
            if own == Some(*host) {
                return PacketSet::NOTHING;
            }
            into_machine(network, reached, *host, &addrs)
        }
        End::Zone(_) | End::Addrs(_) | End::Anywhere => {
            let mut sets = Vec::new();
            let mut owned = AddrSet::empty();
            for (id, host) in site.hosts() {
                let its = host.legs.iter().fold(AddrSet::empty(), |set, leg| set.union(&leg.address_set()));
                let its = its.intersection(&addrs);
                owned = owned.union(&its);
                if !its.is_empty() && own != Some(id) {
                    sets.push(into_machine(network, reached, id, &its));
                }
            }
            let nobody = addrs.difference(&owned);
            for (zone, set) in in_zones(site, reached, &nobody) {
                let dst = network.space.to(&zone);
                sets.push(network.space.and(set, dst));
            }
            sets.push(groups::heard(network, reached, &addrs, own, input_gate));
            network.space.any(sets)
        }
    }
}

fn in_zones(site: &Site, reached: &Reached, addrs: &AddrSet) -> Vec<(AddrSet, PacketSet)> {
    let part = |(zone, set): (&ZoneId, &PacketSet)| {
        let here = site.zone(*zone)?.addrs.intersection(addrs);
        (!here.is_empty()).then_some((here, *set))
    };
    reached.iter().filter_map(part).collect()
}

/// What a machine takes in, by any leg, of what was sent to `addrs`.
fn into_machine(network: &mut Network<'_>, reached: &Reached, host: HostId, addrs: &AddrSet) -> PacketSet {
    let site = network.site;
    let Some(machine) = site.host(host) else { return PacketSet::NOTHING };
    let mut sets = Vec::new();
    for (leg_id, leg) in machine.legs() {
        let Some(&here) = reached.get(&leg.zone) else { continue };
        let gate = input_gate(network, host, leg_id);
        let dst = network.space.to(addrs);
        let taken = network.space.all(vec![here, gate, dst]);
        sets.push(taken);
    }
    network.space.any(sets)
}

fn input_gate(network: &mut Network<'_>, host: HostId, leg: LegId) -> PacketSet {
    let gate = network.gate(Asking::May, host, Hook::Input, Some(leg), None);
    let Some(machine) = network.site.host(host) else { return gate };
    match machine.legs.get(leg.index()) {
        Some(leg) if machine.filters() => {
            let base = network.never_filtered(leg);
            network.space.minus(gate, base)
        }
        _ => gate,
    }
}

/// What follows `except`, read narrowly (S12).
fn narrowly(readings: &Readings<'_>, place: &Place) -> AddrSet {
    place.except.iter().fold(AddrSet::empty(), |set, end| set.union(&readings.narrow_except(end)))
}
