//! Groups: what is said to one is heard by every machine with a leg in its sender's zone (S14, S25, S26).

use std::net::IpAddr;

use crate::forwarding::{Forwarding, groups};
use crate::model::{Hook, HostId, LegId, Site, ZoneId};
use crate::net::{AddrSet, Exhausted, Family};

use super::compose::Network;
use super::narrowly::{self, Asked, Piece, Stopped};
use super::path::{self, Begin};
use super::translate::Entry;

/// The groups among some addresses.
pub(super) fn among(addrs: &AddrSet) -> AddrSet {
    addrs.intersection(groups())
}

/// The machines that filter and have a leg in a zone that carries a family, with the leg, but for the machine that sends.
pub(super) fn hearers(
    site: &Site,
    (zone, family): (ZoneId, Family),
    sender: Option<HostId>,
) -> impl Iterator<Item = (HostId, LegId)> {
    let filtering = site.hosts().filter(move |(id, host)| host.filters() && Some(*id) != sender);
    // S77: a hub forwards none of it.
    let alone = site.hub_of(zone).filter(|hub| sender != Some(*hub));
    let filtering = filtering.filter(move |(id, _)| alone.is_none_or(|hub| hub == *id));
    let legs = filtering.filter_map(move |(id, host)| host.leg_in(zone).map(|(at, leg)| (id, at, leg)));
    legs.filter(move |(.., leg)| leg.carries(site, family)).map(|(id, at, _)| (id, at))
}

/// S25: the first packet from a piece to a group, both of one family, that does not get out, or that somebody who
/// filters does not take in. There is no way back from a group.
pub(super) fn unheard(
    network: &mut Network<'_>,
    forwarding: &Forwarding<'_>,
    from: &Piece,
    to: (&AddrSet, Family),
    asked: Asked,
    favourites: &[IpAddr],
) -> Result<Option<Stopped>, Exhausted> {
    let (group, family) = to;
    let headers = network.between(&from.addrs, group);
    let headers = network.space.and(headers, asked.what);
    let Some(example) = network.space.witness(headers, favourites)? else { return Ok(None) };
    let stop = |packet, towards, reason| Ok(Some(Stopped { packet, begin: from.begin, towards, reason }));
    if let Err(why) = path::walk(forwarding, from.begin, example.dst, None) {
        return stop(example, None, format!("no routed path: {}", why.reason()));
    }
    let site = network.site;
    let own = from.machine.and_then(|(host, leg)| site.leg(host, leg));
    let zone = match (own, from.begin) {
        (Some(leg), _) => leg.zone,
        (None, Begin::Zone(zone)) => zone,
        (None, Begin::Machine(_) | Begin::Leg(..)) => return Ok(None),
    };
    let mut gates: Vec<(HostId, Hook, LegId)> =
        from.machine.map(|(host, leg)| (host, Hook::Output, leg)).into_iter().collect();
    let others = hearers(site, (zone, family), from.machine.map(|(sender, _)| sender));
    gates.extend(others.map(|(host, leg)| (host, Hook::Input, leg)));
    for (host, hook, leg) in gates {
        let (iif, oif) = if hook == Hook::Output { (None, Some(leg)) } else { (Some(leg), None) };
        let gate = path::Gate { host, hook, iif, oif, across: None };
        let gate = network.gate_for(gate, Entry::Plain, from.machine);
        let missing = network.space.minus(headers, gate);
        let towards = (hook == Hook::Input).then_some((host, leg));
        let place = format!("`{}` {}", site.host(host).map_or("?", |h| h.name.as_str()), hook.keyword());
        if let Some(packet) = network.space.witness(missing, favourites)? {
            return stop(packet, towards, format!("stopped at {place}"));
        }
        let never = narrowly::unheard_of(network, (host, hook), asked.never_new, headers);
        if let Some(packet) = network.space.witness(never, favourites)? {
            return stop(packet, towards, narrowly::begins_nothing(&place));
        }
    }
    Ok(None)
}
