//! What a hook does apart from the statements: DHCP, the machine's own resets, `log from`, `reject from`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use super::wire;
use crate::ir::{Leases, PointRules, Wire};
use crate::model::{Action, Hook, Host, Site};
use crate::net::addr::LINK_LOCAL;
use crate::net::{AddrSet, Family};
use crate::topology::Topology;

/// Completes a point.
pub(super) fn complete(topology: &mut Topology<'_>, site: &Site, machine: &Host, point: &mut PointRules) {
    let rejects =
        !machine.reject_from.is_empty() || site.accesses.iter().any(|a| a.action == Action::Deny && a.reject);
    // S16: the kernel hands its own resets to output as `related`.
    point.resets = point.hook == Hook::Output && rejects;
    if matches!(point.hook, Hook::Input | Hook::Output) {
        point.dhcp = dhcp(site, machine, point);
        point.leases = leases(site, machine, point);
    }
    if point.hook == Hook::Forward {
        // S82.
        let clamps = machine.legs().filter_map(|(id, leg)| Some((wire(site, point.host, id), leg.clamp?)));
        point.clamps = clamps.collect();
    }
    if point.closed && point.containers.is_none() {
        return;
    }
    let logged = machine.log_from.iter().map(|p| topology.widely(p));
    point.log = logged.fold(AddrSet::empty(), |all, one| all.union(&one));
    if point.hook == Hook::Output {
        // What leaves has the machine's own address: log it only where `log from` names the machine.
        let own = machine.address_set();
        point.log = point.log.intersection(&own);
        return;
    }
    if point.hook == Hook::Bridge {
        return; // S41: nobody is told.
    }
    point.reject = reject(topology, site, machine, point);
}

/// S18.
fn dhcp(site: &Site, machine: &Host, point: &PointRules) -> Vec<(Wire, Family)> {
    let dynamic = machine.legs().filter(|(_, leg)| leg.dynamic);
    let mut all: Vec<(Wire, Family)> = dynamic
        .flat_map(|(id, leg)| {
            let zone = site.zone(leg.zone);
            Family::BOTH
                .into_iter()
                .filter(move |f| zone.is_some_and(|z| z.addrs.has(*f)))
                .map(move |f| (id, f))
        })
        .map(|(leg, family)| (wire(site, point.host, leg), family))
        .collect();
    all.sort();
    all.dedup();
    all
}

/// S81.
fn leases(site: &Site, machine: &Host, point: &PointRules) -> Vec<Leases> {
    let asking = point.hook == Hook::Input;
    let without_lease = IpAddr::V4(if asking { Ipv4Addr::UNSPECIFIED } else { Ipv4Addr::BROADCAST });
    let mut all = Vec::new();
    for (id, leg) in machine.legs().filter(|(_, leg)| leg.serves_dhcp) {
        for family in Family::BOTH.into_iter().filter(|family| leg.carries(site, *family)) {
            let (clients, own) = match (family, site.zone(leg.zone)) {
                (Family::V4, Some(zone)) => {
                    let clients = zone.addrs.of(family).union(&AddrSet::one(without_lease));
                    (clients, leg.address_set().of(family))
                }
                (Family::V6, _) => (AddrSet::net(LINK_LOCAL), AddrSet::net(LINK_LOCAL)),
                (Family::V4, None) => continue,
            };
            let own = (!asking).then_some(own);
            all.push(Leases { wire: wire(site, point.host, id), family, clients, own });
        }
    }
    all
}

/// S22: each source by the leg by which the machine itself would send to it.
fn reject(
    topology: &mut Topology<'_>,
    site: &Site,
    machine: &Host,
    point: &PointRules,
) -> Vec<(Wire, AddrSet)> {
    let told = machine.reject_from.iter().map(|p| topology.widely(p));
    let told = told.fold(AddrSet::empty(), |all, one| all.union(&one));
    let own = machine.address_set();
    let mut by_wire: BTreeMap<Wire, AddrSet> = BTreeMap::new();
    for (class, addrs) in topology.classes().divide(&told.difference(&own)) {
        if let Some(leg) = topology.leg_towards(point.host, class) {
            let all = by_wire.entry(wire(site, point.host, leg)).or_default();
            *all = all.union(&addrs);
        }
    }
    by_wire.into_iter().collect()
}
